// Sends files to Storage with Uppy: in chunks (TUS), which can be paused and resumed, or in one PUT.

import Uppy from "@uppy/core";
import Tus from "@uppy/tus";
import XHRUpload from "@uppy/xhr-upload";
import type { UploadTarget } from "./api";
import { fingerprintPart } from "./persistedUploads";

type ResumableTarget = NonNullable<UploadTarget["resumable"]>;

export interface UploadTask {
  assetId: string;
  file: File;
  name: string;
  mediaType: string;
  onProgress(sent: number): void;
  onInterrupted(): void;
  onSuccess(): void;
  /** `status` is 0 when there was no response. */
  onFailure(status: number, body: string): void;
}

interface RunningTask {
  task: UploadTask;
  uppy: Uppy;
  fileId: string;
  headers: Record<string, string>;
}

// tus-js-client starts again at the first delay after every successful chunk, so these bound one outage.
const RETRY_DELAYS_MS = [500, 1000, 2000, 4000, 8000, 15_000, 30_000, 30_000, 30_000, 30_000];

const UNLIMITED = 10; // UploadQueue limits concurrency

// The page shows failures itself, so Uppy's go to the debug level of the console.
const debug = (...values: unknown[]) => {
  console.debug(...values);
};
const LOGGER = { debug: () => undefined, warn: debug, error: debug };

export class Uploader {
  readonly #tus = new Uppy({ id: "tus", logger: LOGGER });
  readonly #put = new Uppy({ id: "put", logger: LOGGER });
  readonly #running = new Map<string, RunningTask>();
  readonly #tusErrors = new Map<string, { status: number; body: string }>();

  constructor() {
    this.#tus.use(Tus, {
      retryDelays: RETRY_DELAYS_MS,
      removeFingerprintOnSuccess: true,
      allowedMetaFields: ["bucketName", "objectName", "contentType"],
      limit: UNLIMITED,
    });
    this.#put.use(XHRUpload, {
      endpoint: "", // set for each file
      method: "PUT",
      formData: false,
      limit: UNLIMITED,
      timeout: 0,
      shouldRetry: () => false,
    });
    for (const uppy of [this.#tus, this.#put]) {
      uppy.on("upload-progress", (file, progress) => {
        this.#find(file)?.task.onProgress(progress.bytesUploaded || 0);
      });
      uppy.on("upload-success", (file) => {
        const running = this.#find(file);
        if (running) this.#succeed(running);
      });
      uppy.on("upload-error", (file, error, response) => {
        const running = this.#find(file);
        if (running) this.#fail(running, error, response);
      });
    }
  }

  /** The TUS target of a file that is larger than one chunk. One PUT is faster for smaller files. */
  static resumableTarget(target: UploadTarget, size: number): ResumableTarget | undefined {
    return target.resumable && size > target.resumable.chunk_size ? target.resumable : undefined;
  }

  send(task: UploadTask, target: UploadTarget): void {
    const resumable = Uploader.resumableTarget(target, task.file.size);
    const uppy = resumable ? this.#tus : this.#put;
    const headers = { ...(resumable ?? target).headers };
    const fileId = uppy.addFile({
      name: task.name,
      type: task.mediaType,
      data: task.file,
      meta: { relativePath: fingerprintPart(task.assetId), ...resumable?.metadata },
    });
    this.#running.set(task.assetId, { task, uppy, fileId, headers });
    const options = resumable
      ? { tus: this.#tusOptions(task, resumable, headers) }
      : { xhrUpload: { endpoint: target.url, headers } };
    uppy.setFileState(fileId, options as Parameters<Uppy["setFileState"]>[1]);
    uppy.upload().catch(() => undefined); // "upload-error" reports it
  }

  #tusOptions(task: UploadTask, target: ResumableTarget, headers: Record<string, string>) {
    return {
      endpoint: target.url,
      chunkSize: target.chunk_size,
      headers,
      onAfterResponse: (_request: unknown, response: { getStatus(): number; getBody(): string }) => {
        if (response.getStatus() >= 400) {
          this.#tusErrors.set(task.assetId, { status: response.getStatus(), body: response.getBody() });
        } else this.#tusErrors.delete(task.assetId);
      },
      onShouldRetry: (error: unknown, _attempt: number, _options: unknown, decide: (error: unknown) => boolean) => {
        const retries = decide(error);
        if (retries) task.onInterrupted();
        return retries;
      },
    };
  }

  /** Signs the following requests with a renewed target. */
  renew(assetId: string, target: UploadTarget): void {
    Object.assign(this.#running.get(assetId)?.headers ?? {}, target.resumable?.headers);
  }

  setPaused(assetId: string, paused: boolean): void {
    const running = this.#running.get(assetId);
    if (running && (running.uppy.getFile(running.fileId) as { isPaused?: boolean }).isPaused !== paused) {
      running.uppy.pauseResume(running.fileId);
    }
  }

  /** Stops an upload; Storage deletes its chunks. */
  cancel(assetId: string): void {
    const running = this.#running.get(assetId);
    if (running) this.#remove(running);
  }

  /** Stops every upload and keeps the chunks. (Destroying Uppy or removing a file would delete them.) */
  close(): void {
    this.#running.clear();
    this.#tus.pauseAll();
    this.#put.cancelAll();
  }

  #find(file: { id: string } | undefined): RunningTask | undefined {
    return [...this.#running.values()].find((running) => running.fileId === file?.id);
  }

  #succeed(running: RunningTask): void {
    this.#running.delete(running.task.assetId);
    this.#tusErrors.delete(running.task.assetId);
    // During this event Uppy still holds the upload, and removing the file would terminate it.
    setTimeout(() => {
      running.uppy.removeFile(running.fileId);
    });
    running.task.onSuccess();
  }

  #fail(running: RunningTask, error: { message: string }, response: unknown): void {
    const { task } = running;
    const { status = 0, responseText = "" } = (response ?? {}) as { status?: number; responseText?: string };
    const failure = this.#tusErrors.get(task.assetId) ?? { status, body: responseText };
    this.#remove(running);
    task.onFailure(failure.status, failure.body || error.message);
  }

  #remove(running: RunningTask): void {
    this.#running.delete(running.task.assetId);
    this.#tusErrors.delete(running.task.assetId);
    running.uppy.removeFile(running.fileId);
  }
}
