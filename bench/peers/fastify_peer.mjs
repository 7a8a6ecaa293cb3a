// POST /assets/upload-url with Fastify and supabase-js, one client for the process.
//
// It forwards the caller's token unverified, calls the same SQL function, requests the same signed URL and returns the
// same fields. It has no API keys, error translation, rate limit, metrics or request log.
// node bench/peers/fastify_peer.mjs PORT; the environment has SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY.

import { createClient } from "@supabase/supabase-js";
import Fastify from "fastify";

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY } = process.env;
const supabase = createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, {
  auth: { persistSession: false, autoRefreshToken: false },
  realtime: { transport: class {} }, // Node 20 has no WebSocket, and Realtime is not used
});

const app = Fastify();

const body = {
  type: "object",
  required: ["type"],
  properties: { type: { type: "string" }, content_type: { type: "string" } },
};

app.post("/api/v1/assets/upload-url", { schema: { body } }, async (request, reply) => {
  const { data: reservation, error } = await supabase
    .schema("assetdock")
    .rpc("create_upload", request.body)
    .setHeader("Authorization", request.headers.authorization);
  if (error) return reply.code(502).send({ error: error.message });
  const signed = await supabase.storage.from("assets").createSignedUploadUrl(reservation.object_name);
  if (signed.error) return reply.code(502).send({ error: signed.error.message });
  reply.code(201);
  return {
    asset: reservation.asset,
    upload: {
      method: "PUT",
      url: signed.data.signedUrl,
      headers: { "Content-Type": request.body.content_type },
      expires_at: reservation.upload_expires_at,
    },
  };
});

await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
