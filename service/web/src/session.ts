// Who is signed in: Supabase Auth through auth-js, the part of supabase-js that speaks to /auth/v1.

import { AuthClient, isAuthApiError, isAuthError, type Session } from "@supabase/auth-js";
import { publishableKey, supabaseUrl } from "./config";

const auth = new AuthClient({
  url: `${supabaseUrl}/auth/v1`,
  headers: { apikey: publishableKey },
  storageKey: "assetdock.session",
  flowType: "pkce",
});

export interface Person {
  id: string;
  email: string;
}

const WORDS: Record<string, string> = {
  invalid_credentials: "That email and password don’t belong together. Check both and try again.",
  user_already_exists: "There is an account with this email already. Sign in instead.",
  email_exists: "There is an account with this email already. Sign in instead.",
  email_not_confirmed: "Confirm your email first: open the link that was sent to you.",
  email_address_invalid: "That isn’t an email address that can be used here.",
  signup_disabled: "New accounts can’t be made here. Ask whoever runs this service.",
  over_request_rate_limit: "Too many attempts. Wait a minute, then try again.",
  over_email_send_rate_limit: "Too many emails were asked for. Wait a while, then try again.",
};

function words(error: unknown): string {
  if (isAuthApiError(error)) return (error.code && WORDS[error.code]) ?? error.message;
  if (isAuthError(error) && error.name !== "AuthRetryableFetchError") return error.message;
  return "The sign-in service can’t be reached. Check your connection and try again.";
}

const person = (session: Session | null): Person | null =>
  session && { id: session.user.id, email: session.user.email ?? "" };

/** Calls back with who is signed in, at once and whenever that changes. */
export function onPerson(listener: (who: Person | null) => void): void {
  let last: string | null | undefined;
  auth.onAuthStateChange((_event, session) => {
    const who = person(session);
    if (who?.id === last && last !== undefined) return;
    last = who?.id ?? null;
    // auth-js holds a lock while it calls listeners, and ours ask for a token.
    setTimeout(() => {
      listener(who);
    });
  });
}

/** A token for the API, refreshed when it is about to end; null when nobody is signed in. */
export async function accessToken(): Promise<string | null> {
  return (await auth.getSession()).data.session?.access_token ?? null;
}

/** Undefined when it worked, else what went wrong, in words. */
export async function signIn(email: string, password: string): Promise<string | undefined> {
  const { error } = await auth.signInWithPassword({ email, password });
  return error ? words(error) : undefined;
}

/** `confirm` when a link in an email comes first. */
export async function signUp(email: string, password: string): Promise<{ error?: string; confirm?: boolean }> {
  const { data, error } = await auth.signUp({ email, password, options: { emailRedirectTo: location.origin } });
  return error ? { error: words(error) } : { confirm: data.session === null };
}

/** Ends this session; also here when the server can't be told. */
export async function signOut(): Promise<void> {
  await auth.signOut({ scope: "local" });
}
