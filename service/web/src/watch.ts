// Waits for assets to change by themselves. The service holds each question until there is news (`wait`).

import * as api from "./api";

const AT_ONCE = 3; // a browser has six connections to a host, and the page needs some of them
const LONG = 25;
const SHORT = 3;

export class Watch {
  readonly #waiting = new Set<string>();
  readonly #asking = new Set<string>();
  readonly #onAsset: (asset: api.Asset) => void;
  readonly #stop = new AbortController();

  constructor(onAsset: (asset: api.Asset) => void) {
    this.#onAsset = onAsset;
  }

  add(id: string): void {
    if (this.#asking.has(id)) return;
    this.#waiting.add(id);
    this.#next();
  }

  close(): void {
    this.#waiting.clear();
    this.#stop.abort();
  }

  #next(): void {
    for (const id of this.#waiting) {
      if (this.#asking.size >= AT_ONCE) return;
      this.#waiting.delete(id);
      this.#asking.add(id);
      void this.#ask(id);
    }
  }

  async #ask(id: string): Promise<void> {
    let again: boolean;
    try {
      // With more assets than places everyone gets a short turn.
      const seconds = this.#waiting.size ? SHORT : LONG;
      const asset = await api.asset(id, seconds, this.#stop.signal);
      this.#onAsset(asset);
      again = asset.state === "pending_upload" || asset.state === "processing";
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      again = !(error instanceof api.ApiError) || error.status === 429 || error.status >= 500;
      if (again) await new Promise((resolve) => setTimeout(resolve, 3000));
    }
    this.#asking.delete(id);
    if (this.#stop.signal.aborted) return;
    if (again) this.#waiting.add(id);
    this.#next();
  }
}
