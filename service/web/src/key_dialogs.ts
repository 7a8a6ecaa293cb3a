// Minting, rotating and revoking. A plaintext is shown once, and the dialog doesn't close by accident.

import * as api from "./api";
import { fill, h, say, type Child } from "./dom";

const SCOPES: [scope: string, words: string, usual: boolean][] = [
  ["assets:read", "See and play assets", true],
  ["assets:write", "Upload, delete and restore assets", true],
  ["api_keys:read", "See API keys", false],
  ["api_keys:write", "Make and revoke API keys", false],
  ["webhooks:read", "See webhooks", false],
  ["webhooks:write", "Change webhooks", false],
];
const DAY = 24 * 3600 * 1000;

function open(title: string, ...content: Child[]): HTMLDialogElement {
  const heading = h("h2", { id: "dialog-title" }, title);
  const dialog = h("dialog", { "aria-labelledby": heading.id }, heading, ...content);
  dialog.addEventListener("close", () => {
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A form in a dialog. `act` may show something else in it, else it closes. */
function ask(
  title: string,
  verb: string,
  tone: string,
  fields: Child[],
  act: (dialog: HTMLDialogElement) => Promise<void>,
) {
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = h("button", { type: "submit", class: tone }, verb);
  const cancel = h(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: () => {
        dialog.close();
      },
    },
    "Cancel",
  );
  const onsubmit = (event: Event) => {
    event.preventDefault();
    submit.disabled = true;
    act(dialog).catch((error: unknown) => {
      say(problem, api.inWords(error));
      submit.disabled = false;
    });
  };
  const dialog = open(title, h("form", { onsubmit }, ...fields, problem, h("div", { class: "foot" }, cancel, submit)));
}

function select(id: string, ...options: [value: string, words: string][]): HTMLSelectElement {
  const shown = options.map(([value, words]) => h("option", { value }, words));
  return h("select", { id }, ...shown);
}

function showOnce(dialog: HTMLDialogElement, key: api.NewApiKey): void {
  const plaintext = h(
    "textarea",
    { id: "plaintext", class: "mono", readonly: true, rows: "2", spellcheck: "false" },
    key.plaintext,
  );
  const copied = h("p", { class: "news", role: "status" });
  const copy = async () => {
    plaintext.select();
    try {
      await navigator.clipboard.writeText(key.plaintext);
      say(copied, "Copied.");
    } catch {
      say(copied, "Copying isn’t allowed here. It is selected: press Ctrl+C.");
    }
  };
  const heading = h("h2", { id: "dialog-title" }, "Save this key now");
  fill(
    dialog,
    heading,
    h("p", {}, `“${key.name}” works from now on. It is shown only this once: nobody, not even we, can show it again.`),
    h("label", { for: "plaintext" }, "Key"),
    h(
      "div",
      { class: "copy" },
      plaintext,
      h("button", { type: "button", class: "primary", onclick: () => void copy() }, "Copy"),
    ),
    copied,
    h(
      "div",
      { class: "foot" },
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            dialog.close();
          },
        },
        "I have saved it",
      ),
    ),
  );
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault(); // Escape would lose it
  });
  plaintext.focus();
  plaintext.select();
}

export function mintDialog(made: () => void): void {
  const name = h("input", { id: "key-name", required: true, maxlength: "120", autocomplete: "off" });
  const boxes = SCOPES.map(([scope, words, usual]) => {
    const box = h("input", { type: "checkbox", value: scope, checked: usual });
    return { box, label: h("label", { class: "check" }, box, h("span", {}, words, " ", h("code", {}, scope))) };
  });
  const expiry = select("key-expiry", ["", "Never"], ["30", "In 30 days"], ["90", "In 90 days"], ["365", "In a year"]);
  const fields = [
    h("label", { for: "key-name" }, "Name"),
    name,
    h("p", { class: "hint" }, "What will use it, such as “Studio uploader”."),
    h("fieldset", {}, h("legend", {}, "It may"), ...boxes.map(({ label }) => label)),
    h("label", { for: "key-expiry" }, "It ends"),
    expiry,
  ];
  ask("New API key", "Create key", "primary", fields, async (dialog) => {
    const days = Number(expiry.value);
    const key = await api.mint({
      name: name.value,
      scopes: boxes.filter(({ box }) => box.checked).map(({ box }) => box.value),
      ...(days ? { expires_at: new Date(Date.now() + days * DAY).toISOString() } : {}),
    });
    showOnce(dialog, key);
    made();
  });
}

export function rotateDialog(key: api.ApiKey, made: () => void): void {
  const overlap = select(
    "overlap",
    ["0", "At once"],
    ["3600", "In an hour"],
    ["86400", "In a day"],
    ["604800", "In a week"],
  );
  const fields = [
    h("p", {}, `A new key with the same name and scopes takes the place of “${key.name}”.`),
    h("label", { for: "overlap" }, "The old key ends"),
    overlap,
  ];
  ask("Rotate key", "Rotate", "primary", fields, async (dialog) => {
    showOnce(dialog, await api.rotate(key.id, Number(overlap.value)));
    made();
  });
}

export function confirmRevoke(key: api.ApiKey, done: () => void): void {
  const fields = [h("p", {}, `Whatever uses “${key.name}” is refused from its next request on. This can’t be undone.`)];
  ask("Revoke key", "Revoke", "danger-fill", fields, async (dialog) => {
    await api.revoke(key.id);
    dialog.close();
    done();
  });
}
