// Calls the project through supabase-js as the caller, and translates its errors.

import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { ApiError, type Field, unauthenticated, unavailable } from "./errors.ts";
import type { Project, SignedUpload } from "./handler.ts";

const TIMEOUT_MS = 10_000; // above the statement_timeout of `authenticated` (8 s), so the database times out first

interface Settings {
  url: string;
  publicUrl: string;
  publishableKey: string;
}

interface DatabaseError {
  code: string;
  message: string;
  details: string | null;
}

interface StorageError {
  message: string;
  status?: number;
  statusCode?: string;
}

export function supabase({ url, publicUrl, publishableKey }: Settings): Project {
  const global = {
    fetch: (input: RequestInfo | URL, init?: RequestInit) =>
      fetch(input, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) }),
  };
  const { auth } = createClient(url, publishableKey, {
    global,
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const as = (token: string): SupabaseClient =>
    createClient(url, publishableKey, { global, accessToken: () => Promise.resolve(token) });

  return {
    publicUrl,
    async claims(token) {
      const { data, error } = await auth.getClaims(token).catch((error) => ({ data: null, error }));
      if (data) return data.claims;
      if (error?.name === "AuthRetryableFetchError" || (error?.status ?? 0) >= 500) throw unavailable();
      const expired = /expired/i.test(error?.message ?? "");
      throw unauthenticated(
        expired ? "The session has expired. Refresh it" : "The token is not a session of this project",
      );
    },
    async reserve(token, body) {
      const { data, error, status } = await as(token).schema("assetdock").rpc("create_upload", body);
      if (error) throw errorFromDatabase(error, status);
      return data;
    },
    async sign(token, bucket, name) {
      const { data, error } = await as(token).storage.from(bucket).createSignedUploadUrl(name);
      if (error) throw errorFromStorage(error);
      return withPublicUrl(data.signedUrl, data.token, url, publicUrl);
    },
  };
}

function withPublicUrl(signedUrl: string, token: string, url: string, publicUrl: string): SignedUpload {
  return { url: publicUrl + signedUrl.slice(url.length), token };
}

/** Translates a database error. */
export function errorFromDatabase(error: DatabaseError, status: number): ApiError {
  const { code } = error;
  if (code === "unauthenticated") return unauthenticated(error.message.replace(/\.$/, ""));
  if (/^[a-z][a-z_]+$/.test(code ?? "")) return errorFromRule(error, status);
  if (/^PGRST30[0-3]$/.test(code)) return unauthenticated("The credential is invalid or expired");
  if (code === "57014" || status === 504 || /timed? ?out/i.test(error.message)) return new ApiError("upstream_timeout");
  // Lost connections and lock conflicts: the caller can retry.
  if (status === 0 || status === 502 || status === 503 || /^(08|57P|53|40001|40P01|55P03)/.test(code)) {
    return unavailable();
  }
  console.error(JSON.stringify({ event: "database_error", code, status, message: error.message }));
  return new ApiError(code?.length === 5 ? "internal_error" : "upstream_error");
}

/** Translates an error of assetdock_private.fail, whose details are a JSON object with `fields` and `retry_after`. */
function errorFromRule(error: DatabaseError, status: number): ApiError {
  const details = JSON.parse(error.details ?? "{}");
  const headers: Record<string, string> = {};
  if ("retry_after" in details) headers["Retry-After"] = String(details.retry_after);
  if (error.code === "insufficient_scope") headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"';
  const fields = (details.fields ?? []).map(({ field, message }: Field) => ({
    field: field === "idempotency_key" ? "header.idempotency-key" : `body.${field}`,
    message,
  }));
  return new ApiError(error.code, { status, message: error.message, fields, headers });
}

/** Translates an error of Storage, whose status is a string in the body. */
export function errorFromStorage(error: StorageError): ApiError {
  const status = Number(error.statusCode ?? error.status ?? 0);
  if (status === 409) return new ApiError("conflict", { message: "The bytes of this asset are already there." });
  if (status === 403 && error.message.includes("exp")) return unauthenticated("The session has expired. Refresh it");
  if (status === 403) {
    return new ApiError("conflict", { message: "This upload cannot be started any more. Reserve a new asset." });
  }
  if (status === 504 || status === 544 || /timed? ?out/i.test(error.message)) return new ApiError("upstream_timeout");
  if (!status || [500, 502, 503].includes(status)) return unavailable();
  console.error(JSON.stringify({ event: "storage_error", status, message: error.message }));
  return new ApiError("upstream_error");
}
