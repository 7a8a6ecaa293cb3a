-- Reserving an upload, opening a new window for it, and asking whether its bytes landed.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Upload windows --------------------------------------------------------------
create function assetdock_private.reservation(asset assetdock_app.assets)
returns json
language sql stable
begin atomic
  select json_build_object(
    'asset', assetdock_private.asset_summary(asset),
    'bucket', assetdock_private.bucket(),
    'object_name', asset.id,
    'upload_expires_at', assetdock_private.rfc3339(asset.upload_expires_at)
  );
end;
comment on function assetdock_private.reservation(assetdock_app.assets) is
  'The asset, and what a caller needs to get an upload URL signed: bucket, object name and end of the window.';

create function assetdock_private.open_upload_window(asset_id uuid, window_seconds integer)
returns assetdock_app.assets
language plpgsql set search_path = '' as $$
declare
  settings assetdock_private.settings;
  asset assetdock_app.assets;
  limits assetdock_private.limits;
begin
  select * into strict settings from assetdock_private.settings;
  select * into strict asset from assetdock_app.assets a where a.id = open_upload_window.asset_id for no key update;
  if asset.state = 'pending_upload' and asset.upload_expires_at <= now() then
    -- Reopening a closed window adds a pending upload, but no reservation.
    limits := assetdock_private.effective_limits(asset.owner_id);
    limits.reservations_per_minute := null;
    perform assetdock_private.check_quota(asset.owner_id, limits, asset.reserved_size_bytes);
  end if;
  -- A window never becomes shorter, because an earlier URL must stay valid for as long as it promised.
  update assetdock_app.assets a
  set upload_expires_at = greatest(a.upload_expires_at, now() + make_interval(secs => window_seconds)),
    finish_by = greatest(a.finish_by, now() + make_interval(secs => window_seconds) + settings.finish_grace)
  where a.id = open_upload_window.asset_id
    and a.state = 'pending_upload'
    and a.finish_by > now()
    and now() < assetdock_private.uuid7_instant(a.id) + settings.renewal_window
  returning * into asset;
  if asset.id is null then
    select * into strict asset from assetdock_app.assets a where a.id = open_upload_window.asset_id;
    if asset.state not in ('pending_upload', 'expired') then
      perform assetdock_private.fail('asset_not_pending', asset.state);
    end if;
    perform assetdock_private.fail('upload_expired');
  end if;
  return asset;
end
$$;
comment on function assetdock_private.open_upload_window(uuid, integer) is
  'Opens a new window for a pending asset; asset_not_pending or upload_expired if it is too late.';

create function assetdock_private.replayed_reservation(asset_id uuid, window_seconds integer)
returns json
language plpgsql set search_path = '' as $$
declare
  asset assetdock_app.assets;
begin
  select * into asset from assetdock_app.assets a where a.id = asset_id;
  if asset.state = 'pending_upload' then
    return assetdock_private.reservation(assetdock_private.open_upload_window(asset_id, window_seconds));
  end if;
  -- The row of an ended asset may already be removed.
  if asset.id is null or asset.state in ('expired', 'deleted') then
    perform assetdock_private.fail('upload_expired');
  end if;
  -- The bytes have landed, so there is no upload target.
  return json_build_object('asset', assetdock_private.asset_summary(asset), 'upload_expires_at', null);
end
$$;
comment on function assetdock_private.replayed_reservation(uuid, integer) is
  'The response to a repeated request: a new upload target while the asset is pending, none once the bytes landed, '
  'upload_expired if the asset is expired or deleted.';

-- For callers -----------------------------------------------------------------

-- Functions for callers are security definer, because no API role can write a table. Each starts with
-- assetdock_private.require and filters by the caller, because row-level security does not apply to the definer.
create function assetdock.create_upload(
  type text,
  content_type text default null,
  filename text default null,
  size_bytes bigint default null,
  sha256 text default null,
  metadata jsonb default '{}',
  expires_in integer default 900,
  source_asset_id uuid default null,
  idempotency_key text default null
)
returns json
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
declare
  caller assetdock_private.caller := assetdock_private.require('assets:write');
  is_held constant boolean := assetdock_private.hold_owner(caller.owner_id);
  limits constant assetdock_private.limits := assetdock_private.effective_limits(caller.owner_id);
  asset_type constant text := assetdock_private.canonical_asset_type(type);
  asset_content_type constant text := assetdock_private.stated_content_type(content_type);
  asset_metadata constant jsonb := coalesce(metadata, '{}');
  asset_sha256 constant text := lower(sha256);
  window_seconds constant integer := coalesce(expires_in, 900);
  new_id constant uuid := assetdock_private.uuid7();
  upload_expires_at constant timestamptz :=
    assetdock_private.uuid7_instant(new_id) + make_interval(secs => window_seconds);
  problems constant jsonb := assetdock_private.invalid_upload(
    caller.owner_id, asset_type, content_type, filename, size_bytes, asset_sha256, asset_metadata, window_seconds,
    source_asset_id
  );
  replayed uuid;
  has_quota boolean;
  asset assetdock_app.assets;
begin
  if idempotency_key is not null then
    replayed := assetdock_private.claim_idempotency_key(caller.owner_id, 'create_upload', idempotency_key, new_id,
      jsonb_build_array(
        asset_type, asset_content_type, filename, size_bytes, asset_sha256, asset_metadata, window_seconds, source_asset_id
      ));
    if replayed is not null then
      return assetdock_private.replayed_reservation(replayed, window_seconds);
    end if;
  end if;
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  if asset_type = any (assetdock_private.produced_types()) and 'assets:produce' <> all (caller.scopes) then
    perform assetdock_private.fail('asset_type_not_uploadable');
  end if;
  if size_bytes > limits.asset_bytes then
    perform assetdock_private.fail('asset_too_large', limits.asset_bytes::text);
  end if;
  has_quota := assetdock_private.check_quota(caller.owner_id, limits, size_bytes);
  insert into assetdock_app.assets (
    id, owner_id, type, reserved_by, declared_content_type, reserved_size_bytes, reserved_sha256,
    filename, metadata, source_asset_id, upload_expires_at, finish_by
  )
  values (
    new_id, caller.owner_id, asset_type, caller.actor, asset_content_type, size_bytes, asset_sha256,
    filename, asset_metadata, source_asset_id, upload_expires_at,
    upload_expires_at + (select s.finish_grace from assetdock_private.settings s)
  )
  returning * into asset;
  return assetdock_private.reservation(asset);
end
$$;
comment on function assetdock.create_upload(text, text, text, bigint, text, jsonb, integer, uuid, text) is
  'Reserves an asset. content_type, size_bytes and sha256, if given, bind the bytes. The upload must start within '
  'expires_in seconds. With an idempotency_key, the same request within 24 hours returns the same asset. Next, ask '
  'Storage for a signed upload URL of object_name in bucket.';

create function assetdock.renew_upload(asset_id uuid, expires_in integer default 900)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  asset assetdock_app.assets := assetdock_private.own_asset(assetdock_private.require('assets:write'), asset_id);
  window_seconds constant integer := coalesce(expires_in, 900);
  problems constant jsonb := assetdock_private.invalid_upload_window(window_seconds);
begin
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  return assetdock_private.reservation(assetdock_private.open_upload_window(asset.id, window_seconds));
end
$$;
comment on function assetdock.renew_upload(uuid, integer) is
  'Opens a new window for an asset that is still pending_upload, up to 24 hours after its creation. Next, ask Storage '
  'for a signed upload URL.';

create function assetdock.confirm_upload(asset_id uuid)
returns json
language plpgsql stable security definer set search_path = '' as $$
declare
  asset assetdock_app.assets := assetdock_private.own_asset(assetdock_private.require('assets:write'), asset_id);
begin
  if asset.landed_at is not null then
    return assetdock_private.asset_summary(asset);
  end if;
  if asset.state <> 'pending_upload' or now() >= asset.finish_by then
    perform assetdock_private.fail('upload_expired');
  end if;
  perform assetdock_private.fail('upload_incomplete', retry_after => 1);
  return null;
end
$$;
comment on function assetdock.confirm_upload(uuid) is
  'Returns the asset if its bytes landed, upload_incomplete while they can still land, upload_expired once they '
  'cannot. Changes nothing.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.create_upload(text, text, text, bigint, text, jsonb, integer, uuid, text)
  to authenticated;
grant execute on function assetdock.renew_upload(uuid, integer) to authenticated;
grant execute on function assetdock.confirm_upload(uuid) to authenticated;
