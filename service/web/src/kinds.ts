// Which files are media, and of which kind. The database has the last word; this saves a trip.

const BY_ENDING: Record<string, string> = {
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

/** The media type of a file; undefined for what is neither audio nor video. */
export function mediaType(file: File): string | undefined {
  const given = file.type.toLowerCase();
  if (/^(audio|video)\//.test(given)) return given;
  return BY_ENDING[file.name.toLowerCase().split(".").pop() ?? ""];
}

/** Whether there is a picture. Browsers call every WebM a video, also a recording of sound alone: that one is opened. */
export async function kindOf(file: File, type: string): Promise<"audio" | "video"> {
  if (type.startsWith("audio/")) return "audio";
  if (!type.startsWith("video/webm")) return "video";
  const url = URL.createObjectURL(file);
  const element = document.createElement("video");
  try {
    return await new Promise((resolve) => {
      const limit = setTimeout(() => {
        resolve("video");
      }, 3000);
      element.onloadedmetadata = () => {
        clearTimeout(limit);
        resolve(element.videoWidth > 0 ? "video" : "audio");
      };
      element.onerror = () => {
        clearTimeout(limit);
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
