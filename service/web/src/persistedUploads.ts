// Unfinished uploads in localStorage, so that they can continue after a reload. Browsers don't keep files for a page: the
// person chooses the file again. tus-js-client and the server keep the offset.

import type { UploadableType } from "./assetTypes";

export interface PersistedUpload {
  assetId: string;
  name: string;
  size: number;
  lastModified: number;
  mediaType: string;
  assetType: UploadableType;
  sent: number;
}

export class PersistedUploads {
  readonly #storageKey: string;

  constructor(ownerId: string) {
    this.#storageKey = `assetdock.uploads.${ownerId}`;
  }

  list(): PersistedUpload[] {
    try {
      return JSON.parse(localStorage.getItem(this.#storageKey) ?? "[]") as PersistedUpload[];
    } catch {
      return [];
    }
  }

  save(upload: PersistedUpload): void {
    this.#write([...this.list().filter((other) => other.assetId !== upload.assetId), upload]);
  }

  /** Also removes the entry of tus-js-client. */
  remove(assetId: string): void {
    this.#write(this.list().filter((other) => other.assetId !== assetId));
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith("tus::") && name.includes(fingerprintPart(assetId))) localStorage.removeItem(name);
    }
  }

  #write(uploads: PersistedUpload[]): void {
    try {
      if (uploads.length) localStorage.setItem(this.#storageKey, JSON.stringify(uploads));
      else localStorage.removeItem(this.#storageKey);
    } catch {
      // localStorage is full or blocked: uploads work, but don't survive a reload.
    }
  }
}

/** Part of Uppy's file id and so of the TUS fingerprint: two uploads of one file stay distinct. */
export const fingerprintPart = (assetId: string) => assetId.replaceAll("-", "");
