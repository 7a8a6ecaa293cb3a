// Handles one request. Supabase is a parameter, so tests run without it.

import { ApiError, errorResponse, unauthenticated } from "./errors.ts";
import { readBody, sessionToken } from "./parsing.ts";

const CHUNK_SIZE = 6 * 1024 * 1024; // required by Supabase Storage; only the last chunk can be smaller
const SAFE_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export type Claims = Record<string, unknown>;

/** The result of assetdock.create_upload. `upload_expires_at` is null if the bytes of a repeated request have landed. */
export interface Reservation {
  asset: { id: string; content_type: string | null };
  bucket: string;
  object_name: string;
  upload_expires_at: string | null;
}

export interface SignedUpload {
  url: string;
  token: string;
}

/** The Supabase project, called as the caller. Each method throws ApiError. */
export interface Project {
  publicUrl: string;
  claims(token: string): Promise<Claims>;
  reserve(token: string, body: Record<string, unknown>): Promise<Reservation>;
  sign(token: string, bucket: string, name: string): Promise<SignedUpload>;
}

/** POST: reserves an asset and responds with the upload target. */
export async function handle(request: Request, project: Project): Promise<Response> {
  const sentId = request.headers.get("x-request-id") ?? "";
  const requestId = SAFE_ID.test(sentId) ? sentId : crypto.randomUUID().replaceAll("-", "");
  const response = await createUpload(request, project).catch((error: unknown) => errorResponse(error, requestId));
  response.headers.set("X-Request-Id", requestId);
  response.headers.set("Cache-Control", "no-store");
  return response;
}

async function createUpload(request: Request, project: Project): Promise<Response> {
  if (request.method !== "POST") {
    throw new ApiError("method_not_allowed", { headers: { Allow: "POST" } });
  }
  const token = sessionToken(request.headers);
  requireSession(await project.claims(token), `${project.publicUrl}/auth/v1`);
  const body = await readBody(request);
  const key = request.headers.get("idempotency-key");
  const reservation = await project.reserve(token, key === null ? body : { ...body, idempotency_key: key });
  return Response.json({ asset: reservation.asset, upload: await uploadTarget(project, token, reservation) }, {
    status: 201,
  });
}

/** Checks that verified claims are those of a user session of this project. */
function requireSession(claims: Claims, issuer: string): void {
  const audience = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  const notBefore = claims.nbf ?? 0;
  const isSession = claims.iss === issuer && audience.includes("authenticated") && typeof claims.exp === "number" &&
    typeof notBefore === "number" && notBefore <= Date.now() / 1000 + 10;
  if (!isSession) throw unauthenticated("The token is not a session of this project");
  if (claims.role !== "authenticated" || typeof claims.sub !== "string" || !UUID.test(claims.sub)) {
    throw unauthenticated("The token is not the session of a user");
  }
  if ("api_key_id" in claims) throw unauthenticated("Tokens minted for API keys are not accepted");
}

/** How to send the bytes, in one request or in chunks. It expires with the upload window or the URL's token, whichever
 * is earlier. */
async function uploadTarget(project: Project, token: string, reservation: Reservation): Promise<unknown> {
  if (reservation.upload_expires_at === null) return null;
  const { asset, bucket, object_name: objectName } = reservation;
  const signed = await project.sign(token, bucket, objectName);
  const metadata = { bucketName: bucket, objectName };
  return {
    method: "PUT",
    url: signed.url,
    headers: asset.content_type ? { "Content-Type": asset.content_type } : {},
    expires_at: earlierExpiry(reservation.upload_expires_at, signed.token),
    resumable: {
      protocol: "tus",
      version: "1.0.0",
      url: `${project.publicUrl}/storage/v1/upload/resumable/sign`,
      headers: { "x-signature": signed.token },
      metadata: asset.content_type ? { ...metadata, contentType: asset.content_type } : metadata,
      chunk_size: CHUNK_SIZE,
    },
  };
}

function earlierExpiry(windowExpiresAt: string, uploadToken: string): string {
  const payload = uploadToken.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const tokenExpiry = JSON.parse(atob(payload)).exp * 1000; // not verified, because only Storage uses the token
  return tokenExpiry < Date.parse(windowExpiresAt)
    ? new Date(tokenExpiry).toISOString().replace(/Z$/, "000Z")
    : windowExpiresAt;
}
