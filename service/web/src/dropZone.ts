// The file input, and the page as a target for dragged files.

import { h } from "./elements";
import { ACCEPTED_FILES } from "./fileKind";
import { icon } from "./icons";

/** Calls `onFiles` with the files that a person chooses, or drops anywhere on the page, until `signal` aborts. */
export function dropZone(onFiles: (files: File[]) => void, signal: AbortSignal): HTMLElement {
  const input = h("input", { type: "file", id: "files", multiple: true, accept: ACCEPTED_FILES });
  input.addEventListener("change", () => {
    onFiles([...(input.files ?? [])]);
    input.value = "";
  });
  const title = h(
    "span",
    { class: "drop-zone-title" },
    "Drop audio or video here, or ",
    h("span", { class: "link" }, "choose files"),
  );
  const hint = h(
    "span",
    { class: "drop-zone-hint" },
    "Large files are sent in parts. If the connection is lost, the upload continues where it stopped.",
  );
  const element = h("div", { class: "drop-zone" }, input, h("label", { for: "files" }, icon("upload"), title, hint));

  let depth = 0; // every element under the pointer sends dragenter and dragleave
  const enter = (change: number) => {
    depth = Math.max(0, depth + change);
    element.classList.toggle("over", depth > 0);
  };
  const onDrag = (name: "dragenter" | "dragleave" | "dragover" | "drop", handle: (event: DragEvent) => void) => {
    const handleFiles = (event: DragEvent) => {
      if (event.dataTransfer?.types.includes("Files")) handle(event);
    };
    addEventListener(name, handleFiles, { signal });
  };
  onDrag("dragenter", () => {
    enter(1);
  });
  onDrag("dragleave", () => {
    enter(-1);
  });
  onDrag("dragover", (event) => {
    event.preventDefault();
  });
  onDrag("drop", (event) => {
    event.preventDefault();
    enter(-depth);
    onFiles([...(event.dataTransfer?.files ?? [])]);
  });
  return element;
}
