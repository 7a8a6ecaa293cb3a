// The list of API keys, which scripts and servers use to upload for a person.

import * as api from "./api";
import { openCreateDialog, openRevokeDialog, openRotateDialog } from "./apiKeyDialogs";
import { announce, h, replaceChildren, setText } from "./elements";
import { errorMessage } from "./errors";
import { formatAge, formatDate, joinFacts } from "./formatting";
import { icon } from "./icons";

export class ApiKeyList {
  readonly element: HTMLElement;
  readonly heading = h("h1", { tabindex: "-1" }, "API keys");
  readonly #active = h("ul", { class: "list", "aria-label": "API keys" });
  readonly #inactive = h("ul", { class: "list", "aria-label": "Inactive keys" });
  readonly #inactiveSummary = h("summary", {});
  readonly #inactiveDetails = h("details", { hidden: true }, this.#inactiveSummary, this.#inactive);
  readonly #empty = h("p", { class: "empty", hidden: true }, "No keys yet.");
  readonly #problem = h("p", { class: "notice problem", role: "alert", hidden: true });

  constructor() {
    const create = () => {
      openCreateDialog(() => void this.load());
    };
    const createButton = h("button", { type: "button", class: "primary", onclick: create }, "New key");
    this.element = h(
      "section",
      { "aria-label": "API keys" },
      h("div", { class: "heading" }, this.heading, createButton),
      h("p", { class: "lead" }, "Scripts and servers use API keys to act for you. Each key has its own permissions."),
      this.#problem,
      this.#active,
      this.#empty,
      this.#inactiveDetails,
    );
  }

  async load(): Promise<void> {
    try {
      const { items } = await api.listApiKeys();
      const active = items.filter(isActive).reverse();
      const inactive = items.filter((key) => !isActive(key)).reverse();
      replaceChildren(this.#active, ...active.map((key) => this.#row(key)));
      replaceChildren(this.#inactive, ...inactive.map((key) => this.#row(key)));
      this.#empty.hidden = active.length > 0;
      this.#inactiveDetails.hidden = !inactive.length;
      setText(this.#inactiveSummary, inactive.length === 1 ? "1 inactive key" : `${inactive.length} inactive keys`);
      this.#problem.hidden = true;
    } catch (error) {
      this.#problem.hidden = false;
      setText(this.#problem, errorMessage(error));
    }
  }

  #row(key: api.ApiKey): HTMLElement {
    return h(
      "li",
      { class: "row key", "data-tone": isActive(key) ? "success" : "neutral" },
      h("div", { class: "tile" }, icon("key")),
      h(
        "div",
        { class: "body" },
        h("p", { class: "name" }, key.name, " ", h("code", {}, `${key.prefix}…`)),
        h("p", { class: "status" }, keyFacts(key)),
        h("p", { class: "scopes" }, ...key.scopes.map((scope) => h("span", { class: "scope" }, scope))),
      ),
      h("div", { class: "buttons" }, ...(isActive(key) ? this.#buttons(key) : [])),
    );
  }

  #buttons(key: api.ApiKey): HTMLElement[] {
    const reload = () => void this.load();
    const rotate = () => {
      openRotateDialog(key, reload);
    };
    const revoke = () => {
      openRevokeDialog(key, () => {
        announce(`${key.name} was revoked.`);
        this.heading.focus();
        reload();
      });
    };
    const button = (label: string, style: string, onclick: () => void) =>
      h("button", { type: "button", class: style, "aria-label": `${label} ${key.name}`, onclick }, label);
    return [button("Rotate", "small", rotate), button("Revoke", "small danger", revoke)];
  }
}

const isPast = (timestamp: string | null) => timestamp !== null && Date.parse(timestamp) <= Date.now();

const isActive = (key: api.ApiKey) => !isPast(key.revoked_at) && !isPast(key.expires_at);

function keyFacts(key: api.ApiKey): string {
  const facts = [
    `Created ${formatAge(key.created_at)}`,
    key.last_used_at ? `last used ${formatAge(key.last_used_at)}` : "never used",
  ];
  if (key.revoked_at) {
    facts.push(
      isPast(key.revoked_at) ? `revoked ${formatAge(key.revoked_at)}` : `expires ${formatDate(key.revoked_at)}`,
    );
  } else if (key.expires_at) {
    facts.push(`${isPast(key.expires_at) ? "expired" : "expires"} ${formatDate(key.expires_at)}`);
  }
  return joinFacts(facts);
}
