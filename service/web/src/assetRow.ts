// A row of the list: an asset, or an upload that becomes one.

import type { Asset } from "./api";
import { announce, h, replaceChildren, setText } from "./elements";
import { icon, iconButton } from "./icons";
import { Player } from "./player";
import { assetStatus, uploadStatus, type ButtonName, type Tone } from "./rowStatus";
import type { Upload } from "./upload";

export interface RowActions {
  pause: (upload: Upload) => void;
  resume: (upload: Upload) => void;
  cancel: (upload: Upload) => void;
  choose: (upload: Upload) => void;
  changeType: (row: AssetRow) => void;
  dismiss: (row: AssetRow) => void;
  delete: (row: AssetRow) => void;
  restore: (row: AssetRow) => void;
  download: (row: AssetRow) => void;
}

export class AssetRow {
  upload: Upload | undefined;
  /** The upload that made this asset, after its bytes landed. */
  sent: Upload | undefined;
  asset: Asset | undefined;
  /** Why the last action failed; shown instead of the status. */
  problem = "";
  readonly element: HTMLLIElement;
  readonly #actions: RowActions;
  readonly #tile = h("div", { class: "tile" });
  readonly #name = h("p", { class: "name" });
  readonly #status = h("p", { class: "status" });
  readonly #progress = h("progress", { max: "1", hidden: true });
  readonly #buttons = h("div", { class: "buttons" });
  readonly #playerArea = h("div", { class: "player-area", hidden: true });
  #player: Player | undefined;
  #renderedTile = "";
  #renderedButtons = "";
  #lastTone: Tone | undefined;

  constructor(actions: RowActions) {
    this.#actions = actions;
    const body = h("div", { class: "body" }, this.#name, this.#status, this.#progress);
    this.element = h("li", { class: "row", tabindex: "-1" }, this.#tile, body, this.#buttons, this.#playerArea);
  }

  get title(): string {
    return this.upload?.name ?? this.asset?.filename ?? "Untitled";
  }

  render(): void {
    const { upload, asset } = this;
    const { text, tone, progress, buttons } =
      upload && upload.phase !== "landed" ? uploadStatus(upload) : assetStatus(asset, this.sent);
    setText(this.#name, this.title);
    this.element.dataset["tone"] = tone;
    setText(this.#status, this.problem || text);
    this.#status.classList.toggle("problem", !!this.problem || tone === "error");
    this.#progress.hidden = progress === undefined;
    this.#progress.value = progress ?? 0;
    this.#progress.setAttribute("aria-label", `Upload of ${this.title}`);
    this.#renderTile();
    this.#renderButtons(buttons);
    if (asset?.state !== "ready") this.#closePlayer();
    if (this.#lastTone === "active" && tone === "success") announce(`${this.title} is ready.`);
    if (this.#lastTone !== undefined && this.#lastTone !== "error" && tone === "error") {
      announce(`${this.title}: ${text}`);
    }
    this.#lastTone = tone;
  }

  focus(): void {
    (this.#buttons.querySelector("button") ?? this.element).focus();
  }

  #renderTile(): void {
    const type = this.asset?.type ?? this.upload?.assetType;
    const name = type === "audio" ? "audio" : type === "cut_file" ? "file" : "video";
    const playable = this.asset?.state === "ready" && type !== "cut_file";
    const content = `${name} ${playable ? this.title : ""}`;
    if (content === this.#renderedTile) return;
    this.#renderedTile = content;
    if (!playable) {
      replaceChildren(this.#tile, icon(name));
      return;
    }
    const button = iconButton("play", `Play ${this.title}`, () => {
      this.#togglePlayer(button);
    });
    button.classList.add("play");
    button.setAttribute("aria-expanded", "false");
    replaceChildren(this.#tile, button);
  }

  #togglePlayer(button: HTMLButtonElement): void {
    if (this.#player) {
      this.#closePlayer();
      return;
    }
    if (!this.asset) return;
    this.#player = new Player(this.asset, this.title);
    this.#playerArea.hidden = false;
    replaceChildren(this.#playerArea, this.#player.element);
    button.setAttribute("aria-expanded", "true");
    void this.#player.start();
  }

  #closePlayer(): void {
    this.#player?.close();
    this.#player = undefined;
    this.#playerArea.hidden = true;
    this.#tile.querySelector("button")?.setAttribute("aria-expanded", "false");
  }

  #renderButtons(names: ButtonName[]): void {
    const content = `${names.join(" ")} ${this.#otherType} ${this.title}`;
    if (content === this.#renderedButtons) return;
    this.#renderedButtons = content;
    this.element.classList.toggle("wide-buttons", names.includes("changeType"));
    const hadFocus = this.#buttons.contains(document.activeElement);
    replaceChildren(this.#buttons, ...names.map((name) => this.#button(name)));
    if (hadFocus) this.focus();
  }

  get #otherType(): "audio" | "video" {
    return (this.upload ?? this.sent)?.assetType === "audio" ? "video" : "audio";
  }

  #button(name: ButtonName): HTMLButtonElement {
    const { upload, title } = this;
    const actions = this.#actions;
    const onUpload = (act: (upload: Upload) => void) => () => {
      if (upload) act(upload);
    };
    const onRow = (act: (row: AssetRow) => void) => () => {
      act(this);
    };
    const textButton = (label: string, onclick: () => void) =>
      h("button", { type: "button", class: "small", onclick }, label);
    switch (name) {
      case "changeType":
        return textButton(`Treat as ${this.#otherType}`, onRow(actions.changeType));
      case "pause":
        return iconButton("pause", `Pause ${title}`, onUpload(actions.pause));
      case "resume":
        return iconButton("resume", `Resume ${title}`, onUpload(actions.resume));
      case "retry":
        return iconButton("retry", `Retry ${title}`, onUpload(actions.resume));
      case "cancel":
        return iconButton("cancel", `Cancel ${title}`, onUpload(actions.cancel));
      case "choose":
        return textButton("Choose file", onUpload(actions.choose));
      case "dismiss":
        return iconButton("cancel", `Dismiss ${title}`, onRow(actions.dismiss));
      case "download":
        return iconButton("download", `Download ${title}`, onRow(actions.download));
      case "restore":
        return textButton("Undo", onRow(actions.restore));
      case "delete":
        return iconButton("delete", `Delete ${title}`, onRow(actions.delete));
    }
  }
}
