// Creates DOM elements without a framework. Strings become text nodes: nothing here parses HTML.

export type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | boolean | ((event: Event) => void)>;

/** Creates an element (hyperscript). A function is the listener of an attribute such as `onclick`. */
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
  replaceChildren(element, ...children);
  return element;
}

export function replaceChildren(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child): child is Node | string => child !== null && !!child));
}

/** Leaves equal text alone: screen readers don't repeat it, and a selection in it stays. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

let announcer: HTMLElement | undefined;

/** Makes screen readers read a text without moving the focus. */
export function announce(text: string): void {
  if (!announcer) {
    announcer = h("div", { role: "status", class: "visually-hidden" });
    document.body.append(announcer);
  }
  announcer.append(h("p", {}, text));
  while (announcer.childElementCount > 3) announcer.firstElementChild?.remove();
}
