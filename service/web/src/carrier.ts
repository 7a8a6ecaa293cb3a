// Carries bytes to Storage with Uppy: in parts (TUS), which can be paused and resumed, or whole (PUT).

import Uppy from "@uppy/core";
import Tus from "@uppy/tus";
import XHRUpload from "@uppy/xhr-upload";
import type { Target } from "./api";
import { fingerprintPart } from "./kept";

type Resumable = NonNullable<Target["resumable"]>;

export interface Load {
  assetId: string;
  file: File;
  name: string;
  type: string;
  onProgress(sent: number): void;
  onInterrupted(): void;
  onDone(): void;
  /** `status` 0 means that no answer came. */
  onFailed(status: number, text: string): void;
}

interface Placed {
  load: Load;
  uppy: Uppy;
  fileId: string;
  headers: Record<string, string>;
}

// tus-js-client starts over with the first one after every byte that got through: a long night offline is no failure.
const RETRY_DELAYS = [500, 1000, 2000, 4000, 8000, 15_000, 30_000, 30_000, 30_000, 30_000];

// What fails is said on the page.
const note = (...words: unknown[]) => {
  console.debug(...words);
};
const QUIET = { debug: () => undefined, warn: note, error: note };

export class Carrier {
  readonly #inParts = new Uppy({ id: "parts", logger: QUIET });
  readonly #whole = new Uppy({ id: "whole", logger: QUIET });
  readonly #placed = new Map<string, Placed>();
  readonly #refusals = new Map<string, { status: number; text: string }>();

  constructor() {
    this.#inParts.use(Tus, {
      retryDelays: RETRY_DELAYS,
      removeFingerprintOnSuccess: true,
      allowedMetaFields: ["bucketName", "objectName", "contentType"],
      limit: 10, // how many go at once is decided where they are reserved
    });
    this.#whole.use(XHRUpload, {
      endpoint: "", // each file has its own
      method: "PUT",
      formData: false,
      limit: 10,
      timeout: 0,
      shouldRetry: () => false,
    });
    for (const uppy of [this.#inParts, this.#whole]) {
      uppy.on("upload-progress", (file, progress) => {
        this.#of(file)?.load.onProgress(progress.bytesUploaded || 0);
      });
      uppy.on("upload-success", (file) => {
        const placed = this.#of(file);
        if (placed) this.#done(placed);
      });
      uppy.on("upload-error", (file, error, response) => {
        const placed = this.#of(file);
        if (placed) this.#failed(placed, error, response);
      });
    }
  }

  /** Whether this target takes the file in parts. What fits into one part is quicker whole. */
  static inParts(target: Target, size: number): Resumable | undefined {
    return target.resumable && size > target.resumable.chunk_size ? target.resumable : undefined;
  }

  send(load: Load, target: Target): void {
    const resumable = Carrier.inParts(target, load.file.size);
    const uppy = resumable ? this.#inParts : this.#whole;
    const headers = { ...(resumable ?? target).headers };
    const fileId = uppy.addFile({
      name: load.name,
      type: load.type,
      data: load.file,
      meta: { relativePath: fingerprintPart(load.assetId), ...resumable?.metadata },
    });
    this.#placed.set(load.assetId, { load, uppy, fileId, headers });
    const options = resumable
      ? { tus: this.#tusOptions(load, resumable, headers) }
      : { xhrUpload: { endpoint: target.url, headers } };
    uppy.setFileState(fileId, options as Parameters<Uppy["setFileState"]>[1]);
    uppy.upload().catch(() => undefined); // told by upload-error
  }

  #tusOptions(load: Load, target: Resumable, headers: Record<string, string>) {
    return {
      endpoint: target.url,
      chunkSize: target.chunk_size,
      headers,
      onAfterResponse: (_request: unknown, response: { getStatus(): number; getBody(): string }) => {
        if (response.getStatus() >= 400) {
          this.#refusals.set(load.assetId, { status: response.getStatus(), text: response.getBody() });
        } else this.#refusals.delete(load.assetId);
      },
      onShouldRetry: (error: unknown, _attempt: number, _options: unknown, next: (error: unknown) => boolean) => {
        const again = next(error);
        if (again) load.onInterrupted();
        return again;
      },
    };
  }

  /** Requests from now on carry this target's signature: an upload may take longer than a signature lives. */
  refresh(assetId: string, target: Target): void {
    Object.assign(this.#placed.get(assetId)?.headers ?? {}, target.resumable?.headers);
  }

  pause(assetId: string, paused: boolean): void {
    const placed = this.#placed.get(assetId);
    if (placed && (placed.uppy.getFile(placed.fileId) as { isPaused?: boolean }).isPaused !== paused) {
      placed.uppy.pauseResume(placed.fileId);
    }
  }

  /** Stops for good: Storage forgets the parts it has. */
  cancel(assetId: string): void {
    const placed = this.#placed.get(assetId);
    if (placed) this.#forget(placed);
  }

  /** Stops for now: the parts stay where they are. (Destroying Uppy, or removing a file, would have them deleted.) */
  close(): void {
    this.#placed.clear();
    this.#inParts.pauseAll();
    this.#whole.cancelAll();
  }

  #of(file: { id: string } | undefined): Placed | undefined {
    return [...this.#placed.values()].find((placed) => placed.fileId === file?.id);
  }

  #done(placed: Placed): void {
    this.#placed.delete(placed.load.assetId);
    this.#refusals.delete(placed.load.assetId);
    // Uppy still holds on to the upload while it says that it succeeded, and would terminate what it holds.
    setTimeout(() => {
      placed.uppy.removeFile(placed.fileId);
    });
    placed.load.onDone();
  }

  #failed(placed: Placed, error: { message: string }, response: unknown): void {
    const { load } = placed;
    const heard = (response ?? {}) as { status?: number; responseText?: string };
    const refusal = this.#refusals.get(load.assetId) ?? { status: heard.status ?? 0, text: heard.responseText ?? "" };
    this.#forget(placed);
    load.onFailed(refusal.status, refusal.text || error.message);
  }

  #forget(placed: Placed): void {
    this.#placed.delete(placed.load.assetId);
    this.#refusals.delete(placed.load.assetId);
    placed.uppy.removeFile(placed.fileId);
  }
}
