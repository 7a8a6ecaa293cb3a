// The status line, the progress and the buttons of a row, by the phase of an upload or the state of an asset.

import type { Asset } from "./api";
import { assetFacts, formatBytes, formatTimeLeft, joinFacts } from "./formatting";
import type { Upload } from "./upload";

export type Tone = "neutral" | "active" | "success" | "error" | "waiting";
export type ButtonName =
  "changeType" | "pause" | "resume" | "retry" | "cancel" | "choose" | "dismiss" | "download" | "restore" | "delete";

/** Error codes of files that another type of asset may accept. */
const WRONG_TYPE = ["type_mismatch", "no_media_stream"];

export interface RowStatus {
  text: string;
  tone: Tone;
  progress?: number;
  buttons: ButtonName[];
}

/** A file that is not declared as audio can be either, and the page may be wrong. */
const canChangeType = (upload: Upload) =>
  !!upload.file &&
  !!upload.assetType &&
  !upload.mediaType.startsWith("audio/") &&
  !["needs_file", "rejected"].includes(upload.phase);

export function uploadStatus(upload: Upload): RowStatus {
  const status = transferStatus(upload);
  return canChangeType(upload) ? { ...status, buttons: ["changeType", ...status.buttons] } : status;
}

function transferStatus(upload: Upload): RowStatus {
  const progress = upload.size ? Math.min(upload.sent / upload.size, 1) : 0;
  const percent = `${Math.floor(progress * 100)}%`;
  const buttons: ButtonName[] = upload.pausable ? ["pause", "cancel"] : ["cancel"];
  switch (upload.phase) {
    case "queued":
      return {
        text: `${formatBytes(upload.size)}, waiting for other uploads`,
        tone: "waiting",
        progress,
        buttons: ["cancel"],
      };
    case "sending":
      return { text: sendingText(upload, percent), tone: "active", progress, buttons };
    case "interrupted":
      return {
        text: navigator.onLine
          ? `The connection was lost at ${percent}. Trying again …`
          : `You’re offline. The upload continues from ${percent} when you’re back online.`,
        tone: "waiting",
        progress,
        buttons,
      };
    case "paused":
      return {
        text: `Paused at ${percent} of ${formatBytes(upload.size)}`,
        tone: "waiting",
        progress,
        buttons: ["resume", "cancel"],
      };
    case "stopped":
      return { text: upload.message ?? "The upload stopped.", tone: "error", progress, buttons: ["retry", "cancel"] };
    case "needs_file":
      return {
        text:
          upload.message ??
          // The window is renewed at 70 % of its two hours and grants two more hours to finish: at least 2.5 hours are left.
          `The page was closed at ${percent}. Choose the same file again within two hours of closing it to continue.`,
        tone: "waiting",
        progress,
        buttons: ["choose", "cancel"],
      };
    default:
      return { text: upload.message ?? "This file was rejected.", tone: "error", buttons: ["dismiss"] };
  }
}

function sendingText(upload: Upload, percent: string): string {
  if (!upload.sent) return `${formatBytes(upload.size)}, starting …`;
  if (upload.sent >= upload.size) return "Everything is sent. Waiting for confirmation …";
  const rate = upload.rate.bytesPerSecond;
  const rateFacts = rate ? [`${formatBytes(rate)}/s`, formatTimeLeft((upload.size - upload.sent) / rate)] : [];
  return joinFacts([`${percent} of ${formatBytes(upload.size)}`, ...rateFacts]);
}

/** `sent`: the upload of this asset, if this page sent it and still has its file. */
export function assetStatus(asset: Asset | undefined, sent?: Upload): RowStatus {
  switch (asset?.state) {
    case "ready":
      return { text: joinFacts(assetFacts(asset)), tone: "success", buttons: ["download", "delete"] };
    case "processing":
      return { text: "Uploaded. Reading the file …", tone: "active", buttons: ["delete"] };
    case "failed":
      return {
        text: asset.error_message ?? "This file can’t be used.",
        tone: "error",
        buttons: sent?.file && WRONG_TYPE.includes(asset.error_code ?? "") ? ["changeType", "delete"] : ["delete"],
      };
    case "expired":
      return {
        text: "The upload did not finish in time. Upload the file again.",
        tone: "neutral",
        buttons: ["delete"],
      };
    case "deleted":
      return { text: "Deleted", tone: "neutral", buttons: ["restore", "dismiss"] };
    default:
      return { text: "Waiting for the upload to finish …", tone: "waiting", buttons: ["delete"] };
  }
}
