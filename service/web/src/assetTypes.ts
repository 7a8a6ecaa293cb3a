// Asset types and asset states. tests/service/test_page.py compares them with the API's lists.

export const ASSET_TYPES = ["audio", "video", "rendered_video", "cut_file"] as const;
export const ASSET_STATES = ["pending_upload", "processing", "ready", "failed", "expired", "deleted"] as const;

export type AssetType = (typeof ASSET_TYPES)[number];
export type AssetState = (typeof ASSET_STATES)[number];
/** The types that a person uploads; processors make the others. */
export type UploadableType = Extract<AssetType, "audio" | "video">;

/** Whether the state will change without a request from this page. */
export const isUnsettled = (state: AssetState) => state === "pending_upload" || state === "processing";

/** Whether Storage has the bytes of an asset that was pending. */
export const hasLanded = (state: AssetState) => ["processing", "ready", "failed"].includes(state);
