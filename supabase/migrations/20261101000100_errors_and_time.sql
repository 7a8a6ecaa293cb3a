-- Three small tools every later migration uses: failing, ids that carry their instant, times as text.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- One error protocol. PostgREST turns sqlstate PGRST with JSON in message and detail into an HTTP answer of our
-- choosing. sqlstate PTxyz would set the status as well, but copies its message into the HTTP reason phrase, where
-- a newline splits the response.
create table assetdock_private.errors (
  code text primary key,
  status integer not null check (status between 400 and 599),
  message text not null
);
alter table assetdock_private.errors enable row level security;
comment on table assetdock_private.errors is
  'Every error a function may raise: its code, HTTP status, and the sentence a caller reads (%s is filled in).';

insert into assetdock_private.errors (code, status, message) values
  ('bad_request', 400, 'The request could not be understood: %s'),
  ('unauthenticated', 401, 'The credential is not, or no longer, valid. Sign in again or use another API key.'),
  ('forbidden', 403, 'This caller may not do that: %s'),
  ('storage_quota_exceeded', 403, 'This owner has no room left: %s. Delete assets, or ask for more.'),
  ('insufficient_scope', 403, 'This credential lacks the scope %s.'),
  ('not_found', 404, 'There is nothing here, or it belongs to someone else.'),
  ('conflict', 409, 'The change does not fit the present state: %s'),
  ('asset_type_not_uploadable', 409, 'Assets of this type are made by processors; uploading one needs the scope assets:produce.'),
  ('upload_incomplete', 409, 'The bytes are not there yet. Finish the upload, then ask again.'),
  ('asset_not_pending', 409, 'Only an asset that is still pending_upload gets a new upload URL; this one is %s.'),
  ('idempotency_conflict', 409, 'This Idempotency-Key was used for a different request in the last 24 hours. Use a new key.'),
  ('asset_purged', 410, 'The bytes are gone, or about to be. Upload them as a new asset.'),
  ('upload_expired', 410, 'The upload window has closed and nothing can land any more. Reserve a new asset.'),
  ('asset_too_large', 413, 'Larger than the %s bytes an asset may have.'),
  ('validation_error', 422, 'Some fields are not valid; see "fields".'),
  ('rate_limited', 429, 'More than %s in a minute. Wait for as long as Retry-After says.'),
  ('too_many_pending_uploads', 429, 'There are %s uploads waiting for their bytes. Finish or delete some, or wait.');

create function assetdock_private.fail(
  code text, detail text default '', retry_after integer default null, fields jsonb default null
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  known assetdock_private.errors;
begin
  select * into strict known from assetdock_private.errors e where e.code = fail.code;
  raise sqlstate 'PGRST' using
    message = jsonb_build_object(
      'code', known.code,
      'message', replace(known.message, '%s', fail.detail),
      -- Clients of PostgREST see only this body, not the headers below, so what they need of them is here too.
      'details', nullif(jsonb_strip_nulls(jsonb_build_object('fields', fields, 'retry_after', retry_after)), '{}')::text,
      'hint', null
    )::text,
    detail = jsonb_build_object(
      'status', known.status,
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
  'The only way a function refuses. code: a row of assetdock_private.errors; detail: what %s stands for; retry_after: seconds; fields: [{field, message}].';
revoke all on function assetdock_private.fail(text, text, integer, jsonb) from public, anon, authenticated, service_role;

create function assetdock_private.invalid(field text, message text)
returns jsonb
language sql immutable parallel safe
begin atomic
  select jsonb_build_array(jsonb_build_object('field', field, 'message', message));
end;
comment on function assetdock_private.invalid(text, text) is 'One entry of the "fields" of a validation_error, as a list to append.';
revoke all on function assetdock_private.invalid(text, text) from public, anon, authenticated, service_role;

-- UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds, then a version 4 UUID's random bits with the version
-- nibble turned from 0100 into 0111. Postgres 17 has none of its own. Written in SQL with a parsed body so that it
-- is inlined: with a pinned search_path the call costs almost three times as much, and a parsed body needs no pin.
create function assetdock_private.uuid7()
returns uuid
language sql volatile parallel safe
begin atomic
  select encode(
    set_bit(
      set_bit(
        overlay(
          uuid_send(gen_random_uuid())
          placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
          from 1 for 6
        ),
        52, 1
      ),
      53, 1
    ),
    'hex'
  )::uuid;
end;
comment on function assetdock_private.uuid7() is 'A new UUIDv7: sorts by the millisecond it was made in.';
revoke all on function assetdock_private.uuid7() from public, anon, authenticated, service_role;

create function assetdock_private.uuid7_instant(id uuid)
returns timestamptz
language sql immutable parallel safe
begin atomic
  select to_timestamp(
    ('x' || encode(substring(uuid_send(id) from 1 for 6), 'hex'))::bit(48)::bigint / 1000.0::double precision
  );
end;
comment on function assetdock_private.uuid7_instant(uuid) is 'The instant inside a UUIDv7.';
revoke all on function assetdock_private.uuid7_instant(uuid) from public, anon, authenticated, service_role;
-- The views that callers read say by it when something began.
grant execute on function assetdock_private.uuid7_instant(uuid) to authenticated;

create function assetdock_private.uuid7_floor(at timestamptz)
returns uuid
-- Not immutable: extracting from a timestamptz is only stable, and what claims more than its body is not inlined.
language sql stable parallel safe
begin atomic
  select encode(
    substring(int8send((extract(epoch from at) * 1000)::bigint) from 3) || '\x70008000000000000000'::bytea, 'hex'
  )::uuid;
end;
comment on function assetdock_private.uuid7_floor(timestamptz) is 'The smallest UUIDv7 of an instant: ids made since then are not less.';
revoke all on function assetdock_private.uuid7_floor(timestamptz) from public, anon, authenticated, service_role;

create function assetdock_private.rfc3339(at timestamptz)
returns text
language sql stable parallel safe
begin atomic
  select to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
end;
comment on function assetdock_private.rfc3339(timestamptz) is 'RFC 3339 in UTC with six decimal places and Z, as the HTTP API prints times.';
revoke all on function assetdock_private.rfc3339(timestamptz) from public, anon, authenticated, service_role;

create function assetdock_private.is_uuid(candidate text)
returns boolean
language sql immutable parallel safe
begin atomic
  select coalesce(candidate ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$', false);
end;
comment on function assetdock_private.is_uuid(text) is 'Whether a text is a UUID in its one canonical, lower-case spelling; null is not.';
revoke all on function assetdock_private.is_uuid(text) from public, anon, authenticated, service_role;

-- What an operator may turn. One row, so that a setting is a column with a type, a default and a check.
create table assetdock_private.settings (
  the_only_row boolean primary key default true check (the_only_row),
  finish_grace interval not null default '2 hours' check (finish_grace between '0' and '1 day'),
  renewable_for interval not null default '24 hours' check (renewable_for > '0'),
  deletion_grace interval not null default '30 days' check (deletion_grace >= '0')
);
alter table assetdock_private.settings enable row level security;
insert into assetdock_private.settings default values;
comment on table assetdock_private.settings is 'Operator settings, one row. Change them with UPDATE ... WHERE the_only_row.';
comment on column assetdock_private.settings.finish_grace is
  'How long after its window an upload that began in time may still land. Not less than the life of an upload token that Storage issues (2 hours).';
comment on column assetdock_private.settings.renewable_for is 'How long after its creation a pending asset may get new upload URLs.';
comment on column assetdock_private.settings.deletion_grace is 'How long a deleted asset keeps its bytes and can be restored.';

-- Limits are the settings of one owner. A null in an owner's row means the default, which is the row without an owner.
create table assetdock_private.limits (
  owner_id uuid unique nulls not distinct,
  reservations_per_minute integer check (reservations_per_minute > 0),
  pending_uploads integer check (pending_uploads >= 0),
  asset_bytes bigint check (asset_bytes > 0),
  stored_bytes bigint check (stored_bytes >= 0),
  api_keys integer check (api_keys >= 0),
  webhook_endpoints integer check (webhook_endpoints >= 0)
);
alter table assetdock_private.limits enable row level security;
insert into assetdock_private.limits values (null, 1200, 1000, 5368709120, 1099511627776, 100, 10);
comment on table assetdock_private.limits is
  'What an owner may have. The row with owner_id null holds the defaults; an owner''s own row overrides them where it is not null.';
comment on column assetdock_private.limits.reservations_per_minute is
  'The service limits the rate of all requests; this one holds for callers who go straight to PostgREST, too.';
comment on column assetdock_private.limits.pending_uploads is 'Reservations whose window is open. Creation checks; requests in flight at once may overshoot by their number.';
comment on column assetdock_private.limits.asset_bytes is 'No object larger than this lands, however it is sent.';
comment on column assetdock_private.limits.stored_bytes is 'All landed bytes that are not purged yet. Creation checks what it can; landing decides.';
comment on column assetdock_private.limits.api_keys is 'Keys that are neither revoked nor expired. Ten times as many may be remembered.';
comment on column assetdock_private.limits.webhook_endpoints is
  'Webhook endpoints, disabled ones too: each event may become a request to each of them. Ten times as many may be remembered.';

create function assetdock_private.limits_of(owner uuid)
returns assetdock_private.limits
-- plpgsql keeps the plan for the session; a function in SQL that cannot be inlined is planned anew at each call.
language plpgsql stable
set search_path = ''
as $$
declare
  limits assetdock_private.limits;
begin
  select owner,
    coalesce(own.reservations_per_minute, general.reservations_per_minute),
    coalesce(own.pending_uploads, general.pending_uploads),
    coalesce(own.asset_bytes, general.asset_bytes),
    coalesce(own.stored_bytes, general.stored_bytes),
    coalesce(own.api_keys, general.api_keys),
    coalesce(own.webhook_endpoints, general.webhook_endpoints)
  into limits
  from assetdock_private.limits general
  left join assetdock_private.limits own on own.owner_id = owner
  where general.owner_id is null;
  return limits;
end
$$;
comment on function assetdock_private.limits_of(uuid) is 'The limits in force for an owner. A limit that is null in both rows does not limit.';
revoke all on function assetdock_private.limits_of(uuid) from public, anon, authenticated, service_role;

-- One row an owner, written by landing and purging only, and last in their lock order: asset, job, usage.
create table assetdock_private.usage (
  owner_id uuid primary key,
  stored_bytes bigint not null default 0 check (stored_bytes >= 0)
);
alter table assetdock_private.usage enable row level security;
comment on table assetdock_private.usage is 'The bytes of each owner that are in Storage.';
