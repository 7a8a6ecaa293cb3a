// Error responses: one format, with the codes of the service's catalogue.

/** Status and message of the codes that this function raises. Errors of the database carry their own.
 * A test compares this list with the service's catalogue. */
export const CATALOGUE = {
  bad_request: [400, "The request could not be understood."],
  unauthenticated: [401, "The credential is not, or no longer, valid. Sign in again or use another API key."],
  method_not_allowed: [405, "This path does not take that method; see the Allow header."],
  conflict: [409, "The change does not fit the present state."],
  body_too_large: [413, "A request body may have 65536 bytes. Media goes to the upload URL, not here."],
  unsupported_media_type: [415, "Send JSON, with Content-Type: application/json."],
  validation_error: [422, 'Some fields are not valid; see "fields".'],
  internal_error: [500, "Something broke on our side. Report the request_id if it happens again."],
  upstream_error: [502, "A server behind this one gave an answer that makes no sense. Try again later."],
  upstream_unavailable: [503, "A server behind this one cannot be reached. Try again shortly."],
  upstream_timeout: [504, "A server behind this one took too long. Try again."],
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
