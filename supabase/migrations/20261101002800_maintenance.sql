-- Maintenance: expires reservations and deletes old rows. Workers call it every few seconds. Each statement changes a
-- limited number of rows and skips locked ones, so several workers can call it at once.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock_private.expire_assets(batch integer)
returns uuid[]
language plpgsql set search_path = '' as $$
declare
  expired uuid[];
begin
  with changed as (
    update assetdock_app.assets a
    set state = 'expired'
    where a.id in (
      select p.id
      from assetdock_app.assets p
      where p.state = 'pending_upload' and p.finish_by <= now()
      order by p.finish_by
      limit batch
      for no key update skip locked
    )
    returning a.id
  )
  select coalesce(array_agg(c.id order by c.id), '{}') into expired from changed c;
  return expired;
end
$$;
comment on function assetdock_private.expire_assets(integer) is 'Expires pending assets whose bytes can no longer land.';

create function assetdock_private.prune_webhooks(batch integer)
returns void
language plpgsql set search_path = '' as $$
declare
  oldest constant timestamptz := now() - (select s.delivery_retention from assetdock_private.settings s);
begin
  delete from assetdock_private.webhook_deliveries d
  where d.id in (
    select old.id
    from assetdock_private.webhook_deliveries old
    where old.id < assetdock_private.uuid7_floor(oldest) and old.state <> 'pending'
    order by old.id
    limit batch
    for update skip locked
  );
  delete from assetdock_private.webhook_deliveries d
  where d.id in (
    select orphan.id
    from assetdock_app.webhook_endpoints e
    join assetdock_private.webhook_deliveries orphan on orphan.webhook_endpoint_id = e.id
    where e.deleted_at is not null
    limit batch
    for update of orphan skip locked
  );
  delete from assetdock_app.webhook_endpoints e
  where e.id in (
    select gone.id
    from assetdock_app.webhook_endpoints gone
    where gone.deleted_at < oldest
      and not exists (select from assetdock_private.webhook_deliveries d where d.webhook_endpoint_id = gone.id)
    order by gone.deleted_at
    limit batch
    for update skip locked
  );
end
$$;
comment on function assetdock_private.prune_webhooks(integer) is
  'Deletes finished deliveries after delivery_retention, all deliveries of deleted endpoints, and then those '
  'endpoints.';

create function assetdock_private.prune_records(batch integer)
returns void
language plpgsql set search_path = '' as $$
begin
  delete from assetdock_app.assets a
  where a.id in (
    select old.id
    from assetdock_app.assets old, assetdock_private.settings s
    where old.retention_starts_at < now() - s.record_retention
    limit batch
    for update of old skip locked
  );
  delete from assetdock_app.api_keys k
  where k.id in (
    select old.id
    from assetdock_app.api_keys old, assetdock_private.settings s
    where least(old.revoked_at, old.expires_at) < now() - s.record_retention
    limit batch
    for update of old skip locked
  );
end
$$;
comment on function assetdock_private.prune_records(integer) is
  'Deletes the rows of expired and purged assets, and of revoked and expired API keys, after record_retention.';

create function assetdock.run_maintenance(batch integer default 500)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  max_rows constant integer := greatest(1, least(batch, 5000));
  expired uuid[];
begin
  perform assetdock_private.require_role('assetdock_worker');
  expired := assetdock_private.expire_assets(max_rows);
  delete from assetdock_private.jobs j
  where j.id in (
    select old.id
    from assetdock_private.jobs old, assetdock_private.settings s
    where old.finished_at < now() - s.job_retention
    limit max_rows
    for update of old skip locked
  );
  -- An hour later than keys become free, so that no row disappears under a request that still compares it.
  delete from assetdock_private.idempotency_keys i
  where i.ctid = any (array(
    select old.ctid
    from assetdock_private.idempotency_keys old
    where old.claimed_at < now() - interval '25 hours'
    limit max_rows
    for update skip locked
  ));
  perform assetdock_private.prune_webhooks(max_rows);
  perform assetdock_private.prune_records(max_rows);
  return jsonb_build_object('expired', to_jsonb(expired));
end
$$;
comment on function assetdock.run_maintenance(integer) is
  'For workers, every few seconds: expires reservations and deletes old rows, at most batch of each kind. expired: '
  'the ids of the expired assets.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.run_maintenance(integer) to assetdock_worker;
