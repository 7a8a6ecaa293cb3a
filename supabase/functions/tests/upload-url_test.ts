// Errors of the project behind the function, and the expiry of upload targets.

import { ApiError } from "../upload-url/errors.ts";
import { handle, type Project } from "../upload-url/handler.ts";
import { errorFromDatabase, errorFromStorage } from "../upload-url/supabase.ts";

const OWNER = "01a20b72-3242-7498-b956-5e38783c70d2";
const CLAIMS = {
  iss: "https://project.example/auth/v1",
  aud: "authenticated",
  role: "authenticated",
  sub: OWNER,
  exp: Date.now() / 1000 + 3600,
};

function equal(actual: unknown, expected: unknown, about = "") {
  const [got, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (got !== wanted) throw new Error(`${about} ${got} is not ${wanted}`);
}

function project(changes: Partial<Project> = {}): Project {
  return {
    publicUrl: "https://project.example",
    claims: () => Promise.resolve(CLAIMS),
    reserve: () =>
      Promise.resolve({
        asset: { id: OWNER, content_type: "audio/mpeg" },
        bucket: "assets",
        object_name: OWNER,
        upload_expires_at: "2030-01-01T00:00:00.000000Z",
      }),
    sign: () => Promise.resolve({ url: "https://project.example/put", token: uploadToken("2031-01-01T00:00:00Z") }),
    ...changes,
  };
}

function uploadToken(expires: string): string {
  return `x.${btoa(JSON.stringify({ exp: Date.parse(expires) / 1000 }))}.x`;
}

function request(): Request {
  const headers = { "Authorization": "Bearer a.b.c", "Content-Type": "application/json" };
  return new Request("https://project.example/upload-url", { method: "POST", headers, body: '{"type": "audio"}' });
}

async function respond(changes: Partial<Project>) {
  const response = await handle(request(), project(changes));
  return { status: response.status, headers: response.headers, body: await response.json() };
}

Deno.test("an upload target expires with its window", async () => {
  const { status, body } = await respond({});

  equal(status, 201);
  equal(body.upload.expires_at, "2030-01-01T00:00:00.000000Z");
});

Deno.test("an upload target expires with its token if that is earlier", async () => {
  const { body } = await respond({
    sign: () => Promise.resolve({ url: "https://project.example/put", token: uploadToken("2029-01-01T00:00:00Z") }),
  });

  equal(body.upload.expires_at, "2029-01-01T00:00:00.000000Z");
});

Deno.test("a repeated request whose bytes have landed gets no upload target", async () => {
  const reservation = { asset: { id: OWNER, content_type: null }, bucket: "", object_name: "", upload_expires_at: null };
  const { status, body } = await respond({ reserve: () => Promise.resolve(reservation) });

  equal(status, 201);
  equal(body.upload, null);
});

Deno.test("an unexpected error is a 500 without details", async () => {
  const { status, headers, body } = await respond({ reserve: () => Promise.reject(new Error("password=secret")) });

  equal(status, 500);
  equal(body.error.code, "internal_error");
  equal(body.request_id, headers.get("x-request-id"));
  equal(JSON.stringify(body).includes("secret"), false);
});

Deno.test("a rejected caller gets Retry-After", async () => {
  const { status, headers } = await respond({
    reserve: () =>
      Promise.reject(errorFromDatabase({ code: "too_many_pending_uploads", message: "Wait.", details: '{"retry_after": 7}' }, 429)),
  });

  equal(status, 429);
  equal(headers.get("retry-after"), "7");
});

Deno.test("an invalid idempotency key is reported as a header", () => {
  const details = '{"fields": [{"field": "idempotency_key", "message": "no"}, {"field": "type", "message": "no"}]}';
  const { fields } = errorFromDatabase({ code: "validation_error", message: "Some fields", details }, 422);

  equal(fields.map(({ field }) => field), ["header.idempotency-key", "body.type"]);
});

const DATABASE: [string, number, string, string][] = [
  ["PGRST301", 401, "JWT expired", "unauthenticated"],
  ["57014", 500, "canceling statement due to statement timeout", "upstream_timeout"],
  ["", 0, "TimeoutError: Signal timed out.", "upstream_timeout"],
  ["", 0, "TypeError: error sending request", "upstream_unavailable"],
  ["", 503, "name resolution failed", "upstream_unavailable"],
  ["PGRST000", 503, "Could not connect", "upstream_unavailable"],
  ["40001", 500, "could not serialize access", "upstream_unavailable"],
  ["23505", 409, "duplicate key", "internal_error"],
  ["PGRST202", 404, "Could not find the function", "upstream_error"],
];
const STORAGE: [string | undefined, string, string][] = [
  ["409", "The resource already exists", "conflict"],
  ["403", '"exp" claim timestamp check failed', "unauthenticated"],
  ["403", "new row violates row-level security policy", "conflict"],
  ["544", "The connection to the database timed out", "upstream_timeout"],
  ["500", "Internal", "upstream_unavailable"],
  [undefined, "error sending request", "upstream_unavailable"],
  ["418", "short and stout", "upstream_error"],
];

Deno.test("database errors are translated as in the service", () => {
  for (const [code, status, message, expected] of DATABASE) {
    equal(errorFromDatabase({ code, message, details: null }, status).code, expected, `${code} ${status} ${message}`);
  }
});

Deno.test("Storage errors are translated as in the service", () => {
  for (const [statusCode, message, expected] of STORAGE) {
    equal(errorFromStorage({ statusCode, message }).code, expected, `${statusCode} ${message}`);
  }
});

Deno.test("an unavailable Auth server is a 503 with Retry-After", async () => {
  const { status, headers } = await respond({
    claims: () => Promise.reject(new ApiError("upstream_unavailable", { headers: { "Retry-After": "2" } })),
  });

  equal(status, 503);
  equal(headers.get("retry-after"), "2");
});
