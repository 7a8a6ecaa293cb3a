// Plays an asset from its signed URL, and requests a new URL when that one has expired.

import * as api from "./api";
import { h, setText } from "./elements";
import { errorMessage } from "./errors";

export class Player {
  readonly element: HTMLElement;
  readonly #media: HTMLMediaElement;
  readonly #status = h("p", { class: "status", role: "status" });
  readonly #asset: api.Asset;
  #urlExpiresAt = 0;

  constructor(asset: api.Asset, title: string) {
    this.#asset = asset;
    const attributes = { controls: true, preload: "metadata", "aria-label": title };
    this.#media = asset.type === "audio" ? h("audio", attributes) : h("video", { ...attributes, playsinline: true });
    this.#media.addEventListener("error", () => void this.#handleError());
    this.element = h("div", { class: "player" }, this.#media, this.#status);
  }

  async start(): Promise<void> {
    if (await this.#load()) await this.#play();
  }

  close(): void {
    this.#media.pause();
    this.#media.removeAttribute("src");
    this.#media.load();
  }

  /** Browsers may reject it and wait for a click on the controls. */
  async #play(): Promise<void> {
    await this.#media.play().catch(() => undefined);
  }

  async #load(): Promise<boolean> {
    try {
      const asset = await api.getAsset(this.#asset.id);
      if (!asset.download_url) return false;
      this.#urlExpiresAt = Date.parse(asset.download_expires_at ?? "");
      this.#media.src = asset.download_url;
      setText(this.#status, "");
      return true;
    } catch (error) {
      setText(this.#status, errorMessage(error));
      return false;
    }
  }

  async #handleError(): Promise<void> {
    if (!this.#media.hasAttribute("src")) return; // closed
    if (Date.now() > this.#urlExpiresAt) {
      const { currentTime, paused } = this.#media;
      if (!(await this.#load())) return;
      this.#media.currentTime = currentTime;
      if (!paused) await this.#play();
      return;
    }
    setText(
      this.#status,
      this.#media.error?.code === MediaError.MEDIA_ERR_NETWORK
        ? "The connection was lost. Close the player and open it again."
        : "This browser can’t play this format. Download the file and open it in another player.",
    );
  }
}
