// What survives a reload: which uploads were on their way. The bytes don't: no browser keeps a file for a page, so the
// file is picked again. Where the upload stood, tus-js-client keeps, and the server knows.

export interface Kept {
  assetId: string;
  name: string;
  size: number;
  lastModified: number;
  type: string;
  kind: "audio" | "video";
  sent: number;
}

export class KeptUploads {
  readonly #place: string;

  constructor(ownerId: string) {
    this.#place = `assetdock.uploads.${ownerId}`;
  }

  all(): Kept[] {
    try {
      return JSON.parse(localStorage.getItem(this.#place) ?? "[]") as Kept[];
    } catch {
      return [];
    }
  }

  put(kept: Kept): void {
    this.#write([...this.all().filter((other) => other.assetId !== kept.assetId), kept]);
  }

  /** Forgets an upload, and where tus-js-client noted that it goes on. */
  drop(assetId: string): void {
    this.#write(this.all().filter((other) => other.assetId !== assetId));
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith("tus::") && name.includes(fingerprintPart(assetId))) localStorage.removeItem(name);
    }
  }

  #write(all: Kept[]): void {
    try {
      if (all.length) localStorage.setItem(this.#place, JSON.stringify(all));
      else localStorage.removeItem(this.#place);
    } catch {
      // Storage is full or forbidden: uploads still work, they just don't survive a reload.
    }
  }
}

/** Stands in Uppy's file id, and so in the fingerprint: two uploads of one file are never taken for each other. */
export const fingerprintPart = (assetId: string) => assetId.replaceAll("-", "");
