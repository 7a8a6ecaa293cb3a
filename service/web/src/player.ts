// Plays an asset from its signed URL, and asks for a new one when that has ended.

import * as api from "./api";
import { h, say } from "./dom";

export class Player {
  readonly element: HTMLElement;
  readonly #media: HTMLMediaElement;
  readonly #words = h("p", { class: "status", role: "status" });
  readonly #asset: api.Asset;
  #expires = 0;

  constructor(asset: api.Asset, title: string) {
    this.#asset = asset;
    const label = { controls: true, preload: "metadata", "aria-label": title };
    this.#media = asset.type === "audio" ? h("audio", label) : h("video", { ...label, playsinline: true });
    this.#media.addEventListener("error", () => void this.#failed());
    this.element = h("div", { class: "player" }, this.#media, this.#words);
  }

  async start(): Promise<void> {
    if (await this.#load()) await this.#media.play().catch(() => undefined); // a browser may want another click
  }

  close(): void {
    this.#media.pause();
    this.#media.removeAttribute("src");
    this.#media.load();
  }

  async #load(): Promise<boolean> {
    try {
      const asset = await api.asset(this.#asset.id);
      if (!asset.download_url) return false;
      this.#expires = Date.parse(asset.download_expires_at ?? "");
      this.#media.src = asset.download_url;
      say(this.#words, "");
      return true;
    } catch (error) {
      say(this.#words, api.inWords(error));
      return false;
    }
  }

  async #failed(): Promise<void> {
    if (!this.#media.hasAttribute("src")) return; // closed
    if (Date.now() > this.#expires) {
      const [at, going] = [this.#media.currentTime, !this.#media.paused];
      if (!(await this.#load())) return;
      this.#media.currentTime = at;
      if (going) await this.#media.play().catch(() => undefined);
      return;
    }
    say(
      this.#words,
      this.#media.error?.code === MediaError.MEDIA_ERR_NETWORK
        ? "The connection broke while it was playing."
        : "This browser can’t play this format. Download it and open it in a player.",
    );
  }
}
