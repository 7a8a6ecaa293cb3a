-- The error protocol. PostgREST turns sqlstate PGRST with JSON in message and detail into an HTTP response with our
-- code, status and headers. Sqlstate PTxyz would also set the status, but PostgREST copies its message into the HTTP
-- reason phrase, where a newline splits the response.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Tables ----------------------------------------------------------------------
create table assetdock_private.errors (
  code text primary key,
  status integer not null check (status between 400 and 599),
  message text not null
);
alter table assetdock_private.errors enable row level security;
comment on table assetdock_private.errors is
  'Every error that a function can raise: code, HTTP status, and message. %s in a message is replaced by a detail.';

insert into assetdock_private.errors (code, status, message) values
  ('bad_request', 400, 'The request is malformed: %s'),
  ('unauthenticated', 401, 'The credential is missing, invalid or expired. Sign in again, or use another API key.'),
  ('forbidden', 403, 'This caller is not allowed to do this: %s'),
  ('storage_quota_exceeded', 403,
    'The storage quota of this owner is full: %s. Delete assets, or ask the operator for a larger quota.'),
  ('insufficient_scope', 403, 'This credential lacks the scope %s.'),
  ('not_found', 404, 'This resource does not exist, or it belongs to another owner.'),
  ('conflict', 409, 'The request conflicts with the current state: %s'),
  ('asset_type_not_uploadable', 409,
    'Processors create assets of this type. To upload one, use a credential with the scope assets:produce.'),
  ('upload_incomplete', 409, 'The bytes have not landed yet. Finish the upload, then ask again.'),
  ('asset_not_pending', 409, 'Only an asset in state pending_upload can get a new upload URL. This asset is %s.'),
  ('idempotency_conflict', 409,
    'This Idempotency-Key was used for a different request in the last 24 hours. Use a new key.'),
  ('asset_purged', 410, 'The bytes of this asset are deleted, or are being deleted. Upload them as a new asset.'),
  ('upload_expired', 410, 'The upload window has closed, and the asset accepts no bytes. Reserve a new asset.'),
  ('asset_too_large', 413, 'The file is larger than the limit of %s bytes.'),
  ('validation_error', 422, 'Some fields are invalid; see "fields".'),
  ('rate_limited', 429, 'You sent more than %s in one minute. Retry after the time in Retry-After.'),
  ('too_many_pending_uploads', 429,
    '%s uploads are pending, which is the limit. Finish or delete some, or wait until their windows close.');

-- Functions -------------------------------------------------------------------
create function assetdock_private.fail(
  code text,
  detail text default '',
  retry_after integer default null,
  fields jsonb default null
)
returns void
language plpgsql set search_path = '' as $$
declare
  error assetdock_private.errors;
begin
  select * into strict error from assetdock_private.errors e where e.code = fail.code;
  raise sqlstate 'PGRST' using
    message = jsonb_build_object(
      'code', error.code,
      'message', replace(error.message, '%s', fail.detail),
      -- Clients of PostgREST see this body but not the headers below, so the body repeats retry_after.
      'details', nullif(jsonb_strip_nulls(jsonb_build_object('fields', fields, 'retry_after', retry_after)), '{}')::text,
      'hint', null
    )::text,
    detail = jsonb_build_object(
      'status', error.status,
      'headers', jsonb_strip_nulls(jsonb_build_object(
        'Retry-After', retry_after::text,
        'WWW-Authenticate', case fail.code
          when 'unauthenticated' then 'Bearer error="invalid_token", error_description="The credential is not valid"'
          when 'insufficient_scope' then format('Bearer error="insufficient_scope", scope="%s"', detail)
        end
      ))
    )::text;
end
$$;
comment on function assetdock_private.fail(text, text, integer, jsonb) is
  'Raises an error of assetdock_private.errors; functions raise errors in no other way. detail: replaces %s; '
  'retry_after: seconds; fields: [{field, message}].';

create function assetdock_private.invalid(field text, message text)
returns jsonb
language sql immutable parallel safe
begin atomic
  select jsonb_build_array(jsonb_build_object('field', field, 'message', message));
end;
comment on function assetdock_private.invalid(text, text) is
  'One entry of "fields" of a validation_error, in an array that can be appended.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
