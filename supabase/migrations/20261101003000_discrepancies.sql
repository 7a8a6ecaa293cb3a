-- Reconciliation: finds rows that contradict each other. Transactions and triggers prevent such rows; they appear when
-- somebody restores a backup, empties a bucket by hand or disables a trigger.
--
-- storage.objects is the truth about objects. Only Storage can find bytes without a row there.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Tables ----------------------------------------------------------------------
create table assetdock_private.discrepancies (
  kind text primary key,
  subject_type text not null check (subject_type in ('object', 'asset', 'job', 'owner')),
  repairable boolean not null,
  advice text not null
);
alter table assetdock_private.discrepancies enable row level security;
comment on table assetdock_private.discrepancies is
  'Every kind of discrepancy, and advice: what a repair does, or what the operator must do.';

insert into assetdock_private.discrepancies (kind, subject_type, repairable, advice) values
  ('object_without_asset', 'object', true, 'No asset needs this object. A repair deletes it through Storage.'),
  ('object_not_landed', 'object', false,
    'The object exists, but its asset is not landed, because the trigger assetdock_land was disabled. Enable the trigger; '
    'delete the asset, which purges the object, and have it uploaded again.'),
  ('size_mismatch', 'object', false,
    'The object does not have the size with which the asset landed: somebody replaced it while the triggers were disabled. '
    'Restore the original, or delete the asset.'),
  ('bytes_missing', 'asset', true,
    'The object of a landed asset is missing. A repair makes a processing asset failed and stops counting its bytes.'),
  ('ready_without_bytes', 'asset', false,
    'The object of a ready asset is missing. Restore it from a backup of the bucket under the same name, or delete the asset '
    'and have it uploaded again.'),
  ('processing_without_probe', 'asset', true, 'No job will examine this asset. A repair queues its probe.'),
  ('pending_past_deadline', 'asset', true,
    'No worker runs the maintenance. A repair makes the asset expired; start a worker.'),
  ('deleted_without_purge', 'asset', true,
    'No job will purge this asset. A repair queues the purge for the end of the grace period.'),
  ('purge_failing', 'job', true,
    'Storage has rejected this purge many times; last_error has the reason. A repair tries it again now.'),
  ('job_overdue', 'job', false,
    'The job has been available for more than ten minutes and no worker leased it. Start a worker, or more workers.'),
  ('lease_expired', 'job', true,
    'The lease expired, and no other worker leased the job. A repair makes the job available; start a worker.'),
  ('owner_deleted', 'owner', true,
    'The user is deleted, but not everything that the user owned. A repair queues the deletion of everything that the user owned.'),
  ('usage_mismatch', 'owner', true,
    'The usage of this owner is not the sum over its assets. A repair computes it again.');

-- Checks of one row -----------------------------------------------------------

-- Searches and repairs call the same functions, so they always agree.

create function assetdock_private.object_discrepancy(object storage.objects)
returns text
language sql stable set search_path = '' as $$
  select case
    when asset.id is null or asset.purged_at is not null then 'object_without_asset'
    when asset.landed_at is null and asset.state <> 'deleted' then 'object_not_landed'
    when asset.purge_started_at is null and (object.metadata ->> 'size')::numeric <> asset.size_bytes then 'size_mismatch'
  end
  from (select) one
  left join assetdock_app.assets asset
    on asset.id = case when assetdock_private.is_uuid(object.name) then object.name::uuid end;
$$;
comment on function assetdock_private.object_discrepancy(storage.objects) is
  'The kind of discrepancy of an object in our bucket, or null.';

create function assetdock_private.lacks_object(asset assetdock_app.assets)
returns boolean
language sql stable set search_path = '' as $$
  select asset.landed_at is not null
    and asset.purge_started_at is null
    and not exists (
      select from storage.objects o where o.bucket_id = assetdock_private.bucket() and o.name = asset.id::text
    );
$$;
comment on function assetdock_private.lacks_object(assetdock_app.assets) is
  'Whether an asset that landed and whose purge has not begun has no object.';

create function assetdock_private.asset_discrepancy(asset assetdock_app.assets)
returns text
language sql stable set search_path = '' as $$
  select case
    when asset.state = 'ready' and assetdock_private.lacks_object(asset) then 'ready_without_bytes'
    when (asset.state = 'processing' or (asset.state = 'failed' and asset.stored_bytes > 0))
      and assetdock_private.lacks_object(asset) then 'bytes_missing'
    when asset.state = 'processing' and not exists (
      select from assetdock_private.jobs j where j.asset_id = asset.id and j.kind = 'probe' and j.finished_at is null
    ) then 'processing_without_probe'
    -- Workers run the maintenance every few seconds, so a minute is late.
    when asset.state = 'pending_upload' and asset.finish_by < now() - interval '1 minute' then 'pending_past_deadline'
    when asset.state = 'deleted' and asset.purged_at is null and not exists (
      select from assetdock_private.jobs j where j.asset_id = asset.id and j.kind = 'purge' and j.finished_at is null
    ) then 'deleted_without_purge'
  end;
$$;
comment on function assetdock_private.asset_discrepancy(assetdock_app.assets) is
  'The kind of discrepancy of an asset, or null.';

create function assetdock_private.job_discrepancy(job assetdock_private.jobs)
returns text
language sql stable set search_path = '' as $$
  select case
    when job.finished_at is not null then null
    when job.lease_token is not null and job.available_at < now() - interval '5 minutes' then 'lease_expired'
    -- Before purge_failing, whose repair makes the job available: that has no effect while no worker runs.
    when job.lease_token is null and job.available_at < now() - interval '10 minutes' then 'job_overdue'
    when job.kind in ('purge', 'purge_owner')
      and not (job.lease_token is not null and job.available_at > now())
      and greatest(job.attempts, job.postponed) >= (select s.max_attempts from assetdock_private.settings s)
      then 'purge_failing'
  end;
$$;
comment on function assetdock_private.job_discrepancy(assetdock_private.jobs) is
  'The kind of discrepancy of an open job, or null.';

create function assetdock_private.owner_discrepancy(owner uuid)
returns text
language sql stable set search_path = '' as $$
  select case
    when not exists (select from auth.users u where u.id = owner and u.deleted_at is null)
      and not exists (
        select from assetdock_private.jobs j
        where j.owner_id = owner and j.kind = 'purge_owner' and j.finished_at is null
      )
      and (
        exists (
          select from assetdock_app.assets a
          where a.owner_id = owner
            and a.purge_started_at is null
            and not exists (
              select from assetdock_private.jobs j
              where j.asset_id = a.id
                and j.kind = 'purge'
                and j.finished_at is null
                and j.available_at <= now() + interval '10 minutes'
            )
        )
        or exists (select from assetdock_app.api_keys k where k.owner_id = owner)
        or exists (select from assetdock_app.webhook_endpoints e where e.owner_id = owner and e.deleted_at is null)
        or exists (select from assetdock_private.idempotency_keys i where i.owner_id = owner)
      )
      then 'owner_deleted'
    when (select coalesce(sum(a.stored_bytes), 0) from assetdock_app.assets a where a.owner_id = owner)
      <> coalesce((select u.stored_bytes from assetdock_private.usage u where u.owner_id = owner), 0)
      then 'usage_mismatch'
  end;
$$;
comment on function assetdock_private.owner_discrepancy(uuid) is 'The kind of discrepancy of an owner, or null.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
