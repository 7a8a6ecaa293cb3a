// Decides how an upload goes on after a failure.

import * as api from "./api";
import { hasLanded } from "./assetTypes";
import { ApiError, storageErrorMessage } from "./errors";
import type { Upload } from "./upload";

export interface Failure {
  /** Thrown by a call to the service. */
  error?: unknown;
  /** Of Storage's response; 0 when there was none. */
  status?: number;
  body?: string;
}

export type Resolution =
  | { action: "land"; asset: api.Asset }
  | { action: "reject"; message: string }
  | { action: "restart" } // with a new signature
  | { action: "stop"; message: string };

/** Reads the asset first: the response may have been lost after the bytes landed. */
export async function resolveFailure(upload: Upload, failure: Failure): Promise<Resolution> {
  const { status = 0, body = "" } = failure;
  let { error } = failure;
  if (upload.asset) {
    try {
      const asset = await api.getAsset(upload.asset.id);
      if (hasLanded(asset.state)) return { action: "land", asset };
      if (asset.state !== "pending_upload") {
        return { action: "reject", message: "The upload took too long and has expired. Add the file again." };
      }
    } catch (apiError) {
      error ??= apiError;
    }
  }
  if (error instanceof ApiError && error.status < 500 && error.status !== 429 && error.status !== 401) {
    return { action: "reject", message: error.message };
  }
  if (!error && status >= 400 && status < 500) {
    // The signature may have expired. A second rejection at the same offset is final.
    if (upload.restartedAt === upload.sent) return { action: "reject", message: storageErrorMessage(body) };
    return { action: "restart" };
  }
  return {
    action: "stop",
    message:
      error instanceof ApiError
        ? error.message
        : "The connection was lost. The upload continues when the connection is back.",
  };
}
