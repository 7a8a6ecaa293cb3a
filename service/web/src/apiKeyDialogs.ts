// Dialogs that create, rotate and revoke API keys. The dialog that shows a new key once doesn't close by accident.

import * as api from "./api";
import { h, replaceChildren, setText, type Child } from "./elements";
import { errorMessage } from "./errors";

/** tests/service/test_page.py compares the scopes with the API's list. */
const SCOPES: [scope: string, description: string, preselected: boolean][] = [
  ["assets:read", "See and play assets", true],
  ["assets:write", "Upload, delete and restore assets", true],
  ["api_keys:read", "See API keys", false],
  ["api_keys:write", "Create and revoke API keys", false],
  ["webhooks:read", "See webhooks", false],
  ["webhooks:write", "Change webhooks", false],
];
const DAY_MS = 24 * 3600 * 1000;

/** Opens a dialog with a form. If `submit` does not close the dialog or replace its content, the person can try again. */
function openForm(
  title: string,
  submitLabel: string,
  submitClass: string,
  fields: Child[],
  submit: (dialog: HTMLDialogElement) => Promise<void>,
): void {
  const heading = h("h2", { id: "dialog-title" }, title);
  const problem = h("p", { class: "problem", role: "alert" });
  const submitButton = h("button", { type: "submit", class: submitClass }, submitLabel);
  const close = () => {
    dialog.close();
  };
  const cancelButton = h("button", { type: "button", class: "quiet", onclick: close }, "Cancel");
  const onsubmit = (event: Event) => {
    event.preventDefault();
    submitButton.disabled = true;
    submit(dialog).catch((error: unknown) => {
      setText(problem, errorMessage(error));
      submitButton.disabled = false;
    });
  };
  const actions = h("div", { class: "dialog-actions" }, cancelButton, submitButton);
  const form = h("form", { onsubmit }, ...fields, problem, actions);
  const dialog = h("dialog", { "aria-labelledby": heading.id }, heading, form);
  dialog.addEventListener("close", () => {
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function select(id: string, ...options: [value: string, label: string][]): HTMLSelectElement {
  return h("select", { id }, ...options.map(([value, label]) => h("option", { value }, label)));
}

function showPlaintext(dialog: HTMLDialogElement, key: api.NewApiKey): void {
  const plaintext = h(
    "textarea",
    { id: "plaintext", class: "mono", readonly: true, rows: "2", spellcheck: "false" },
    key.plaintext,
  );
  const copyStatus = h("p", { class: "confirmation", role: "status" });
  const copy = async () => {
    plaintext.select();
    try {
      await navigator.clipboard.writeText(key.plaintext);
      setText(copyStatus, "Copied.");
    } catch {
      setText(copyStatus, "The browser blocked copying. The key is selected: press Ctrl+C.");
    }
  };
  const close = () => {
    dialog.close();
  };
  replaceChildren(
    dialog,
    h("h2", { id: "dialog-title" }, "Save this key now"),
    h("p", {}, `“${key.name}” is ready to use. The key is shown only once: nobody can show it again.`),
    h("label", { for: "plaintext" }, "Key"),
    h(
      "div",
      { class: "copy-field" },
      plaintext,
      h("button", { type: "button", class: "primary", onclick: () => void copy() }, "Copy"),
    ),
    copyStatus,
    h("div", { class: "dialog-actions" }, h("button", { type: "button", onclick: close }, "I have saved it")),
  );
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault(); // Escape would close the dialog and lose the key
  });
  plaintext.focus();
  plaintext.select();
}

export function openCreateDialog(onCreated: () => void): void {
  const name = h("input", { id: "key-name", required: true, maxlength: "120", autocomplete: "off" });
  const scopes = SCOPES.map(([scope, description, preselected]) => {
    const checkbox = h("input", { type: "checkbox", value: scope, checked: preselected });
    const text = h("span", {}, description, " ", h("code", {}, scope));
    return { checkbox, label: h("label", { class: "checkbox" }, checkbox, text) };
  });
  const expiry = select("key-expiry", ["", "Never"], ["30", "In 30 days"], ["90", "In 90 days"], ["365", "In a year"]);
  const fields = [
    h("label", { for: "key-name" }, "Name"),
    name,
    h("p", { class: "hint" }, "The program that will use the key, such as “Studio uploader”."),
    h("fieldset", {}, h("legend", {}, "Permissions"), ...scopes.map(({ label }) => label)),
    h("label", { for: "key-expiry" }, "Expires"),
    expiry,
  ];
  openForm("New API key", "Create key", "primary", fields, async (dialog) => {
    const days = Number(expiry.value);
    const key = await api.createApiKey({
      name: name.value,
      scopes: scopes.filter(({ checkbox }) => checkbox.checked).map(({ checkbox }) => checkbox.value),
      ...(days ? { expires_at: new Date(Date.now() + days * DAY_MS).toISOString() } : {}),
    });
    showPlaintext(dialog, key);
    onCreated();
  });
}

export function openRotateDialog(key: api.ApiKey, onRotated: () => void): void {
  const overlap = select(
    "overlap",
    ["0", "Immediately"],
    ["3600", "In an hour"],
    ["86400", "In a day"],
    ["604800", "In a week"],
  );
  const fields = [
    h("p", {}, `A new key with the same name and permissions replaces “${key.name}”.`),
    h("label", { for: "overlap" }, "The old key expires"),
    overlap,
  ];
  openForm("Rotate key", "Rotate", "primary", fields, async (dialog) => {
    showPlaintext(dialog, await api.rotateApiKey(key.id, Number(overlap.value)));
    onRotated();
  });
}

export function openRevokeDialog(key: api.ApiKey, onRevoked: () => void): void {
  const fields = [h("p", {}, `Programs that use “${key.name}” lose access immediately. This can’t be undone.`)];
  openForm("Revoke key", "Revoke", "danger-fill", fields, async (dialog) => {
    await api.revokeApiKey(key.id);
    dialog.close();
    onRevoked();
  });
}
