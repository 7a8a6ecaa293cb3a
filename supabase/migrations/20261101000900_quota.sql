-- Limits of each owner, and the bytes that count against the storage quota. Creating a reservation checks the quota;
-- landing enforces it, because only then is the size certain.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Limits ----------------------------------------------------------------------
create table assetdock_private.limits (
  owner_id uuid unique nulls not distinct,
  reservations_per_minute integer check (reservations_per_minute > 0),
  pending_uploads integer check (pending_uploads >= 0),
  asset_bytes bigint check (asset_bytes > 0),
  stored_bytes bigint check (stored_bytes >= 0),
  api_keys integer check (api_keys >= 0),
  webhook_endpoints integer check (webhook_endpoints >= 0)
);
alter table assetdock_private.limits enable row level security;
comment on table assetdock_private.limits is
  'The row with owner_id null holds the defaults. The values of an owner''s row that are not null override them.';
comment on column assetdock_private.limits.reservations_per_minute is
  'Also holds for callers of PostgREST, whose requests the rate limit of the service does not see.';
comment on column assetdock_private.limits.pending_uploads is
  'Reservations with an open window. Only creation checks it, so concurrent requests can exceed it by their number.';
comment on column assetdock_private.limits.asset_bytes is 'No larger object lands, however it is sent.';
comment on column assetdock_private.limits.stored_bytes is 'All landed bytes that are not purged.';
comment on column assetdock_private.limits.api_keys is
  'API keys that are neither revoked nor expired. At most as many ended ones are kept.';
comment on column assetdock_private.limits.webhook_endpoints is
  'Webhook endpoints, including disabled ones: each event can become a request to each of them. Ten times as many rows '
  'can exist.';

insert into assetdock_private.limits values (null, 1200, 1000, 5368709120, 1099511627776, 100, 10);

create function assetdock_private.keep_default_limits()
returns trigger
language plpgsql set search_path = '' as $$
begin
  perform assetdock_private.fail('conflict',
    'the row of assetdock_private.limits with owner_id null holds the defaults. Set a column to null for no limit.');
  return null;
end
$$;
comment on function assetdock_private.keep_default_limits() is
  'Rejects the deletion of the default limits: without them, nothing would be limited.';

create trigger assetdock_keep_default_limits
before delete or update of owner_id on assetdock_private.limits
for each row when (old.owner_id is null)
execute function assetdock_private.keep_default_limits();

create trigger assetdock_keep_default_limits_from_truncate
before truncate on assetdock_private.limits
for each statement
execute function assetdock_private.keep_default_limits();

-- plpgsql, because it keeps the plan for the session. An SQL function that cannot be inlined is planned at each call.
create function assetdock_private.effective_limits(owner uuid)
returns assetdock_private.limits
language plpgsql stable set search_path = '' as $$
declare
  limits assetdock_private.limits;
begin
  select owner,
    coalesce(own.reservations_per_minute, defaults.reservations_per_minute),
    coalesce(own.pending_uploads, defaults.pending_uploads),
    coalesce(own.asset_bytes, defaults.asset_bytes),
    coalesce(own.stored_bytes, defaults.stored_bytes),
    coalesce(own.api_keys, defaults.api_keys),
    coalesce(own.webhook_endpoints, defaults.webhook_endpoints)
  into limits
  from assetdock_private.limits defaults
  left join assetdock_private.limits own on own.owner_id = owner
  where defaults.owner_id is null;
  return limits;
end
$$;
comment on function assetdock_private.effective_limits(uuid) is
  'The limits of an owner. A limit that is null in both rows does not apply.';

-- Usage -----------------------------------------------------------------------

-- Only landing and deleting bytes write this table. Lock order: asset, job, usage.
create table assetdock_private.usage (
  owner_id uuid primary key,
  stored_bytes bigint not null default 0 check (stored_bytes >= 0)
);
alter table assetdock_private.usage enable row level security;
comment on table assetdock_private.usage is 'The bytes that each owner has in Storage.';

create function assetdock_private.add_usage(owner uuid, size bigint)
returns boolean
language plpgsql set search_path = '' as $$
declare
  quota constant bigint := (assetdock_private.effective_limits(owner)).stored_bytes;
begin
  insert into assetdock_private.usage (owner_id) values (owner) on conflict do nothing;
  -- Concurrent landings of one owner wait for each other at this row, so together they cannot exceed the quota.
  update assetdock_private.usage u
  set stored_bytes = u.stored_bytes + size
  where u.owner_id = owner and (quota is null or u.stored_bytes + size <= quota);
  return found;
end
$$;
comment on function assetdock_private.add_usage(uuid, bigint) is
  'Counts landed bytes for their owner. False if they exceed the quota.';

create function assetdock_private.remove_usage(asset_id uuid)
returns void
language sql set search_path = '' as $$
  -- One statement, so that assets and usage always agree. It locks the asset first.
  with counted as (
    select a.id, a.owner_id, a.stored_bytes
    from assetdock_app.assets a
    where a.id = remove_usage.asset_id and a.stored_bytes > 0
    for no key update
  ),
  cleared as (
    update assetdock_app.assets a
    set stored_bytes = 0
    from counted c
    where a.id = c.id
  )
  update assetdock_private.usage u
  set stored_bytes = u.stored_bytes - c.stored_bytes
  from counted c
  where u.owner_id = c.owner_id;
$$;
comment on function assetdock_private.remove_usage(uuid) is
  'Stops counting the bytes of an asset, which are deleted or lost. Calling it again changes nothing.';

-- Check at creation -----------------------------------------------------------
create function assetdock_private.check_quota(owner uuid, limits assetdock_private.limits, size_bytes bigint)
returns boolean
language plpgsql stable set search_path = '' as $$
declare
  recent bigint;
  pending bigint;
  next_expiry timestamptz;
  stored bigint;
begin
  -- Each subquery counts no further than its limit. One statement, because starting a statement costs more than these
  -- reads. It does not see concurrent calls, so a burst can exceed a limit by its size.
  select minute.reservations, windows.open, windows.next_expiry, u.stored_bytes
  into recent, pending, next_expiry, stored
  from (
    select count(*) as reservations
    from (
      select from assetdock_app.assets a
      where a.owner_id = owner and a.id >= assetdock_private.uuid7_floor(now() - interval '1 minute')
        and limits.reservations_per_minute is not null
      limit limits.reservations_per_minute
    ) counted
  ) minute
  cross join (
    select count(*) as open, min(counted.upload_expires_at) as next_expiry
    from (
      select a.upload_expires_at from assetdock_app.assets a
      where a.owner_id = owner and a.state = 'pending_upload' and a.upload_expires_at > now()
        and limits.pending_uploads is not null
      order by a.upload_expires_at
      limit limits.pending_uploads
    ) counted
  ) windows
  left join assetdock_private.usage u on u.owner_id = owner;

  if recent >= limits.reservations_per_minute then
    perform assetdock_private.fail('rate_limited',
      format('%s reservations', limits.reservations_per_minute), retry_after => 60);
  end if;
  if pending >= limits.pending_uploads then
    perform assetdock_private.fail('too_many_pending_uploads', limits.pending_uploads::text,
      retry_after => greatest(1, ceil(extract(epoch from coalesce(next_expiry, now()) - now()))::integer));
  end if;
  if coalesce(stored, 0) + coalesce(size_bytes, 1) > limits.stored_bytes then
    perform assetdock_private.fail('storage_quota_exceeded',
      format('%s of %s bytes are used', coalesce(stored, 0), limits.stored_bytes));
  end if;
  return true;
end
$$;
comment on function assetdock_private.check_quota(uuid, assetdock_private.limits, bigint) is
  'True if the limits of an owner allow one more reservation; otherwise rate_limited, too_many_pending_uploads or '
  'storage_quota_exceeded. It returns a value because an assignment costs less than PERFORM, which runs a statement.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
