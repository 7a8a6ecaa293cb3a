// Every upload of this page: reserved, sent, paused, interrupted, taken up again after a reload.

import * as api from "./api";
import { Carrier } from "./carrier";
import { KeptUploads, type Kept } from "./kept";
import { kindOf, mediaType } from "./kinds";
import { Speed } from "./speed";

export type Phase =
  | "queued" // until a place is free
  | "sending"
  | "interrupted" // goes on by itself
  | "paused"
  | "stopped" // goes on when asked to; `message` says why it stopped
  | "needs_file" // after a reload, until the file is picked again
  | "refused" // for good; `message` says why
  | "landed"
  | "cancelled";

export interface Upload {
  readonly key: string;
  readonly name: string;
  readonly size: number;
  readonly type: string;
  kind: "audio" | "video";
  phase: Phase;
  sent: number;
  pausable: boolean;
  readonly speed: Speed;
  file?: File;
  lastModified: number;
  asset?: api.Asset;
  message?: string;
}

interface Private {
  refreshing?: ReturnType<typeof setTimeout> | undefined;
  renewedAt?: number; // how much had been sent when a refusal was last met with a new signature
  release?: () => void; // other tabs may have it again
  automatic?: boolean; // stopped by the network, so the network's return starts it again
}

const AT_ONCE = 3;
const KEEP_EVERY = 1000;
const TRY_AGAIN_AFTER = 15_000;

export class Uploads {
  readonly #carrier = new Carrier();
  readonly #kept: KeptUploads;
  readonly #all = new Map<string, Upload>();
  readonly #private = new WeakMap<Upload, Private>();
  readonly #onChange: (upload: Upload) => void;
  readonly #cutOff: Kept[];
  #lastKept = 0;

  constructor(ownerId: string, onChange: (upload: Upload) => void) {
    this.#kept = new KeptUploads(ownerId);
    this.#cutOff = this.#kept.all();
    this.#onChange = onChange;
    addEventListener("online", this.#goOn);
    document.addEventListener("visibilitychange", this.#goOn);
  }

  get active(): boolean {
    return [...this.#all.values()].some((each) => ["queued", "sending", "interrupted"].includes(each.phase));
  }

  /** The uploads that a reload cut off, to be given their files again. */
  async recall(): Promise<void> {
    const elsewhere = await namesHeld();
    for (const kept of this.#cutOff) {
      if (elsewhere.has(lockName(kept.assetId))) continue; // another tab is at it
      try {
        const asset = await api.asset(kept.assetId);
        if (asset.state !== "pending_upload") this.#kept.drop(kept.assetId);
        else this.#set(this.#recalled(kept, asset), {});
      } catch (error) {
        if (error instanceof api.ApiError && error.status === 404) this.#kept.drop(kept.assetId);
      }
    }
  }

  #recalled(kept: Kept, asset: api.Asset): Upload {
    const { name, size, type, kind, sent, lastModified } = kept;
    const phase = "needs_file" as const;
    const speed = new Speed();
    const upload = { key: asset.id, name, size, type, kind, phase, sent, pausable: true, speed, lastModified, asset };
    this.#all.set(upload.key, upload);
    return upload;
  }

  /** Takes files in; what is neither audio nor video is refused at once. */
  async add(files: File[]): Promise<void> {
    for (const file of files) {
      const type = mediaType(file);
      const problem = !type
        ? "This is neither audio nor video, as far as its name and type tell."
        : file.size === 0
          ? "This file is empty."
          : undefined;
      const upload: Upload = {
        key: crypto.randomUUID(),
        name: file.name,
        size: file.size,
        type: type ?? "",
        kind: type && !problem ? await kindOf(file, type) : "video",
        phase: problem ? "refused" : "queued",
        sent: 0,
        pausable: false,
        speed: new Speed(),
        file,
        lastModified: file.lastModified,
        ...(problem ? { message: problem } : {}),
      };
      this.#all.set(upload.key, upload);
      this.#set(upload, {});
    }
    this.#next();
  }

  pause(upload: Upload): void {
    if (!upload.asset) return;
    this.#carrier.pause(upload.asset.id, true);
    upload.speed.reset();
    this.#set(upload, { phase: "paused" });
    this.#next();
  }

  /** After a pause, or after it stopped. */
  resume(upload: Upload): void {
    if (upload.phase === "paused" && upload.asset) {
      this.#set(upload, { phase: "sending" });
      this.#carrier.pause(upload.asset.id, false);
    } else if (upload.phase === "stopped") {
      this.#set(upload, { phase: "queued" });
      this.#next();
    }
  }

  /** The file of an upload that a reload cut off. False when it is another one. */
  giveFile(upload: Upload, file: File): boolean {
    if (file.name !== upload.name || file.size !== upload.size) return false;
    if (file.lastModified !== upload.lastModified) upload.sent = 0; // it was changed since: Uppy starts over
    upload.file = file;
    upload.lastModified = file.lastModified;
    this.#set(upload, { phase: "queued" });
    this.#next();
    return true;
  }

  async cancel(upload: Upload): Promise<void> {
    this.#set(upload, { phase: "cancelled" });
    this.#own(upload).release?.();
    this.#all.delete(upload.key);
    const id = upload.asset?.id;
    if (id) {
      this.#carrier.cancel(id);
      this.#kept.drop(id);
      await api.remove(id).catch(() => undefined); // at the latest its window ends it
    }
    this.#next();
  }

  /** Stops everything, to go on at the next visit. */
  close(): void {
    removeEventListener("online", this.#goOn);
    document.removeEventListener("visibilitychange", this.#goOn);
    for (const upload of this.#all.values()) {
      clearTimeout(this.#own(upload).refreshing);
      this.#own(upload).release?.();
    }
    this.#carrier.close();
    this.#all.clear();
  }

  readonly #goOn = () => {
    if (!navigator.onLine || document.hidden) return;
    for (const upload of this.#all.values()) {
      if (upload.phase === "stopped" && this.#own(upload).automatic) this.resume(upload);
    }
  };

  #own(upload: Upload): Private {
    let own = this.#private.get(upload);
    if (!own) this.#private.set(upload, (own = {}));
    return own;
  }

  #set(upload: Upload, change: Partial<Upload>): void {
    if (change.phase && change.phase !== "stopped" && change.phase !== "refused") delete upload.message;
    this.#onChange(Object.assign(upload, change));
  }

  #next(): void {
    const going = [...this.#all.values()].filter((each) => each.phase === "sending" || each.phase === "interrupted");
    const queued = [...this.#all.values()].filter((each) => each.phase === "queued");
    for (const upload of queued.slice(0, Math.max(0, AT_ONCE - going.length))) void this.#start(upload);
  }

  async #start(upload: Upload): Promise<void> {
    const { file } = upload;
    if (!file) return;
    this.#set(upload, { phase: "sending" });
    upload.speed.reset();
    try {
      const { asset, upload: target } = upload.asset ? await api.renew(upload.asset.id) : await this.#reserve(upload);
      upload.asset = asset;
      if (this.#gone(upload)) {
        await api.remove(asset.id);
        return;
      }
      if (!target) {
        this.#landed(upload, asset);
        return;
      }
      upload.pausable = !!Carrier.inParts(target, upload.size);
      this.#keep(upload);
      this.#carrier.send(this.#load(upload, asset.id, file), target);
      this.#refreshBefore(upload, target);
      if (upload.phase === "paused") this.#carrier.pause(asset.id, true);
      this.#set(upload, {});
    } catch (error) {
      if (!this.#gone(upload)) await this.#examine(upload, error);
    }
  }

  #gone(upload: Upload): boolean {
    return upload.phase === "cancelled" || !this.#all.has(upload.key);
  }

  #reserve(upload: Upload): Promise<api.Reservation> {
    const wish = { type: upload.kind, content_type: upload.type, filename: upload.name, size_bytes: upload.size };
    return api.reserve(wish, upload.key);
  }

  #load(upload: Upload, assetId: string, file: File) {
    return {
      assetId,
      file,
      name: upload.name,
      type: upload.type,
      onProgress: (sent: number) => {
        upload.speed.note(sent);
        this.#set(upload, { sent, ...(upload.phase === "interrupted" ? { phase: "sending" as const } : {}) });
        if (performance.now() - this.#lastKept > KEEP_EVERY) this.#keep(upload);
      },
      onInterrupted: () => {
        upload.speed.reset();
        if (upload.phase === "sending") this.#set(upload, { phase: "interrupted" });
      },
      onDone: () => {
        this.#landed(upload);
      },
      onFailed: (status: number, text: string) => {
        void this.#examine(upload, undefined, status, text);
      },
    };
  }

  #keep(upload: Upload): void {
    if (!upload.asset) return;
    this.#hold(upload, upload.asset.id);
    this.#lastKept = performance.now();
    const { name, size, lastModified, type, kind, sent } = upload;
    this.#kept.put({ assetId: upload.asset.id, name, size, lastModified, type, kind, sent });
  }

  /** Tells other tabs that this upload is ours, until it ends or this tab closes. */
  #hold(upload: Upload, assetId: string): void {
    const own = this.#own(upload);
    if (own.release || !("locks" in navigator)) return;
    const ended = new Promise<void>((resolve) => (own.release = resolve));
    void navigator.locks.request(lockName(assetId), () => ended);
  }

  /** A signature lives for two hours at most, and a large file on a slow line takes longer. */
  #refreshBefore(upload: Upload, target: api.Target): void {
    const own = this.#own(upload);
    clearTimeout(own.refreshing);
    const early = Math.max(30_000, (Date.parse(target.expires_at) - Date.now()) * 0.7);
    own.refreshing = setTimeout(() => {
      if (!upload.asset || !["sending", "paused", "interrupted"].includes(upload.phase)) return;
      api.renew(upload.asset.id).then(
        ({ upload: fresh }) => {
          if (!fresh || !upload.asset) return;
          this.#carrier.refresh(upload.asset.id, fresh);
          this.#refreshBefore(upload, fresh);
        },
        () => undefined, // the signature we have may last; if not, #examine asks for another
      );
    }, early);
  }

  /** Why did it fail, and what now? An answer may be lost after the bytes landed, so the asset is asked first. */
  async #examine(upload: Upload, error?: unknown, status = 0, text = ""): Promise<void> {
    const own = this.#own(upload);
    clearTimeout(own.refreshing);
    if (upload.asset) {
      try {
        const asset = await api.asset(upload.asset.id);
        if (this.#gone(upload)) return;
        if (["processing", "ready", "failed"].includes(asset.state)) {
          this.#landed(upload, asset);
          return;
        }
        if (asset.state !== "pending_upload") {
          this.#refuse(upload, "The upload took too long and its reservation has ended. Add the file again.");
          return;
        }
      } catch (unknown) {
        error ??= unknown;
      }
    }
    if (error instanceof api.ApiError && error.status < 500 && error.status !== 429 && error.status !== 401) {
      this.#refuse(upload, error.message);
    } else if (!error && status >= 400 && status < 500) {
      if (own.renewedAt === upload.sent) this.#refuse(upload, refusal(text));
      else {
        own.renewedAt = upload.sent; // perhaps only the signature was too old
        void this.#start(upload);
        return;
      }
    } else {
      own.automatic = true;
      const why =
        error instanceof api.ApiError
          ? error.message
          : "The connection broke. The upload goes on when the connection is back.";
      this.#set(upload, { phase: "stopped", message: why });
      setTimeout(this.#goOn, TRY_AGAIN_AFTER); // a server that was away makes no "online" event
    }
    this.#next();
  }

  #refuse(upload: Upload, message: string): void {
    if (upload.asset) this.#kept.drop(upload.asset.id);
    this.#own(upload).release?.();
    this.#set(upload, { phase: "refused", message });
  }

  #landed(upload: Upload, asset?: api.Asset): void {
    clearTimeout(this.#own(upload).refreshing);
    this.#own(upload).release?.();
    this.#all.delete(upload.key);
    if (upload.asset) this.#kept.drop(upload.asset.id);
    if (upload.asset) upload.asset = asset ?? { ...upload.asset, state: "processing" };
    this.#set(upload, { phase: "landed", sent: upload.size });
    this.#next();
  }
}

const lockName = (assetId: string) => `assetdock.upload.${assetId}`;

async function namesHeld(): Promise<Set<string | undefined>> {
  if (!("locks" in navigator)) return new Set(); // the page isn't served over https
  return new Set(((await navigator.locks.query()).held ?? []).map((lock) => lock.name));
}

/** Storage says it in JSON or in plain text. */
function refusal(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: string };
    if (message) return message;
  } catch {
    if (text && text.length < 300 && !text.startsWith("<")) return text;
  }
  return "Storage refused the file.";
}
