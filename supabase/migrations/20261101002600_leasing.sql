-- Which jobs a worker gets. Three rules beside "the oldest first":
--
-- Kinds are served in the order that the worker names, so that the purges of a deleted user with a million assets do
-- not delay the probes of others.
--
-- A crash costs an attempt of every job that the worker held, and those jobs become available together. So a probe
-- whose lease expired twice (isolate_after), and always the last attempt, runs exclusively: alone on an idle worker.
-- Only a file that crashes workers by itself uses up its attempts.
--
-- No owner has more than 2 deliveries (max_concurrent_deliveries) in progress, so that receivers that hang delay only
-- the deliveries of their owner.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Deliveries ------------------------------------------------------------------
alter table assetdock_private.settings
  add column max_concurrent_deliveries integer not null default 2 check (max_concurrent_deliveries > 0);
comment on column assetdock_private.settings.max_concurrent_deliveries is
  'How many webhook deliveries of one owner all workers together have in progress at a time.';

create function assetdock_private.choose_deliveries(max_jobs integer)
returns uuid[]
language plpgsql set search_path = '' as $$
declare
  max_concurrent constant integer := (select s.max_concurrent_deliveries from assetdock_private.settings s);
  first_recipient constant uuid := gen_random_uuid();
  current_recipient uuid := first_recipient;
  wrapped boolean := false;
  capacity integer;
  chosen uuid[] := '{}';
begin
  if not exists (
    select from assetdock_private.jobs j where j.kind = 'deliver' and j.finished_at is null and j.available_at <= now()
  ) then
    return chosen;
  end if;
  -- Round robin over the owners, from a random one, with one index probe for each: an owner with many deliveries does
  -- not delay the others.
  while cardinality(chosen) < max_jobs loop
    select j.recipient into current_recipient
    from assetdock_private.jobs j
    where j.kind = 'deliver' and j.finished_at is null and j.recipient > current_recipient
    order by j.recipient
    limit 1;
    if current_recipient is null and not wrapped then
      wrapped := true;
      current_recipient := '00000000-0000-0000-0000-000000000000';
      continue;
    end if;
    exit when current_recipient is null or (wrapped and current_recipient > first_recipient);
    -- A concurrent call for this owner would not see the leases of this one before it commits.
    continue when not pg_try_advisory_xact_lock(hashtextextended('assetdock.deliveries ' || current_recipient, 0));
    select max_concurrent - count(*) into capacity
    from assetdock_private.jobs j
    where j.recipient = current_recipient
      and j.kind = 'deliver'
      and j.lease_token is not null
      and j.available_at > now();
    chosen := chosen || array(
      select j.id
      from assetdock_private.jobs j
      where j.recipient = current_recipient and j.kind = 'deliver' and j.finished_at is null and j.available_at <= now()
      order by j.available_at
      limit greatest(0, least(capacity, max_jobs - cardinality(chosen)))
      for update skip locked
    );
  end loop;
  return chosen;
end
$$;
comment on function assetdock_private.choose_deliveries(integer) is
  'Locks up to max_jobs due deliveries, the oldest of each owner, within max_concurrent_deliveries for each owner.';

-- Probes and purges -----------------------------------------------------------
create function assetdock_private.fail_exhausted_probes(max_attempts integer)
returns integer
language plpgsql set search_path = '' as $$
declare
  job assetdock_private.jobs;
  failed integer := 0;
begin
  for job in
    select j.*
    from assetdock_private.jobs j
    where j.kind = 'probe'
      and j.attempts > 0
      and j.attempts >= max_attempts
      and j.finished_at is null
      and j.available_at <= now()
    -- Order by attempts so that the planner uses jobs_attempted_probes. Ordered by available_at it could use an index
    -- that contains all waiting jobs.
    order by j.attempts desc
    limit 10
  loop
    -- The asset before the job, as everywhere; otherwise this call and a deletion could deadlock.
    perform from assetdock_app.assets a where a.id = job.asset_id for no key update skip locked;
    continue when not found;
    perform from assetdock_private.jobs j
    where j.id = job.id and j.finished_at is null and j.available_at <= now()
    for update skip locked;
    continue when not found;
    perform assetdock_private.fail_exhausted_probe(job);
    failed := failed + 1;
  end loop;
  return failed;
end
$$;
comment on function assetdock_private.fail_exhausted_probes(integer) is
  'Fails up to ten probes that have used up their attempts; their number.';

create function assetdock_private.head_attempts(max_attempts integer)
returns integer
language plpgsql stable set search_path = '' as $$
begin
  return (
    select j.attempts
    from assetdock_private.jobs j
    where j.kind = 'probe' and j.finished_at is null and j.available_at <= now() and j.attempts < max_attempts
    order by j.available_at
    limit 1
  );
end
$$;
comment on function assetdock_private.head_attempts(integer) is
  'How often the first probe in the queue was attempted, or null if none is available.';

create function assetdock_private.choose_jobs(
  kinds text[], max_jobs integer, exclusive boolean, isolate_after integer, max_attempts integer
)
returns uuid[]
language plpgsql set search_path = '' as $$
begin
  return array(
    select found.id
    from unnest(kinds) with ordinality wanted (kind, urgency)
    cross join lateral (
      select j.id, j.available_at
      from assetdock_private.jobs j
      where j.kind = wanted.kind
        and j.kind <> 'deliver'
        and j.finished_at is null
        and j.available_at <= now()
        and case
          when exclusive then j.kind = 'probe' and j.attempts >= isolate_after and j.attempts < max_attempts
          else j.kind <> 'probe' or j.attempts < isolate_after
        end
      order by j.available_at
      limit case when exclusive then 1 else max_jobs end
      for update skip locked
    ) found
    order by wanted.urgency, found.available_at
    limit max_jobs
  );
end
$$;
comment on function assetdock_private.choose_jobs(text[], integer, boolean, integer, integer) is
  'Locks up to max_jobs available jobs of these kinds, except deliveries; if exclusive, one probe to isolate.';

-- Leases ----------------------------------------------------------------------
create function assetdock_private.lease_chosen_jobs(
  job_ids uuid[], worker text, lease_seconds integer, exclusive boolean
)
returns jsonb
language plpgsql set search_path = '' as $$
declare
  leased jsonb;
begin
  -- By id, in a statement of its own: a generic plan, which does not know how many jobs were chosen, uses index probes
  -- here.
  with taken as (
    update assetdock_private.jobs j
    set has_begun = false,
      lease_token = gen_random_uuid(),
      leased_by = worker,
      available_at = now() + make_interval(secs => lease_seconds)
    where j.id = any (job_ids)
    returning j.*
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', t.id,
    'kind', t.kind,
    'lease_token', t.lease_token,
    'attempt', t.attempts + t.postponed + 1,
    'exclusive', exclusive,
    'lease_seconds', lease_seconds,
    'owner_id', t.owner_id,
    'asset', case when a.id is not null then jsonb_build_object(
      'id', a.id,
      'type', a.type,
      'state', a.state,
      'size_bytes', a.size_bytes,
      'declared_content_type', a.declared_content_type,
      'reserved_sha256', a.reserved_sha256
    ) end
  ) order by t.id), '[]')
  into leased
  from taken t
  left join assetdock_app.assets a on a.id = t.asset_id;
  return leased;
end
$$;
comment on function assetdock_private.lease_chosen_jobs(uuid[], text, integer, boolean) is
  'Leases jobs that the caller has locked, and returns them for the worker.';

create function assetdock.lease_jobs(
  worker text,
  max_jobs integer default 1,
  lease_seconds integer default 120,
  kinds text[] default array['probe', 'purge_owner', 'purge'],
  idle boolean default false
)
returns jsonb
language plpgsql security definer set search_path = ''
-- Otherwise a session plans again for each max_jobs, at every poll of a worker, which costs more than the query. The
-- setting also applies to the functions that this one calls.
set plan_cache_mode = force_generic_plan
as $$
declare
  is_allowed constant boolean := assetdock_private.require_role('assetdock_worker');
  max_attempts constant integer := (select s.max_attempts from assetdock_private.settings s);
  isolate_after constant integer := least(2, max_attempts - 1);
  wants_probes constant boolean := 'probe' = any (kinds);
  exhausted integer := 0;
  exclusive boolean := false;
  deliveries uuid[] := '{}';
  chosen uuid[];
begin
  if max_jobs not between 1 and 100 or lease_seconds not between 5 and 3600 or char_length(worker) not between 1 and 200
  then
    perform assetdock_private.fail('bad_request',
      'max_jobs is 1 to 100, lease_seconds 5 to 3600, worker 1 to 200 characters.');
  end if;
  if wants_probes then
    exhausted := assetdock_private.fail_exhausted_probes(max_attempts);
    exclusive := coalesce(assetdock_private.head_attempts(max_attempts) >= isolate_after, false);
  end if;
  if exclusive and not idle then
    -- The first idle worker gets this job. If busy workers got other jobs now, no worker would ever be idle.
    return jsonb_build_object('jobs', jsonb_build_array(), 'exhausted', exhausted);
  end if;
  -- An exclusive probe runs alone, without deliveries beside it.
  if 'deliver' = any (kinds) and not exclusive then
    deliveries := assetdock_private.choose_deliveries(max_jobs);
  end if;
  chosen := assetdock_private.choose_jobs(kinds, max_jobs, exclusive, isolate_after, max_attempts);
  chosen := (chosen || deliveries)[1:max_jobs];
  return jsonb_build_object(
    'jobs', case when cardinality(chosen) = 0 then jsonb_build_array()
      else assetdock_private.lease_chosen_jobs(chosen, worker, lease_seconds, exclusive) end,
    'exhausted', exhausted
  );
end
$$;
comment on function assetdock.lease_jobs(text, integer, integer, text[], boolean) is
  'For workers: leases up to max_jobs available jobs of these kinds, in this order of kinds, for lease_seconds. Each '
  'job has a lease_token that later calls about it must show. A job that is exclusive may have crashed workers: only '
  'an idle worker gets it, alone, and must take no other job until it is done. exhausted: how many probes used up '
  'their attempts and failed in this call.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.lease_jobs(text, integer, integer, text[], boolean) to assetdock_worker;
