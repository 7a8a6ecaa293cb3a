// Elements without a framework. Text always goes in as text: nothing here parses HTML.

export type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | boolean | ((event: Event) => void)>;

/** An element. Attributes are strings or flags; `onclick` and its like are listeners. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  fill(element, ...children);
  return element;
}

/** Replaces what is in an element. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child): child is Node | string => child !== null && !!child));
}

/** Sets text only where it differs, so that screen readers and selections are left in peace. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

const PATHS = {
  play: "M8 5.5v13l10.500-6.500z",
  pause: "M8.500 5.500v13M15.500 5.500v13",
  resume: "M8 5.500v13l10.500-6.500z",
  retry: "M19 12a7 7 0 1 1-2.200-5.100M19 4v4h-4",
  cancel: "M6.500 6.500l11 11M17.500 6.500l-11 11",
  trash: "M5 7h14M10 7V5h4v2M7 7l.8 12h8.400L17 7M10.500 11v4.500M13.500 11v4.500",
  download: "M12 5v10M12 15l-4-4M12 15l4-4M6 19h12",
  upload: "M12 19V8M12 8l-4.500 4.500M12 8l4.500 4.500M5 5h14",
  video: "M4.500 6.500h10.500v11H4.500zM15 10.500l4.500-2.500v8l-4.500-2.500",
  audio: "M5 10v4M9 7v10M13 9v6M17 5.500v13M21 10.500v3",
  file: "M7 4.500h7l4 4v11H7zM14 4.500v4h4",
  key: "M4 15.5a3.8 3.8 0 1 0 7.6 0a3.8 3.8 0 1 0-7.6 0M10.5 12.8l8.500-8.500M16 7.300l2.600 2.600M13.300 10l1.900 1.900",
} as const;
export type IconName = keyof typeof PATHS;

/** A line drawing. It says nothing to a screen reader: what stands beside it does. */
export function icon(name: IconName): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon", `icon-${name}`);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and is called by its label. */
export function iconButton(name: IconName, label: string, onclick: () => void): HTMLButtonElement {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick }, icon(name));
}

let announcer: HTMLElement | undefined;

/** Says a sentence to a screen reader without moving the focus. */
export function announce(sentence: string): void {
  if (!announcer) {
    announcer = h("div", { role: "status", class: "unseen" });
    document.body.append(announcer);
  }
  announcer.append(h("p", {}, sentence));
  while (announcer.childElementCount > 3) announcer.firstElementChild?.remove();
}
