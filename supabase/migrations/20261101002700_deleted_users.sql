-- Deleted users. Deleting a user queues one job, which deletes what the user owned in batches, so that deleting a user
-- with a million assets is as fast as deleting any other.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Functions -------------------------------------------------------------------
create function assetdock_private.delete_owner_webhooks(owner uuid)
returns void
language sql set search_path = '' as $$
  with deleted as (
    update assetdock_app.webhook_endpoints e
    set deleted_at = now()
    where e.owner_id = owner and e.deleted_at is null
    returning e.id
  )
  delete from assetdock_private.webhook_secrets s using deleted where s.webhook_endpoint_id = deleted.id;
  delete from assetdock_private.webhook_requests w where w.owner_id = owner;
$$;
comment on function assetdock_private.delete_owner_webhooks(uuid) is
  'Deletes the webhook endpoints of a deleted user. Pending deliveries are not sent.';

-- security definer: the role that deletes users (of Auth or the dashboard) cannot write our tables.
create function assetdock_private.queue_owner_purge()
returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform pg_advisory_xact_lock(assetdock_private.owner_lock(old.id));
  insert into assetdock_private.jobs (kind, owner_id) values ('purge_owner', old.id)
  on conflict do nothing;
  perform assetdock_private.delete_owner_webhooks(old.id);
  return null;
end
$$;
comment on function assetdock_private.queue_owner_purge() is 'Queues the deletion of everything that a deleted user owned.';

create function assetdock.purge_owner_batch(job_id uuid, lease_token uuid, batch integer default 200)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  owner constant uuid := (select j.owner_id from assetdock_private.jobs j where j.id = purge_owner_batch.job_id);
  asset assetdock_app.assets;
  has_more boolean := false;
  job assetdock_private.jobs;
begin
  perform assetdock_private.require_role('assetdock_worker');
  -- Assets before the job, as everywhere.
  for asset in
    select *
    from assetdock_app.assets a
    where a.owner_id = owner
      and a.purge_started_at is null
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
    has_more := true;
  end loop;
  job := assetdock_private.lock_leased_job(job_id, lease_token, 'purge_owner');
  if has_more then
    update assetdock_private.jobs j
    set attempts = 0, has_begun = false, lease_token = null, available_at = now()
    where j.id = job.id;
    return jsonb_build_object('outcome', 'more');
  end if;
  perform assetdock_private.delete_owner_webhooks(job.owner_id);
  delete from assetdock_app.api_keys k where k.owner_id = job.owner_id;
  delete from assetdock_private.producers p where p.owner_id = job.owner_id;
  delete from assetdock_private.limits l where l.owner_id = job.owner_id;
  delete from assetdock_private.idempotency_keys i where i.owner_id = job.owner_id;
  perform assetdock_private.finish_job(job.id, 'done');
  return jsonb_build_object('outcome', 'done');
end
$$;
comment on function assetdock.purge_owner_batch(uuid, uuid, integer) is
  'For workers: deletes the next assets of a deleted user, and purges them without a grace period. outcome: more, or '
  'done when no asset is left.';

-- Triggers --------------------------------------------------------------------
create trigger assetdock_purge_owner
after delete on auth.users
for each row execute function assetdock_private.queue_owner_purge();

-- A soft delete of Auth keeps the row for its own records.
create trigger assetdock_purge_soft_deleted_owner
after update of deleted_at on auth.users
for each row when (old.deleted_at is null and new.deleted_at is not null)
execute function assetdock_private.queue_owner_purge();

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.purge_owner_batch(uuid, uuid, integer) to assetdock_worker;
