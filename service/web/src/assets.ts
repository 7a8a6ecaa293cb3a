// The list: what is on its way and what is there, and the place to drop more.

import * as api from "./api";
import { announce, h, icon, say } from "./dom";
import { Row, type Actions } from "./row";
import type { Person } from "./session";
import { Uploads, type Upload } from "./uploads";
import { Watch } from "./watch";

export class AssetsView {
  readonly element: HTMLElement;
  readonly heading = h("h1", { tabindex: "-1" }, "Assets");
  readonly #uploads: Uploads;
  readonly #watch: Watch;
  readonly #byUpload = new Map<string, Row>();
  readonly #byAsset = new Map<string, Row>();
  readonly #list = h("ul", { class: "list", "aria-label": "Assets" });
  readonly #empty = h(
    "p",
    { class: "empty", hidden: true },
    "Nothing here yet. Your first recording will be the first line.",
  );
  readonly #problem = h("p", { class: "notice problem", role: "alert", hidden: true });
  readonly #more: HTMLButtonElement;
  readonly #drop: HTMLElement;
  readonly #gone = new AbortController();
  #cursor: string | null = null;
  #dragDepth = 0;

  constructor(person: Person) {
    this.#uploads = new Uploads(person.id, (upload) => {
      this.#showUpload(upload);
    });
    this.#watch = new Watch((asset) => {
      this.#showAsset(asset, "bottom");
    });
    this.#more = h(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: () => void this.#load() },
      "Show older ones",
    );
    this.#drop = this.#dropZone();
    this.element = h(
      "section",
      { "aria-label": "Assets" },
      this.heading,
      this.#drop,
      this.#problem,
      this.#list,
      this.#empty,
      this.#more,
    );
    this.#listen();
    void this.#begin();
  }

  close(): void {
    this.#gone.abort();
    this.#watch.close();
    this.#uploads.close();
  }

  async #begin(): Promise<void> {
    await this.#load();
    await this.#uploads.recall();
  }

  #dropZone(): HTMLElement {
    const input = h("input", {
      type: "file",
      id: "files",
      multiple: true,
      accept: "audio/*,video/*,.mkv,.flac,.opus,.mts",
    });
    input.addEventListener("change", () => {
      void this.#uploads.add([...(input.files ?? [])]);
      input.value = "";
    });
    return h(
      "div",
      { class: "drop" },
      input,
      h(
        "label",
        { for: "files" },
        icon("upload"),
        h(
          "span",
          { class: "drop-title" },
          "Drop audio or video here, or ",
          h("span", { class: "link" }, "choose files"),
        ),
        h(
          "span",
          { class: "drop-hint" },
          "Large files go up in parts. If the connection breaks, they go on where they were.",
        ),
      ),
    );
  }

  #listen(): void {
    const options = { signal: this.#gone.signal };
    const files = (event: DragEvent) => !!event.dataTransfer?.types.includes("Files");
    const over = (change: number) => {
      this.#dragDepth = Math.max(0, this.#dragDepth + change);
      this.#drop.classList.toggle("over", this.#dragDepth > 0);
    };
    addEventListener(
      "dragenter",
      (event) => {
        if (files(event)) over(1);
      },
      options,
    );
    addEventListener(
      "dragleave",
      (event) => {
        if (files(event)) over(-1);
      },
      options,
    );
    addEventListener(
      "dragover",
      (event) => {
        if (files(event)) event.preventDefault();
      },
      options,
    );
    addEventListener(
      "drop",
      (event) => {
        if (!files(event)) return;
        event.preventDefault();
        over(-this.#dragDepth);
        void this.#uploads.add([...(event.dataTransfer?.files ?? [])]);
      },
      options,
    );
    addEventListener(
      "beforeunload",
      (event) => {
        if (this.#uploads.active) event.preventDefault();
      },
      options,
    );
    const refresh = () => {
      if (!document.hidden && navigator.onLine) void this.#refresh();
    };
    document.addEventListener("visibilitychange", refresh, options);
    addEventListener("online", refresh, options);
    addEventListener(
      "offline",
      () => {
        for (const row of this.#byUpload.values()) row.show();
      },
      options,
    );
  }

  async #load(): Promise<void> {
    try {
      const page = await api.assets(this.#cursor ?? undefined);
      this.#cursor = page.next_cursor;
      for (const asset of page.items) this.#showAsset(asset, "bottom");
      this.#say("");
    } catch (error) {
      this.#say(api.inWords(error));
    }
    this.#more.hidden = !this.#cursor;
    this.#showEmpty();
  }

  /** What came from elsewhere while nobody looked. */
  async #refresh(): Promise<void> {
    try {
      const page = await api.assets();
      for (const asset of page.items.reverse()) this.#showAsset(asset, "top");
      this.#say("");
    } catch (error) {
      if (!(error instanceof api.Unreachable)) this.#say(api.inWords(error));
    }
    this.#showEmpty();
  }

  #say(text: string): void {
    this.#problem.hidden = !text;
    say(this.#problem, text);
  }

  #showEmpty(): void {
    this.#empty.hidden = this.#list.childElementCount > 0;
  }

  #showUpload(upload: Upload): void {
    let row = this.#byUpload.get(upload.key);
    if (upload.phase === "cancelled") {
      if (row) this.#take(row);
      return;
    }
    row ??= (upload.asset && this.#byAsset.get(upload.asset.id)) ?? this.#newRow("top");
    this.#byUpload.set(upload.key, row);
    row.upload = upload;
    if (upload.asset) {
      this.#byAsset.set(upload.asset.id, row);
      row.asset = upload.asset;
    }
    if (upload.phase === "landed" && upload.asset) {
      this.#byUpload.delete(upload.key);
      row.upload = undefined;
      this.#watch.add(upload.asset.id);
    }
    row.show();
    this.#showEmpty();
  }

  #showAsset(asset: api.Asset, place: "top" | "bottom"): void {
    const row = this.#byAsset.get(asset.id) ?? this.#newRow(place);
    if (row.upload) return; // on its way from here: the upload knows better
    this.#byAsset.set(asset.id, row);
    row.asset = asset;
    row.show();
    if (asset.state === "pending_upload" || asset.state === "processing") this.#watch.add(asset.id);
  }

  #newRow(place: "top" | "bottom"): Row {
    const row = new Row(this.#actions);
    if (place === "top") this.#list.prepend(row.element);
    else this.#list.append(row.element);
    return row;
  }

  #take(row: Row): void {
    const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
    const focused = row.element.contains(document.activeElement);
    row.element.remove();
    if (row.upload) this.#byUpload.delete(row.upload.key);
    if (row.asset) this.#byAsset.delete(row.asset.id);
    if (focused) ((next as HTMLElement | null) ?? this.heading).focus();
    this.#showEmpty();
  }

  readonly #actions: Actions = {
    pause: (upload) => {
      this.#uploads.pause(upload);
    },
    resume: (upload) => {
      this.#uploads.resume(upload);
    },
    cancel: (upload) => {
      void this.#uploads.cancel(upload);
      announce(`The upload of ${upload.name} was cancelled.`);
    },
    choose: (upload) => {
      this.#choose(upload);
    },
    dismiss: (row) => {
      this.#take(row);
    },
    remove: (row) =>
      void this.#change(row, async (id) => {
        const never = row.asset?.state === "pending_upload" || row.asset?.state === "expired";
        await api.remove(id);
        if (never) {
          this.#take(row); // nothing landed, so there is nothing to take back
          return undefined;
        }
        announce(`${row.title} was deleted. You can undo that.`);
        return row.asset && { ...row.asset, state: "deleted" };
      }),
    restore: (row) =>
      void this.#change(row, async (id) => {
        const asset = await api.restore(id);
        announce(`${row.title} is back.`);
        return asset;
      }),
    download: (row) =>
      void this.#change(row, async (id) => {
        const { download_url: url } = await api.asset(id);
        if (url) h("a", { href: `${url}&download=${encodeURIComponent(row.title)}`, download: row.title }).click();
        return undefined;
      }),
  };

  async #change(row: Row, act: (id: string) => Promise<api.Asset | undefined>): Promise<void> {
    const id = row.asset?.id;
    if (!id) return;
    row.problem = "";
    try {
      const asset = await act(id);
      if (asset) this.#showAsset(asset, "top");
    } catch (error) {
      row.problem = api.inWords(error);
      announce(row.problem);
    }
    row.show();
  }

  #choose(upload: Upload): void {
    const input = h("input", { type: "file" });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (!file || this.#uploads.giveFile(upload, file)) return;
      upload.message = `That is another file. This upload goes on with “${upload.name}”, as it was.`;
      announce(upload.message);
      this.#byUpload.get(upload.key)?.show();
    });
    input.click();
  }
}
