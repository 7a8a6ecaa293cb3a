// Web Locks that tell other tabs which uploads this tab is running.

export class UploadLocks {
  readonly #releases = new Map<string, () => void>();

  /** Holds the lock until `release` or until the tab closes. */
  acquire(assetId: string): void {
    if (this.#releases.has(assetId) || !supported()) return;
    const released = new Promise<void>((resolve) => this.#releases.set(assetId, resolve));
    void navigator.locks.request(lockName(assetId), () => released);
  }

  release(assetId: string | undefined): void {
    if (!assetId) return;
    this.#releases.get(assetId)?.();
    this.#releases.delete(assetId);
  }

  releaseAll(): void {
    for (const assetId of [...this.#releases.keys()]) this.release(assetId);
  }

  /** A test for whether any tab holds the lock of an upload. */
  static async query(): Promise<(assetId: string) => boolean> {
    if (!supported()) return () => false;
    const held = new Set(((await navigator.locks.query()).held ?? []).map((lock) => lock.name));
    return (assetId) => held.has(lockName(assetId));
  }
}

const lockName = (assetId: string) => `assetdock.upload.${assetId}`;

/** Browsers offer Web Locks on https and localhost only. */
const supported = () => "locks" in navigator;
