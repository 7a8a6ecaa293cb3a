// Uploads a file with the unmodified tus-js-client, like a browser app. The exit status is 1 if the upload fails.
//
//   node transfer.mjs <file> <upload.resumable as JSON>

import { createReadStream, statSync } from "node:fs";
import tus from "tus-js-client";

const [file, target] = process.argv.slice(2);
const { url, headers, metadata, chunk_size: chunkSize } = JSON.parse(target);

new tus.Upload(createReadStream(file), {
  endpoint: url,
  headers,
  metadata,
  chunkSize,
  uploadSize: statSync(file).size,
  retryDelays: [],
  onError: (error) => {
    process.stderr.write(`${error}\n`);
    process.exitCode = 1;
  },
}).start();
