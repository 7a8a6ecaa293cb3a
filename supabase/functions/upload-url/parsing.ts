// Parses the request. This file checks types; the database checks the rules of each field.

import { ApiError, type Field, unauthenticated } from "./errors.ts";

const MAX_BODY_BYTES = 65_536;
const MAX_ERROR_FIELDS = 20; // bounds the response to a body with thousands of invalid fields
const MAX_TOKEN_LENGTH = 8192;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Returns a message for an invalid value. */
type Check = (value: unknown) => string | undefined;

const text: Check = (value) => {
  if (typeof value !== "string") return "Input should be a valid string";
  if (value.includes("\0")) return "must not contain the character U+0000"; // Postgres cannot store it
  if (!value.isWellFormed()) return "must not contain a lone surrogate"; // UTF-8 cannot encode it
};
const integer = (bits: number): Check => (value) => {
  // A larger number would fail in PostgREST, before the rules of the database.
  const fits = Number.isInteger(value) && (value as number) >= -(2 ** (bits - 1)) &&
    (value as number) < 2 ** (bits - 1);
  if (!fits) return "Input should be a valid integer";
};
const uuid: Check = (value) => (typeof value === "string" && UUID.test(value) ? undefined : "a UUID");
const optional = (check: Check): Check => (value) => (value === null ? undefined : check(value));

const CHECKS: Record<string, Check> = {
  type: text,
  content_type: optional(text),
  filename: optional(text),
  size_bytes: optional(integer(64)),
  sha256: optional(text),
  expires_in: optional(integer(32)),
  source_asset_id: optional(uuid),
};

/** The bearer token (RFC 6750, section 2.1), which must have the form of a JWT. */
export function sessionToken(headers: Headers): string {
  const header = headers.get("authorization");
  if (header === null) {
    throw unauthenticated("No credential: send Authorization: Bearer with a session JWT", "invalid_request");
  }
  const [, scheme, token] = /^(\S*) *(.*?) *$/.exec(header) ?? [];
  if (scheme.toLowerCase() !== "bearer") throw unauthenticated("Only the scheme Bearer is accepted", "invalid_request");
  if (!token) throw unauthenticated("The Authorization header has no token", "invalid_request");
  if (token.startsWith("rk_")) {
    throw unauthenticated("This Edge Function takes sessions only. API keys go to the Assetdock service");
  }
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) throw unauthenticated("The token is not a session JWT");
  if (token.length > MAX_TOKEN_LENGTH) throw unauthenticated("The token is too long for a session token");
  return token;
}

/** The known fields of the JSON body. Throws ApiError 400, 413, 415 or 422. */
export async function readBody(request: Request): Promise<Record<string, unknown>> {
  const mediaType = (request.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  if (mediaType !== "application/json") throw new ApiError("unsupported_media_type");
  const document = parseJson(await readBytes(request));
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw new ApiError("bad_request", { message: "The body is JSON, but not an object." });
  }
  return checkFields(document as Record<string, unknown>);
}

function checkFields(document: Record<string, unknown>): Record<string, unknown> {
  const known: Record<string, unknown> = {};
  const fields: Field[] = Object.hasOwn(document, "type") ? [] : [{ field: "body.type", message: "Field required" }];
  const report = (field: string, message: string | undefined) => {
    if (message) fields.push({ field: `body.${field}`.toWellFormed(), message });
  };
  for (const [name, check] of Object.entries(CHECKS)) {
    if (!Object.hasOwn(document, name)) continue;
    report(name, check(document[name]));
    known[name] = document[name];
  }
  if (Object.hasOwn(document, "metadata")) {
    const metadata = known.metadata = document.metadata;
    if (typeof metadata !== "object" || Array.isArray(metadata)) {
      report("metadata", "Input should be a valid dictionary");
    } else {for (const [key, value] of Object.entries(metadata ?? {})) {
        report(`metadata.${key}`, text(key) ?? text(value));
      }}
  }
  if (fields.length) throw new ApiError("validation_error", { fields: fields.slice(0, MAX_ERROR_FIELDS) });
  if (typeof known.source_asset_id === "string") known.source_asset_id = known.source_asset_id.toLowerCase();
  return known;
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body), (_, value) => {
      if (typeof value === "number" && !Number.isFinite(value)) throw new SyntaxError("a number out of range");
      return value;
    });
  } catch {
    throw new ApiError("bad_request", { message: "The body is not JSON in UTF-8." });
  }
}

async function readBytes(request: Request): Promise<Uint8Array> {
  const body = new Uint8Array(MAX_BODY_BYTES);
  let length = 0;
  for await (const chunk of request.body ?? []) {
    if (length + chunk.length <= MAX_BODY_BYTES) body.set(chunk, length);
    length += chunk.length;
    // Reads on to this size, because a client that is still sending would not see the response.
    if (length > 16 * MAX_BODY_BYTES) break;
  }
  if (length > MAX_BODY_BYTES) throw new ApiError("body_too_large");
  return body.subarray(0, length);
}
