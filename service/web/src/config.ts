// Settings that the service writes into <meta> elements, so that no script is inline.

function meta(name: string): string {
  const element = document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`);
  if (!element?.content) throw new Error(`The page lacks <meta name="${name}">.`);
  return element.content;
}

export const supabaseUrl = meta("supabase-url");
export const publishableKey = meta("supabase-publishable-key");
