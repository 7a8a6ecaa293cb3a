// Errors, and the messages that a person reads about them.

import { isAuthApiError, isAuthError } from "@supabase/auth-js";

/** By error code of the API, whose own messages address developers. tests/service/test_page.py checks the codes. */
const API_MESSAGES: Record<string, string> = {
  unauthenticated: "You’ve been signed out. Sign in again.",
  storage_quota_exceeded: "Your storage is full. Delete some assets, or ask whoever runs this service for more space.",
  not_found: "This no longer exists. Reload the page.",
  asset_not_pending: "This upload has already ended. Reload the page.",
  asset_purged: "This was deleted too long ago to restore. Upload the file again.",
  upload_expired: "The upload took too long and has expired. Add the file again.",
  asset_too_large: "This file is larger than this service accepts. Choose a smaller file.",
  validation_error: "Check what you entered.",
  too_many_pending_uploads: "Too many uploads are unfinished. Finish or delete some, then try again.",
  rate_limited: "Too many requests in a short time. Wait a minute, then try again.",
  internal_error: "Something went wrong on the server. Try again. If it happens again, tell whoever runs this service.",
  upstream_error: "The service has a problem. Try again later.",
  upstream_unavailable: "The service is temporarily unavailable. Try again in a minute.",
  upstream_timeout: "The service took too long to respond. Try again.",
};

/** By error code of Supabase Auth. */
const AUTH_MESSAGES: Record<string, string> = {
  invalid_credentials: "The email or password is wrong. Check both and try again.",
  user_already_exists: "An account with this email already exists. Sign in instead.",
  email_exists: "An account with this email already exists. Sign in instead.",
  email_not_confirmed: "Confirm your email first: open the link that was sent to you.",
  email_address_invalid: "This email address can’t be used here. Try another one.",
  signup_disabled: "New accounts can’t be created here. Ask whoever runs this service.",
  over_request_rate_limit: "Too many attempts. Wait a minute, then try again.",
  over_email_send_rate_limit: "Too many emails were requested. Wait a while, then try again.",
};

export interface ErrorBody {
  error?: { code: string; message: string; fields?: { field: string; message: string }[] };
}

/** An error response of the service. `message` is for a person. */
export class ApiError extends Error {
  readonly code: string;

  constructor(
    readonly status: number,
    { error }: ErrorBody,
  ) {
    const fields = error?.fields?.map(({ field, message }) => `${field.replace(/^\w+\./, "")}: ${message}`) ?? [];
    const message = (error && (API_MESSAGES[error.code] ?? error.message)) ?? `The service failed (${status}).`;
    super([message, ...fields].join(" "));
    this.code = error?.code ?? "unknown";
  }
}

export class UnreachableError extends Error {
  constructor() {
    super("The service can’t be reached. Check your connection.");
  }
}

export const errorMessage = (error: unknown): string =>
  error instanceof ApiError || error instanceof UnreachableError
    ? error.message
    : "Something went wrong. Reload the page and try again.";

export function authErrorMessage(error: unknown): string {
  if (isAuthApiError(error)) return (error.code && AUTH_MESSAGES[error.code]) ?? error.message;
  if (isAuthError(error) && error.name !== "AuthRetryableFetchError") return error.message;
  return "The sign-in service can’t be reached. Check your connection and try again.";
}

/** The message in an error response of Storage: JSON or plain text. */
export function storageErrorMessage(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: string };
    if (message) return message;
  } catch {
    if (body && body.length < 300 && !body.startsWith("<")) return body;
  }
  return "Storage rejected the file. Add it again.";
}
