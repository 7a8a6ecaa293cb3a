// API keys: for scripts and servers that upload without a person.

import * as api from "./api";
import { announce, fill, h, icon, say } from "./dom";
import { confirmRevoke, mintDialog, rotateDialog } from "./key_dialogs";
import { ago, day, listed } from "./words";

export class KeysView {
  readonly element: HTMLElement;
  readonly heading = h("h1", { tabindex: "-1" }, "API keys");
  readonly #list = h("ul", { class: "list", "aria-label": "API keys" });
  readonly #ended = h("ul", { class: "list", "aria-label": "Keys that no longer work" });
  readonly #endedBox: HTMLDetailsElement;
  readonly #endedTitle = h("summary", {});
  readonly #empty = h("p", { class: "empty", hidden: true }, "No keys yet.");
  readonly #problem = h("p", { class: "notice problem", role: "alert", hidden: true });

  constructor() {
    this.#endedBox = h("details", { hidden: true }, this.#endedTitle, this.#ended);
    const make = h(
      "button",
      {
        type: "button",
        class: "primary",
        onclick: () => {
          mintDialog(() => void this.load());
        },
      },
      "New key",
    );
    this.element = h(
      "section",
      { "aria-label": "API keys" },
      h("div", { class: "heading" }, this.heading, make),
      h(
        "p",
        { class: "lead" },
        "For scripts and servers that upload without you. A key acts in your name, within its scopes.",
      ),
      this.#problem,
      this.#list,
      this.#empty,
      this.#endedBox,
    );
  }

  async load(): Promise<void> {
    try {
      const { items } = await api.apiKeys();
      const alive = items.filter((key) => !ended(key)).reverse();
      const gone = items.filter(ended).reverse();
      fill(this.#list, ...alive.map((key) => this.#row(key)));
      fill(this.#ended, ...gone.map((key) => this.#row(key)));
      this.#empty.hidden = alive.length > 0;
      this.#endedBox.hidden = !gone.length;
      say(
        this.#endedTitle,
        gone.length === 1 ? "1 key that no longer works" : `${gone.length} keys that no longer work`,
      );
      this.#problem.hidden = true;
    } catch (error) {
      this.#problem.hidden = false;
      say(this.#problem, api.inWords(error));
    }
  }

  #row(key: api.ApiKey): HTMLElement {
    const over = ended(key);
    const again = () => void this.load();
    const revoked = () => {
      announce(`${key.name} was revoked.`);
      this.heading.focus();
      again();
    };
    const buttons = [
      h(
        "button",
        {
          type: "button",
          class: "small",
          "aria-label": `Rotate ${key.name}`,
          onclick: () => {
            rotateDialog(key, again);
          },
        },
        "Rotate",
      ),
      h(
        "button",
        {
          type: "button",
          class: "small danger",
          "aria-label": `Revoke ${key.name}`,
          onclick: () => {
            confirmRevoke(key, revoked);
          },
        },
        "Revoke",
      ),
    ];
    return h(
      "li",
      { class: "row key", "data-tone": over ? "calm" : "good" },
      h("div", { class: "tile" }, icon("key")),
      h(
        "div",
        { class: "body" },
        h("p", { class: "name" }, key.name, " ", h("code", {}, `${key.prefix}…`)),
        h("p", { class: "status" }, story(key)),
        h("p", { class: "scopes" }, ...key.scopes.map((scope) => h("span", { class: "scope" }, scope))),
      ),
      h("div", { class: "buttons" }, ...(over ? [] : buttons)),
    );
  }
}

function passed(instant: string | null): boolean {
  return instant !== null && Date.parse(instant) <= Date.now();
}

function ended(key: api.ApiKey): boolean {
  return passed(key.revoked_at) || passed(key.expires_at);
}

function story(key: api.ApiKey): string {
  const parts = [`Made ${ago(key.created_at)}`, key.last_used_at ? `last used ${ago(key.last_used_at)}` : "never used"];
  if (key.revoked_at)
    parts.push(passed(key.revoked_at) ? `revoked ${ago(key.revoked_at)}` : `ends ${day(key.revoked_at)}`);
  else if (key.expires_at) parts.push(`${passed(key.expires_at) ? "expired" : "expires"} ${day(key.expires_at)}`);
  return listed(parts);
}
