// Shows the sign-in form, or the assets and API keys of the user who is signed in.

import { ApiKeyList } from "./apiKeyList";
import { AssetList } from "./assetList";
import { announce, h, replaceChildren } from "./elements";
import { onUserChange, signOut, type User } from "./session";
import { signInForm } from "./signIn";

const app = document.getElementById("app");
if (!app) throw new Error("The page lacks #app.");
const root = app;

const offline = h(
  "p",
  { class: "offline", role: "status", hidden: true },
  "You’re offline. Uploads continue when you’re back online.",
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

function showSignIn(): void {
  const lead = h("p", { class: "lead" }, "Upload audio and video, and see what each file contains.");
  const intro = h("div", { class: "intro" }, brand(), lead);
  replaceChildren(root, offline, h("main", { id: "main", class: "signed-out" }, intro, signInForm()));
  document.title = "Sign in · Assetdock";
}

/** Returns a function that closes the views. */
function showViews(user: User): () => void {
  const assets = new AssetList(user);
  const keys = new ApiKeyList();
  const links = { assets: h("a", { href: "#assets" }, "Assets"), keys: h("a", { href: "#keys" }, "API keys") };
  const signOutButton = h("button", { type: "button", class: "quiet", onclick: () => void signOut() }, "Sign out");
  const header = h(
    "header",
    {},
    brand(),
    h("nav", { "aria-label": "Main" }, links.assets, links.keys),
    h("div", { class: "account" }, h("span", { class: "email", title: user.email }, user.email), signOutButton),
  );

  function navigate(event?: Event): void {
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

  replaceChildren(root, header, offline, h("main", { id: "main", tabindex: "-1" }, assets.element, keys.element));
  addEventListener("hashchange", navigate);
  navigate();
  announce(`Signed in as ${user.email}.`);
  return () => {
    removeEventListener("hashchange", navigate);
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    assets.close();
  };
}

let closeViews: (() => void) | undefined;
onUserChange((user) => {
  closeViews?.();
  closeViews = undefined;
  if (user) closeViews = showViews(user);
  else showSignIn();
});
