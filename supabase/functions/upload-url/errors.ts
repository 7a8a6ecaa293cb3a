// Error responses: one format, with the codes of the service's catalogue.

/** Status and message of the codes that this function raises. Errors of the database carry their own.
 * A test compares this list with the service's catalogue. */
export const CATALOGUE = {
  bad_request: [400, "The request is malformed."],
  unauthenticated: [401, "The credential is missing, invalid or expired. Sign in again, or use another API key."],
  method_not_allowed: [405, "This path does not support this method. The Allow header lists the supported methods."],
  conflict: [409, "The request conflicts with the current state."],
  body_too_large: [413, "The request body is larger than 65536 bytes. Send media to the upload URL instead."],
  unsupported_media_type: [415, "The request body must be JSON, with Content-Type: application/json."],
  validation_error: [422, 'Some fields are invalid; see "fields".'],
  internal_error: [500, "An unexpected error occurred. Retry. If it happens again, report the request_id."],
  upstream_error: [502, "An upstream server sent an invalid response. Retry later."],
  upstream_unavailable: [503, "An upstream server cannot be reached. Retry in a few seconds."],
  upstream_timeout: [504, "An upstream server did not respond in time. The request may have succeeded. Retry it."],
} as const satisfies Record<string, readonly [number, string]>;

export interface Field {
  field: string;
  message: string;
}

interface Details {
  status?: number;
  message?: string;
  fields?: Field[];
  headers?: Record<string, string>;
}

/** An error with a code, a status and a message for the caller. */
export class ApiError extends Error {
  readonly status: number;
  readonly fields: Field[];
  readonly headers: Record<string, string>;

  constructor(readonly code: string, details: Details = {}) {
    const defaults: readonly [number, string] = CATALOGUE[code as keyof typeof CATALOGUE] ?? [500, code];
    super(details.message ?? defaults[1]);
    this.status = details.status ?? defaults[0];
    this.fields = details.fields ?? [];
    this.headers = details.headers ?? {};
  }
}

/** 401 with a WWW-Authenticate challenge (RFC 6750, section 3). */
export function unauthenticated(description: string, reason = "invalid_token"): ApiError {
  return new ApiError("unauthenticated", {
    message: description,
    headers: { "WWW-Authenticate": `Bearer error="${reason}", error_description="${description}"` },
  });
}

export function unavailable(): ApiError {
  return new ApiError("upstream_unavailable", { headers: { "Retry-After": "2" } });
}

/** The response to an error. The details of an unexpected error are logged, not sent to the caller. */
export function errorResponse(error: unknown, requestId: string): Response {
  if (!(error instanceof ApiError)) {
    console.error(JSON.stringify({ event: "unhandled_error", request_id: requestId, error: String(error) }));
    return errorResponse(new ApiError("internal_error"), requestId);
  }
  const { code, message, fields } = error;
  const body = { error: { code, message, ...(fields.length ? { fields } : {}) }, request_id: requestId };
  return Response.json(body, { status: error.status, headers: error.headers });
}
