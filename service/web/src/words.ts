// Numbers and facts as people read them.

import type { Asset, Stream } from "./api";

export function bytes(count: number): string {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** 4:05 or 1:02:03, as a player shows it. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (part: number) => String(part).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function timeLeft(seconds: number): string {
  if (seconds < 5) return "a few seconds left";
  if (seconds < 90) return `${Math.ceil(seconds / 5) * 5} seconds left`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} minutes left`;
  return `${Math.round(seconds / 3600)} hours left`;
}

const CODECS: Record<string, string> = {
  aac: "AAC",
  av1: "AV1",
  flac: "FLAC",
  h264: "H.264",
  hevc: "HEVC",
  mp3: "MP3",
  opus: "Opus",
  vorbis: "Vorbis",
  vp8: "VP8",
  vp9: "VP9",
  alac: "ALAC",
  prores: "ProRes",
};
const CONTAINERS: Record<string, string> = { matroska: "Matroska", webm: "WebM", mov: "QuickTime", ogg: "Ogg" };

const codec = (name: string) => CODECS[name] ?? (name.startsWith("pcm_") ? "PCM" : name.toUpperCase());

function channels(count: number): string {
  return { 1: "mono", 2: "stereo", 6: "5.1", 8: "7.1" }[count] ?? `${count} channels`;
}

function picture(stream: Stream): string[] {
  const rate = Number(stream.frame_rate ?? 0);
  return [
    stream.width && stream.height ? `${stream.width}×${stream.height}` : "",
    rate ? `${Number(rate.toFixed(2))} fps` : "",
  ];
}

function sound(stream: Stream): string[] {
  return [
    stream.sample_rate ? `${stream.sample_rate / 1000} kHz` : "",
    stream.channels ? channels(stream.channels) : "",
  ];
}

/** Duration, size, and what is inside, in the order in which one asks. */
export function facts(asset: Asset): string[] {
  const streams = asset.media?.streams ?? [];
  const video = streams.find((stream) => stream.kind === "video");
  const audio = streams.find((stream) => stream.kind === "audio");
  const container = asset.media?.container;
  const named = container && (CONTAINERS[container] ?? container.toUpperCase());
  const codecs = [...new Set([video, audio].filter((stream) => !!stream).map((stream) => codec(stream.codec)))];
  return [
    asset.duration_seconds ? clock(Number(asset.duration_seconds)) : "",
    asset.size_bytes ? bytes(asset.size_bytes) : "",
    ...(video ? picture(video) : audio ? sound(audio) : []),
    [codecs.join(" + "), named && !codecs.includes(named) ? named : ""].filter(Boolean).join(" in "),
  ].filter(Boolean);
}

/** Facts on one line, or on several that break between facts. */
export function listed(parts: string[]): string {
  return parts.map((part) => part.replaceAll(" ", "\u00a0")).join("\u00a0· ");
}

const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export function day(instant: string): string {
  return dates.format(new Date(instant));
}

/** “5 minutes ago” while it is recent, a date after that. */
export function ago(instant: string): string {
  const minutes = (new Date(instant).getTime() - Date.now()) / 60000;
  if (minutes > -1) return "just now";
  if (minutes > -60) return relative.format(Math.round(minutes), "minute");
  if (minutes > -24 * 60) return relative.format(Math.round(minutes / 60), "hour");
  return day(instant);
}
