-- What the worker does with a lease: keep it or return it. assetdock.lease_jobs, which grants leases, comes later,
-- because it needs probes and deliveries.
--
-- Functions for the worker are security definer: its role has no access to tables.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Functions -------------------------------------------------------------------

create function assetdock_private.lock_leased_job(job_id uuid, lease_token uuid, kind text default null)
returns assetdock_private.jobs
language plpgsql
set search_path = ''
as $$
declare
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

create function assetdock.extend_lease(job_id uuid, lease_token uuid, lease_seconds integer default 120)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
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
language plpgsql security definer
set search_path = ''
as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token);
begin
  update assetdock_private.jobs j
  -- The time at which it was queued, so that it returns to its place in the queue.
  set lease_token = null,
    available_at = least(now(), assetdock_private.uuid7_instant(j.id)),
    attempts = j.attempts - 1
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
