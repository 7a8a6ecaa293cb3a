-- Webhook endpoints, as in the Standard Webhooks specification: the URLs to which the events of an owner's assets are
-- sent, and the secrets that sign them.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Settings and event types ----------------------------------------------------
alter table assetdock_private.settings
  add column loopback_webhooks boolean not null default false;
comment on column assetdock_private.settings.loopback_webhooks is
  'Only for a stack on one machine and for tests: webhooks can go to loopback addresses, also by http. Elsewhere '
  'callers could reach the services beside the worker.';

create function assetdock_private.webhook_event_types()
returns text[]
language sql immutable parallel safe
begin atomic
  select array(
    select 'asset.' || state
    from unnest(assetdock_private.asset_states()) with ordinality states (state, place)
    where state <> 'pending_upload'
    order by place
  );
end;
comment on function assetdock_private.webhook_event_types() is
  'The events that an endpoint can subscribe to: one for each state that an asset can change to. webhook.test is sent '
  'only on request.';

-- Endpoints -------------------------------------------------------------------
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
  deleted_at timestamptz,
  check ((disabled_at is null) = (disabled_reason is null))
);
alter table assetdock_app.webhook_endpoints enable row level security;
create index webhook_endpoints_by_owner on assetdock_app.webhook_endpoints (owner_id, id);
create index webhook_endpoints_deleted on assetdock_app.webhook_endpoints (deleted_at) where deleted_at is not null;

comment on table assetdock_app.webhook_endpoints is 'The webhook endpoints of owners.';
comment on column assetdock_app.webhook_endpoints.failing_since is
  'The first failed attempt since the last successful one.';
comment on column assetdock_app.webhook_endpoints.disabled_reason is
  'gone: the endpoint responded with 410; failing: no attempt succeeded for webhook_failure_window.';
comment on column assetdock_app.webhook_endpoints.deleted_at is
  'A deleted endpoint keeps its row, so that deleting it changes one row. Maintenance removes its deliveries, then '
  'the row.';

create function assetdock_private.webhook_endpoint_summary(endpoint assetdock_app.webhook_endpoints)
returns json
language sql stable set search_path = '' as $$
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
comment on function assetdock_private.webhook_endpoint_summary(assetdock_app.webhook_endpoints) is
  'A webhook endpoint as the HTTP API shows it.';

create function assetdock_private.own_webhook_endpoint(caller assetdock_private.caller, webhook_endpoint_id uuid)
returns assetdock_app.webhook_endpoints
language plpgsql set search_path = '' as $$
declare
  endpoint assetdock_app.webhook_endpoints;
begin
  select * into endpoint
  from assetdock_app.webhook_endpoints e
  where e.id = webhook_endpoint_id and e.owner_id = caller.owner_id and e.deleted_at is null;
  if endpoint.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  return endpoint;
end
$$;
comment on function assetdock_private.own_webhook_endpoint(assetdock_private.caller, uuid) is
  'A webhook endpoint of the caller, or not_found.';

-- Secrets ---------------------------------------------------------------------

-- In clear text, unlike API keys, because each delivery is signed with the secret. The table is in a schema that no API
-- role can use, and a secret is deleted with its endpoint.
create table assetdock_private.webhook_secrets (
  webhook_endpoint_id uuid primary key references assetdock_app.webhook_endpoints on delete cascade,
  secret text not null,
  previous_secret text,
  previous_until timestamptz,
  check ((previous_secret is null) = (previous_until is null))
);
alter table assetdock_private.webhook_secrets enable row level security;
comment on table assetdock_private.webhook_secrets is
  'The signing secret of each endpoint and, until previous_until, the secret before it.';

-- Validation ------------------------------------------------------------------

-- Checks only the syntax. The worker resolves the host when it sends a delivery, and connects to the addresses that it
-- checked, because a name can resolve to other addresses by then.
create function assetdock_private.invalid_webhook_url(url text)
returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  -- Scheme, host, port, then the characters that RFC 3986 (section 3) allows in a path and a query. Other characters
  -- must be written as %XX, because clients interpret them differently. No user, password or fragment.
  parts constant text[] := regexp_match(
    url,
    '^(https?)://(\[[0-9a-f:.]+\]|[0-9a-z](?:[0-9a-z_.-]*[0-9a-z.])?)(?::([0-9]{1,5}))?(?:[/?](?:[0-9a-z._~!$&''()*+,;=:@/?-]|%[0-9a-f]{2})*)?$',
    'i'
  );
  host constant text := lower(parts[2]);
  is_ipv6 constant boolean := host like '[%';
  loopback constant boolean := (select s.loopback_webhooks from assetdock_private.settings s);
begin
  if url is null then
    return assetdock_private.invalid('url', 'Required.');
  end if;
  if parts is null
    or char_length(url) > 2048
    or parts[3]::integer not between 1 and 65535
    or (is_ipv6 and not (host like '%:%' and pg_catalog.pg_input_is_valid(trim(both '[]' from host), 'inet')))
  then
    return assetdock_private.invalid(
      'url',
      'An https URL as in RFC 3986, of at most 2048 characters, with a host, and without user, password or fragment. '
      'Write special characters as %XX.'
    );
  end if;
  if lower(parts[1]) = 'http' and not (loopback and host ~ '^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$') then
    return assetdock_private.invalid('url', 'Must be https, so that nobody else can read the deliveries.');
  end if;
  return '[]';
end
$$;
comment on function assetdock_private.invalid_webhook_url(text) is 'Validates the URL of a webhook endpoint.';

create function assetdock_private.invalid_webhook_secret(secret text)
returns jsonb
language sql immutable set search_path = '' as $$
  select case
    when secret ~ '^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
      and octet_length(decode(substring(secret from 7), 'base64')) between 24 and 64
    then '[]'::jsonb
    else assetdock_private.invalid('secret', 'whsec_ and 24 to 64 random bytes in base64.')
  end;
$$;
comment on function assetdock_private.invalid_webhook_secret(text) is 'Validates a signing secret.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
