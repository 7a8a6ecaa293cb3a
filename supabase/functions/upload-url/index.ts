// POST /functions/v1/upload-url: reserves an upload, for browser apps without a server.

import { handle } from "./handler.ts";
import { supabase } from "./supabase.ts";

// Under `supabase start` only containers can resolve SUPABASE_URL; PUBLIC_SUPABASE_URL is the URL for browsers.
const url = Deno.env.get("SUPABASE_URL")!;
const keys = JSON.parse(Deno.env.get("SUPABASE_PUBLISHABLE_KEYS") ?? "{}");
const project = supabase({
  url,
  publicUrl: Deno.env.get("PUBLIC_SUPABASE_URL") ?? url,
  publishableKey: keys.default ?? Deno.env.get("SUPABASE_ANON_KEY")!,
});
const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "POST",
  "Access-Control-Allow-Headers": "authorization, apikey, content-type, idempotency-key, x-client-info, x-request-id",
  "Access-Control-Expose-Headers": "Retry-After, WWW-Authenticate, X-Request-Id",
};

Deno.serve(async (request) => {
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: { ...CORS, Allow: "POST" } });
  const response = await handle(request, project);
  for (const [name, value] of Object.entries(CORS)) response.headers.set(name, value);
  return response;
});
