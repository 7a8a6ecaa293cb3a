// Uploads a file with the unmodified tus-js-client, as a browser app would.
//
//   node upload.mjs <file> <upload.resumable as JSON> [options as JSON]
//
// options: uploadUrl (resume this one), abortAfter (bytes: stop there, as a closed tab does), terminate,
// retryDelays. Prints one JSON object per line: {"url"}, {"progress"}, and at last {"done"}, {"aborted"} or {"failed"}.

import { createReadStream, statSync } from "node:fs";
import tus from "tus-js-client";

const [file, target, given] = process.argv.slice(2);
const { url, headers, metadata, chunk_size: chunkSize } = JSON.parse(target);
const options = JSON.parse(given ?? "{}");
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const upload = new tus.Upload(createReadStream(file), {
  endpoint: url,
  headers,
  metadata: { ...metadata, ...options.metadata },
  chunkSize,
  uploadSize: statSync(file).size,
  uploadUrl: options.uploadUrl,
  retryDelays: options.retryDelays ?? [],
  onUploadUrlAvailable: () => say({ url: upload.url }),
  onChunkComplete: async (_size, accepted) => {
    say({ progress: accepted });
    if (options.abortAfter !== undefined && accepted >= options.abortAfter) {
      await upload.abort(options.terminate ?? false);
      say({ aborted: accepted });
    }
  },
  onSuccess: () => say({ done: upload.url }),
  onError: (error) => {
    const answer = error.originalResponse;
    say({ failed: answer?.getStatus() ?? 0, message: answer?.getBody() ?? String(error) });
  },
});
upload.start();
