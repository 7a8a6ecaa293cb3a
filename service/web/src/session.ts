// The signed-in user: Supabase Auth through auth-js, the part of supabase-js that calls /auth/v1.

import { AuthClient } from "@supabase/auth-js";
import { publishableKey, supabaseUrl } from "./config";
import { authErrorMessage } from "./errors";

const auth = new AuthClient({
  url: `${supabaseUrl}/auth/v1`,
  headers: { apikey: publishableKey },
  storageKey: "assetdock.session",
  flowType: "pkce",
});

export interface User {
  id: string;
  email: string;
}

/** Calls the listener with the present user, and whenever the user changes. */
export function onUserChange(listener: (user: User | null) => void): void {
  let lastId: string | null | undefined;
  auth.onAuthStateChange((_event, session) => {
    const user = session && { id: session.user.id, email: session.user.email ?? "" };
    const id = user?.id ?? null;
    if (id === lastId) return;
    lastId = id;
    // auth-js holds a lock while it calls listeners, and ours requests a token.
    setTimeout(() => {
      listener(user);
    });
  });
}

/** Refreshes a token that is about to expire; null when nobody is signed in. */
export async function accessToken(): Promise<string | null> {
  return (await auth.getSession()).data.session?.access_token ?? null;
}

/** Returns an error message, or undefined on success. */
export async function signIn(email: string, password: string): Promise<string | undefined> {
  const { error } = await auth.signInWithPassword({ email, password });
  return error ? authErrorMessage(error) : undefined;
}

/** `confirm` is true if the person must first open a link in an email. */
export async function signUp(email: string, password: string): Promise<{ error?: string; confirm?: boolean }> {
  const { data, error } = await auth.signUp({ email, password, options: { emailRedirectTo: location.origin } });
  return error ? { error: authErrorMessage(error) } : { confirm: data.session === null };
}

/** Ends this session, in the browser even if Auth can't be reached. */
export async function signOut(): Promise<void> {
  await auth.signOut({ scope: "local" });
}
