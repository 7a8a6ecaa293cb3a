// A request in, a response out. What it needs of Supabase it is given, so it runs in a test without any.

import { ApiError, problem, unauthenticated } from "./errors.ts";
import { sessionToken, wish } from "./parsing.ts";

const CHUNK_SIZE = 6 * 1024 * 1024; // what Supabase Storage takes; only the last part may be smaller
const SAFE_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export type Claims = Record<string, unknown>;

/** What assetdock.create_upload answers. `upload_expires_at` is null once the bytes of a repeated request have landed. */
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

/** The project, spoken to as the caller. Each raises ApiError. */
export interface Project {
  publicUrl: string;
  claims(token: string): Promise<Claims>;
  reserve(token: string, wish: Record<string, unknown>): Promise<Reservation>;
  sign(token: string, bucket: string, name: string): Promise<SignedUpload>;
}

/** POST: reserves an asset and answers with where to send its bytes. */
export async function handle(request: Request, project: Project): Promise<Response> {
  const given = request.headers.get("x-request-id") ?? "";
  const requestId = SAFE_ID.test(given) ? given : crypto.randomUUID().replaceAll("-", "");
  const answer = await reserved(request, project).catch((error: unknown) => problem(error, requestId));
  answer.headers.set("X-Request-Id", requestId);
  answer.headers.set("Cache-Control", "no-store");
  return answer;
}

async function reserved(request: Request, project: Project): Promise<Response> {
  if (request.method !== "POST") {
    throw new ApiError("method_not_allowed", { headers: { Allow: "POST" } });
  }
  const token = sessionToken(request.headers);
  requireSession(await project.claims(token), `${project.publicUrl}/auth/v1`);
  const fields = await wish(request);
  const key = request.headers.get("idempotency-key");
  const reservation = await project.reserve(token, key === null ? fields : { ...fields, idempotency_key: key });
  return Response.json({ asset: reservation.asset, upload: await target(project, token, reservation) }, {
    status: 201,
  });
}

/** The claims are verified by now; this asks whether they are those of a user of this project. */
function requireSession(claims: Claims, issuer: string): void {
  const audience = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  const begins = claims.nbf ?? 0;
  const ours = claims.iss === issuer && audience.includes("authenticated") && typeof claims.exp === "number" &&
    typeof begins === "number" && begins <= Date.now() / 1000 + 10;
  if (!ours) throw unauthenticated("The token is not a session of this project");
  if (claims.role !== "authenticated" || typeof claims.sub !== "string" || !UUID.test(claims.sub)) {
    throw unauthenticated("The token is not the session of a user");
  }
  if ("api_key_id" in claims) throw unauthenticated("Tokens minted for API keys are not accepted");
}

/** How to push the bytes, whole or in parts. It ends when the window does, or the URL's own token if sooner. */
async function target(project: Project, token: string, reservation: Reservation): Promise<unknown> {
  if (reservation.upload_expires_at === null) return null;
  const { asset, bucket, object_name: objectName } = reservation;
  const signed = await project.sign(token, bucket, objectName);
  const metadata = { bucketName: bucket, objectName };
  return {
    method: "PUT",
    url: signed.url,
    headers: asset.content_type ? { "Content-Type": asset.content_type } : {},
    expires_at: earlier(reservation.upload_expires_at, signed.token),
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

function earlier(windowEnds: string, uploadToken: string): string {
  const payload = uploadToken.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const ends = JSON.parse(atob(payload)).exp * 1000; // not verified: Storage signed it for Storage
  return ends < Date.parse(windowEnds) ? new Date(ends).toISOString().replace(/Z$/, "000Z") : windowEnds;
}
