-- The queue. It is in the database so that a job is queued in the transaction that needs it. available_at is the whole
-- schedule: a waiting job becomes available at that time, a leased job becomes available again when its lease expires.
-- So one partial index finds both.
--
-- Every job has a fencing token: a call about a leased job must show its lease_token. Lock order: asset, then job.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Tables ----------------------------------------------------------------------
alter table assetdock_private.settings
  add column job_retention interval not null default '7 days' check (job_retention >= '0');
comment on column assetdock_private.settings.job_retention is 'How long finished jobs are kept.';

create table assetdock_private.jobs (
  id uuid primary key default assetdock_private.uuid7(),
  kind text not null check (kind in ('probe', 'purge', 'purge_owner', 'deliver')),
  asset_id uuid references assetdock_app.assets on delete cascade,
  owner_id uuid,
  delivery_id uuid,
  recipient uuid,
  available_at timestamptz not null default now(),
  attempts integer not null default 0,
  has_begun boolean not null default false,
  postponed integer not null default 0,
  first_postponed_at timestamptz,
  lease_token uuid,
  leased_by text,
  last_error text,
  finished_at timestamptz,
  outcome text check (outcome in ('done', 'dead', 'cancelled')),

  check ((asset_id is not null) = (kind in ('probe', 'purge'))),
  check ((owner_id is not null) = (kind = 'purge_owner')),
  check ((delivery_id is not null) = (kind = 'deliver')),
  check ((recipient is not null) = (kind = 'deliver')),
  check ((finished_at is null) = (outcome is null)),
  check (finished_at is null or lease_token is null),
  check (postponed = 0 or first_postponed_at is not null)
);
alter table assetdock_private.jobs enable row level security;
create index jobs_by_availability on assetdock_private.jobs (kind, available_at) where finished_at is null;
create unique index jobs_open_once on assetdock_private.jobs (asset_id, owner_id, kind) nulls not distinct
  where finished_at is null and kind <> 'deliver';
-- For the cascade: without this index, each deleted asset scans all jobs of the last days.
create index jobs_by_asset on assetdock_private.jobs (asset_id) where asset_id is not null;
create unique index jobs_by_delivery on assetdock_private.jobs (delivery_id) where delivery_id is not null;
-- Contains the few probes that were attempted, not the many that wait.
create index jobs_attempted_probes on assetdock_private.jobs (attempts)
  where finished_at is null and kind = 'probe' and attempts > 0;
create index jobs_by_recipient on assetdock_private.jobs (recipient, available_at)
  where finished_at is null and kind = 'deliver';
create index jobs_leased_by_recipient on assetdock_private.jobs (recipient)
  where lease_token is not null and kind = 'deliver';
create index jobs_finished on assetdock_private.jobs (finished_at) where finished_at is not null;
create index jobs_dead on assetdock_private.jobs (kind) where outcome = 'dead';
comment on table assetdock_private.jobs is
  'Work for the worker. A job is open while finished_at is null, and leased while lease_token is set and available_at '
  'is in the future.';
comment on column assetdock_private.jobs.owner_id is 'The deleted user whose assets a purge_owner job deletes.';
comment on column assetdock_private.jobs.recipient is
  'The owner of the webhook endpoint. Limits how many deliveries of one owner run at a time.';
comment on column assetdock_private.jobs.attempts is
  'How often work began and no result is known; the worker may have crashed. Includes work in progress.';
comment on column assetdock_private.jobs.has_begun is
  'Whether work has begun under the current lease, and cost an attempt. A lease whose response is lost costs none.';
comment on column assetdock_private.jobs.postponed is
  'How often a worker returned the job because of an obstacle outside it, such as an outage.';
comment on column assetdock_private.jobs.outcome is 'dead: failed permanently, a dead letter for the operator.';

-- Jobs -------------------------------------------------------------------------
create function assetdock_private.queue_job(kind text, asset_id uuid, available_at timestamptz default now())
returns void
language sql set search_path = '' as $$
  insert into assetdock_private.jobs (kind, asset_id, available_at)
  values (kind, asset_id, available_at)
  on conflict do nothing;
$$;
comment on function assetdock_private.queue_job(text, uuid, timestamptz) is
  'Queues a job about an asset, unless a job of this kind is open.';

create function assetdock_private.finish_job(job_id uuid, outcome text)
returns void
language sql set search_path = '' as $$
  update assetdock_private.jobs j
  set finished_at = now(), outcome = finish_job.outcome, lease_token = null
  where j.id = finish_job.job_id and j.finished_at is null;
$$;
comment on function assetdock_private.finish_job(uuid, text) is 'Closes an open job as done or dead.';

create function assetdock_private.cancel_jobs(kind text, asset_id uuid)
returns void
language sql set search_path = '' as $$
  update assetdock_private.jobs j
  set finished_at = now(), outcome = 'cancelled', lease_token = null
  where j.asset_id = cancel_jobs.asset_id and j.kind = cancel_jobs.kind and j.finished_at is null;
$$;
comment on function assetdock_private.cancel_jobs(text, uuid) is
  'Closes the open job of a kind about an asset. A worker that holds it loses its lease.';

-- Leases ----------------------------------------------------------------------
-- What a worker does with a lease. assetdock.lease_jobs, which grants leases, comes later, because it needs probes and
-- deliveries. Functions for the worker are security definer: its role has no access to tables.
create function assetdock_private.lock_leased_job(job_id uuid, lease_token uuid, kind text default null)
returns assetdock_private.jobs
language plpgsql set search_path = '' as $$
declare
  is_allowed constant boolean := assetdock_private.require_role('assetdock_worker');
  job assetdock_private.jobs;
begin
  -- The asset first, then the job, which is read again under its lock.
  perform from assetdock_app.assets a
  where a.id = (select j.asset_id from assetdock_private.jobs j where j.id = lock_leased_job.job_id)
  for no key update;
  select * into job
  from assetdock_private.jobs j
  where j.id = lock_leased_job.job_id
    and j.lease_token = lock_leased_job.lease_token
    and j.kind = coalesce(lock_leased_job.kind, j.kind)
    and j.finished_at is null
    and j.available_at > now()
  for update;
  if job.id is null then
    perform assetdock_private.fail('conflict',
      'the lease on this job has passed: it expired, or the job was cancelled. Stop work on this job.');
  end if;
  return job;
end
$$;
comment on function assetdock_private.lock_leased_job(uuid, uuid, text) is
  'Locks a job and its asset. Raises conflict unless the lease is current and, if a kind is given, the job is of that '
  'kind.';

create function assetdock_private.charge_attempt(job assetdock_private.jobs)
returns void
language sql set search_path = '' as $$
  update assetdock_private.jobs j
  set attempts = j.attempts + 1, has_begun = true
  where j.id = job.id and not j.has_begun;
$$;
comment on function assetdock_private.charge_attempt(assetdock_private.jobs) is
  'Counts an attempt when work on a leased job begins. A result gives it back; a crash does not.';

create function assetdock.extend_lease(job_id uuid, lease_token uuid, lease_seconds integer default 120)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token);
begin
  if lease_seconds not between 5 and 3600 then
    perform assetdock_private.fail('bad_request', 'lease_seconds is 5 to 3600.');
  end if;
  update assetdock_private.jobs j
  set available_at = now() + make_interval(secs => extend_lease.lease_seconds)
  where j.id = job.id;
  return jsonb_build_object('lease_seconds', lease_seconds);
end
$$;
comment on function assetdock.extend_lease(uuid, uuid, integer) is
  'For workers: the heartbeat of a long job. conflict (409) if the lease has expired.';

create function assetdock.release_job(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token);
begin
  update assetdock_private.jobs j
  -- The time at which it was queued, so that it returns to its place in the queue.
  set lease_token = null,
    available_at = least(now(), assetdock_private.uuid7_instant(j.id)),
    attempts = j.attempts - j.has_begun::integer,
    has_begun = false
  where j.id = job.id;
  return jsonb_build_object('outcome', 'released');
end
$$;
comment on function assetdock.release_job(uuid, uuid) is
  'For workers: returns a job without an attempt, for example at shutdown. The job keeps its place in the queue.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.extend_lease(uuid, uuid, integer) to assetdock_worker;
grant execute on function assetdock.release_job(uuid, uuid) to assetdock_worker;
