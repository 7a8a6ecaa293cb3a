// Appended to the code of docs/guides/supabase-js.md. Prints what happened as one line of JSON.

globalThis.WebSocket ??= class {}; // a browser has one, Node 20 does not; only Realtime would use it

const { url, key, email, password, stranger, wav } = JSON.parse(process.argv[2]);
const caught = (promise) => promise.then(() => null, ({ code, message }) => ({ code, message }));

async function session(who) {
  const supabase = connect(url, key);
  const { error } = await supabase.auth.signInWithPassword(who);
  if (error) throw error;
  return supabase;
}

const mine = await session({ email, password });
const theirs = await session(stranger);
const bytes = Buffer.from(wav, "base64");
const file = new File([bytes], "tone.wav", { type: "audio/wav" });

const id = await upload(mine, file, "audio");
const confirmed = await arrived(mine, id);
const ready = await settled(mine, id);
const played = Buffer.from(await (await fetch(await playable(mine, id))).arrayBuffer());
const listed = await recent(mine);
const strangers = await recent(theirs);
await remove(mine, id);
const afterwards = await recent(mine);
const restored = await restore(mine, id);

const { data: waiting } = await mine.schema("assetdock").rpc("create_upload", { type: "audio", content_type: "audio/mpeg" });
const bucket = mine.storage.from("assets");
const { data: target } = await bucket.createSignedUploadUrl(waiting.object_name);

console.log(
  JSON.stringify({
    confirmed: confirmed.state,
    ready,
    same: played.equals(bytes),
    listed,
    strangers,
    afterwards,
    restored: restored.state,
    nothing_yet: await arrived(mine, waiting.asset.id),
    not_media: await caught(upload(mine, new File(["hello"], "page.html", { type: "text/html" }), "audio")),
    other_type: (await bucket.uploadToSignedUrl(target.path, target.token, file)).error?.message,
    no_reservation: !!(await bucket.upload("a.wav", file)).error,
    strangers_asset: await caught(remove(theirs, id)),
  }),
);
