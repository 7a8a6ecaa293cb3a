// Puts the page together: who is signed in decides what there is to see.

import { AssetsView } from "./assets";
import { announce, fill, h } from "./dom";
import { KeysView } from "./keys";
import { onPerson, signOut, type Person } from "./session";
import { signInView } from "./sign_in";

const app = document.getElementById("app");
if (!app) throw new Error("The page lacks #app.");
const page = app;

const offline = h(
  "p",
  { class: "offline", role: "status", hidden: true },
  "You’re offline. Uploads go on by themselves when you’re back.",
);
const showConnection = () => {
  offline.hidden = navigator.onLine;
};
addEventListener("online", showConnection);
addEventListener("offline", showConnection);
showConnection();

function brand(): HTMLElement {
  const logo = document.querySelector<HTMLLinkElement>('link[rel="icon"]')?.href ?? "";
  return h(
    "a",
    { class: "brand", href: "#assets" },
    h("img", { src: logo, alt: "", width: "28", height: "28" }),
    "Assetdock",
  );
}

function outside(): void {
  const lead = h("p", { class: "lead" }, "Upload audio and video, and know what arrived.");
  fill(
    page,
    offline,
    h("main", { id: "main", class: "outside" }, h("div", { class: "hello" }, brand(), lead), signInView()),
  );
  document.title = "Sign in · Assetdock";
}

function inside(person: Person): () => void {
  const assets = new AssetsView(person);
  const keys = new KeysView();
  const links = { assets: h("a", { href: "#assets" }, "Assets"), keys: h("a", { href: "#keys" }, "API keys") };
  const leave = h("button", { type: "button", class: "quiet", onclick: () => void signOut() }, "Sign out");
  const header = h(
    "header",
    {},
    brand(),
    h("nav", { "aria-label": "Main" }, links.assets, links.keys),
    h("div", { class: "account" }, h("span", { class: "email", title: person.email }, person.email), leave),
  );

  function show(event?: Event): void {
    if (location.hash === "#main") return; // the skip link
    const onKeys = location.hash === "#keys";
    assets.element.hidden = onKeys;
    keys.element.hidden = !onKeys;
    links.assets.setAttribute("aria-current", onKeys ? "false" : "page");
    links.keys.setAttribute("aria-current", onKeys ? "page" : "false");
    document.title = `${onKeys ? "API keys" : "Assets"} · Assetdock`;
    if (onKeys) void keys.load();
    if (event) (onKeys ? keys : assets).heading.focus();
  }

  fill(page, header, offline, h("main", { id: "main", tabindex: "-1" }, assets.element, keys.element));
  addEventListener("hashchange", show);
  show();
  announce(`Signed in as ${person.email}.`);
  return () => {
    removeEventListener("hashchange", show);
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    assets.close();
  };
}

let close: (() => void) | undefined;
onPerson((person) => {
  close?.();
  close = undefined;
  if (person) close = inside(person);
  else outside();
});
