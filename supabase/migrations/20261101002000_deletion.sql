-- Deleting and restoring assets, and purging their bytes. No row is deleted before its bytes, and bytes are deleted
-- through the API of Storage, never by SQL.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Delete and restore ----------------------------------------------------------
create function assetdock_private.delete_asset(asset_id uuid, purge_at timestamptz)
returns void
language plpgsql set search_path = '' as $$
begin
  update assetdock_app.assets a
  set state = 'deleted', deleted_at = now(), deleted_from = a.state
  where a.id = asset_id and a.state <> 'deleted';
  perform assetdock_private.cancel_jobs('probe', asset_id);
  perform assetdock_private.queue_job('purge', asset_id, purge_at);
end
$$;
comment on function assetdock_private.delete_asset(uuid, timestamptz) is
  'Deletes an asset that the caller has locked, and queues the purge of its bytes.';

create function assetdock.delete_asset(asset_id uuid)
returns void
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('assets:write');
  asset assetdock_app.assets;
begin
  select * into asset
  from assetdock_app.assets a
  where a.id = delete_asset.asset_id and a.owner_id = caller.owner_id
  for no key update;
  if asset.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  if asset.state <> 'deleted' then
    perform assetdock_private.delete_asset(asset.id, case
      -- There are no bytes to keep, and the storage guard rejects bytes that still arrive.
      when asset.landed_at is null then now()
      else now() + (select s.deletion_grace from assetdock_private.settings s)
    end);
  end if;
end
$$;
comment on function assetdock.delete_asset(uuid) is
  'Deletes one of your assets. It can be restored until its bytes are purged, by default after 30 days. An asset '
  'without bytes cannot be restored. Idempotent.';

create function assetdock.restore_asset(asset_id uuid)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('assets:write');
  asset assetdock_app.assets;
begin
  select * into asset
  from assetdock_app.assets a
  where a.id = restore_asset.asset_id and a.owner_id = caller.owner_id
  for no key update;
  if asset.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  if asset.state <> 'deleted' then
    return assetdock_private.asset_summary(asset);
  end if;
  if asset.landed_at is null then
    perform assetdock_private.fail('conflict', 'the asset never had bytes, so it cannot be restored.');
  end if;
  if asset.purge_started_at is not null then
    perform assetdock_private.fail('asset_purged');
  end if;
  -- Each deletion and restoration adds an event; this bounds the history of one asset.
  if (select count(*) from assetdock_app.asset_events e where e.asset_id = asset.id) >= 1000 then
    perform assetdock_private.fail('conflict', 'the asset was deleted and restored too often. Upload it as a new asset.');
  end if;
  perform assetdock_private.cancel_jobs('purge', asset.id);
  update assetdock_app.assets a
  set state = a.deleted_from, deleted_at = null, deleted_from = null
  where a.id = asset.id
  returning * into asset;
  if asset.state = 'processing' then
    perform assetdock_private.queue_job('probe', asset.id);
  end if;
  return assetdock_private.asset_summary(asset);
end
$$;
comment on function assetdock.restore_asset(uuid) is
  'Restores a deleted asset to its previous state. asset_purged once the purge has begun; conflict for an asset that '
  'never had bytes. Idempotent.';

-- Purge -----------------------------------------------------------------------
create function assetdock.begin_purge(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token, 'purge');
begin
  perform assetdock_private.charge_attempt(job);
  update assetdock_app.assets a
  set purge_started_at = now()
  where a.id = job.asset_id and a.state = 'deleted' and a.purge_started_at is null;
  return jsonb_build_object('object_name', job.asset_id);
end
$$;
comment on function assetdock.begin_purge(uuid, uuid) is
  'For workers, before they ask Storage to delete the object. From now on the asset cannot be restored, and a policy '
  'lets the worker delete its object.';

create function assetdock.complete_purge(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token, 'purge');
begin
  -- Storage responds with 200 to a delete that had no effect. Only a missing row proves that the object is deleted.
  if exists (
    select from storage.objects o where o.bucket_id = assetdock_private.bucket() and o.name = job.asset_id::text
  ) then
    perform assetdock_private.fail('conflict', 'the object still exists.');
  end if;
  update assetdock_app.assets a
  set purged_at = coalesce(a.purged_at, now())
  where a.id = job.asset_id and a.purge_started_at is not null;
  if not found then
    perform assetdock_private.fail('conflict', 'this purge has not begun.');
  end if;
  perform assetdock_private.finish_job(job.id, 'done');
  perform assetdock_private.remove_usage(job.asset_id);
  return jsonb_build_object('outcome', 'done');
end
$$;
comment on function assetdock.complete_purge(uuid, uuid) is
  'For workers, after Storage deleted the object. conflict while its row exists; otherwise its bytes no longer count.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.delete_asset(uuid) to authenticated;
grant execute on function assetdock.restore_asset(uuid) to authenticated;
grant execute on function assetdock.begin_purge(uuid, uuid) to assetdock_worker;
grant execute on function assetdock.complete_purge(uuid, uuid) to assetdock_worker;
