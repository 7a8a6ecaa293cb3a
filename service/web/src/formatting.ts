// Formats numbers, dates and media facts for people.

import type { Asset, Stream } from "./api";

export function formatBytes(count: number): string {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** 4:05 or 1:02:03. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (part: number) => String(part).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function formatTimeLeft(seconds: number): string {
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

const codecName = (name: string) => CODECS[name] ?? (name.startsWith("pcm_") ? "PCM" : name.toUpperCase());

function channelLayout(count: number): string {
  return { 1: "mono", 2: "stereo", 6: "5.1", 8: "7.1" }[count] ?? `${count} channels`;
}

function videoFacts(stream: Stream): string[] {
  const rate = Number(stream.frame_rate ?? 0);
  return [
    stream.width && stream.height ? `${stream.width}×${stream.height}` : "",
    rate ? `${Number(rate.toFixed(2))} fps` : "",
  ];
}

function audioFacts(stream: Stream): string[] {
  return [
    stream.sample_rate ? `${stream.sample_rate / 1000} kHz` : "",
    stream.channels ? channelLayout(stream.channels) : "",
  ];
}

/** Duration, size, format, codecs. */
export function assetFacts(asset: Asset): string[] {
  const streams = asset.media?.streams ?? [];
  const video = streams.find((stream) => stream.kind === "video");
  const audio = streams.find((stream) => stream.kind === "audio");
  const container = asset.media?.container;
  const containerName = container && (CONTAINERS[container] ?? container.toUpperCase());
  const codecs = [...new Set([video, audio].filter((stream) => !!stream).map((stream) => codecName(stream.codec)))];
  return [
    asset.duration_seconds ? formatDuration(Number(asset.duration_seconds)) : "",
    asset.size_bytes ? formatBytes(asset.size_bytes) : "",
    ...(video ? videoFacts(video) : audio ? audioFacts(audio) : []),
    [codecs.join(" + "), containerName && !codecs.includes(containerName) ? containerName : ""]
      .filter(Boolean)
      .join(" in "),
  ].filter(Boolean);
}

/** Joins facts so that lines break only between them. */
export function joinFacts(facts: string[]): string {
  return facts.map((fact) => fact.replaceAll(" ", "\u00a0")).join("\u00a0· ");
}

const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const relativeFormat = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export function formatDate(timestamp: string): string {
  return dateFormat.format(new Date(timestamp));
}

/** “5 minutes ago”; after a day, the date. */
export function formatAge(timestamp: string): string {
  const minutes = (new Date(timestamp).getTime() - Date.now()) / 60000;
  if (minutes > -1) return "just now";
  if (minutes > -60) return relativeFormat.format(Math.round(minutes), "minute");
  if (minutes > -24 * 60) return relativeFormat.format(Math.round(minutes / 60), "hour");
  return formatDate(timestamp);
}
