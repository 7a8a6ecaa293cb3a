-- An asset and the only ways it may change. The table of transitions is the state machine; one trigger refuses what is
-- not in it, another writes down what happened, in the transaction in which it happened.

set lock_timeout = '5s';
set statement_timeout = '30s';

create table assetdock_app.assets (
  id uuid primary key default assetdock_private.uuid7(),
  -- No foreign key: a deleted user's rows must outlive the user until their bytes are gone.
  owner_id uuid not null,
  type text not null check (type in ('audio', 'video', 'rendered_video', 'cut_file')),
  state text not null default 'pending_upload'
    check (state in ('pending_upload', 'processing', 'ready', 'failed', 'expired', 'deleted')),
  -- Who reserved it, as histories name a caller: 'session' or a key's prefix.
  reserved_by text not null,

  -- The reservation: what the caller bound itself to.
  reserved_content_type text,
  reserved_size_bytes bigint check (reserved_size_bytes > 0),
  reserved_sha256 text check (reserved_sha256 ~ '^[0-9a-f]{64}$'),
  filename text,
  metadata jsonb not null default '{}',
  source_asset_id uuid references assetdock_app.assets on delete set null,
  upload_expires_at timestamptz not null,
  finish_by timestamptz not null check (finish_by >= upload_expires_at),

  -- What landed, from the row that Storage wrote.
  landed_at timestamptz,
  object_version text,
  size_bytes bigint,
  content_type text,
  -- What this asset counts for in assetdock_private.usage: its size from landing until its bytes are known to be gone.
  stored_bytes bigint not null default 0 check (stored_bytes >= 0),

  -- What the worker read off the bytes.
  duration_seconds numeric(12, 3),
  -- json, not jsonb: kept as the worker wrote it, and never searched.
  media json,
  ready_at timestamptz,
  error_code text check (error_code in (
    'unreadable_media', 'no_media_stream', 'type_mismatch', 'content_type_mismatch',
    'checksum_mismatch', 'probe_timeout', 'probe_crashed', 'bytes_missing'
  )),
  error_message text,

  deleted_at timestamptz,
  deleted_from text,
  -- From purge_started_at on there is no way back, and the worker may delete the object.
  purge_started_at timestamptz,
  purged_at timestamptz,
  -- When nothing can come of it any more; the row is forgotten some time later.
  ended_at timestamptz generated always as (
    case when state = 'expired' then finish_by when state = 'deleted' then purged_at end
  ) stored,

  check ((state = 'deleted') = (deleted_at is not null and deleted_from is not null)),
  check ((purge_started_at is not null) <= (state = 'deleted')),
  check ((purged_at is not null) <= (purge_started_at is not null)),
  check ((state = 'failed') <= (error_code is not null)),
  check ((state in ('processing', 'ready', 'failed')) <= (landed_at is not null)),
  check ((state = 'ready') <= (ready_at is not null))
);
alter table assetdock_app.assets enable row level security;
create index assets_of_an_owner on assetdock_app.assets (owner_id, id desc);
create index assets_of_an_owner_by_state_and_type on assetdock_app.assets (owner_id, state, type, id desc);
create index pending_uploads_of_an_owner on assetdock_app.assets (owner_id, upload_expires_at) where state = 'pending_upload';
create index pending_uploads_by_their_end on assetdock_app.assets (finish_by) where state = 'pending_upload';
create index assets_by_their_end on assetdock_app.assets (ended_at) where ended_at is not null;
create index assets_made_from_another on assetdock_app.assets (source_asset_id) where source_asset_id is not null;
-- The planner is not to know how many assets owners have: it would plan for the average owner, or for the one who has most
-- of them, and keep that plan for everyone. Not knowing, it takes an owner for half a percent of all, and probes.
alter table assetdock_app.assets alter column owner_id set statistics 0;
comment on table assetdock_app.assets is 'One row for each reservation, for ever in exactly one state.';

create table assetdock_private.transitions (
  from_state text not null,
  to_state text not null,
  reason text not null,
  primary key (from_state, to_state)
);
alter table assetdock_private.transitions enable row level security;
comment on table assetdock_private.transitions is 'Every change of state that exists. An asset is born pending_upload.';

insert into assetdock_private.transitions (from_state, to_state, reason) values
  ('pending_upload', 'processing', 'the bytes landed'),
  ('pending_upload', 'expired', 'the upload window closed without bytes'),
  ('pending_upload', 'deleted', 'deleted'),
  ('processing', 'ready', 'the media was read'),
  ('processing', 'failed', 'the media could not be used'),
  ('processing', 'deleted', 'deleted'),
  ('ready', 'deleted', 'deleted'),
  ('failed', 'deleted', 'deleted'),
  ('expired', 'deleted', 'deleted'),
  ('deleted', 'processing', 'restored'),
  ('deleted', 'ready', 'restored'),
  ('deleted', 'failed', 'restored');

create function assetdock_private.refuse_unknown_transition()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not exists (
    select from assetdock_private.transitions t where t.from_state = old.state and t.to_state = new.state
  ) then
    perform assetdock_private.fail('conflict', format('an asset never goes from %s to %s.', old.state, new.state));
  end if;
  return new;
end
$$;
comment on function assetdock_private.refuse_unknown_transition() is 'Refuses every change of state that assetdock_private.transitions does not list.';
revoke all on function assetdock_private.refuse_unknown_transition() from public, anon, authenticated, service_role;

create trigger refuse_unknown_transition
before update of state on assetdock_app.assets
for each row when (old.state is distinct from new.state)
execute function assetdock_private.refuse_unknown_transition();

create function assetdock_private.refuse_unusual_birth()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform assetdock_private.fail('conflict', 'an asset begins as pending_upload.');
  return null;
end
$$;
comment on function assetdock_private.refuse_unusual_birth() is 'Refuses an asset that would begin in any state but pending_upload.';
revoke all on function assetdock_private.refuse_unusual_birth() from public, anon, authenticated, service_role;

create trigger refuse_unusual_birth
before insert on assetdock_app.assets
for each row when (new.state <> 'pending_upload')
execute function assetdock_private.refuse_unusual_birth();

create table assetdock_app.asset_events (
  id bigint generated always as identity,
  asset_id uuid not null references assetdock_app.assets on delete cascade,
  owner_id uuid not null,
  from_state text not null,
  to_state text not null,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  reason text not null,
  primary key (asset_id, id)
);
alter table assetdock_app.asset_events enable row level security;
comment on table assetdock_app.asset_events is
  'The history: one row for each change of state. An asset''s rows are in order of id, because the asset is locked while it changes. How it began stands in the asset''s own row.';
comment on column assetdock_app.asset_events.actor is '''session'', an API key''s prefix, ''worker'' or ''system''.';

create function assetdock_private.record_change_of_state()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  insert into assetdock_app.asset_events (asset_id, owner_id, from_state, to_state, actor, reason)
  select
    new.id, new.owner_id, old.state, new.state,
    case
      -- Bytes land as Storage's service_role, which says nothing about who sent them: it was whoever reserved.
      when old.state = 'pending_upload' and new.state = 'processing' then new.reserved_by
      when assetdock_private.claims() ->> 'role' = 'assetdock_worker' and old.state = 'processing' and new.state <> 'deleted' then 'worker'
      when assetdock_private.claims() ->> 'role' = 'assetdock_worker' then 'system'
      else coalesce((assetdock_private.identify()).actor, 'system')
    end,
    case
      when new.state = 'failed' and old.state = 'processing' then new.error_code
      else (select t.reason from assetdock_private.transitions t where t.from_state = old.state and t.to_state = new.state)
    end;
  return null;
end
$$;
comment on function assetdock_private.record_change_of_state() is 'Writes every change of an asset''s state into assetdock_app.asset_events.';
revoke all on function assetdock_private.record_change_of_state() from public, anon, authenticated, service_role;

create trigger record_change_of_state
after update of state on assetdock_app.assets
for each row when (old.state is distinct from new.state)
execute function assetdock_private.record_change_of_state();

create policy "Owners see their assets" on assetdock_app.assets
for select to authenticated
using (owner_id = (select assetdock_private.owner_with('assets:read')));

create policy "Owners see what happened to their assets" on assetdock_app.asset_events
for select to authenticated
using (owner_id = (select assetdock_private.owner_with('assets:read')));

grant select (
  id, owner_id, type, state, reserved_content_type, reserved_size_bytes, filename, metadata,
  source_asset_id, upload_expires_at, size_bytes, content_type, duration_seconds, media, ready_at,
  error_code, error_message, deleted_at
) on assetdock_app.assets to authenticated;
grant select (id, asset_id, owner_id, from_state, to_state, at, actor, reason) on assetdock_app.asset_events to authenticated;
-- No insert, update or delete for anyone on either table.

create view assetdock.assets with (security_invoker = true) as
select
  id, type, state,
  coalesce(size_bytes, reserved_size_bytes) as size_bytes,
  coalesce(content_type, reserved_content_type) as content_type,
  duration_seconds, assetdock_private.uuid7_instant(id) as created_at, filename, metadata, source_asset_id, error_code, error_message, media,
  upload_expires_at, ready_at, deleted_at
from assetdock_app.assets;
comment on view assetdock.assets is 'Your assets. Until the bytes land, size_bytes and content_type are what was reserved.';
revoke all on assetdock.assets from public, anon, authenticated, service_role;
grant select on assetdock.assets to authenticated;

create view assetdock.asset_events with (security_invoker = true) as
select asset_id, from_state, to_state, at, actor, reason from assetdock_app.asset_events;
comment on view assetdock.asset_events is
  'Every change of state of your assets, in order of at within one asset. assetdock.list_asset_events begins with the reservation.';
revoke all on assetdock.asset_events from public, anon, authenticated, service_role;
grant select on assetdock.asset_events to authenticated;

-- json, here and wherever an answer is built: it keeps the order of its keys for those who read it. Parsed bodies, here
-- and in assetdock_private.reservation, are inlined; with a pinned search_path they would be planned again at each call.
create function assetdock_private.asset_summary(asset assetdock_app.assets)
returns json
language sql stable
begin atomic
  select json_build_object(
    'id', asset.id,
    'type', asset.type,
    'state', asset.state,
    'size_bytes', coalesce(asset.size_bytes, asset.reserved_size_bytes),
    'content_type', coalesce(asset.content_type, asset.reserved_content_type),
    'duration_seconds', asset.duration_seconds::text,
    'created_at', assetdock_private.rfc3339(assetdock_private.uuid7_instant(asset.id)),
    'filename', asset.filename,
    'metadata', asset.metadata,
    'source_asset_id', asset.source_asset_id,
    'error_code', asset.error_code,
    'error_message', asset.error_message,
    'media', asset.media,
    'ready_at', assetdock_private.rfc3339(asset.ready_at),
    'deleted_at', assetdock_private.rfc3339(asset.deleted_at)
  );
end;
comment on function assetdock_private.asset_summary(assetdock_app.assets) is
  'An asset as the HTTP API shows it. Until the bytes land, size_bytes and content_type are what was reserved.';
revoke all on function assetdock_private.asset_summary(assetdock_app.assets) from public, anon, authenticated, service_role;
