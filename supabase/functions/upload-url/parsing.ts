// Reading what a request carries. Forms are judged here, rules in the database.

import { ApiError, type Field, unauthenticated } from "./errors.ts";

const LARGEST_BODY = 65_536;
const FIELDS_SHOWN = 20; // a hostile body has thousands of wrong ones
const LARGEST_TOKEN = 8192;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** A rule says what is wrong with a value, or nothing. */
type Rule = (value: unknown) => string | undefined;

const text: Rule = (value) => {
  if (typeof value !== "string") return "Input should be a valid string";
  if (value.includes("\0")) return "must not contain the character U+0000"; // Postgres cannot store it
  if (!value.isWellFormed()) return "must not contain a lone surrogate"; // nor can UTF-8 say it
};
const integer = (bits: number): Rule => (value) => {
  // Beyond that the call would fail before any rule of the database could speak.
  const fits = Number.isInteger(value) && (value as number) >= -(2 ** (bits - 1)) &&
    (value as number) < 2 ** (bits - 1);
  if (!fits) return "Input should be a valid integer";
};
const uuid: Rule = (value) => (typeof value === "string" && UUID.test(value) ? undefined : "a UUID");
const optional = (rule: Rule): Rule => (value) => (value === null ? undefined : rule(value));

const RULES: Record<string, Rule> = {
  type: text,
  content_type: optional(text),
  filename: optional(text),
  size_bytes: optional(integer(64)),
  sha256: optional(text),
  expires_in: optional(integer(32)),
  source_asset_id: optional(uuid),
};

/** The bearer token, which must be a session's JWT by its form (RFC 6750, section 2.1). */
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
  if (token.length > LARGEST_TOKEN) throw unauthenticated("The token is longer than any session token");
  return token;
}

/** The fields of the body that are known, in the forms they have. Raises ApiError 400, 413, 415 or 422. */
export async function wish(request: Request): Promise<Record<string, unknown>> {
  const mediaType = (request.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  if (mediaType !== "application/json") throw new ApiError("unsupported_media_type");
  const document = parsed(await limited(request));
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw new ApiError("bad_request", { message: "The body is JSON, but not an object." });
  }
  return checked(document as Record<string, unknown>);
}

function checked(document: Record<string, unknown>): Record<string, unknown> {
  const known: Record<string, unknown> = {};
  const fields: Field[] = Object.hasOwn(document, "type") ? [] : [{ field: "body.type", message: "Field required" }];
  const judge = (field: string, message: string | undefined) => {
    if (message) fields.push({ field: `body.${field}`.toWellFormed(), message });
  };
  for (const [name, rule] of Object.entries(RULES)) {
    if (!Object.hasOwn(document, name)) continue;
    judge(name, rule(document[name]));
    known[name] = document[name];
  }
  if (Object.hasOwn(document, "metadata")) {
    const metadata = known.metadata = document.metadata;
    if (typeof metadata !== "object" || Array.isArray(metadata)) {
      judge("metadata", "Input should be a valid dictionary");
    } else {for (const [key, value] of Object.entries(metadata ?? {})) {
        judge(`metadata.${key}`, text(key) ?? text(value));
      }}
  }
  if (fields.length) throw new ApiError("validation_error", { fields: fields.slice(0, FIELDS_SHOWN) });
  if (typeof known.source_asset_id === "string") known.source_asset_id = known.source_asset_id.toLowerCase();
  return known;
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body), (_, value) => {
      if (typeof value === "number" && !Number.isFinite(value)) throw new SyntaxError("a number without bounds");
      return value;
    });
  } catch {
    throw new ApiError("bad_request", { message: "The body is not JSON in UTF-8." });
  }
}

async function limited(request: Request): Promise<Uint8Array> {
  const body = new Uint8Array(LARGEST_BODY);
  let length = 0;
  for await (const chunk of request.body ?? []) {
    if (length + chunk.length <= LARGEST_BODY) body.set(chunk, length);
    length += chunk.length;
    if (length > 16 * LARGEST_BODY) break; // up to there it is read, so that the sender sees our answer
  }
  if (length > LARGEST_BODY) throw new ApiError("body_too_large");
  return body.subarray(0, length);
}
