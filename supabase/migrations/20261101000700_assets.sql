-- Assets and their states. The table of transitions is the state machine: a trigger rejects every other change of
-- state.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Types and states ------------------------------------------------------------
create function assetdock_private.asset_types()
returns text[]
language sql immutable parallel safe
begin atomic
  select array['audio', 'video', 'rendered_video', 'cut_file'];
end;
comment on function assetdock_private.asset_types() is 'Every type of asset.';

create function assetdock_private.produced_types()
returns text[]
language sql immutable parallel safe
begin atomic
  select array['rendered_video', 'cut_file'];
end;
comment on function assetdock_private.produced_types() is
  'The types that processors create. They need the scope assets:produce and can name a source asset.';

create function assetdock_private.canonical_asset_type(type text)
returns text
language sql immutable parallel safe
begin atomic
  -- Published clients still send the deprecated names audio_input and video_input.
  select case type when 'audio_input' then 'audio' when 'video_input' then 'video' else type end;
end;
comment on function assetdock_private.canonical_asset_type(text) is 'The current name of a type of asset.';

create function assetdock_private.asset_states()
returns text[]
language sql immutable parallel safe
begin atomic
  select array['pending_upload', 'processing', 'ready', 'failed', 'expired', 'deleted'];
end;
comment on function assetdock_private.asset_states() is 'Every state of an asset.';

-- Assets ----------------------------------------------------------------------
create table assetdock_app.assets (
  id uuid primary key default assetdock_private.uuid7(),
  -- No foreign key: the rows of a deleted user stay until their bytes are deleted.
  owner_id uuid not null,
  type text not null check (type = any (assetdock_private.asset_types())),
  state text not null default 'pending_upload' check (state = any (assetdock_private.asset_states())),
  reserved_by text not null,

  -- The reservation, which binds the bytes. Without a content type, the upload declares it.
  declared_content_type text,
  reserved_size_bytes bigint check (reserved_size_bytes > 0),
  reserved_sha256 text check (assetdock_private.is_sha256(reserved_sha256)),
  filename text,
  metadata jsonb not null default '{}',
  source_asset_id uuid references assetdock_app.assets on delete set null,
  upload_expires_at timestamptz not null,
  finish_by timestamptz not null check (finish_by >= upload_expires_at),

  -- The landed object, from its row in storage.objects.
  landed_at timestamptz,
  object_version text,
  size_bytes bigint,
  stored_bytes bigint not null default 0 check (stored_bytes >= 0),

  -- The result of the probe. media is json, not jsonb: it is never searched, and json keeps the order of its keys.
  content_type text,
  duration_seconds numeric(12, 3),
  media json,
  ready_at timestamptz,
  error_code text check (error_code in (
    'unreadable_media', 'no_media_stream', 'type_mismatch', 'content_type_mismatch',
    'checksum_mismatch', 'probe_timeout', 'probe_crashed', 'bytes_missing'
  )),
  error_message text,

  -- Deletion.
  deleted_at timestamptz,
  deleted_from text,
  purge_started_at timestamptz,
  purged_at timestamptz,
  retention_starts_at timestamptz generated always as (
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
create index assets_by_owner on assetdock_app.assets (owner_id, id desc);
create index assets_by_owner_state_type on assetdock_app.assets (owner_id, state, type, id desc);
create index assets_pending_by_owner on assetdock_app.assets (owner_id, upload_expires_at) where state = 'pending_upload';
create index assets_pending_by_deadline on assetdock_app.assets (finish_by) where state = 'pending_upload';
create index assets_by_retention on assetdock_app.assets (retention_starts_at) where retention_starts_at is not null;
create index assets_by_source on assetdock_app.assets (source_asset_id) where source_asset_id is not null;
-- The planner must not know how many assets each owner has. With statistics it plans for the average or the largest
-- owner and keeps that plan for all owners. Without statistics it expects half a percent of the rows and uses an index.
alter table assetdock_app.assets alter column owner_id set statistics 0;
comment on table assetdock_app.assets is 'One row for each reservation. It is in exactly one state.';
comment on column assetdock_app.assets.reserved_by is '''session'', or the prefix of an API key.';
comment on column assetdock_app.assets.upload_expires_at is 'An upload must start before this time.';
comment on column assetdock_app.assets.finish_by is 'Bytes must land before this time.';
comment on column assetdock_app.assets.stored_bytes is
  'The bytes that this asset adds to assetdock_private.usage: its size, from landing until its bytes are deleted or '
  'lost.';
comment on column assetdock_app.assets.purge_started_at is
  'From this time on, the asset cannot be restored and the worker can delete its object.';
comment on column assetdock_app.assets.retention_starts_at is
  'When the asset became final: expired, or purged. Its row is deleted record_retention later.';

-- State machine ---------------------------------------------------------------
create table assetdock_private.transitions (
  from_state text not null,
  to_state text not null,
  reason text not null,
  primary key (from_state, to_state)
);
alter table assetdock_private.transitions enable row level security;
comment on table assetdock_private.transitions is 'Every allowed change of state. A new asset is pending_upload.';

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

create function assetdock_private.refuse_initial_state()
returns trigger
language plpgsql set search_path = '' as $$
begin
  perform assetdock_private.fail('conflict', 'an asset begins as pending_upload.');
  return null;
end
$$;
comment on function assetdock_private.refuse_initial_state() is
  'Rejects a new asset in another state than pending_upload.';

create trigger assetdock_refuse_initial_state
before insert on assetdock_app.assets
for each row when (new.state <> 'pending_upload')
execute function assetdock_private.refuse_initial_state();

create function assetdock_private.refuse_unknown_transition()
returns trigger
language plpgsql set search_path = '' as $$
begin
  if not exists (
    select from assetdock_private.transitions t where t.from_state = old.state and t.to_state = new.state
  ) then
    perform assetdock_private.fail('conflict', format('an asset never goes from %s to %s.', old.state, new.state));
  end if;
  return new;
end
$$;
comment on function assetdock_private.refuse_unknown_transition() is
  'Rejects every change of state that assetdock_private.transitions does not list.';

create trigger assetdock_refuse_unknown_transition
before update of state on assetdock_app.assets
for each row when (old.state is distinct from new.state)
execute function assetdock_private.refuse_unknown_transition();

-- What callers see ------------------------------------------------------------

-- json, here and in every response: it keeps the order of its keys. The body is parsed so that the function is inlined;
-- with a pinned search_path, each call would plan it again.
create function assetdock_private.asset_summary(asset assetdock_app.assets)
returns json
language sql stable
begin atomic
  select json_build_object(
    'id', asset.id,
    'type', asset.type,
    'state', asset.state,
    'size_bytes', coalesce(asset.size_bytes, asset.reserved_size_bytes),
    'content_type', coalesce(asset.content_type, asset.declared_content_type),
    'declared_content_type', asset.declared_content_type,
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
  'An asset as the HTTP API shows it. Until the bytes land, size_bytes is that of the reservation. Until they are read, '
  'content_type is the declared one.';

create function assetdock_private.own_asset(caller assetdock_private.caller, asset_id uuid)
returns assetdock_app.assets
language plpgsql stable set search_path = '' as $$
declare
  asset assetdock_app.assets;
begin
  select * into asset from assetdock_app.assets a where a.id = asset_id and a.owner_id = caller.owner_id;
  if asset.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  return asset;
end
$$;
comment on function assetdock_private.own_asset(assetdock_private.caller, uuid) is
  'An asset of the caller, or not_found: an asset of another owner looks like one that does not exist.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
