-- Where an owner wants to be told what happened to an asset, as the Standard Webhooks specification has it, and the secrets
-- that prove who tells. What is told, and how that went, is in webhook_deliveries.

set lock_timeout = '5s';
set statement_timeout = '30s';

alter table assetdock_private.settings
  add column webhook_patience interval not null default '5 days' check (webhook_patience >= '0'),
  add column loopback_webhooks boolean not null default false;
comment on column assetdock_private.settings.webhook_patience is
  'An endpoint at which every attempt failed for so long is disabled.';
comment on column assetdock_private.settings.loopback_webhooks is
  'For a stack on one machine and for tests only: webhooks may go to loopback addresses, by http too. Elsewhere it would let callers reach what listens beside the worker.';

create function assetdock_private.webhook_event_types()
returns text[]
language sql immutable parallel safe
begin atomic
  select array['asset.processing', 'asset.ready', 'asset.failed', 'asset.expired', 'asset.deleted'];
end;
comment on function assetdock_private.webhook_event_types() is 'The events an endpoint can subscribe to. webhook.test is sent only when asked for.';
revoke all on function assetdock_private.webhook_event_types() from public, anon, authenticated, service_role;

create table assetdock_app.webhook_endpoints (
  id uuid primary key default assetdock_private.uuid7(),
  owner_id uuid not null,
  url text not null check (char_length(url) <= 2048),
  event_types text[] not null,
  description text,
  created_at timestamptz not null generated always as (assetdock_private.uuid7_instant(id)) stored,
  failing_since timestamptz,
  disabled_at timestamptz,
  disabled_reason text check (disabled_reason in ('gone', 'failing')),
  -- A tombstone, so that deleting is one row however many deliveries there are: assetdock_private.prune_webhooks takes those.
  deleted_at timestamptz,
  check ((disabled_at is null) = (disabled_reason is null))
);
alter table assetdock_app.webhook_endpoints enable row level security;
create index webhook_endpoints_of_an_owner on assetdock_app.webhook_endpoints (owner_id, id);
create index deleted_webhook_endpoints on assetdock_app.webhook_endpoints (deleted_at) where deleted_at is not null;
comment on table assetdock_app.webhook_endpoints is 'Where owners want to be told. Callers read their own and change them through functions only.';
comment on column assetdock_app.webhook_endpoints.failing_since is 'The first failed attempt since the last that succeeded.';
comment on column assetdock_app.webhook_endpoints.disabled_reason is
  'gone: the endpoint answered 410; failing: nothing succeeded for assetdock_private.settings.webhook_patience.';

create policy "Owners see their webhook endpoints" on assetdock_app.webhook_endpoints
for select to authenticated
using (owner_id = (select assetdock_private.owner_with('webhooks:read')));

grant select (
  id, owner_id, url, event_types, description, created_at, failing_since, disabled_at, disabled_reason, deleted_at
) on assetdock_app.webhook_endpoints to authenticated;
-- No insert, update or delete for anyone.

create view assetdock.webhook_endpoints with (security_invoker = true) as
select id, url, event_types, description, created_at, failing_since, disabled_at, disabled_reason
from assetdock_app.webhook_endpoints
where deleted_at is null;
comment on view assetdock.webhook_endpoints is 'Your webhook endpoints, without their secrets.';
revoke all on assetdock.webhook_endpoints from public, anon, authenticated, service_role;
grant select on assetdock.webhook_endpoints to authenticated;

-- Not hashed, unlike API keys: a key is only ever compared, while each delivery must be signed with the secret itself.
-- So it stands where no API role can look, apart from what policies and grants reach, and is forgotten with its endpoint.
create table assetdock_private.webhook_secrets (
  webhook_endpoint_id uuid primary key references assetdock_app.webhook_endpoints on delete cascade,
  secret text not null,
  previous_secret text,
  previous_until timestamptz,
  check ((previous_secret is null) = (previous_until is null))
);
alter table assetdock_private.webhook_secrets enable row level security;
comment on table assetdock_private.webhook_secrets is
  'The signing secrets of each endpoint: the present one, and until previous_until the one before. In the clear, because signing needs them.';

create function assetdock_private.webhook_endpoint_summary(endpoint assetdock_app.webhook_endpoints)
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
    'created_at', assetdock_private.rfc3339(endpoint.created_at),
    'failing_since', assetdock_private.rfc3339(endpoint.failing_since),
    'disabled_at', assetdock_private.rfc3339(endpoint.disabled_at),
    'disabled_reason', endpoint.disabled_reason
  );
$$;
comment on function assetdock_private.webhook_endpoint_summary(assetdock_app.webhook_endpoints) is 'A webhook endpoint as the HTTP API shows it.';
revoke all on function assetdock_private.webhook_endpoint_summary(assetdock_app.webhook_endpoints) from public, anon, authenticated, service_role;

create function assetdock_private.own_webhook_endpoint(caller assetdock_private.caller, webhook_endpoint_id uuid)
returns assetdock_app.webhook_endpoints
language plpgsql
set search_path = ''
as $$
declare
  endpoint assetdock_app.webhook_endpoints;
begin
  select * into endpoint from assetdock_app.webhook_endpoints e
  where e.id = webhook_endpoint_id and e.owner_id = caller.owner_id and e.deleted_at is null;
  if endpoint.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  return endpoint;
end
$$;
comment on function assetdock_private.own_webhook_endpoint(assetdock_private.caller, uuid) is 'The caller''s endpoint, or not_found.';
revoke all on function assetdock_private.own_webhook_endpoint(assetdock_private.caller, uuid) from public, anon, authenticated, service_role;

-- Only the form. Where a name leads is judged when a delivery is sent, by the worker, which connects to what it judged:
-- a name can lead elsewhere by then.
create function assetdock_private.invalid_webhook_url(url text)
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
  loopback constant boolean := (select s.loopback_webhooks from assetdock_private.settings s);
begin
  if parts is null or char_length(url) > 2048 or parts[3]::integer not between 1 and 65535
    or (parts[2] like '[%' and not (parts[2] like '%:%' and pg_catalog.pg_input_is_valid(trim(both '[]' from parts[2]), 'inet')))
  then
    return assetdock_private.invalid('url', 'An https URL as in RFC 3986, of at most 2048 characters, with a host, and without user, password or fragment. Write special characters as %XX.');
  end if;
  if lower(parts[1]) = 'http' and not (loopback and lower(parts[2]) ~ '^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$') then
    return assetdock_private.invalid('url', 'https, so that nobody on the way can read what is delivered.');
  end if;
  return '[]';
end
$$;
comment on function assetdock_private.invalid_webhook_url(text) is 'What is wrong with the URL of a webhook endpoint, as validation fields.';
revoke all on function assetdock_private.invalid_webhook_url(text) from public, anon, authenticated, service_role;

create function assetdock_private.invalid_webhook_secret(secret text)
returns jsonb
language sql immutable
set search_path = ''
as $$
  select case
    -- 24 to 64 bytes in base64. The service makes 32 with its CSPRNG.
    when secret ~ '^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
      and octet_length(decode(substring(secret from 7), 'base64')) between 24 and 64
    then '[]'::jsonb
    else assetdock_private.invalid('secret', 'whsec_ and 24 to 64 random bytes in base64.')
  end;
$$;
comment on function assetdock_private.invalid_webhook_secret(text) is 'What is wrong with a signing secret, as validation fields.';
revoke all on function assetdock_private.invalid_webhook_secret(text) from public, anon, authenticated, service_role;

create function assetdock.create_webhook_endpoint(
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
  caller assetdock_private.caller := assetdock_private.require('webhooks:write');
  room constant integer := (assetdock_private.limits_of(caller.owner_id)).webhook_endpoints;
  known constant text[] := assetdock_private.webhook_event_types();
  problems jsonb := assetdock_private.invalid_webhook_url(create_webhook_endpoint.url);
  endpoint assetdock_app.webhook_endpoints;
begin
  if caller.is_anonymous then
    perform assetdock_private.fail('forbidden', 'anonymous users cannot have webhook endpoints. Sign up first.');
  end if;
  if create_webhook_endpoint.url is null then
    problems := assetdock_private.invalid('url', 'Required.');
  end if;
  if (create_webhook_endpoint.event_types <@ known) is not true
    or cardinality(create_webhook_endpoint.event_types) = 0
    or array_position(create_webhook_endpoint.event_types, null) is not null
  then
    problems := problems || assetdock_private.invalid('event_types', 'At least one of ' || array_to_string(known, ', ') || '.');
  end if;
  if char_length(create_webhook_endpoint.description) > 255 or create_webhook_endpoint.description ~ '[\u0001-\u001f\u007f-\u009f]' then
    problems := problems || assetdock_private.invalid('description', 'At most 255 characters, none of them a control character.');
  end if;
  problems := problems || assetdock_private.invalid_webhook_secret(create_webhook_endpoint.secret);
  problems := problems || assetdock_private.invalid_idempotency_key(create_webhook_endpoint.idempotency_key);
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;

  -- One owner's calls wait for each other here, so that the counts below hold. What is made outlives the caller's
  -- credential, so that is looked at again: it may have ended while this call waited.
  perform pg_advisory_xact_lock(hashtextextended('assetdock.webhook_endpoints ' || caller.owner_id, 0));
  perform assetdock_private.require('webhooks:write');
  perform assetdock_private.require_open_session(caller);
  perform assetdock_private.claim_secret_request(caller, 'create_webhook_endpoint', create_webhook_endpoint.idempotency_key,
    jsonb_build_array(create_webhook_endpoint.url, create_webhook_endpoint.event_types, create_webhook_endpoint.description));
  if room <= (
    select count(*) from assetdock_app.webhook_endpoints e where e.owner_id = caller.owner_id and e.deleted_at is null
  ) then
    perform assetdock_private.fail('conflict', format('there are %s webhook endpoints already. Delete one first.', room));
  end if;
  if 10 * room <= (select count(*) from assetdock_app.webhook_endpoints e where e.owner_id = caller.owner_id) then
    perform assetdock_private.fail('conflict', format('%s webhook endpoints are remembered, deleted ones too. They are forgotten in time.', 10 * room));
  end if;
  insert into assetdock_app.webhook_endpoints (owner_id, url, event_types, description)
  values (
    caller.owner_id,
    create_webhook_endpoint.url,
    -- In one order, each once.
    array(select type from unnest(known) type where type = any (create_webhook_endpoint.event_types)),
    create_webhook_endpoint.description
  )
  returning * into endpoint;
  insert into assetdock_private.webhook_secrets (webhook_endpoint_id, secret)
  values (endpoint.id, create_webhook_endpoint.secret);
  return assetdock_private.webhook_endpoint_summary(endpoint);
end
$$;
comment on function assetdock.create_webhook_endpoint(text, text[], text, text, text) is
  'Has events about your assets sent to a URL, signed with a secret you pass: whsec_ and 24 to 64 bytes from a CSPRNG in base64. The HTTP service makes one for you.';
revoke all on function assetdock.create_webhook_endpoint(text, text[], text, text, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.create_webhook_endpoint(text, text[], text, text, text) to authenticated;

create function assetdock.list_webhook_endpoints()
returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:read');
begin
  return json_build_object('items', (
    select coalesce(json_agg(assetdock_private.webhook_endpoint_summary(e) order by e.id), '[]')
    from assetdock_app.webhook_endpoints e
    where e.owner_id = caller.owner_id and e.deleted_at is null
  ));
end
$$;
comment on function assetdock.list_webhook_endpoints() is 'Your webhook endpoints, oldest first, disabled ones too.';
revoke all on function assetdock.list_webhook_endpoints() from public, anon, authenticated, service_role;
grant execute on function assetdock.list_webhook_endpoints() to authenticated;

create function assetdock.get_webhook_endpoint(webhook_endpoint_id uuid)
returns json
language sql security definer
set search_path = ''
as $$
  select assetdock_private.webhook_endpoint_summary(
    assetdock_private.own_webhook_endpoint(assetdock_private.require('webhooks:read'), webhook_endpoint_id)
  );
$$;
comment on function assetdock.get_webhook_endpoint(uuid) is 'One of your webhook endpoints.';
revoke all on function assetdock.get_webhook_endpoint(uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.get_webhook_endpoint(uuid) to authenticated;

create function assetdock.delete_webhook_endpoint(webhook_endpoint_id uuid)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:write');
begin
  update assetdock_app.webhook_endpoints e
  set deleted_at = coalesce(e.deleted_at, now())
  where e.id = delete_webhook_endpoint.webhook_endpoint_id and e.owner_id = caller.owner_id;
  if not found then
    perform assetdock_private.fail('not_found');
  end if;
  delete from assetdock_private.webhook_secrets s where s.webhook_endpoint_id = delete_webhook_endpoint.webhook_endpoint_id;
end
$$;
comment on function assetdock.delete_webhook_endpoint(uuid) is
  'Ends a webhook endpoint: nothing is sent there from now on but what is already under way. Idempotent.';
revoke all on function assetdock.delete_webhook_endpoint(uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.delete_webhook_endpoint(uuid) to authenticated;

create function assetdock.rotate_webhook_secret(
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
  caller assetdock_private.caller := assetdock_private.require('webhooks:write');
  overlap constant integer := coalesce(rotate_webhook_secret.overlap_seconds, 86400);
  problems jsonb := assetdock_private.invalid_idempotency_key(rotate_webhook_secret.idempotency_key);
  endpoint assetdock_app.webhook_endpoints;
  rotated assetdock_private.webhook_secrets;
begin
  if overlap not between 0 and 604800 then
    problems := problems || assetdock_private.invalid('overlap_seconds', 'From 0 to 604800 seconds.');
  end if;
  problems := problems || assetdock_private.invalid_webhook_secret(rotate_webhook_secret.secret);
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  perform assetdock_private.require_open_session(caller);
  endpoint := assetdock_private.own_webhook_endpoint(caller, rotate_webhook_secret.webhook_endpoint_id);
  perform assetdock_private.claim_secret_request(caller, 'rotate_webhook_secret', rotate_webhook_secret.idempotency_key,
    jsonb_build_array(endpoint.id, overlap));
  update assetdock_private.webhook_secrets s
  set secret = rotate_webhook_secret.secret,
    previous_secret = case when overlap > 0 then s.secret end,
    previous_until = case when overlap > 0 then now() + make_interval(secs => overlap) end
  where s.webhook_endpoint_id = endpoint.id
  returning * into rotated;
  if rotated.webhook_endpoint_id is null then
    perform assetdock_private.fail('not_found');
  end if;
  return json_build_object(
    'webhook_endpoint', assetdock_private.webhook_endpoint_summary(endpoint),
    'previous_secret_expires_at', assetdock_private.rfc3339(rotated.previous_until)
  );
end
$$;
comment on function assetdock.rotate_webhook_secret(uuid, text, integer, text) is
  'A new signing secret. The one before signs beside it for overlap_seconds, a day unless told; a still older one ends at once.';
revoke all on function assetdock.rotate_webhook_secret(uuid, text, integer, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.rotate_webhook_secret(uuid, text, integer, text) to authenticated;

create function assetdock_private.note_failing_endpoint(webhook_endpoint_id uuid, response_status integer)
returns void
language sql
set search_path = ''
as $$
  update assetdock_app.webhook_endpoints e
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
    from assetdock_app.webhook_endpoints f, assetdock_private.settings s
    where f.id = webhook_endpoint_id
  ) verdict
  -- Written when something changes, not at every failure.
  where e.id = verdict.id
    and e.disabled_at is null
    and (e.failing_since is null or verdict.disabled_at is not null);
$$;
comment on function assetdock_private.note_failing_endpoint(uuid, integer) is
  'After a failed attempt: since when the endpoint fails, and disabled when it said 410 or failed for too long.';
revoke all on function assetdock_private.note_failing_endpoint(uuid, integer) from public, anon, authenticated, service_role;

create function assetdock_private.note_working_endpoint(webhook_endpoint_id uuid, tested boolean)
returns void
language sql
set search_path = ''
as $$
  update assetdock_app.webhook_endpoints e
  set failing_since = null,
    disabled_at = case when not tested then e.disabled_at end,
    disabled_reason = case when not tested then e.disabled_reason end
  where e.id = webhook_endpoint_id
    and (e.failing_since is not null or (tested and e.disabled_at is not null));
$$;
comment on function assetdock_private.note_working_endpoint(uuid, boolean) is
  'After an attempt that succeeded: the endpoint fails no longer, and a test enables it.';
revoke all on function assetdock_private.note_working_endpoint(uuid, boolean) from public, anon, authenticated, service_role;
