-- One queue, in the database, so that a job is queued in the transaction that makes it necessary and no other system
-- has to agree. available_at is the whole schedule: a waiting job becomes available at it, a leased job becomes
-- available again at it (the end of its lease), so one partial index finds both.

set lock_timeout = '5s';
set statement_timeout = '30s';

create table assetdock_private.jobs (
  id uuid primary key default assetdock_private.uuid7(),
  kind text not null check (kind in ('probe', 'purge', 'purge_owner', 'deliver')),
  asset_id uuid references assetdock_app.assets on delete cascade,
  owner_id uuid,
  delivery_id uuid,
  -- Whose webhook it is: one owner's receivers that hang must not hold every hand.
  recipient uuid,
  available_at timestamptz not null default now(),
  -- Leases that ended without a word: whoever held them died of it, perhaps.
  attempts integer not null default 0,
  -- Times a worker gave it back because something beyond the job was in the way.
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
create unique index one_open_job_of_a_kind on assetdock_private.jobs (asset_id, owner_id, kind) nulls not distinct
  where finished_at is null and kind <> 'deliver';
-- For the cascade: without it each asset that is forgotten reads every job of the last days, and housekeeping runs out of time.
create index jobs_of_an_asset on assetdock_private.jobs (asset_id) where asset_id is not null;
create unique index one_job_of_a_delivery on assetdock_private.jobs (delivery_id) where delivery_id is not null;
-- What the sweep for the exhausted reads: the few that were tried most, not the many that wait.
create index jobs_tried_before on assetdock_private.jobs (attempts) where finished_at is null and kind = 'probe' and attempts > 0;
create index deliveries_of_a_recipient on assetdock_private.jobs (recipient, available_at) where finished_at is null and kind = 'deliver';
create index leased_deliveries on assetdock_private.jobs (recipient) where lease_token is not null and kind = 'deliver';
create index finished_jobs on assetdock_private.jobs (finished_at) where finished_at is not null;
create index dead_jobs on assetdock_private.jobs (kind) where outcome = 'dead';
comment on table assetdock_private.jobs is 'Work for the worker. Open while finished_at is null; leased while lease_token is set and available_at lies ahead.';

alter table assetdock_private.settings
  add column max_attempts integer not null default 5 check (max_attempts > 0),
  add column deliveries_at_once integer not null default 2 check (deliveries_at_once > 0),
  add column patience interval not null default '1 day' check (patience >= '0'),
  add column retry_base interval not null default '2 seconds' check (retry_base > '0'),
  add column retry_cap interval not null default '5 minutes' check (retry_cap > '0'),
  add column keep_finished_jobs interval not null default '7 days' check (keep_finished_jobs >= '0'),
  add column keep_ended_rows interval not null default '90 days' check (keep_ended_rows >= '0');
comment on column assetdock_private.settings.max_attempts is
  'After so many leases that ended without a word a probe is dead: the file kills whoever reads it. From the third on, and always at the last, a worker holds nothing beside it. Purges are tried for ever: bytes must not stay behind.';
comment on column assetdock_private.settings.patience is
  'For how long after it was first postponed a probe still is, while something beyond the file is in the way, before it is given up. An outage shorter than this costs no asset.';
comment on column assetdock_private.settings.deliveries_at_once is
  'How many webhooks of one owner all workers together have under way at a time: receivers that hang cost their owner time, not others.';
comment on column assetdock_private.settings.keep_ended_rows is
  'How long expired assets, purged assets with their histories, and API keys that ended are remembered.';
comment on column assetdock_private.settings.retry_base is 'The wait after the first failed attempt; doubled with each further one, with jitter.';
comment on column assetdock_private.settings.retry_cap is 'The longest wait between two attempts.';

create function assetdock_private.finish_job(job_id uuid, outcome text)
returns void
language sql
set search_path = ''
as $$
  update assetdock_private.jobs j
  set finished_at = now(), outcome = finish_job.outcome, lease_token = null
  where j.id = finish_job.job_id and j.finished_at is null;
$$;
comment on function assetdock_private.finish_job(uuid, text) is 'Closes an open job as done, dead or cancelled.';
revoke all on function assetdock_private.finish_job(uuid, text) from public, anon, authenticated, service_role;

create function assetdock_private.queue_job(kind text, asset_id uuid, available_at timestamptz default now())
returns void
language sql
set search_path = ''
as $$
  insert into assetdock_private.jobs (kind, asset_id, available_at) values (kind, asset_id, available_at)
  on conflict do nothing;
$$;
comment on function assetdock_private.queue_job(text, uuid, timestamptz) is 'Queues a job about an asset, unless one of its kind is open.';
revoke all on function assetdock_private.queue_job(text, uuid, timestamptz) from public, anon, authenticated, service_role;

create function assetdock_private.cancel_jobs(kind text, asset_id uuid)
returns void
language sql
set search_path = ''
as $$
  update assetdock_private.jobs j
  set finished_at = now(), outcome = 'cancelled', lease_token = null
  where j.asset_id = cancel_jobs.asset_id and j.kind = cancel_jobs.kind and j.finished_at is null;
$$;
comment on function assetdock_private.cancel_jobs(text, uuid) is 'Closes the open job of a kind about an asset. Whoever holds it finds its lease gone.';
revoke all on function assetdock_private.cancel_jobs(text, uuid) from public, anon, authenticated, service_role;

-- security definer, as are all functions of the worker: its role holds no table at all.
create function assetdock.lease_jobs(
  worker text,
  max_jobs integer default 1,
  lease_seconds integer default 120,
  kinds text[] default array['probe', 'purge_owner', 'purge'],
  idle boolean default false
)
returns jsonb
language plpgsql security definer
set search_path = ''
-- Left to itself a session plans for each max_jobs anew, at every question a worker asks, and that costs more than the answer.
set plan_cache_mode = force_generic_plan
as $$
declare
  patience constant integer := (select s.max_attempts from assetdock_private.settings s);
  -- A worker that dies costs everything it held an attempt, and those come round again together. So the later attempts
  -- are made alone, the last one always: a file that kills is buried for deaths that were its own.
  suspect constant integer := least(2, patience - 1);
  deliveries uuid[] := '{}';
  head_attempts integer;
  alone boolean := false;
  exhausted assetdock_private.jobs;
  buried integer := 0;
  found_ids uuid[];
  leased jsonb;
begin
  if max_jobs not between 1 and 100 or lease_seconds not between 5 and 3600 or char_length(worker) not between 1 and 200
  then
    perform assetdock_private.fail('bad_request', 'max_jobs is 1 to 100, lease_seconds 5 to 3600, worker 1 to 200 characters.');
  end if;

  for exhausted in
    select j.* from assetdock_private.jobs j
    where 'probe' = any (kinds)
      and j.kind = 'probe'
      and j.attempts > 0
      and j.attempts >= patience
      and j.finished_at is null
      and j.available_at <= now()
    -- In this order only jobs_tried_before has them. In that of available_at another index has them, too, with all that wait.
    order by j.attempts desc
    limit 10
  loop
    -- Every path takes the asset before the job, or a delete and a dying job could wait for each other.
    perform from assetdock_app.assets a where a.id = exhausted.asset_id for no key update skip locked;
    continue when not found;
    perform from assetdock_private.jobs j
    where j.id = exhausted.id and j.finished_at is null and j.available_at <= now()
    for update skip locked;
    continue when not found;
    perform assetdock_private.bury_job(exhausted);
    buried := buried + 1;
  end loop;

  if 'probe' = any (kinds) then
    select j.attempts into head_attempts
    from assetdock_private.jobs j
    where j.kind = 'probe' and j.finished_at is null and j.available_at <= now() and j.attempts < patience
    order by j.available_at
    limit 1;
    alone := coalesce(head_attempts >= suspect, false);
    if alone and not idle then
      -- Its turn has come. Whoever first has nothing in hand gets it; with more to do, nobody ever would.
      return jsonb_build_object('jobs', jsonb_build_array(), 'buried', buried);
    end if;
  end if;

  if 'deliver' = any (kinds) then
    deliveries := assetdock_private.next_deliveries(max_jobs);
  end if;

  -- Kind by kind, or the purges of an owner who left with a million assets would keep everyone's probes waiting.
  found_ids := array(
    select found.id
    from unnest(kinds) with ordinality wanted (kind, urgency)
    cross join lateral (
      select j.id, j.available_at from assetdock_private.jobs j
      where j.kind = wanted.kind
        and j.kind <> 'deliver'
        and j.finished_at is null
        and j.available_at <= now()
        and case
          when alone then j.kind = 'probe' and j.attempts >= suspect and j.attempts < patience
          else j.kind <> 'probe' or j.attempts < suspect
        end
      order by j.available_at
      limit case when alone then 1 else max_jobs end
      for update skip locked
    ) found
    order by wanted.urgency, found.available_at
    limit max_jobs
  );
  found_ids := (found_ids || deliveries)[1:max_jobs];
  if cardinality(found_ids) = 0 then
    return jsonb_build_object('jobs', jsonb_build_array(), 'buried', buried);
  end if;

  -- By their ids, a statement of its own: however many jobs a plan without numbers expects above, here it probes.
  with taken as (
    update assetdock_private.jobs j
    set attempts = j.attempts + 1,
      lease_token = gen_random_uuid(),
      leased_by = worker,
      available_at = now() + make_interval(secs => lease_seconds)
    where j.id = any (found_ids)
    returning j.*
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', t.id,
    'kind', t.kind,
    'lease_token', t.lease_token,
    'attempt', t.attempts + t.postponed,
    'alone', alone,
    'lease_seconds', lease_seconds,
    'owner_id', t.owner_id,
    'asset', case when a.id is not null then jsonb_build_object(
      'id', a.id,
      'type', a.type,
      'state', a.state,
      'size_bytes', a.size_bytes,
      'content_type', a.content_type,
      'reserved_content_type', a.reserved_content_type,
      'reserved_sha256', a.reserved_sha256
    ) end
  ) order by t.id), '[]')
  into leased
  from taken t
  left join assetdock_app.assets a on a.id = t.asset_id;
  return jsonb_build_object('jobs', leased, 'buried', buried);
end
$$;
comment on function assetdock.lease_jobs(text, integer, integer, text[], boolean) is
  'For workers: takes up to max_jobs available jobs of these kinds, the most urgent kind first, for lease_seconds. Each carries the lease_token that every later call about it must show. A job that is alone may have killed workers: it comes by itself, only to a worker that is idle, which takes no other until it is done. buried: probes given up in this call.';
revoke all on function assetdock.lease_jobs(text, integer, integer, text[], boolean) from public, anon, authenticated, service_role;
grant execute on function assetdock.lease_jobs(text, integer, integer, text[], boolean) to assetdock_worker;

create function assetdock_private.hold_lease(job_id uuid, lease_token uuid, kind text default null)
returns assetdock_private.jobs
language plpgsql
set search_path = ''
as $$
declare
  job assetdock_private.jobs;
begin
  -- The asset first (see assetdock.lease_jobs), then the job, read again under its lock.
  perform from assetdock_app.assets a
  where a.id = (select j.asset_id from assetdock_private.jobs j where j.id = hold_lease.job_id)
  for no key update;
  select * into job from assetdock_private.jobs j
  where j.id = hold_lease.job_id
    and j.lease_token = hold_lease.lease_token
    and j.kind = coalesce(hold_lease.kind, j.kind)
    and j.finished_at is null
    and j.available_at > now()
  for update;
  if job.id is null then
    perform assetdock_private.fail('conflict', 'the lease on this job has passed to someone else. Drop the work.');
  end if;
  return job;
end
$$;
comment on function assetdock_private.hold_lease(uuid, uuid, text) is
  'Locks the job of a live lease, of this kind if one is named, or raises conflict: a worker that overslept its lease can change nothing.';
revoke all on function assetdock_private.hold_lease(uuid, uuid, text) from public, anon, authenticated, service_role;

create function assetdock.extend_lease(job_id uuid, lease_token uuid, lease_seconds integer default 120)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  job assetdock_private.jobs := assetdock_private.hold_lease(job_id, lease_token);
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
comment on function assetdock.extend_lease(uuid, uuid, integer) is 'For workers: the heartbeat of a long job. 409 conflict once the lease is lost.';
revoke all on function assetdock.extend_lease(uuid, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function assetdock.extend_lease(uuid, uuid, integer) to assetdock_worker;

create function assetdock.retry_job(job_id uuid, lease_token uuid, reason text)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  job assetdock_private.jobs := assetdock_private.hold_lease(job_id, lease_token);
  settings assetdock_private.settings;
begin
  if job.kind = 'deliver' then
    perform assetdock_private.fail('bad_request', 'what became of a delivery is said by record_delivery, whose schedule it follows.');
  end if;
  select * into strict settings from assetdock_private.settings;
  -- A worker that can say what is in the way was not killed by the file: that costs patience, not an attempt, or an hour
  -- without Storage would fail every asset that landed meanwhile.
  -- Patience runs from the first such word: time in which no worker was there to say anything is not the job's fault.
  if job.kind = 'probe' and coalesce(job.first_postponed_at, now()) <= clock_timestamp() - settings.patience then
    perform assetdock_private.bury_job(job);
    return jsonb_build_object('outcome', 'dead');
  end if;
  update assetdock_private.jobs j
  set lease_token = null,
    attempts = j.attempts - 1,
    postponed = j.postponed + 1,
    first_postponed_at = coalesce(j.first_postponed_at, now()),
    available_at = now()
      + least(settings.retry_base * power(2, least(j.postponed, 20)), settings.retry_cap) * (0.5 + random() / 2),
    last_error = left(reason, 500)
  where j.id = job.id;
  return jsonb_build_object('outcome', 'retry');
end
$$;
comment on function assetdock.retry_job(uuid, uuid, text) is
  'For workers: this attempt failed for a passing reason. Tried again later, with backoff and jitter, until patience runs out. Not for deliveries, which have a schedule of their own.';
revoke all on function assetdock.retry_job(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.retry_job(uuid, uuid, text) to assetdock_worker;

create function assetdock.release_job(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  job assetdock_private.jobs := assetdock_private.hold_lease(job_id, lease_token);
begin
  update assetdock_private.jobs j
  -- Back to where it stood in the queue: its turn had come once.
  set lease_token = null, available_at = least(now(), assetdock_private.uuid7_instant(j.id)), attempts = j.attempts - 1
  where j.id = job.id;
  return jsonb_build_object('outcome', 'released');
end
$$;
comment on function assetdock.release_job(uuid, uuid) is 'For workers: gives a job back untried, as a worker that is told to stop does. It keeps its place in the queue.';
revoke all on function assetdock.release_job(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.release_job(uuid, uuid) to assetdock_worker;

create function assetdock.queue_stats()
returns json
language sql stable security definer
set search_path = ''
as $$
  select json_build_object(
    'open', (
      select coalesce(json_agg(row_to_json(k) order by k.kind), '[]')
      from (
        select
          j.kind,
          count(*) filter (where j.available_at <= now()) as available,
          count(*) filter (where j.available_at > now() and j.lease_token is not null) as leased,
          count(*) filter (where j.available_at > now() and j.lease_token is null) as scheduled,
          coalesce(extract(epoch from now() - min(j.available_at) filter (where j.available_at <= now())), 0)::float
            as oldest_seconds,
          max(j.attempts) as attempts,
          max(j.postponed) as postponed
        from assetdock_private.jobs j
        where j.finished_at is null
        group by j.kind
      ) k
    ),
    'dead', (
      select coalesce(json_object_agg(d.kind, d.jobs), '{}')
      from (select j.kind, count(*) as jobs from assetdock_private.jobs j where j.outcome = 'dead' group by j.kind) d
    )
  );
$$;
comment on function assetdock.queue_stats() is
  'For monitoring: of each kind how many jobs are available, leased and scheduled, how long the first has been waiting, and how many died in the last days.';
revoke all on function assetdock.queue_stats() from public, anon, authenticated, service_role;
grant execute on function assetdock.queue_stats() to assetdock_gateway, assetdock_worker;
