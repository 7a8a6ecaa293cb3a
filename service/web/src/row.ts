// One asset, or an upload that is about to be one, as a line of the list.

import type { Asset } from "./api";
import { announce, fill, h, icon, iconButton, say, type IconName } from "./dom";
import { Player } from "./player";
import { bytes, facts, listed, timeLeft } from "./words";
import type { Upload } from "./uploads";

export interface Actions {
  pause: (upload: Upload) => void;
  resume: (upload: Upload) => void;
  cancel: (upload: Upload) => void;
  choose: (upload: Upload) => void;
  dismiss: (row: Row) => void;
  remove: (row: Row) => void;
  restore: (row: Row) => void;
  download: (row: Row) => void;
}

type Tone = "calm" | "busy" | "good" | "bad" | "wait";
interface Look {
  text: string;
  tone: Tone;
  progress?: number;
  buttons: string[];
}

export class Row {
  upload: Upload | undefined;
  asset: Asset | undefined;
  problem = "";
  readonly element: HTMLLIElement;
  readonly #actions: Actions;
  readonly #tile = h("div", { class: "tile" });
  readonly #name = h("p", { class: "name" });
  readonly #status = h("p", { class: "status" });
  readonly #bar = h("progress", { max: "1", hidden: true });
  readonly #buttons = h("div", { class: "buttons" });
  readonly #stage = h("div", { class: "stage", hidden: true });
  #player: Player | undefined;
  #shownTile = "";
  #shownButtons = "";
  #lastTone: Tone | undefined;

  constructor(actions: Actions) {
    this.#actions = actions;
    const body = h("div", { class: "body" }, this.#name, this.#status, this.#bar);
    this.element = h("li", { class: "row", tabindex: "-1" }, this.#tile, body, this.#buttons, this.#stage);
  }

  get title(): string {
    return this.upload?.name ?? this.asset?.filename ?? "Untitled";
  }

  show(): void {
    const look = this.#look();
    say(this.#name, this.title);
    this.element.dataset["tone"] = look.tone;
    say(this.#status, this.problem || look.text);
    this.#status.classList.toggle("problem", !!this.problem || look.tone === "bad");
    this.#bar.hidden = look.progress === undefined;
    this.#bar.value = look.progress ?? 0;
    this.#bar.setAttribute("aria-label", `Upload of ${this.title}`);
    this.#showTile();
    this.#showButtons(look.buttons);
    if (this.asset?.state !== "ready") this.#closePlayer();
    if (this.#lastTone === "busy" && look.tone === "good") announce(`${this.title} is ready.`);
    if (this.#lastTone !== undefined && this.#lastTone !== "bad" && look.tone === "bad") {
      announce(`${this.title}: ${look.text}`);
    }
    this.#lastTone = look.tone;
  }

  focus(): void {
    (this.#buttons.querySelector("button") ?? this.element).focus();
  }

  #look(): Look {
    return this.upload && this.upload.phase !== "landed" ? uploading(this.upload) : resting(this.asset);
  }

  #showTile(): void {
    const kind: IconName =
      (this.asset?.type ?? this.upload?.kind) === "audio"
        ? "audio"
        : this.asset?.type === "cut_file"
          ? "file"
          : "video";
    const playable = this.asset?.state === "ready" && this.asset.type !== "cut_file";
    const wanted = `${kind} ${playable ? this.title : ""}`;
    if (wanted === this.#shownTile) return;
    this.#shownTile = wanted;
    if (!playable) {
      fill(this.#tile, icon(kind));
      return;
    }
    const button = iconButton("play", `Play ${this.title}`, () => {
      this.#togglePlayer(button);
    });
    button.classList.add("play");
    button.setAttribute("aria-expanded", "false");
    fill(this.#tile, button);
  }

  #togglePlayer(button: HTMLButtonElement): void {
    if (this.#player) {
      this.#closePlayer();
      return;
    }
    if (!this.asset) return;
    this.#player = new Player(this.asset, this.title);
    this.#stage.hidden = false;
    fill(this.#stage, this.#player.element);
    button.setAttribute("aria-expanded", "true");
    this.element.classList.add("playing");
    void this.#player.start();
  }

  #closePlayer(): void {
    this.#player?.close();
    this.#player = undefined;
    this.#stage.hidden = true;
    this.element.classList.remove("playing");
    this.#tile.querySelector("button")?.setAttribute("aria-expanded", "false");
  }

  #showButtons(names: string[]): void {
    const wanted = `${names.join(" ")} ${this.title}`;
    if (wanted === this.#shownButtons) return;
    this.#shownButtons = wanted;
    const had = this.#buttons.contains(document.activeElement);
    fill(this.#buttons, ...names.map((name) => this.#button(name)));
    if (had) this.focus();
  }

  #button(name: string): HTMLButtonElement {
    const { upload } = this;
    const on = (act: (upload: Upload) => void) => () => {
      if (upload) act(upload);
    };
    const words = (label: string, act: () => void) =>
      h("button", { type: "button", class: "small", onclick: act }, label);
    switch (name) {
      case "pause":
        return iconButton("pause", `Pause ${this.title}`, on(this.#actions.pause));
      case "resume":
        return iconButton("resume", `Resume ${this.title}`, on(this.#actions.resume));
      case "retry":
        return iconButton("retry", `Retry ${this.title}`, on(this.#actions.resume));
      case "cancel":
        return iconButton("cancel", `Cancel ${this.title}`, on(this.#actions.cancel));
      case "choose":
        return words("Choose file", on(this.#actions.choose));
      case "dismiss":
        return iconButton("cancel", `Dismiss ${this.title}`, () => {
          this.#actions.dismiss(this);
        });
      case "download":
        return iconButton("download", `Download ${this.title}`, () => {
          this.#actions.download(this);
        });
      case "undo":
        return words("Undo", () => {
          this.#actions.restore(this);
        });
      default:
        return iconButton("trash", `Delete ${this.title}`, () => {
          this.#actions.remove(this);
        });
    }
  }
}

function uploading(upload: Upload): Look {
  const progress = upload.size ? Math.min(upload.sent / upload.size, 1) : 0;
  const percent = `${Math.floor(progress * 100)}%`;
  const buttons = upload.pausable ? ["pause", "cancel"] : ["cancel"];
  switch (upload.phase) {
    case "queued":
      return { text: `${bytes(upload.size)}, waiting for its turn`, tone: "wait", progress, buttons: ["cancel"] };
    case "sending":
      return { text: sending(upload, percent), tone: "busy", progress, buttons };
    case "interrupted":
      return {
        text: navigator.onLine
          ? `The connection broke at ${percent}. Trying again …`
          : `You’re offline. Goes on from ${percent} when you’re back.`,
        tone: "wait",
        progress,
        buttons,
      };
    case "paused":
      return {
        text: `Paused at ${percent} of ${bytes(upload.size)}`,
        tone: "wait",
        progress,
        buttons: ["resume", "cancel"],
      };
    case "stopped":
      return { text: upload.message ?? "Stopped.", tone: "bad", progress, buttons: ["retry", "cancel"] };
    case "needs_file":
      return {
        text:
          upload.message ??
          // A window is renewed at 70 % of its two hours and may finish two hours late: no less than 2.5 hours are left.
          `Stopped at ${percent} when the page was closed. Choose the same file again within two hours of that, and it goes on from there.`,
        tone: "wait",
        progress,
        buttons: ["choose", "cancel"],
      };
    default:
      return { text: upload.message ?? "This file was refused.", tone: "bad", buttons: ["dismiss"] };
  }
}

function sending(upload: Upload, percent: string): string {
  if (!upload.sent) return `${bytes(upload.size)}, starting …`;
  if (upload.sent >= upload.size) return "All sent, waiting for Storage …";
  const speed = upload.speed.perSecond;
  const left = speed ? [`${bytes(speed)}/s`, timeLeft((upload.size - upload.sent) / speed)] : [];
  return listed([`${percent} of ${bytes(upload.size)}`, ...left]);
}

function resting(asset: Asset | undefined): Look {
  switch (asset?.state) {
    case "ready":
      return { text: listed(facts(asset)), tone: "good", buttons: ["download", "trash"] };
    case "processing":
      return { text: "Arrived. Reading what is in it …", tone: "busy", buttons: ["trash"] };
    case "failed":
      return { text: asset.error_message ?? "This file can’t be used.", tone: "bad", buttons: ["trash"] };
    case "expired":
      return { text: "The upload never arrived, and its time has passed.", tone: "calm", buttons: ["trash"] };
    case "deleted":
      return { text: "Deleted", tone: "calm", buttons: ["undo", "dismiss"] };
    default:
      return { text: "Reserved. Waiting for its bytes …", tone: "wait", buttons: ["trash"] };
  }
}
