// Bundles the page into dist/. File names contain a hash of the content, so that browsers can cache them forever.
//
//   node service/web/build.mjs
//
// The service fills in {{supabase_url}} and {{supabase_publishable_key}} in dist/index.html.

import { readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PLACEHOLDERS = { "src/main.ts": "{{main.js}}", "style.css": "{{style.css}}", "icon.svg": "{{icon.svg}}" };

await rm(here("dist"), { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: here("."),
  entryPoints: Object.keys(PLACEHOLDERS),
  outdir: "dist",
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome110", "firefox115", "safari16.4"],
  loader: { ".svg": "copy", ".woff2": "file" },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

let html = await readFile(here("index.html"), "utf8");
for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) {
  const placeholder = PLACEHOLDERS[entryPoint];
  if (placeholder) html = html.replace(placeholder, `/web/${basename(path)}`);
  if (/\.(js|css|svg)$/.test(path)) {
    const content = await readFile(here(path));
    await writeFile(here(`${path}.br`), brotliCompressSync(content));
    await writeFile(here(`${path}.gz`), gzipSync(content, { level: 9 }));
  }
}
await writeFile(here("dist/index.html"), html);
