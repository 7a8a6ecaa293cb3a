-- Telling an owner's servers what happened to an asset, as the Standard Webhooks specification has it. The outbox is a
-- trigger on the history: a change of state and the deliveries it owes are one transaction, so none is lost or invented.
-- Lock order here: asset, delivery, job, endpoint.

set lock_timeout = '5s';
set statement_timeout = '30s';

alter table private.settings
  add column webhook_retries interval[] not null
    default '{5 seconds,5 minutes,30 minutes,2 hours,5 hours,10 hours,14 hours,20 hours,24 hours}',
  add column webhook_patience interval not null default '5 days' check (webhook_patience >= '0'),
  add column keep_webhook_deliveries interval not null default '30 days' check (keep_webhook_deliveries >= '2 days'),
  add column webhook_requests_per_minute integer not null default 60 check (webhook_requests_per_minute > 0),
  add column loopback_webhooks boolean not null default false;
comment on column private.settings.webhook_retries is
  'The waits after the first failed attempt, the second, and so on, each with up to a fifth more at random. One attempt more than there are waits.';
comment on column private.settings.webhook_patience is
  'An endpoint at which every attempt failed for so long is disabled.';
comment on column private.settings.keep_webhook_deliveries is 'How long a delivery can be looked up and replayed.';
comment on column private.settings.webhook_requests_per_minute is
  'How many tests and replays together one owner may ask for in a minute: each is a request to somebody''s server.';
comment on column private.settings.loopback_webhooks is
  'For a stack on one machine and for tests only: webhooks may go to loopback addresses, by http too. Elsewhere it would let callers reach what listens beside the worker.';

create function private.webhook_event_types()
returns text[]
language sql immutable parallel safe
begin atomic
  select array['asset.processing', 'asset.ready', 'asset.failed', 'asset.expired', 'asset.deleted'];
end;
comment on function private.webhook_event_types() is 'The events an endpoint can subscribe to. webhook.test is sent only when asked for.';
revoke all on function private.webhook_event_types() from public, anon, authenticated, service_role;

create table app.webhook_endpoints (
  id uuid primary key default private.uuid7(),
  owner_id uuid not null,
  url text not null check (char_length(url) <= 2048),
  event_types text[] not null,
  description text,
  created_at timestamptz not null generated always as (private.uuid7_instant(id)) stored,
  failing_since timestamptz,
  disabled_at timestamptz,
  disabled_reason text check (disabled_reason in ('gone', 'failing')),
  -- A tombstone, so that deleting is one row however many deliveries there are: private.prune_webhooks takes those.
  deleted_at timestamptz,
  check ((disabled_at is null) = (disabled_reason is null))
);
alter table app.webhook_endpoints enable row level security;
create index webhook_endpoints_of_an_owner on app.webhook_endpoints (owner_id, id);
create index deleted_webhook_endpoints on app.webhook_endpoints (deleted_at) where deleted_at is not null;
comment on table app.webhook_endpoints is 'Where owners want to be told. Callers read their own and change them through functions only.';
comment on column app.webhook_endpoints.failing_since is 'The first failed attempt since the last that succeeded.';
comment on column app.webhook_endpoints.disabled_reason is
  'gone: the endpoint answered 410; failing: nothing succeeded for private.settings.webhook_patience.';

create policy "Owners see their webhook endpoints" on app.webhook_endpoints
for select to authenticated
using (owner_id = (select private.owner_with('webhooks:read')));

grant select (
  id, owner_id, url, event_types, description, created_at, failing_since, disabled_at, disabled_reason, deleted_at
) on app.webhook_endpoints to authenticated;
-- No insert, update or delete for anyone.

create view api.webhook_endpoints with (security_invoker = true) as
select id, url, event_types, description, created_at, failing_since, disabled_at, disabled_reason
from app.webhook_endpoints
where deleted_at is null;
comment on view api.webhook_endpoints is 'Your webhook endpoints, without their secrets.';
revoke all on api.webhook_endpoints from public, anon, authenticated, service_role;
grant select on api.webhook_endpoints to authenticated;

-- Not hashed, unlike API keys: a key is only ever compared, while each delivery must be signed with the secret itself.
-- So it stands where no API role can look, apart from what policies and grants reach, and is forgotten with its endpoint.
create table private.webhook_secrets (
  webhook_endpoint_id uuid primary key references app.webhook_endpoints on delete cascade,
  secret text not null,
  previous_secret text,
  previous_until timestamptz,
  check ((previous_secret is null) = (previous_until is null))
);
alter table private.webhook_secrets enable row level security;
comment on table private.webhook_secrets is
  'The signing secrets of each endpoint: the present one, and until previous_until the one before. In the clear, because signing needs them.';

-- data is the asset as it was when the event happened, not as it is at delivery: an event that says "processing" must not
-- carry a ready asset, and every attempt with one webhook-id must carry the same bytes, or receivers cannot rely on the id.
create table private.webhook_deliveries (
  id uuid primary key default private.uuid7(),
  webhook_endpoint_id uuid not null references app.webhook_endpoints on delete cascade,
  event_type text not null,
  -- No foreign key: what was said stays said.
  asset_id uuid,
  occurred_at timestamptz not null,
  data json not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  last_attempt_at timestamptz,
  next_attempt_at timestamptz default now(),
  delivered_at timestamptz,
  response_status integer,
  duration_ms integer,
  error text,
  check ((state = 'pending') = (next_attempt_at is not null)),
  check ((state = 'delivered') = (delivered_at is not null))
);
alter table private.webhook_deliveries enable row level security;
create index deliveries_of_an_endpoint on private.webhook_deliveries (webhook_endpoint_id, id desc);
create index tests_on_their_way on private.webhook_deliveries (webhook_endpoint_id)
  where event_type = 'webhook.test' and state = 'pending';
comment on table private.webhook_deliveries is 'One row for each event and endpoint: what is to be said, and how saying it went. The id is the webhook-id.';
comment on column private.webhook_deliveries.attempts is 'Attempts that ended, since the delivery was made or last replayed.';

alter table private.jobs
  -- not valid: no row has a delivery yet, so there is nothing to scan the table for.
  add constraint delivery_of_a_job foreign key (delivery_id) references private.webhook_deliveries
    on delete cascade not valid;

-- What an owner had sent by asking. A replay makes no row that could be counted.
create table private.webhook_requests (
  owner_id uuid primary key,
  minute timestamptz not null,
  requests integer not null
);
alter table private.webhook_requests enable row level security;
comment on table private.webhook_requests is 'Tests and replays of each owner in the last minute in which there were any.';

create function private.count_webhook_request(owner uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  per_minute constant integer := (select s.webhook_requests_per_minute from private.settings s);
  lately integer;
begin
  insert into private.webhook_requests as w (owner_id, minute, requests)
  values (owner, date_trunc('minute', now()), 1)
  on conflict (owner_id) do update
  set minute = excluded.minute,
    requests = case when w.minute = excluded.minute then w.requests + 1 else 1 end
  where w.owner_id = owner
  returning w.requests into lately;
  if lately > per_minute then
    perform private.fail('rate_limited', format('%s tests and replays of webhooks', per_minute),
      retry_after => greatest(1, ceil(extract(epoch from date_trunc('minute', now()) + interval '1 minute' - now()))::integer));
  end if;
end
$$;
comment on function private.count_webhook_request(uuid) is
  'Counts a delivery that an owner asks for; rate_limited beyond private.settings.webhook_requests_per_minute.';
revoke all on function private.count_webhook_request(uuid) from public, anon, authenticated, service_role;

create function private.queue_delivery(delivery_id uuid)
returns void
language sql
set search_path = ''
as $$
  insert into private.jobs as j (kind, delivery_id, recipient)
  select 'deliver', d.id, e.owner_id
  from private.webhook_deliveries d
  join app.webhook_endpoints e on e.id = d.webhook_endpoint_id
  where d.id = queue_delivery.delivery_id
  on conflict (delivery_id) where delivery_id is not null do update
  set available_at = now(), attempts = 0, finished_at = null, outcome = null
  -- Someone is at it right now; that attempt will do.
  where j.lease_token is null;
$$;
comment on function private.queue_delivery(uuid) is 'Has a delivery attempted at once, unless an attempt is under way.';
revoke all on function private.queue_delivery(uuid) from public, anon, authenticated, service_role;

create function private.owe_deliveries()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  endpoint uuid;
  owed uuid;
begin
  -- For an owner without endpoints, which is most of them, this is one probe of a small index.
  for endpoint in
    select e.id from app.webhook_endpoints e
    where e.owner_id = new.owner_id
      and e.deleted_at is null
      and e.disabled_at is null
      and 'asset.' || new.to_state = any (e.event_types)
    order by e.id
  loop
    insert into private.webhook_deliveries (webhook_endpoint_id, event_type, asset_id, occurred_at, data)
    select endpoint, 'asset.' || new.to_state, new.asset_id, new.at, private.asset_summary(a)
    from app.assets a
    where a.id = new.asset_id
    returning id into owed;
    perform private.queue_delivery(owed);
  end loop;
  return null;
end
$$;
comment on function private.owe_deliveries() is
  'The outbox: for each enabled endpoint of the owner that subscribed to the event, a delivery and its job, in the transaction of the event.';
revoke all on function private.owe_deliveries() from public, anon, authenticated, service_role;

create trigger owe_deliveries
after insert on app.asset_events
for each row when (new.to_state <> 'pending_upload')
execute function private.owe_deliveries();

create function private.webhook_endpoint_summary(endpoint app.webhook_endpoints)
returns json
language sql stable
set search_path = ''
as $$
  select json_build_object(
    'id', endpoint.id,
    'url', endpoint.url,
    'event_types', to_jsonb(endpoint.event_types),
    'description', endpoint.description,
    'state', case when endpoint.disabled_at is null then 'enabled' else 'disabled' end,
    'created_at', private.rfc3339(endpoint.created_at),
    'failing_since', private.rfc3339(endpoint.failing_since),
    'disabled_at', private.rfc3339(endpoint.disabled_at),
    'disabled_reason', endpoint.disabled_reason
  );
$$;
comment on function private.webhook_endpoint_summary(app.webhook_endpoints) is 'A webhook endpoint as the HTTP API shows it.';
revoke all on function private.webhook_endpoint_summary(app.webhook_endpoints) from public, anon, authenticated, service_role;

create function private.webhook_delivery_summary(delivery private.webhook_deliveries)
returns json
language sql stable
set search_path = ''
as $$
  select json_build_object(
    'id', delivery.id,
    'event_type', delivery.event_type,
    'asset_id', delivery.asset_id,
    'state', delivery.state,
    'created_at', private.rfc3339(private.uuid7_instant(delivery.id)),
    'attempts', delivery.attempts,
    'last_attempt_at', private.rfc3339(delivery.last_attempt_at),
    'next_attempt_at', private.rfc3339(delivery.next_attempt_at),
    'delivered_at', private.rfc3339(delivery.delivered_at),
    'response_status', delivery.response_status,
    'duration_ms', delivery.duration_ms,
    'error', delivery.error
  );
$$;
comment on function private.webhook_delivery_summary(private.webhook_deliveries) is
  'A delivery as the HTTP API shows it. response_status, duration_ms and error are those of the last attempt.';
revoke all on function private.webhook_delivery_summary(private.webhook_deliveries) from public, anon, authenticated, service_role;

create function private.own_webhook_endpoint(caller private.caller, webhook_endpoint_id uuid)
returns app.webhook_endpoints
language plpgsql
set search_path = ''
as $$
declare
  endpoint app.webhook_endpoints;
begin
  select * into endpoint from app.webhook_endpoints e
  where e.id = webhook_endpoint_id and e.owner_id = caller.owner_id and e.deleted_at is null;
  if endpoint.id is null then
    perform private.fail('not_found');
  end if;
  return endpoint;
end
$$;
comment on function private.own_webhook_endpoint(private.caller, uuid) is 'The caller''s endpoint, or not_found.';
revoke all on function private.own_webhook_endpoint(private.caller, uuid) from public, anon, authenticated, service_role;

-- Only the form. Where a name leads is judged when a delivery is sent, by the worker, which connects to what it judged:
-- a name can lead elsewhere by then.
create function private.invalid_webhook_url(url text)
returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  -- scheme, host, port, then what RFC 3986 (section 3) lets stand in a path and a query: a character that does not belong
  -- there is written as %XX, or every client on the way would read it as it likes. No user or password, no fragment.
  parts constant text[] := regexp_match(
    url,
    '^(https?)://(\[[0-9a-f:.]+\]|[0-9a-z](?:[0-9a-z_.-]*[0-9a-z.])?)(?::([0-9]{1,5}))?(?:[/?](?:[0-9a-z._~!$&''()*+,;=:@/?-]|%[0-9a-f]{2})*)?$',
    'i'
  );
  loopback constant boolean := (select s.loopback_webhooks from private.settings s);
begin
  if parts is null or char_length(url) > 2048 or parts[3]::integer not between 1 and 65535
    or (parts[2] like '[%' and not (parts[2] like '%:%' and pg_catalog.pg_input_is_valid(trim(both '[]' from parts[2]), 'inet')))
  then
    return private.invalid('url', 'An https URL as in RFC 3986, of at most 2048 characters, with a host, and without user, password or fragment. Write special characters as %XX.');
  end if;
  if lower(parts[1]) = 'http' and not (loopback and lower(parts[2]) ~ '^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$') then
    return private.invalid('url', 'https, so that nobody on the way can read what is delivered.');
  end if;
  return '[]';
end
$$;
comment on function private.invalid_webhook_url(text) is 'What is wrong with the URL of a webhook endpoint, as validation fields.';
revoke all on function private.invalid_webhook_url(text) from public, anon, authenticated, service_role;

create function private.invalid_webhook_secret(secret text)
returns jsonb
language sql immutable
set search_path = ''
as $$
  select case
    -- 24 to 64 bytes in base64. The service makes 32 with its CSPRNG.
    when secret ~ '^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
      and octet_length(decode(substring(secret from 7), 'base64')) between 24 and 64
    then '[]'::jsonb
    else private.invalid('secret', 'whsec_ and 24 to 64 random bytes in base64.')
  end;
$$;
comment on function private.invalid_webhook_secret(text) is 'What is wrong with a signing secret, as validation fields.';
revoke all on function private.invalid_webhook_secret(text) from public, anon, authenticated, service_role;

create function api.create_webhook_endpoint(
  url text,
  event_types text[],
  secret text,
  description text default null,
  idempotency_key text default null
)
returns json
language plpgsql security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
  caller private.caller := private.require('webhooks:write');
  room constant integer := (private.limits_of(caller.owner_id)).webhook_endpoints;
  known constant text[] := private.webhook_event_types();
  problems jsonb := private.invalid_webhook_url(create_webhook_endpoint.url);
  endpoint app.webhook_endpoints;
begin
  if caller.is_anonymous then
    perform private.fail('forbidden', 'anonymous users cannot have webhook endpoints. Sign up first.');
  end if;
  if create_webhook_endpoint.url is null then
    problems := private.invalid('url', 'Required.');
  end if;
  if (create_webhook_endpoint.event_types <@ known) is not true
    or cardinality(create_webhook_endpoint.event_types) = 0
    or array_position(create_webhook_endpoint.event_types, null) is not null
  then
    problems := problems || private.invalid('event_types', 'At least one of ' || array_to_string(known, ', ') || '.');
  end if;
  if char_length(create_webhook_endpoint.description) > 255 or create_webhook_endpoint.description ~ '[\u0001-\u001f\u007f-\u009f]' then
    problems := problems || private.invalid('description', 'At most 255 characters, none of them a control character.');
  end if;
  problems := problems || private.invalid_webhook_secret(create_webhook_endpoint.secret);
  problems := problems || private.invalid_idempotency_key(create_webhook_endpoint.idempotency_key);
  if problems <> '[]' then
    perform private.fail('validation_error', fields => problems);
  end if;

  -- One owner's calls wait for each other here, so that the counts below hold. What is made outlives the caller's
  -- credential, so that is looked at again: it may have ended while this call waited.
  perform pg_advisory_xact_lock(hashtextextended('assetdock.webhook_endpoints ' || caller.owner_id, 0));
  perform private.require('webhooks:write');
  perform private.require_open_session(caller);
  perform private.claim_key_request(caller, 'create_webhook_endpoint', create_webhook_endpoint.idempotency_key,
    jsonb_build_array(create_webhook_endpoint.url, create_webhook_endpoint.event_types, create_webhook_endpoint.description));
  if room <= (
    select count(*) from app.webhook_endpoints e where e.owner_id = caller.owner_id and e.deleted_at is null
  ) then
    perform private.fail('conflict', format('there are %s webhook endpoints already. Delete one first.', room));
  end if;
  if 10 * room <= (select count(*) from app.webhook_endpoints e where e.owner_id = caller.owner_id) then
    perform private.fail('conflict', format('%s webhook endpoints are remembered, deleted ones too. They are forgotten in time.', 10 * room));
  end if;
  insert into app.webhook_endpoints (owner_id, url, event_types, description)
  values (
    caller.owner_id,
    create_webhook_endpoint.url,
    -- In one order, each once.
    array(select type from unnest(known) type where type = any (create_webhook_endpoint.event_types)),
    create_webhook_endpoint.description
  )
  returning * into endpoint;
  insert into private.webhook_secrets (webhook_endpoint_id, secret)
  values (endpoint.id, create_webhook_endpoint.secret);
  return private.webhook_endpoint_summary(endpoint);
end
$$;
comment on function api.create_webhook_endpoint(text, text[], text, text, text) is
  'Has events about your assets sent to a URL, signed with a secret you pass: whsec_ and 24 to 64 bytes from a CSPRNG in base64. The HTTP service makes one for you.';
revoke all on function api.create_webhook_endpoint(text, text[], text, text, text) from public, anon, authenticated, service_role;
grant execute on function api.create_webhook_endpoint(text, text[], text, text, text) to authenticated;

create function api.list_webhook_endpoints()
returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  caller private.caller := private.require('webhooks:read');
begin
  return json_build_object('items', (
    select coalesce(json_agg(private.webhook_endpoint_summary(e) order by e.id), '[]')
    from app.webhook_endpoints e
    where e.owner_id = caller.owner_id and e.deleted_at is null
  ));
end
$$;
comment on function api.list_webhook_endpoints() is 'Your webhook endpoints, oldest first, disabled ones too.';
revoke all on function api.list_webhook_endpoints() from public, anon, authenticated, service_role;
grant execute on function api.list_webhook_endpoints() to authenticated;

create function api.get_webhook_endpoint(webhook_endpoint_id uuid)
returns json
language sql security definer
set search_path = ''
as $$
  select private.webhook_endpoint_summary(
    private.own_webhook_endpoint(private.require('webhooks:read'), webhook_endpoint_id)
  );
$$;
comment on function api.get_webhook_endpoint(uuid) is 'One of your webhook endpoints.';
revoke all on function api.get_webhook_endpoint(uuid) from public, anon, authenticated, service_role;
grant execute on function api.get_webhook_endpoint(uuid) to authenticated;

create function api.delete_webhook_endpoint(webhook_endpoint_id uuid)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  caller private.caller := private.require('webhooks:write');
begin
  update app.webhook_endpoints e
  set deleted_at = coalesce(e.deleted_at, now())
  where e.id = delete_webhook_endpoint.webhook_endpoint_id and e.owner_id = caller.owner_id;
  if not found then
    perform private.fail('not_found');
  end if;
  delete from private.webhook_secrets s where s.webhook_endpoint_id = delete_webhook_endpoint.webhook_endpoint_id;
end
$$;
comment on function api.delete_webhook_endpoint(uuid) is
  'Ends a webhook endpoint: nothing is sent there from now on but what is already under way. Idempotent.';
revoke all on function api.delete_webhook_endpoint(uuid) from public, anon, authenticated, service_role;
grant execute on function api.delete_webhook_endpoint(uuid) to authenticated;

create function api.rotate_webhook_secret(
  webhook_endpoint_id uuid,
  secret text,
  overlap_seconds integer default 86400,
  idempotency_key text default null
)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  caller private.caller := private.require('webhooks:write');
  overlap constant integer := coalesce(rotate_webhook_secret.overlap_seconds, 86400);
  problems jsonb := private.invalid_idempotency_key(rotate_webhook_secret.idempotency_key);
  endpoint app.webhook_endpoints;
  rotated private.webhook_secrets;
begin
  if overlap not between 0 and 604800 then
    problems := problems || private.invalid('overlap_seconds', 'From 0 to 604800 seconds.');
  end if;
  problems := problems || private.invalid_webhook_secret(rotate_webhook_secret.secret);
  if problems <> '[]' then
    perform private.fail('validation_error', fields => problems);
  end if;
  perform private.require_open_session(caller);
  endpoint := private.own_webhook_endpoint(caller, rotate_webhook_secret.webhook_endpoint_id);
  perform private.claim_key_request(caller, 'rotate_webhook_secret', rotate_webhook_secret.idempotency_key,
    jsonb_build_array(endpoint.id, overlap));
  update private.webhook_secrets s
  set secret = rotate_webhook_secret.secret,
    previous_secret = case when overlap > 0 then s.secret end,
    previous_until = case when overlap > 0 then now() + make_interval(secs => overlap) end
  where s.webhook_endpoint_id = endpoint.id
  returning * into rotated;
  if rotated.webhook_endpoint_id is null then
    perform private.fail('not_found');
  end if;
  return json_build_object(
    'webhook_endpoint', private.webhook_endpoint_summary(endpoint),
    'previous_secret_expires_at', private.rfc3339(rotated.previous_until)
  );
end
$$;
comment on function api.rotate_webhook_secret(uuid, text, integer, text) is
  'A new signing secret. The one before signs beside it for overlap_seconds, a day unless told; a still older one ends at once.';
revoke all on function api.rotate_webhook_secret(uuid, text, integer, text) from public, anon, authenticated, service_role;
grant execute on function api.rotate_webhook_secret(uuid, text, integer, text) to authenticated;

create function api.test_webhook_endpoint(webhook_endpoint_id uuid, idempotency_key text default null)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  caller private.caller := private.require('webhooks:write');
  endpoint app.webhook_endpoints := private.own_webhook_endpoint(caller, webhook_endpoint_id);
  problems constant jsonb := private.invalid_idempotency_key(test_webhook_endpoint.idempotency_key);
  new_id uuid := private.uuid7();
  replayed uuid;
  delivery private.webhook_deliveries;
begin
  if problems <> '[]' then
    perform private.fail('validation_error', fields => problems);
  end if;
  if test_webhook_endpoint.idempotency_key is not null then
    replayed := private.claim_idempotency_key(caller.owner_id, 'test_webhook_endpoint',
      test_webhook_endpoint.idempotency_key, new_id, jsonb_build_array(endpoint.id));
  end if;
  if replayed is null then
    -- Each is a request to somebody's server, at the caller's word.
    perform private.count_webhook_request(caller.owner_id);
    if 5 <= (
      select count(*) from private.webhook_deliveries d
      where d.webhook_endpoint_id = endpoint.id and d.event_type = 'webhook.test' and d.state = 'pending'
    ) then
      perform private.fail('conflict', 'five tests are still on their way. Wait for them.');
    end if;
    insert into private.webhook_deliveries (id, webhook_endpoint_id, event_type, occurred_at, data)
    values (new_id, endpoint.id, 'webhook.test', now(), json_build_object('webhook_endpoint_id', endpoint.id));
    perform private.queue_delivery(new_id);
  end if;
  select * into strict delivery from private.webhook_deliveries d where d.id = coalesce(replayed, new_id);
  return private.webhook_delivery_summary(delivery);
end
$$;
comment on function api.test_webhook_endpoint(uuid, text) is
  'Sends one webhook.test, also to a disabled endpoint, which is enabled again when it succeeds. Tried once.';
revoke all on function api.test_webhook_endpoint(uuid, text) from public, anon, authenticated, service_role;
grant execute on function api.test_webhook_endpoint(uuid, text) to authenticated;

create function api.list_webhook_deliveries(webhook_endpoint_id uuid, "limit" integer default 20, cursor text default null)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  caller private.caller := private.require('webhooks:read');
  endpoint app.webhook_endpoints := private.own_webhook_endpoint(caller, webhook_endpoint_id);
  page_size constant integer := coalesce(list_webhook_deliveries."limit", 20);
  after_id uuid;
  page private.webhook_deliveries[];
begin
  if page_size not between 1 and 100 then
    perform private.fail('validation_error', fields => private.invalid('limit', 'From 1 to 100.'));
  end if;
  if list_webhook_deliveries.cursor is not null then
    after_id := private.id_in_cursor(caller.owner_id, list_webhook_deliveries.cursor);
  end if;
  page := array(
    select d from private.webhook_deliveries d
    where d.webhook_endpoint_id = endpoint.id and (after_id is null or d.id < after_id)
    order by d.id desc
    limit page_size + 1
  );
  return json_build_object(
    'items', (
      select coalesce(json_agg(private.webhook_delivery_summary(d) order by d.id desc), '[]')
      from unnest(page[1:page_size]) d
    ),
    'limit', page_size,
    'next_cursor', case when cardinality(page) > page_size
      then private.cursor_after(caller.owner_id, (page[page_size]).id)
    end
  );
end
$$;
comment on function api.list_webhook_deliveries(uuid, integer, text) is
  'What was sent, or is still to be sent, to one of your endpoints in the last 30 days, newest first.';
revoke all on function api.list_webhook_deliveries(uuid, integer, text) from public, anon, authenticated, service_role;
grant execute on function api.list_webhook_deliveries(uuid, integer, text) to authenticated;

create function api.replay_webhook_delivery(webhook_endpoint_id uuid, delivery_id uuid)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  endpoint app.webhook_endpoints :=
    private.own_webhook_endpoint(private.require('webhooks:write'), webhook_endpoint_id);
  delivery private.webhook_deliveries;
begin
  select * into delivery from private.webhook_deliveries d
  where d.id = replay_webhook_delivery.delivery_id and d.webhook_endpoint_id = endpoint.id
  for no key update;
  if delivery.id is null then
    perform private.fail('not_found');
  end if;
  if endpoint.disabled_at is not null and delivery.event_type <> 'webhook.test' then
    perform private.fail('conflict', 'the endpoint is disabled. A test that it answers with 2xx enables it again.');
  end if;
  perform private.count_webhook_request(endpoint.owner_id);
  update private.webhook_deliveries d
  set state = 'pending',
    attempts = case when d.state = 'pending' then d.attempts else 0 end,
    next_attempt_at = now(),
    delivered_at = null
  where d.id = delivery.id
  returning * into delivery;
  perform private.queue_delivery(delivery.id);
  return private.webhook_delivery_summary(delivery);
end
$$;
comment on function api.replay_webhook_delivery(uuid, uuid) is
  'Sends a delivery again, at once, with the same webhook-id and the same body; then retried as a new one would be.';
revoke all on function api.replay_webhook_delivery(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function api.replay_webhook_delivery(uuid, uuid) to authenticated;

create function private.hold_delivery(job_id uuid, lease_token uuid)
returns private.webhook_deliveries
language plpgsql
set search_path = ''
as $$
declare
  delivery private.webhook_deliveries;
begin
  select d.* into delivery
  from private.jobs j
  join private.webhook_deliveries d on d.id = j.delivery_id
  where j.id = hold_delivery.job_id
  for no key update of d;
  perform private.hold_lease(job_id, lease_token, 'deliver');
  if delivery.id is null then
    perform private.fail('conflict', 'this job delivers nothing.');
  end if;
  return delivery;
end
$$;
comment on function private.hold_delivery(uuid, uuid) is 'Locks the delivery of a live lease, then its job; conflict when the lease has passed.';
revoke all on function private.hold_delivery(uuid, uuid) from public, anon, authenticated, service_role;

create function private.give_up_delivery(job_id uuid, delivery_id uuid, error text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  -- done, not dead: somebody's server that is away is nothing for our operators to look into.
  perform private.finish_job(job_id, 'done');
  update private.webhook_deliveries d
  set state = 'failed', next_attempt_at = null, error = left(coalesce(give_up_delivery.error, d.error), 300)
  where d.id = give_up_delivery.delivery_id;
end
$$;
comment on function private.give_up_delivery(uuid, uuid, text) is 'Ends a delivery as failed, and its job.';
revoke all on function private.give_up_delivery(uuid, uuid, text) from public, anon, authenticated, service_role;

create function api.begin_delivery(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  delivery private.webhook_deliveries := private.hold_delivery(job_id, lease_token);
  endpoint app.webhook_endpoints;
  secrets private.webhook_secrets;
  obstacle text;
begin
  select * into strict endpoint from app.webhook_endpoints e where e.id = delivery.webhook_endpoint_id;
  select * into secrets from private.webhook_secrets s where s.webhook_endpoint_id = endpoint.id;
  obstacle := case
    when endpoint.deleted_at is not null or secrets.secret is null then 'The endpoint was deleted.'
    when endpoint.disabled_at is not null and delivery.event_type <> 'webhook.test' then 'The endpoint is disabled.'
    -- Each of them ended without a word. Whatever it is, it is not the endpoint.
    when (select j.attempts from private.jobs j where j.id = job_id) > 20 then 'The attempts broke off on our side.'
  end;
  if obstacle is not null then
    perform private.give_up_delivery(job_id, delivery.id, obstacle);
    return jsonb_build_object('outcome', 'dropped', 'delivery_id', delivery.id);
  end if;
  return jsonb_build_object(
    'outcome', 'send',
    'delivery_id', delivery.id,
    'webhook_endpoint_id', endpoint.id,
    'url', endpoint.url,
    -- As text: the bytes that are signed are the bytes that are sent, at every attempt.
    'body', json_build_object(
      'type', delivery.event_type,
      'timestamp', private.rfc3339(delivery.occurred_at),
      'data', delivery.data
    )::text,
    'secrets', case when secrets.previous_until > now()
      then jsonb_build_array(secrets.secret, secrets.previous_secret)
      else jsonb_build_array(secrets.secret)
    end,
    'loopback', (select s.loopback_webhooks from private.settings s)
  );
end
$$;
comment on function api.begin_delivery(uuid, uuid) is
  'For workers: what to send where, and the secrets to sign it with, newest first; outcome dropped when it is not to be sent any more.';
revoke all on function api.begin_delivery(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function api.begin_delivery(uuid, uuid) to asset_worker;

create function private.note_failing_endpoint(webhook_endpoint_id uuid, response_status integer)
returns void
language sql
set search_path = ''
as $$
  update app.webhook_endpoints e
  set failing_since = coalesce(e.failing_since, now()),
    disabled_at = verdict.disabled_at,
    disabled_reason = verdict.reason
  from (
    select
      f.id,
      case when response_status = 410 or f.failing_since <= now() - s.webhook_patience then now() end as disabled_at,
      case
        when response_status = 410 then 'gone'
        when f.failing_since <= now() - s.webhook_patience then 'failing'
      end as reason
    from app.webhook_endpoints f, private.settings s
    where f.id = webhook_endpoint_id
  ) verdict
  -- Written when something changes, not at every failure.
  where e.id = verdict.id
    and e.disabled_at is null
    and (e.failing_since is null or verdict.disabled_at is not null);
$$;
comment on function private.note_failing_endpoint(uuid, integer) is
  'After a failed attempt: since when the endpoint fails, and disabled when it said 410 or failed for too long.';
revoke all on function private.note_failing_endpoint(uuid, integer) from public, anon, authenticated, service_role;

create function private.note_working_endpoint(webhook_endpoint_id uuid, tested boolean)
returns void
language sql
set search_path = ''
as $$
  update app.webhook_endpoints e
  set failing_since = null,
    disabled_at = case when not tested then e.disabled_at end,
    disabled_reason = case when not tested then e.disabled_reason end
  where e.id = webhook_endpoint_id
    and (e.failing_since is not null or (tested and e.disabled_at is not null));
$$;
comment on function private.note_working_endpoint(uuid, boolean) is
  'After an attempt that succeeded: the endpoint fails no longer, and a test enables it.';
revoke all on function private.note_working_endpoint(uuid, boolean) from public, anon, authenticated, service_role;

create function api.record_delivery(
  job_id uuid, lease_token uuid, response_status integer, duration_ms integer, error text default null
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  delivery private.webhook_deliveries := private.hold_delivery(job_id, lease_token);
  is_test constant boolean := delivery.event_type = 'webhook.test';
  wait interval;
begin
  update private.webhook_deliveries d
  set attempts = d.attempts + 1,
    last_attempt_at = now(),
    response_status = record_delivery.response_status,
    duration_ms = record_delivery.duration_ms,
    error = left(record_delivery.error, 300)
  where d.id = delivery.id
  returning * into delivery;

  if response_status between 200 and 299 then
    update private.webhook_deliveries d
    set state = 'delivered', delivered_at = now(), next_attempt_at = null
    where d.id = delivery.id;
    perform private.finish_job(job_id, 'done');
    perform private.note_working_endpoint(delivery.webhook_endpoint_id, is_test);
    return jsonb_build_object('outcome', 'delivered');
  end if;

  if not is_test then
    perform private.note_failing_endpoint(delivery.webhook_endpoint_id, response_status);
    if response_status is distinct from 410 then
      select s.webhook_retries[delivery.attempts] * (1 + random() / 5) into wait from private.settings s;
    end if;
  end if;
  if wait is null then
    perform private.give_up_delivery(job_id, delivery.id, null);
    return jsonb_build_object('outcome', 'failed');
  end if;
  update private.webhook_deliveries d set next_attempt_at = now() + wait where d.id = delivery.id;
  update private.jobs j
  set lease_token = null, attempts = 0, available_at = now() + wait, last_error = left(record_delivery.error, 300)
  where j.id = record_delivery.job_id;
  return jsonb_build_object('outcome', 'retry');
end
$$;
comment on function api.record_delivery(uuid, uuid, integer, integer, text) is
  'For workers: how an attempt ended. 2xx is delivered; 410 disables the endpoint; all else is tried again by the schedule in private.settings.webhook_retries, then failed. response_status is null when there was no answer.';
revoke all on function api.record_delivery(uuid, uuid, integer, integer, text) from public, anon, authenticated, service_role;
grant execute on function api.record_delivery(uuid, uuid, integer, integer, text) to asset_worker;

create function private.leave_webhooks(owner uuid)
returns void
language sql
set search_path = ''
as $$
  with leaving as (
    update app.webhook_endpoints e
    set deleted_at = now()
    where e.owner_id = owner and e.deleted_at is null
    returning e.id
  )
  delete from private.webhook_secrets s using leaving where s.webhook_endpoint_id = leaving.id;
  delete from private.webhook_requests w where w.owner_id = owner;
$$;
comment on function private.leave_webhooks(uuid) is 'Ends the webhook endpoints of a user who leaves; what was still to be sent is not sent.';
revoke all on function private.leave_webhooks(uuid) from public, anon, authenticated, service_role;

create function private.prune_webhooks(batch integer)
returns void
language plpgsql
set search_path = ''
as $$
declare
  oldest constant timestamptz := now() - (select s.keep_webhook_deliveries from private.settings s);
begin
  delete from private.webhook_deliveries d
  where d.id in (
    select old.id from private.webhook_deliveries old
    where old.id < private.uuid7_floor(oldest) and old.state <> 'pending'
    order by old.id
    limit batch
    for update skip locked
  );
  delete from private.webhook_deliveries d
  where d.id in (
    select orphan.id
    from app.webhook_endpoints e
    join private.webhook_deliveries orphan on orphan.webhook_endpoint_id = e.id
    where e.deleted_at is not null
    limit batch
    for update of orphan skip locked
  );
  delete from app.webhook_endpoints e
  where e.id in (
    select gone.id from app.webhook_endpoints gone
    where gone.deleted_at < oldest
      and not exists (select from private.webhook_deliveries d where d.webhook_endpoint_id = gone.id)
    order by gone.deleted_at
    limit batch
    for update skip locked
  );
end
$$;
comment on function private.prune_webhooks(integer) is
  'Forgets deliveries older than private.settings.keep_webhook_deliveries, those of deleted endpoints, and at last those endpoints.';
revoke all on function private.prune_webhooks(integer) from public, anon, authenticated, service_role;
