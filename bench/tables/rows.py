"""The statements that fill the tables in bulk. `bench.tables.population` chooses numbers of rows and owners."""

TOOLS = """
create schema bench;
create extension pageinspect schema bench;
grant usage on schema bench to service_role, authenticated;
create function bench.owner(n bigint) returns uuid language sql immutable as $$
  select md5('owner ' || n)::uuid
$$;
create function bench.key_hash(n bigint) returns bytea language sql immutable as $$
  select sha256(convert_to('key ' || n, 'UTF8'))
$$;
create function bench.uuid7(at timestamptz) returns uuid language sql volatile as $$
  select encode(
    substring(uuid_send(assetdock_private.uuid7_floor(at)) from 1 for 6)
      || substring(uuid_send(assetdock_private.uuid7()) from 7),
    'hex'
  )::uuid
$$;
"""

USERS = """
insert into auth.users (id, aud, role, email, email_confirmed_at, created_at, updated_at, raw_app_meta_data)
select bench.owner(n), 'authenticated', 'authenticated', n || '@example.com', now(), now(), now(),
  '{"provider": "email", "providers": ["email"]}'
-- Owner 0 never has any rows: the newcomer.
from generate_series(0, %(owners)s) n;
insert into assetdock_private.producers (owner_id)
select bench.owner(n * 100) from generate_series(1, %(owners)s / 100) n;
insert into assetdock_private.limits (owner_id, pending_uploads)
select bench.owner(n * 100), 2000 from generate_series(1, %(owners)s / 100) n;
insert into assetdock_app.webhook_endpoints (owner_id, url, event_types)
select bench.owner(n * 20), 'https://example.com/' || n, assetdock_private.webhook_event_types()
from generate_series(2, %(owners)s / 20) n;
"""

# One row per new asset: owner, time and final state. The shares of the states are in thousandths.
PLAN = """
create temporary table plan on commit drop as
select p.n, p.owner, bench.uuid7(p.at) as id, p.at, p.type,
  case
    when p.n <= 0 then 'open'
    when p.lot < 10 then 'pending_upload'
    when p.lot < 20 then 'ready'
    when p.lot < 30 then 'processing'
    when p.lot < 60 then 'failed'
    when p.lot < 90 then 'expired'
    when p.lot < 115 then 'deleted'
    when p.lot < 140 then 'purged'
    else 'ready'
  end as fate
from (
  select n,
    now() - interval '1 year' + (interval '364 days' / %(most)s) * n as at,
    case
      when %(one)s then bench.owner(1)
      when n <= 0 then bench.owner(1 - n %% %(watched)s)
      when watched then bench.owner(1 + n / %(spacing)s %% %(watched)s)
      else bench.owner(1 + %(watched)s + (n * 7919) %% (%(owners)s - %(watched)s))
    end as owner,
    case
      when n <= 0 or case when watched then n / %(spacing)s / %(watched)s else n / 3 end %% 2 = 0 then 'audio'
      else 'video'
    end as type,
    -- A stride that is coprime to 1000 visits each lot once per thousand; watched owners take equal steps.
    case when watched and not %(one)s
      then (n / %(spacing)s / %(watched)s) * (1000 / %(watched_assets)s)
      else (n * 617) %% 1000
    end as lot
  from generate_series(%(first)s::bigint, %(last)s) n,
    lateral (select n > 0 and n %% %(spacing)s = 0 and n <= %(watched)s * %(watched_assets)s * %(spacing)s) w (watched)
) p
order by p.n;
"""

ASSETS = """
insert into assetdock_app.assets (
  id, owner_id, type, state, reserved_by, declared_content_type, reserved_size_bytes, filename, metadata,
  upload_expires_at, finish_by, landed_at, object_version, size_bytes, content_type, stored_bytes,
  duration_seconds, media, ready_at, error_code, error_message,
  deleted_at, deleted_from, purge_started_at, purged_at
)
select id, owner, type,
  case fate when 'open' then 'pending_upload' when 'purged' then 'deleted' else fate end,
  'session', type || '/mpeg', 400000 + greatest(n, 0) % 100000, 'recording ' || n || '.mp3', '{"project": "bench"}',
  case when fate = 'open' then now() + interval '6 hours' else at + interval '15 minutes' end,
  case when fate in ('open', 'pending_upload') then now() + interval '12 hours' else at + interval '3 hours' end,
  case when landed then at + interval '1 minute' end,
  case when landed then gen_random_uuid()::text end,
  case when landed then 400000 + n % 100000 end,
  case when landed then type || '/mpeg' end,
  case when landed and fate <> 'purged' then 400000 + n % 100000 else 0 end,
  case when ready then 61.5 end,
  case when ready then json_build_object('format', 'mp3', 'bit_rate', 128000, 'streams', json_build_array(
    json_build_object('type', 'audio', 'codec', 'mp3', 'sample_rate', 44100, 'channels', 2))) end,
  case when ready then at + interval '2 minutes' end,
  case when fate = 'failed' then 'unreadable_media' end,
  case when fate = 'failed' then 'The file could not be read.' end,
  case when gone then now() - interval '1 day' end,
  case when gone then 'ready' end,
  case when fate = 'purged' then now() - interval '1 hour' end,
  case when fate = 'purged' then now() - interval '1 hour' end
from (
  select *, fate in ('deleted', 'purged') as gone, fate in ('ready', 'deleted', 'purged') as ready,
    fate not in ('open', 'pending_upload', 'expired') as landed
  from plan
) p
order by n;

insert into assetdock_app.asset_events (asset_id, owner_id, from_state, to_state, at, actor, reason)
select p.id, p.owner, e.from_state, e.to_state, p.at, e.actor, e.reason
from plan p
join (values
  (1, 'pending_upload', 'processing', 'session', 'the bytes landed',
    '{processing,failed,ready,deleted,purged}'::text[]),
  (1, 'pending_upload', 'expired', 'system', 'the upload window closed without bytes', '{expired}'),
  (2, 'processing', 'failed', 'worker', 'unreadable_media', '{failed}'),
  (2, 'processing', 'ready', 'worker', 'the media was read', '{ready,deleted,purged}'),
  (3, 'ready', 'deleted', 'session', 'deleted', '{deleted,purged}')
) e (place, from_state, to_state, actor, reason, fates) on p.fate = any (e.fates)
order by p.n, e.place;

insert into storage.objects (
  bucket_id, name, owner, owner_id, version, created_at, updated_at, last_accessed_at, metadata
)
select 'assets', p.id::text, p.owner, p.owner, a.object_version, p.at, p.at, p.at, jsonb_build_object(
  'eTag', '"' || md5(p.n::text) || '"', 'size', a.size_bytes, 'mimetype', a.content_type, 'cacheControl', 'no-cache',
  'lastModified', p.at, 'contentLength', a.size_bytes, 'httpStatusCode', 200
)
from plan p
join assetdock_app.assets a on a.id = p.id
where p.fate in ('processing', 'failed', 'ready', 'deleted')
order by p.n;

-- Some of the open probes are leased and some are postponed; finished ones are kept for a week.
insert into assetdock_private.jobs (
  id, kind, asset_id, available_at, attempts, lease_token, leased_by, finished_at, outcome
)
select bench.uuid7(p.at + interval '1 minute'), 'probe', p.id,
  case when open and n / 1000 % 10 > 7 then now() + interval '12 hours' else now() - random() * interval '7 days' end,
  case when open then 0 else 1 end,
  case when open and n / 1000 % 10 = 9 then gen_random_uuid() end,
  'worker',
  case when not open then now() - random() * interval '7 days' end,
  case when not open then 'done' end
from (select *, fate = 'processing' as open from plan) p
where p.fate in ('processing', 'failed', 'ready', 'deleted', 'purged')
order by p.n;

insert into assetdock_private.jobs (id, kind, asset_id, available_at, finished_at, outcome)
select bench.uuid7(now() - interval '1 day'), 'purge', p.id, now() + interval '29 days' * random(),
  case when p.fate = 'purged' then now() - interval '1 hour' end,
  case when p.fate = 'purged' then 'done' end
from plan p
where p.fate in ('deleted', 'purged')
order by p.n;
"""

KEYS = """
with keys as (
  insert into assetdock_app.api_keys (id, owner_id, name, prefix, scopes, created_by)
  select bench.uuid7(now() - interval '1 year' + n * interval '1 second'), bench.owner(1 + (n - 1) %% %(owners)s),
    'Key ' || n, 'rk_live_' || lpad(n::text, 8, '0'), '{assets:read,assets:write}', 'session'
  from generate_series(1, %(keys)s) n
  returning id, prefix
)
insert into assetdock_private.api_key_secrets (sha256, api_key_id)
select bench.key_hash(right(prefix, 8)::bigint), id from keys;
"""

USAGE = """
insert into assetdock_private.usage (owner_id, stored_bytes)
select bench.owner(n), coalesce(a.bytes, 0)
from generate_series(1, %(owners)s) n
left join (
  select owner_id, sum(stored_bytes) as bytes from assetdock_app.assets group by owner_id
) a on a.owner_id = bench.owner(n)
on conflict (owner_id) do update set stored_bytes = excluded.stored_bytes;
"""
