// Asset types, asset states and media types. tests/service/test_page.py compares the first two with the API's lists.

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

const MEDIA_TYPES_BY_EXTENSION: Record<string, string> = {
  "3gp": "video/3gpp",
  aac: "audio/aac",
  aif: "audio/aiff",
  aiff: "audio/aiff",
  avi: "video/x-msvideo",
  flac: "audio/flac",
  m4a: "audio/mp4",
  m4v: "video/mp4",
  mka: "audio/x-matroska",
  mkv: "video/x-matroska",
  mov: "video/quicktime",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  mpg: "video/mpeg",
  mts: "video/mp2t",
  oga: "audio/ogg",
  ogg: "audio/ogg",
  ogv: "video/ogg",
  opus: "audio/ogg",
  ts: "video/mp2t",
  wav: "audio/wav",
  webm: "video/webm",
};

/** The `accept` attribute of a file input. Browsers don't map these extensions to audio or video. */
export const ACCEPTED_FILES = "audio/*,video/*,.mkv,.flac,.opus,.mts";

/** The media type of an audio or video file, else undefined. Saves a request; the database decides. */
export function mediaTypeOf(file: File): string | undefined {
  const reported = file.type.toLowerCase();
  if (/^(audio|video)\//.test(reported)) return reported;
  return MEDIA_TYPES_BY_EXTENSION[file.name.toLowerCase().split(".").pop() ?? ""];
}

/** Opens WebM files to look for a picture, because browsers report `video/webm` for audio recordings too. */
export async function assetTypeOf(file: File, mediaType: string): Promise<UploadableType> {
  if (mediaType.startsWith("audio/")) return "audio";
  if (!mediaType.startsWith("video/webm")) return "video";
  const url = URL.createObjectURL(file);
  const element = document.createElement("video");
  try {
    return await new Promise((resolve) => {
      const timeout = setTimeout(() => {
        resolve("video");
      }, 3000);
      element.onloadedmetadata = () => {
        clearTimeout(timeout);
        resolve(element.videoWidth > 0 ? "video" : "audio");
      };
      element.onerror = () => {
        clearTimeout(timeout);
        resolve("video");
      };
      element.preload = "metadata";
      element.src = url;
    });
  } finally {
    element.removeAttribute("src");
    URL.revokeObjectURL(url);
  }
}
