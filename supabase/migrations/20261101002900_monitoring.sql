-- Readiness of the service, and metrics of the queue.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- security definer, to reach require_role.
create function assetdock.ping()
returns boolean
language sql stable security definer set search_path = '' as $$
  select assetdock_private.require_role('assetdock_gateway', 'assetdock_worker');
  select true;
$$;
comment on function assetdock.ping() is
  'For the readiness check of the service and the start of a worker: the database responds, and PostgREST accepts '
  'their tokens.';

create function assetdock.queue_stats()
returns json
language sql stable security definer set search_path = '' as $$
  select assetdock_private.require_role('assetdock_gateway', 'assetdock_worker');
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
  'For monitoring: for each kind how many jobs are available, leased and scheduled, and how long the oldest available '
  'job has waited; and how many dead jobs there are, which are kept for job_retention.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.ping() to assetdock_gateway, assetdock_worker;
grant execute on function assetdock.queue_stats() to assetdock_gateway, assetdock_worker;
