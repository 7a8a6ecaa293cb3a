// One file on its way to Storage.

import type { Asset } from "./api";
import type { UploadableType } from "./assetTypes";
import type { TransferRate } from "./transferRate";

export type Phase =
  | "queued"
  | "sending"
  | "interrupted" // continues automatically
  | "paused"
  | "stopped" // continues when the person retries or the network returns; `message` says why it stopped
  | "needs_file" // after a reload, until the person chooses the file again
  | "rejected" // final; `message` says why
  | "landed"
  | "cancelled";

export interface Upload {
  /** Idempotency key of the reservation; the asset's id after a reload. */
  readonly key: string;
  readonly name: string;
  readonly size: number;
  readonly mediaType: string;
  /** Undefined until the file was examined. */
  assetType?: UploadableType;
  readonly rate: TransferRate;
  phase: Phase;
  sent: number;
  pausable: boolean;
  lastModified: number;
  file?: File;
  asset?: Asset;
  message?: string;
  /** Renews the upload target before it expires. */
  renewalTimer?: ReturnType<typeof setTimeout>;
  /** `sent` when the upload was last restarted with a new signature after a rejection. */
  restartedAt?: number;
  /** The network stopped the upload, so it restarts when the network returns. */
  restartsAutomatically?: boolean;
}
