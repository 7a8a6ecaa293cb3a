// The service's HTTP API, as this page uses it.

import { accessToken, signOut } from "./session";

export type AssetState = "pending_upload" | "processing" | "ready" | "failed" | "expired" | "deleted";

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
  type: "audio" | "video" | "rendered_video" | "cut_file";
  state: AssetState;
  size_bytes: number | null;
  content_type: string | null;
  duration_seconds: string | null;
  created_at: string;
  filename: string | null;
  error_code: string | null;
  error_message: string | null;
  media: { container: string; bit_rate: number | null; streams: Stream[] } | null;
  download_url?: string | null;
  download_expires_at?: string | null;
}

export interface Target {
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
  upload: Target | null;
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

/** The service answered with an error; `message` says what to do next. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** The service could not be reached. */
export class Unreachable extends Error {
  constructor() {
    super("The service can’t be reached. Check your connection.");
  }
}

interface Problem {
  error?: { code: string; message: string; fields?: { field: string; message: string }[] };
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  more: { key?: string; signal?: AbortSignal } = {},
): Promise<unknown> {
  const token = await accessToken();
  const headers: Record<string, string> = { Authorization: `Bearer ${token ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (more.key) headers["Idempotency-Key"] = more.key;
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(more.signal ? { signal: more.signal } : {}),
    });
  } catch (error) {
    if (more.signal?.aborted) throw error;
    throw new Unreachable();
  }
  if (answer.ok) return answer.status === 204 ? null : ((await answer.json()) as unknown);
  if (answer.status === 401) await signOut();
  const problem = (await answer.json().catch(() => ({}))) as Problem;
  const fields = problem.error?.fields?.map((field) => `${field.field.replace(/^\w+\./, "")}: ${field.message}`);
  throw new ApiError(
    answer.status,
    problem.error?.code ?? "unknown",
    [problem.error?.message ?? `The service answered with an error (${answer.status}).`, ...(fields ?? [])].join(" "),
  );
}

const LONG_WINDOW = 7200; // the longest there is: a queue of large files takes its time

export interface Wish {
  type: "audio" | "video";
  content_type: string;
  filename: string;
  size_bytes: number;
}

/** The same `key` again gives the same asset: a lost answer costs nothing. */
export const reserve = (wish: Wish, key: string) =>
  call("POST", "/assets/upload-url", { ...wish, expires_in: LONG_WINDOW }, { key }) as Promise<Reservation>;

export const renew = (id: string) =>
  call("POST", `/assets/${id}/upload-url`, { expires_in: LONG_WINDOW }) as Promise<Reservation>;

export const asset = (id: string, wait = 0, signal?: AbortSignal) =>
  call("GET", `/assets/${id}?wait=${wait}`, undefined, signal ? { signal } : {}) as Promise<Asset>;

export const assets = (cursor?: string) =>
  call("GET", `/assets?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`) as Promise<{
    items: Asset[];
    next_cursor: string | null;
  }>;

export const remove = (id: string) => call("DELETE", `/assets/${id}`);

export const restore = (id: string) => call("POST", `/assets/${id}/restore`) as Promise<Asset>;

export const apiKeys = () => call("GET", "/api-keys") as Promise<{ items: ApiKey[] }>;

export const mint = (wish: { name: string; scopes: string[]; expires_at?: string }) =>
  call("POST", "/api-keys", wish) as Promise<NewApiKey>;

export const rotate = (id: string, overlap_seconds: number) =>
  call("POST", `/api-keys/${id}/rotate`, { overlap_seconds }) as Promise<NewApiKey>;

export const revoke = (id: string) => call("DELETE", `/api-keys/${id}`);

/** What went wrong, for a person. */
export const inWords = (error: unknown): string =>
  error instanceof ApiError || error instanceof Unreachable ? error.message : "Something went wrong. Try again.";
