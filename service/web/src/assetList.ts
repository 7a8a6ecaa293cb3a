// The list of assets and running uploads, with the drop zone above it.

import * as api from "./api";
import { AssetPoller } from "./assetPoller";
import { AssetRow, type RowActions } from "./assetRow";
import { isUnsettled } from "./assetTypes";
import { dropZone } from "./dropZone";
import { announce, h, setText } from "./elements";
import { errorMessage, UnreachableError } from "./errors";
import type { User } from "./session";
import type { Upload } from "./upload";
import { UploadQueue } from "./uploadQueue";

export class AssetList {
  readonly element: HTMLElement;
  readonly heading = h("h1", { tabindex: "-1" }, "Assets");
  readonly #uploads: UploadQueue;
  readonly #poller: AssetPoller;
  readonly #rowsByUpload = new Map<string, AssetRow>();
  readonly #rowsByAsset = new Map<string, AssetRow>();
  readonly #list = h("ul", { class: "list", "aria-label": "Assets" });
  readonly #empty = h("p", { class: "empty", hidden: true }, "Nothing here yet. Add a file to get started.");
  readonly #problem = h("p", { class: "notice problem", role: "alert", hidden: true });
  readonly #more: HTMLButtonElement;
  readonly #closed = new AbortController();
  #cursor: string | null = null;

  constructor(user: User) {
    this.#uploads = new UploadQueue(user.id, (upload) => {
      this.#showUpload(upload);
    });
    this.#poller = new AssetPoller((asset) => {
      this.#showAsset(asset, "bottom");
    });
    this.#more = h(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: () => void this.#loadPage() },
      "Show older assets",
    );
    const zone = dropZone((files) => {
      this.#uploads.add(files);
    }, this.#closed.signal);
    const children = [this.heading, zone, this.#problem, this.#list, this.#empty, this.#more];
    this.element = h("section", { "aria-label": "Assets" }, ...children);
    this.#listen();
    void this.#loadPage().then(() => this.#uploads.restore());
  }

  close(): void {
    this.#closed.abort();
    this.#poller.close();
    this.#uploads.close();
  }

  #listen(): void {
    const options = { signal: this.#closed.signal };
    const confirmLeaving = (event: BeforeUnloadEvent) => {
      if (this.#uploads.active) event.preventDefault();
    };
    const refresh = () => {
      if (!document.hidden && navigator.onLine) void this.#refresh();
    };
    const renderUploads = () => {
      for (const row of this.#rowsByUpload.values()) row.render();
    };
    addEventListener("beforeunload", confirmLeaving, options);
    document.addEventListener("visibilitychange", refresh, options);
    addEventListener("online", refresh, options);
    addEventListener("offline", renderUploads, options);
  }

  async #loadPage(): Promise<void> {
    try {
      const page = await api.listAssets(this.#cursor ?? undefined);
      this.#cursor = page.next_cursor;
      for (const asset of page.items) this.#showAsset(asset, "bottom");
      this.#showProblem("");
    } catch (error) {
      this.#showProblem(errorMessage(error));
    }
    this.#more.hidden = !this.#cursor;
    this.#showEmpty();
  }

  /** Shows assets that were added elsewhere while the page was hidden or offline. */
  async #refresh(): Promise<void> {
    try {
      const page = await api.listAssets();
      for (const asset of page.items.reverse()) this.#showAsset(asset, "top");
      this.#showProblem("");
    } catch (error) {
      if (!(error instanceof UnreachableError)) this.#showProblem(errorMessage(error));
    }
    this.#showEmpty();
  }

  #showProblem(text: string): void {
    this.#problem.hidden = !text;
    setText(this.#problem, text);
  }

  #showEmpty(): void {
    this.#empty.hidden = this.#list.childElementCount > 0;
  }

  #showUpload(upload: Upload): void {
    let row = this.#rowsByUpload.get(upload.key);
    if (upload.phase === "cancelled") {
      if (row) this.#removeRow(row);
      return;
    }
    row ??= (upload.asset && this.#rowsByAsset.get(upload.asset.id)) ?? this.#addRow("top");
    this.#rowsByUpload.set(upload.key, row);
    row.upload = upload;
    if (upload.asset) {
      const listed = this.#rowsByAsset.get(upload.asset.id);
      if (listed && listed !== row) this.#removeRow(listed);
      this.#rowsByAsset.set(upload.asset.id, row);
      row.asset = upload.asset;
    }
    if (upload.phase === "landed" && upload.asset) {
      this.#rowsByUpload.delete(upload.key);
      row.upload = undefined;
      row.sent = upload;
      this.#poller.add(upload.asset.id);
    }
    row.render();
    this.#showEmpty();
  }

  #showAsset(asset: api.Asset, position: "top" | "bottom"): void {
    if (this.#isBeingReserved(asset)) return;
    const row = this.#rowsByAsset.get(asset.id) ?? this.#addRow(position);
    if (row.upload) return; // the upload in this tab is more recent
    this.#rowsByAsset.set(asset.id, row);
    row.asset = asset;
    row.render();
    if (isUnsettled(asset.state)) this.#poller.add(asset.id);
  }

  /** Whether this may be the asset of an upload that still waits for the response to its reservation. */
  #isBeingReserved(asset: api.Asset): boolean {
    if (asset.state !== "pending_upload" || this.#rowsByAsset.has(asset.id)) return false;
    const uploads = [...this.#rowsByUpload.values()].map((row) => row.upload);
    return uploads.some((upload) => upload && !upload.asset && upload.name === asset.filename);
  }

  #addRow(position: "top" | "bottom"): AssetRow {
    const row = new AssetRow(this.#actions);
    if (position === "top") this.#list.prepend(row.element);
    else this.#list.append(row.element);
    return row;
  }

  #removeRow(row: AssetRow): void {
    const neighbour = row.element.nextElementSibling ?? row.element.previousElementSibling;
    const hadFocus = row.element.contains(document.activeElement);
    row.element.remove();
    if (row.upload) this.#rowsByUpload.delete(row.upload.key);
    if (row.asset) this.#rowsByAsset.delete(row.asset.id);
    if (hadFocus) ((neighbour as HTMLElement | null) ?? this.heading).focus();
    this.#showEmpty();
  }

  readonly #actions: RowActions = {
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
      this.#chooseFile(upload);
    },
    changeType: (row) => {
      const upload = row.upload ?? row.sent;
      if (!upload) return;
      if (!row.upload) this.#removeRow(row);
      void this.#uploads.changeType(upload);
    },
    dismiss: (row) => {
      this.#removeRow(row);
    },
    delete: (row) =>
      void this.#change(row, async (id) => {
        const hadBytes = row.asset?.state !== "pending_upload" && row.asset?.state !== "expired";
        await api.deleteAsset(id);
        if (!hadBytes) {
          this.#removeRow(row); // there is nothing to restore
          return undefined;
        }
        announce(`${row.title} was deleted. You can undo that.`);
        return row.asset && { ...row.asset, state: "deleted" };
      }),
    restore: (row) =>
      void this.#change(row, async (id) => {
        const asset = await api.restoreAsset(id);
        announce(`${row.title} was restored.`);
        return asset;
      }),
    download: (row) =>
      void this.#change(row, async (id) => {
        const { download_url: url } = await api.getAsset(id);
        if (url) h("a", { href: `${url}&download=${encodeURIComponent(row.title)}`, download: row.title }).click();
        return undefined;
      }),
  };

  async #change(row: AssetRow, act: (id: string) => Promise<api.Asset | undefined>): Promise<void> {
    const id = row.asset?.id;
    if (!id) return;
    row.problem = "";
    try {
      const asset = await act(id);
      if (asset) this.#showAsset(asset, "top");
    } catch (error) {
      row.problem = errorMessage(error);
      announce(row.problem);
    }
    row.render();
  }

  #chooseFile(upload: Upload): void {
    const input = h("input", { type: "file" });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (!file || this.#uploads.provideFile(upload, file)) return;
      upload.message = `This is a different file. Choose the original “${upload.name}” to continue its upload.`;
      announce(upload.message);
      this.#rowsByUpload.get(upload.key)?.render();
    });
    input.click();
  }
}
