// The part of the service's HTTP API that this page uses.

import type { AssetState, AssetType, UploadableType } from "./assetTypes";
import { ApiError, UnreachableError, type ErrorBody } from "./errors";
import { accessToken, signOut } from "./session";

export interface Stream {
  kind: "video" | "audio" | "subtitle" | "data";
  codec: string;
  width?: number | null;
  height?: number | null;
  frame_rate?: string | null;
  channels?: number | null;
  sample_rate?: number | null;
}

export interface Asset {
  id: string;
  type: AssetType;
  state: AssetState;
  size_bytes: number | null;
  content_type: string | null;
  declared_content_type: string | null;
  duration_seconds: string | null;
  created_at: string;
  filename: string | null;
  error_code: string | null;
  error_message: string | null;
  media: { container: string; bit_rate: number | null; streams: Stream[] } | null;
  download_url?: string | null;
  download_expires_at?: string | null;
}

export interface UploadTarget {
  method: "PUT";
  url: string;
  headers: Record<string, string>;
  expires_at: string;
  resumable?: {
    protocol: "tus";
    version: string;
    url: string;
    headers: Record<string, string>;
    metadata: Record<string, string>;
    chunk_size: number;
  } | null;
}

export interface Reservation {
  asset: Asset;
  upload: UploadTarget | null;
}

export interface ApiKey {
  id: string;
  name: string;
  prefix: string;
  scopes: string[];
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  revoked_at: string | null;
  created_by: string;
}

export interface NewApiKey extends ApiKey {
  plaintext: string;
}

async function request(
  method: string,
  path: string,
  body?: unknown,
  options: { idempotencyKey?: string; signal?: AbortSignal } = {},
): Promise<unknown> {
  const token = await accessToken();
  const headers: Record<string, string> = { Authorization: `Bearer ${token ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (options.idempotencyKey) headers["Idempotency-Key"] = options.idempotencyKey;
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new UnreachableError();
  }
  if (response.ok) return response.status === 204 ? null : ((await response.json()) as unknown);
  if (response.status === 401) await signOut();
  throw new ApiError(response.status, (await response.json().catch(() => ({}))) as ErrorBody);
}

const UPLOAD_WINDOW = 7200; // seconds; the longest allowed, because large files wait in the queue

export interface UploadRequest {
  type: UploadableType;
  content_type: string;
  filename: string;
  size_bytes: number;
}

/** Repeating the request with the same key returns the same asset. */
export const reserveUpload = (payload: UploadRequest, idempotencyKey: string) =>
  request(
    "POST",
    "/assets/upload-url",
    { ...payload, expires_in: UPLOAD_WINDOW },
    { idempotencyKey },
  ) as Promise<Reservation>;

export const renewUpload = (id: string) =>
  request("POST", `/assets/${id}/upload-url`, { expires_in: UPLOAD_WINDOW }) as Promise<Reservation>;

/** With `wait`, the service holds the response for up to so many seconds, until the asset is settled. */
export const getAsset = (id: string, wait = 0, signal?: AbortSignal) =>
  request("GET", `/assets/${id}?wait=${wait}`, undefined, signal ? { signal } : {}) as Promise<Asset>;

export const listAssets = (cursor?: string) =>
  request("GET", `/assets?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`) as Promise<{
    items: Asset[];
    next_cursor: string | null;
  }>;

export const deleteAsset = (id: string) => request("DELETE", `/assets/${id}`);

export const restoreAsset = (id: string) => request("POST", `/assets/${id}/restore`) as Promise<Asset>;

export const listApiKeys = () => request("GET", "/api-keys") as Promise<{ items: ApiKey[] }>;

export const createApiKey = (payload: { name: string; scopes: string[]; expires_at?: string }) =>
  request("POST", "/api-keys", payload) as Promise<NewApiKey>;

export const rotateApiKey = (id: string, overlap_seconds: number) =>
  request("POST", `/api-keys/${id}/rotate`, { overlap_seconds }) as Promise<NewApiKey>;

export const revokeApiKey = (id: string) => request("DELETE", `/api-keys/${id}`);
