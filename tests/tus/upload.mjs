// Uploads a file with the unmodified tus-js-client, like a browser app.
//
//   node upload.mjs <file> <upload.resumable as JSON> [options as JSON]
//
// options: uploadUrl (resume this upload), abortAfter (abort at this number of bytes), terminate, retryDelays.
// Prints one JSON object per line: {"url"}, {"progress"}, and finally {"done"}, {"aborted"} or {"failed"}.

import { createReadStream, statSync } from "node:fs";
import tus from "tus-js-client";

const [file, target, optionsJson] = process.argv.slice(2);
const { url, headers, metadata, chunk_size: chunkSize } = JSON.parse(target);
const options = JSON.parse(optionsJson ?? "{}");
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const upload = new tus.Upload(createReadStream(file), {
  endpoint: url,
  headers,
  metadata: { ...metadata, ...options.metadata },
  chunkSize,
  uploadSize: statSync(file).size,
  uploadUrl: options.uploadUrl,
  retryDelays: options.retryDelays ?? [],
  onUploadUrlAvailable: () => print({ url: upload.url }),
  onChunkComplete: async (_size, accepted) => {
    print({ progress: accepted });
    if (options.abortAfter !== undefined && accepted >= options.abortAfter) {
      await upload.abort(options.terminate ?? false);
      print({ aborted: accepted });
    }
  },
  onSuccess: () => print({ done: upload.url }),
  onError: (error) => {
    const response = error.originalResponse;
    print({ failed: response?.getStatus() ?? 0, message: response?.getBody() ?? String(error) });
  },
});
upload.start();
