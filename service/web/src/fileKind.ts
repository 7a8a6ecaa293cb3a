// What a chosen file is: its media type, and whether it has a picture. The service decides; this saves requests.

import type { UploadableType } from "./assetTypes";
import { MEDIA_TYPES, MEDIA_TYPES_BY_EXTENSION } from "./mediaTypes";

/** Says nothing about a file. The service finds out what it is. */
export const UNSPECIFIC = "application/octet-stream";
const EXAMINATION_MS = 10_000;
const MAX_INDEX_BYTES = 64 * 1024 * 1024;
const MAX_BOXES = 100;

/** The `accept` attribute of a file input. Browsers don't map every extension to audio or video. */
export const ACCEPTED_FILES = [
  "audio/*",
  "video/*",
  ...Object.keys(MEDIA_TYPES_BY_EXTENSION).map((each) => `.${each}`),
].join();

/** The media type of a file that may be audio or video, else undefined. */
export function mediaTypeOf(file: File): string | undefined {
  const reported = file.type.split(";")[0]?.trim().toLowerCase() ?? "";
  if (MEDIA_TYPES.has(reported)) return file.type;
  const extension = file.name.toLowerCase().split(".").pop() ?? "";
  if (Object.hasOwn(MEDIA_TYPES_BY_EXTENSION, extension)) return MEDIA_TYPES_BY_EXTENSION[extension];
  return reported === "" || reported === UNSPECIFIC ? UNSPECIFIC : undefined;
}

/** Whether a file has a picture. Undefined if neither the browser nor the file's index tells. */
export async function assetTypeOf(file: File, mediaType: string): Promise<UploadableType | undefined> {
  if (mediaType.startsWith("audio/")) return "audio"; // which may have a picture, such as a cover
  const hasPicture = (await playerFindsPicture(file)) ?? (await indexListsPicture(file).catch(() => undefined));
  return hasPicture === undefined ? undefined : hasPicture ? "video" : "audio";
}

/** Opens the file with the browser's own player. Undefined if it cannot play the file. */
async function playerFindsPicture(file: File): Promise<boolean | undefined> {
  const url = URL.createObjectURL(file);
  const element = document.createElement("video");
  try {
    return await new Promise((resolve) => {
      setTimeout(resolve, EXAMINATION_MS, undefined);
      element.onloadedmetadata = () => {
        resolve(element.videoWidth > 0);
      };
      element.onerror = () => {
        resolve(undefined);
      };
      element.preload = "metadata";
      element.src = url;
    });
  } finally {
    element.removeAttribute("src");
    URL.revokeObjectURL(url);
  }
}

/** Reads the tracks in the index (`moov` box) of an MP4, MOV or 3GP, for codecs that the browser cannot play, such as
 * AMR. Undefined for another container, and if there is no track with sound or picture. */
async function indexListsPicture(file: Blob): Promise<boolean | undefined> {
  for (let offset = 0, boxes = 0; offset + 8 <= file.size && boxes < MAX_BOXES; boxes++) {
    const head = new DataView(await file.slice(offset, offset + 16).arrayBuffer());
    const name = String.fromCharCode(...[4, 5, 6, 7].map((at) => head.getUint8(at)));
    if (offset === 0 && !["ftyp", "moov", "mdat", "wide", "free", "skip"].includes(name)) return undefined;
    const size32 = head.getUint32(0);
    const size = size32 === 1 && head.byteLength === 16 ? Number(head.getBigUint64(8)) : size32 || file.size - offset;
    if (size < 8) return undefined;
    if (name === "moov") return size > MAX_INDEX_BYTES ? undefined : listsPicture(file.slice(offset, offset + size));
    offset += size;
  }
  return undefined;
}

/** Each track has a handler (`hdlr` box): version and flags, a reserved word, and the kind of the track. */
async function listsPicture(index: Blob): Promise<boolean | undefined> {
  const text = new TextDecoder("latin1").decode(await index.arrayBuffer());
  const kinds = [...text.matchAll(/hdlr[^]{8}(vide|soun)/g)].map((match) => match[1]);
  return kinds.length ? kinds.includes("vide") : undefined;
}
