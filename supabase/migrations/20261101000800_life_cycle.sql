-- The end of an asset: deleting and restoring it, the window that closes, the purge of its bytes, users who leave.
-- No row vanishes without its bytes, and bytes go through Storage's API, never by SQL.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock_private.delete_asset(asset_id uuid, purge_at timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update assetdock_app.assets a
  set state = 'deleted', deleted_at = now(), deleted_from = a.state
  where a.id = asset_id and a.state <> 'deleted';
  perform assetdock_private.cancel_jobs('probe', asset_id);
  perform assetdock_private.queue_job('purge', asset_id, purge_at);
end
$$;
comment on function assetdock_private.delete_asset(uuid, timestamptz) is 'Deletes an asset whose row the caller has locked; its bytes are purged at purge_at.';
revoke all on function assetdock_private.delete_asset(uuid, timestamptz) from public, anon, authenticated, service_role;

create function assetdock.delete_asset(asset_id uuid)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('assets:write');
  asset assetdock_app.assets;
begin
  select * into asset from assetdock_app.assets a
  where a.id = delete_asset.asset_id and a.owner_id = caller.owner_id
  for no key update;
  if asset.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  if asset.state <> 'deleted' then
    perform assetdock_private.delete_asset(asset.id, case
      -- There are no bytes to keep, and what still arrives is refused.
      when asset.landed_at is null then now()
      else now() + (select s.deletion_grace from assetdock_private.settings s)
    end);
  end if;
end
$$;
comment on function assetdock.delete_asset(uuid) is
  'Deletes one of your assets. It can be restored until its bytes are purged, 30 days later by default; one without bytes cannot. Idempotent.';
revoke all on function assetdock.delete_asset(uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.delete_asset(uuid) to authenticated;

create function assetdock.restore_asset(asset_id uuid)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('assets:write');
  asset assetdock_app.assets;
begin
  select * into asset from assetdock_app.assets a
  where a.id = restore_asset.asset_id and a.owner_id = caller.owner_id
  for no key update;
  if asset.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  if asset.state <> 'deleted' then
    return assetdock_private.asset_summary(asset);
  end if;
  if asset.landed_at is null then
    perform assetdock_private.fail('conflict', 'the asset never had bytes, so there is nothing to restore.');
  end if;
  if asset.purge_started_at is not null then
    perform assetdock_private.fail('asset_purged');
  end if;
  if (select count(*) from assetdock_app.asset_events e where e.asset_id = asset.id) >= 1000 then
    perform assetdock_private.fail('conflict', 'the asset was deleted and restored too often. Upload it as a new one.');
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
  'Takes a deletion back: the asset is in the state it had. asset_purged once the purge has begun; conflict for an asset that never had bytes. Idempotent.';
revoke all on function assetdock.restore_asset(uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.restore_asset(uuid) to authenticated;

create function assetdock.begin_purge(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  job assetdock_private.jobs := assetdock_private.hold_lease(job_id, lease_token, 'purge');
begin
  update assetdock_app.assets a
  set purge_started_at = now()
  where a.id = job.asset_id and a.state = 'deleted' and a.purge_started_at is null;
  return jsonb_build_object('object_name', job.asset_id);
end
$$;
comment on function assetdock.begin_purge(uuid, uuid) is
  'For workers, before they ask Storage to delete: from now on the asset cannot be restored, and Storage lets the worker delete its object.';
revoke all on function assetdock.begin_purge(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.begin_purge(uuid, uuid) to assetdock_worker;

create function assetdock.complete_purge(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  job assetdock_private.jobs := assetdock_private.hold_lease(job_id, lease_token, 'purge');
begin
  -- Storage answers 200 to a delete that did nothing. Only an absent row proves that the object is gone.
  if exists (select from storage.objects o where o.bucket_id = 'assets' and o.name = job.asset_id::text) then
    perform assetdock_private.fail('conflict', 'the object is still there.');
  end if;
  update assetdock_app.assets a
  set purged_at = coalesce(a.purged_at, now())
  where a.id = job.asset_id and a.purge_started_at is not null;
  if not found then
    perform assetdock_private.fail('conflict', 'this purge was never begun.');
  end if;
  perform assetdock_private.finish_job(job.id, 'done');
  perform assetdock_private.discount(job.asset_id);
  return jsonb_build_object('outcome', 'done');
end
$$;
comment on function assetdock.complete_purge(uuid, uuid) is
  'For workers: the object was deleted through Storage. conflict while its row is still there; else the bytes are no longer counted.';
revoke all on function assetdock.complete_purge(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.complete_purge(uuid, uuid) to assetdock_worker;

-- A user who leaves: one job, worked in batches, so that deleting a user with a million assets stays one quick row.
-- security definer: whoever deletes users (Auth, the dashboard) may not write our queue.
create function assetdock_private.queue_owner_purge()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into assetdock_private.jobs (kind, owner_id) values ('purge_owner', old.id)
  on conflict do nothing;
  perform assetdock_private.leave_webhooks(old.id);
  return null;
end
$$;
comment on function assetdock_private.queue_owner_purge() is 'Queues the removal of everything a deleted user owned.';
revoke all on function assetdock_private.queue_owner_purge() from public, anon, authenticated, service_role;

create trigger assetdock_purge_owner
after delete on auth.users
for each row execute function assetdock_private.queue_owner_purge();

-- Auth's "soft delete" keeps the row for its own records; the user is gone all the same.
create trigger assetdock_purge_soft_deleted_owner
after update of deleted_at on auth.users
for each row when (old.deleted_at is null and new.deleted_at is not null)
execute function assetdock_private.queue_owner_purge();

create function assetdock.purge_owner_batch(job_id uuid, lease_token uuid, batch integer default 200)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  leaving uuid;
  asset assetdock_app.assets;
  worked integer := 0;
  job assetdock_private.jobs;
begin
  select j.owner_id into leaving from assetdock_private.jobs j where j.id = purge_owner_batch.job_id;
  -- Assets before the job, as everywhere.
  for asset in
    select * from assetdock_app.assets a
    where a.owner_id = leaving and a.purge_started_at is null
      and not exists (
        select from assetdock_private.jobs p
        where p.asset_id = a.id and p.kind = 'purge' and p.finished_at is null and p.available_at <= now()
      )
    order by a.id
    limit greatest(1, least(batch, 1000))
    for no key update
  loop
    if asset.state <> 'deleted' then
      perform assetdock_private.delete_asset(asset.id, now());
    else
      perform assetdock_private.cancel_jobs('purge', asset.id);
      perform assetdock_private.queue_job('purge', asset.id);
    end if;
    worked := worked + 1;
  end loop;
  job := assetdock_private.hold_lease(job_id, lease_token, 'purge_owner');
  if worked > 0 then
    update assetdock_private.jobs j
    set attempts = 0, lease_token = null, available_at = now()
    where j.id = job.id;
    return jsonb_build_object('outcome', 'more');
  end if;
  delete from assetdock_app.api_keys k where k.owner_id = job.owner_id;
  delete from assetdock_private.producers p where p.owner_id = job.owner_id;
  delete from assetdock_private.limits l where l.owner_id = job.owner_id;
  delete from assetdock_private.idempotency_keys i where i.owner_id = job.owner_id;
  perform assetdock_private.finish_job(job.id, 'done');
  return jsonb_build_object('outcome', 'done');
end
$$;
comment on function assetdock.purge_owner_batch(uuid, uuid, integer) is
  'For workers: deletes the next assets of a user who left, to be purged at once; done when none is left.';
revoke all on function assetdock.purge_owner_batch(uuid, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function assetdock.purge_owner_batch(uuid, uuid, integer) to assetdock_worker;

create function assetdock.run_maintenance(batch integer default 500)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  rows_at_a_time constant integer := greatest(1, least(batch, 5000));
  expired uuid[];
begin
  with over as (
    update assetdock_app.assets a
    set state = 'expired'
    where a.id in (
      select p.id from assetdock_app.assets p
      where p.state = 'pending_upload' and p.finish_by <= now()
      order by p.finish_by
      limit rows_at_a_time
      for no key update skip locked
    )
    returning a.id
  )
  select coalesce(array_agg(o.id order by o.id), '{}') into expired from over o;
  delete from assetdock_private.jobs j
  where j.id in (
    select f.id from assetdock_private.jobs f, assetdock_private.settings s
    where f.finished_at < now() - s.keep_finished_jobs
    limit rows_at_a_time
    for update of f skip locked
  );
  delete from assetdock_private.idempotency_keys i
  where i.ctid = any (array(
    select k.ctid from assetdock_private.idempotency_keys k
    where k.claimed_at < now() - interval '25 hours'
    limit rows_at_a_time
    for update skip locked
  ));
  perform assetdock_private.prune_webhooks(rows_at_a_time);
  delete from assetdock_app.assets a
  where a.id in (
    select e.id from assetdock_app.assets e, assetdock_private.settings s
    where e.ended_at < now() - s.keep_ended_rows
    limit rows_at_a_time
    for update of e skip locked
  );
  delete from assetdock_app.api_keys k
  where k.id in (
    select e.id from assetdock_app.api_keys e, assetdock_private.settings s
    where least(e.revoked_at, e.expires_at) < now() - s.keep_ended_rows
    limit rows_at_a_time
    for update of e skip locked
  );
  return jsonb_build_object('expired', to_jsonb(expired));
end
$$;
comment on function assetdock.run_maintenance(integer) is
  'For workers, every few seconds: expires reservations that nothing can reach any more, forgets finished jobs, old idempotency keys, and what ended long ago; at most batch of each. expired: the ids of the assets.';
revoke all on function assetdock.run_maintenance(integer) from public, anon, authenticated, service_role;
grant execute on function assetdock.run_maintenance(integer) to assetdock_worker;
