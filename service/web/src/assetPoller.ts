// Long polling for assets until they are settled.

import * as api from "./api";
import { isUnsettled } from "./assetTypes";
import { ApiError } from "./errors";

const CONCURRENCY = 3; // browsers open six connections to a host, and the page needs the others
const LONG_WAIT = 25; // seconds
const SHORT_WAIT = 3; // seconds, while other assets are waiting for a connection
const RETRY_DELAY_MS = 3000;

export class AssetPoller {
  readonly #waiting = new Set<string>();
  readonly #polling = new Set<string>();
  readonly #onAsset: (asset: api.Asset) => void;
  readonly #abort = new AbortController();

  constructor(onAsset: (asset: api.Asset) => void) {
    this.#onAsset = onAsset;
  }

  add(id: string): void {
    if (this.#polling.has(id)) return;
    this.#waiting.add(id);
    this.#startNext();
  }

  close(): void {
    this.#waiting.clear();
    this.#abort.abort();
  }

  #startNext(): void {
    for (const id of this.#waiting) {
      if (this.#polling.size >= CONCURRENCY) return;
      this.#waiting.delete(id);
      this.#polling.add(id);
      void this.#poll(id);
    }
  }

  async #poll(id: string): Promise<void> {
    let again: boolean;
    try {
      const asset = await api.getAsset(id, this.#waiting.size ? SHORT_WAIT : LONG_WAIT, this.#abort.signal);
      this.#onAsset(asset);
      again = isUnsettled(asset.state);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      again = !(error instanceof ApiError) || error.status === 429 || error.status >= 500;
      if (again) await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS));
    }
    this.#polling.delete(id);
    if (this.#abort.signal.aborted) return;
    if (again) this.#waiting.add(id);
    this.#startNext();
  }
}
