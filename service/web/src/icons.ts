// Icons as inline SVG, drawn on a grid of 24 × 24.

import { h } from "./elements";

const PATHS = {
  play: "M8 5.5v13l10.500-6.500z",
  pause: "M8.500 5.500v13M15.500 5.500v13",
  resume: "M8 5.500v13l10.500-6.500z",
  retry: "M19 12a7 7 0 1 1-2.200-5.100M19 4v4h-4",
  cancel: "M6.500 6.500l11 11M17.500 6.500l-11 11",
  delete: "M5 7h14M10 7V5h4v2M7 7l.8 12h8.400L17 7M10.500 11v4.500M13.500 11v4.500",
  download: "M12 5v10M12 15l-4-4M12 15l4-4M6 19h12",
  upload: "M12 19V8M12 8l-4.500 4.500M12 8l4.500 4.500M5 5h14",
  video: "M4.500 6.500h10.500v11H4.500zM15 10.500l4.500-2.500v8l-4.500-2.500",
  audio: "M5 10v4M9 7v10M13 9v6M17 5.500v13M21 10.500v3",
  file: "M7 4.500h7l4 4v11H7zM14 4.500v4h4",
  key: "M4 15.5a3.8 3.8 0 1 0 7.6 0a3.8 3.8 0 1 0-7.6 0M10.5 12.8l8.500-8.500M16 7.300l2.600 2.600M13.300 10l1.900 1.900",
} as const;
export type IconName = keyof typeof PATHS;

/** Hidden from screen readers: a label stands beside it. */
export function icon(name: IconName): SVGSVGElement {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon", `icon-${name}`);
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name: IconName, label: string, onclick: () => void): HTMLButtonElement {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick }, icon(name));
}
