// The uploads of this page: reserves assets, sends files, and handles pauses, failures and reloads.

import * as api from "./api";
import type { UploadableType } from "./assetTypes";
import { PersistedUploads, type PersistedUpload } from "./persistedUploads";
import { ApiError } from "./errors";
import { assetTypeOf, mediaTypeOf, UNSPECIFIC } from "./fileKind";
import { TransferRate } from "./transferRate";
import type { Upload } from "./upload";
import { Uploader, type UploadTask } from "./uploader";
import { resolveFailure, type Failure } from "./uploadFailure";
import { UploadLocks } from "./uploadLocks";

const NOT_MEDIA = "This file seems to be neither audio nor video. Choose another file.";
const CONCURRENCY = 3;
const SAVE_INTERVAL_MS = 1000;
const RESTART_DELAY_MS = 15_000;

export class UploadQueue {
  readonly #uploader = new Uploader();
  readonly #locks = new UploadLocks();
  readonly #persisted: PersistedUploads;
  readonly #fromLastVisit: PersistedUpload[];
  readonly #uploads = new Map<string, Upload>();
  readonly #onChange: (upload: Upload) => void;
  #lastSave = 0;

  constructor(ownerId: string, onChange: (upload: Upload) => void) {
    this.#persisted = new PersistedUploads(ownerId);
    this.#fromLastVisit = this.#persisted.list();
    this.#onChange = onChange;
    addEventListener("online", this.#restartStopped);
    document.addEventListener("visibilitychange", this.#restartStopped);
  }

  get active(): boolean {
    return [...this.#uploads.values()].some(({ phase }) => ["queued", "sending", "interrupted"].includes(phase));
  }

  /** Restores the uploads that a reload interrupted; each needs its file again. */
  async restore(): Promise<void> {
    const isLocked = await UploadLocks.query();
    for (const persisted of this.#fromLastVisit) {
      if (isLocked(persisted.assetId)) continue; // another tab sends it
      try {
        const asset = await api.getAsset(persisted.assetId);
        if (asset.state !== "pending_upload") this.#persisted.remove(persisted.assetId);
        else this.#restoreOne(persisted, asset);
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) this.#persisted.remove(persisted.assetId);
      }
    }
  }

  #restoreOne(persisted: PersistedUpload, asset: api.Asset): void {
    const { assetId: key, ...rest } = persisted;
    this.#append({ ...rest, key, asset, phase: "needs_file", pausable: true, rate: new TransferRate() });
  }

  #append(upload: Upload): void {
    this.#uploads.set(upload.key, upload);
    this.#update(upload, {});
  }

  /** Queues files. Rejects empty files and files that are neither audio nor video without a request. */
  add(files: File[]): void {
    for (const file of files) this.#addOne(file);
    this.#startNext();
  }

  #addOne(file: File, assetType?: UploadableType): void {
    const mediaType = mediaTypeOf(file);
    const problem = !mediaType ? NOT_MEDIA : file.size === 0 ? "This file is empty. Choose another file." : undefined;
    this.#append({
      key: crypto.randomUUID(),
      name: file.name,
      size: file.size,
      mediaType: mediaType ?? "",
      phase: problem ? "rejected" : "queued",
      sent: 0,
      pausable: false,
      rate: new TransferRate(),
      file,
      lastModified: file.lastModified,
      ...(assetType ? { assetType } : {}),
      ...(problem ? { message: problem } : {}),
    });
  }

  /** Uploads the file of an upload as the other type. An asset that was reserved for it is deleted. */
  async changeType(upload: Upload): Promise<void> {
    const { file, assetType } = upload;
    if (!file) return;
    await this.cancel(upload);
    this.#addOne(file, assetType === "audio" ? "video" : "audio");
    this.#startNext();
  }

  pause(upload: Upload): void {
    if (!upload.asset) return;
    this.#uploader.setPaused(upload.asset.id, true);
    upload.rate.reset();
    this.#update(upload, { phase: "paused" });
    this.#startNext();
  }

  /** Continues a paused or stopped upload. */
  resume(upload: Upload): void {
    if (upload.phase === "paused" && upload.asset) {
      this.#update(upload, { phase: "sending" });
      this.#uploader.setPaused(upload.asset.id, false);
    } else if (upload.phase === "stopped") {
      this.#update(upload, { phase: "queued" });
      this.#startNext();
    }
  }

  /** Continues an upload after a reload. Returns false if it is a different file. */
  provideFile(upload: Upload, file: File): boolean {
    if (file.name !== upload.name || file.size !== upload.size) return false;
    if (file.lastModified !== upload.lastModified) upload.sent = 0; // the file has changed: Uppy starts over
    upload.file = file;
    upload.lastModified = file.lastModified;
    this.#update(upload, { phase: "queued" });
    this.#startNext();
    return true;
  }

  async cancel(upload: Upload): Promise<void> {
    this.#update(upload, { phase: "cancelled" });
    this.#uploads.delete(upload.key);
    const id = upload.asset?.id;
    if (id) {
      this.#locks.release(id);
      this.#uploader.cancel(id);
      this.#persisted.remove(id);
      await api.deleteAsset(id).catch(() => undefined); // otherwise the reservation expires
    }
    this.#startNext();
  }

  /** Stops every upload; the next visit can continue them. */
  close(): void {
    removeEventListener("online", this.#restartStopped);
    document.removeEventListener("visibilitychange", this.#restartStopped);
    for (const upload of this.#uploads.values()) clearTimeout(upload.renewalTimer);
    this.#locks.releaseAll();
    this.#uploader.close();
    this.#uploads.clear();
  }

  readonly #restartStopped = () => {
    if (!navigator.onLine || document.hidden) return;
    for (const upload of this.#uploads.values()) {
      if (upload.phase === "stopped" && upload.restartsAutomatically) this.resume(upload);
    }
  };

  #update(upload: Upload, change: Partial<Upload>): void {
    if (change.phase && change.phase !== "stopped" && change.phase !== "rejected") delete upload.message;
    this.#onChange(Object.assign(upload, change));
  }

  #startNext(): void {
    const uploads = [...this.#uploads.values()];
    const running = uploads.filter(({ phase }) => phase === "sending" || phase === "interrupted");
    const queued = uploads.filter(({ phase }) => phase === "queued");
    for (const upload of queued.slice(0, Math.max(0, CONCURRENCY - running.length))) void this.#start(upload);
  }

  async #start(upload: Upload): Promise<void> {
    const { file } = upload;
    if (!file) return;
    this.#update(upload, { phase: "sending" });
    upload.rate.reset();
    try {
      if (!(await this.#examine(upload, file))) return;
      const reservation = upload.asset ? await api.renewUpload(upload.asset.id) : await this.#reserve(upload);
      const { asset, upload: target } = reservation;
      upload.asset = asset;
      if (this.#isCancelled(upload)) {
        await api.deleteAsset(asset.id);
        return;
      }
      if (!target) {
        this.#land(upload, asset);
        return;
      }
      upload.pausable = !!Uploader.resumableTarget(target, upload.size);
      this.#save(upload);
      this.#uploader.send(this.#task(upload, asset.id, file), target);
      this.#scheduleRenewal(upload, target);
      if (upload.phase === "paused") this.#uploader.setPaused(asset.id, true);
      this.#update(upload, {});
    } catch (error) {
      if (!this.#isCancelled(upload)) await this.#handleFailure(upload, { error });
    }
  }

  /** Decides the type of the asset. False if the upload ends here: neither name nor content show that it is media. */
  async #examine(upload: Upload, file: File): Promise<boolean> {
    const fallback = upload.mediaType === UNSPECIFIC ? undefined : "video";
    const assetType = upload.assetType ?? (await assetTypeOf(file, upload.mediaType)) ?? fallback;
    if (this.#isCancelled(upload)) return false;
    if (assetType) this.#update(upload, { assetType });
    else {
      this.#update(upload, { phase: "rejected", message: NOT_MEDIA });
      this.#startNext();
    }
    return !!assetType;
  }

  #isCancelled(upload: Upload): boolean {
    return upload.phase === "cancelled" || !this.#uploads.has(upload.key);
  }

  #reserve(upload: Upload): Promise<api.Reservation> {
    const { assetType: type = "video", mediaType: content_type, name: filename, size: size_bytes } = upload;
    return api.reserveUpload({ type, content_type, filename, size_bytes }, upload.key);
  }

  #task(upload: Upload, assetId: string, file: File): UploadTask {
    return {
      assetId,
      file,
      name: upload.name,
      mediaType: upload.mediaType,
      onProgress: (sent) => {
        upload.rate.add(sent);
        this.#update(upload, { sent, ...(upload.phase === "interrupted" ? { phase: "sending" as const } : {}) });
        if (performance.now() - this.#lastSave > SAVE_INTERVAL_MS) this.#save(upload);
      },
      onInterrupted: () => {
        upload.rate.reset();
        if (upload.phase === "sending") this.#update(upload, { phase: "interrupted" });
      },
      onSuccess: () => {
        this.#land(upload);
      },
      onFailure: (status, body) => {
        void this.#handleFailure(upload, { status, body });
      },
    };
  }

  #save(upload: Upload): void {
    if (!upload.asset) return;
    this.#locks.acquire(upload.asset.id);
    this.#lastSave = performance.now();
    const { name, size, lastModified, mediaType, assetType = "video", sent } = upload;
    this.#persisted.save({ assetId: upload.asset.id, name, size, lastModified, mediaType, assetType, sent });
  }

  /** A signature is valid for at most two hours; a large file on a slow connection takes longer. */
  #scheduleRenewal(upload: Upload, target: api.UploadTarget): void {
    clearTimeout(upload.renewalTimer);
    const delay = Math.max(30_000, (Date.parse(target.expires_at) - Date.now()) * 0.7);
    upload.renewalTimer = setTimeout(() => {
      if (!upload.asset || !["sending", "paused", "interrupted"].includes(upload.phase)) return;
      api.renewUpload(upload.asset.id).then(
        ({ upload: renewed }) => {
          if (!renewed || !upload.asset) return;
          this.#uploader.renew(upload.asset.id, renewed);
          this.#scheduleRenewal(upload, renewed);
        },
        () => undefined, // the present signature may suffice; if not, #handleFailure requests another
      );
    }, delay);
  }

  async #handleFailure(upload: Upload, failure: Failure): Promise<void> {
    clearTimeout(upload.renewalTimer);
    const resolution = await resolveFailure(upload, failure);
    if (this.#isCancelled(upload)) return;
    switch (resolution.action) {
      case "land":
        this.#land(upload, resolution.asset);
        return;
      case "restart":
        upload.restartedAt = upload.sent;
        void this.#start(upload);
        return;
      case "reject":
        if (upload.asset) this.#persisted.remove(upload.asset.id);
        this.#locks.release(upload.asset?.id);
        this.#update(upload, { phase: "rejected", message: resolution.message });
        break;
      case "stop":
        upload.restartsAutomatically = true;
        this.#update(upload, { phase: "stopped", message: resolution.message });
        setTimeout(this.#restartStopped, RESTART_DELAY_MS); // a server that is back causes no "online" event
    }
    this.#startNext();
  }

  #land(upload: Upload, asset?: api.Asset): void {
    clearTimeout(upload.renewalTimer);
    this.#uploads.delete(upload.key);
    if (upload.asset) {
      this.#locks.release(upload.asset.id);
      this.#persisted.remove(upload.asset.id);
      upload.asset = asset ?? { ...upload.asset, state: "processing" };
    }
    this.#update(upload, { phase: "landed", sent: upload.size });
    this.#startNext();
  }
}
