-- Functions with which callers list and replay deliveries and test an endpoint. Tests and replays send requests to a
-- server at the request of a caller, so each owner has a limit of them per minute.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Limit -----------------------------------------------------------------------
alter table assetdock_private.settings
  add column webhook_requests_per_minute integer not null default 60 check (webhook_requests_per_minute > 0);
comment on column assetdock_private.settings.webhook_requests_per_minute is
  'How many tests and replays in total one owner can request per minute.';

create table assetdock_private.webhook_requests (
  owner_id uuid primary key,
  minute timestamptz not null,
  requests integer not null
);
alter table assetdock_private.webhook_requests enable row level security;
comment on table assetdock_private.webhook_requests is
  'The tests and replays of each owner in the last minute that had any. A replay creates no row that could be counted.';

create function assetdock_private.count_webhook_request(owner uuid)
returns void
language plpgsql set search_path = '' as $$
declare
  max_requests constant integer := (select s.webhook_requests_per_minute from assetdock_private.settings s);
  this_minute constant timestamptz := date_trunc('minute', now());
  counted integer;
begin
  insert into assetdock_private.webhook_requests as w (owner_id, minute, requests)
  values (owner, this_minute, 1)
  on conflict (owner_id) do update
  set minute = excluded.minute,
    requests = case when w.minute = excluded.minute then w.requests + 1 else 1 end
  where w.owner_id = owner
  returning w.requests into counted;
  if counted > max_requests then
    perform assetdock_private.fail('rate_limited', format('%s tests and replays of webhooks', max_requests),
      retry_after => greatest(1, ceil(extract(epoch from this_minute + interval '1 minute' - now()))::integer));
  end if;
end
$$;
comment on function assetdock_private.count_webhook_request(uuid) is
  'Counts a test or replay; rate_limited above webhook_requests_per_minute.';

-- For callers -----------------------------------------------------------------
create function assetdock_private.webhook_delivery_summary(delivery assetdock_private.webhook_deliveries)
returns json
language sql stable set search_path = '' as $$
  select json_build_object(
    'id', delivery.id,
    'event_type', delivery.event_type,
    'asset_id', delivery.asset_id,
    'state', delivery.state,
    'created_at', assetdock_private.rfc3339(assetdock_private.uuid7_instant(delivery.id)),
    'attempts', delivery.attempts,
    'last_attempt_at', assetdock_private.rfc3339(delivery.last_attempt_at),
    'next_attempt_at', assetdock_private.rfc3339(delivery.next_attempt_at),
    'delivered_at', assetdock_private.rfc3339(delivery.delivered_at),
    'response_status', delivery.response_status,
    'duration_ms', delivery.duration_ms,
    'error', delivery.error
  );
$$;
comment on function assetdock_private.webhook_delivery_summary(assetdock_private.webhook_deliveries) is
  'A delivery as the HTTP API shows it. response_status, duration_ms and error are those of the last attempt.';

create function assetdock.test_webhook_endpoint(webhook_endpoint_id uuid, idempotency_key text default null)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:write');
  endpoint assetdock_app.webhook_endpoints;
  new_id constant uuid := assetdock_private.uuid7();
  replayed uuid;
  delivery assetdock_private.webhook_deliveries;
begin
  perform assetdock_private.hold_owner(caller.owner_id);
  if test_webhook_endpoint.idempotency_key is not null then
    replayed := assetdock_private.claim_idempotency_key(caller.owner_id, 'test_webhook_endpoint',
      test_webhook_endpoint.idempotency_key, new_id, jsonb_build_array(test_webhook_endpoint.webhook_endpoint_id));
  end if;
  if replayed is null then
    endpoint := assetdock_private.own_webhook_endpoint(caller, test_webhook_endpoint.webhook_endpoint_id);
    perform assetdock_private.count_webhook_request(caller.owner_id);
    if 5 <= (
      select count(*)
      from assetdock_private.webhook_deliveries d
      where d.webhook_endpoint_id = endpoint.id and d.event_type = 'webhook.test' and d.state = 'pending'
    ) then
      perform assetdock_private.fail('conflict', 'five tests of this endpoint are pending. Wait until they finish.');
    end if;
    insert into assetdock_private.webhook_deliveries (id, webhook_endpoint_id, event_type, occurred_at, data)
    values (new_id, endpoint.id, 'webhook.test', now(), json_build_object('webhook_endpoint_id', endpoint.id));
    perform assetdock_private.queue_delivery(new_id);
  end if;
  select * into delivery from assetdock_private.webhook_deliveries d where d.id = coalesce(replayed, new_id);
  if delivery.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  return assetdock_private.webhook_delivery_summary(delivery);
end
$$;
comment on function assetdock.test_webhook_endpoint(uuid, text) is
  'Sends one webhook.test, also to a disabled endpoint, which a success enables again. A test is attempted once.';

create function assetdock.list_webhook_deliveries(
  webhook_endpoint_id uuid,
  "limit" integer default 20,
  cursor text default null
)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:read');
  endpoint assetdock_app.webhook_endpoints := assetdock_private.own_webhook_endpoint(caller, webhook_endpoint_id);
  page_size constant integer := coalesce(list_webhook_deliveries."limit", 20);
  problems constant jsonb := assetdock_private.invalid_page_size(page_size);
  before_id uuid;
  page assetdock_private.webhook_deliveries[];
begin
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  if list_webhook_deliveries.cursor is not null then
    before_id := assetdock_private.decode_cursor(caller.owner_id, list_webhook_deliveries.cursor);
  end if;
  page := array(
    select d
    from assetdock_private.webhook_deliveries d
    where d.webhook_endpoint_id = endpoint.id and (before_id is null or d.id < before_id)
    order by d.id desc
    limit page_size + 1
  );
  return json_build_object(
    'items', (
      select coalesce(json_agg(assetdock_private.webhook_delivery_summary(d) order by d.id desc), '[]')
      from unnest(page[1:page_size]) d
    ),
    'limit', page_size,
    'next_cursor', case when cardinality(page) > page_size
      then assetdock_private.encode_cursor(caller.owner_id, (page[page_size]).id)
    end
  );
end
$$;
comment on function assetdock.list_webhook_deliveries(uuid, integer, text) is
  'The deliveries to one of your endpoints: pending ones and those of the last 30 days, newest first.';

create function assetdock.replay_webhook_delivery(webhook_endpoint_id uuid, delivery_id uuid)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  endpoint assetdock_app.webhook_endpoints :=
    assetdock_private.own_webhook_endpoint(assetdock_private.require('webhooks:write'), webhook_endpoint_id);
  delivery assetdock_private.webhook_deliveries;
begin
  select * into delivery
  from assetdock_private.webhook_deliveries d
  where d.id = replay_webhook_delivery.delivery_id and d.webhook_endpoint_id = endpoint.id
  for no key update;
  if delivery.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  if endpoint.disabled_at is not null and delivery.event_type <> 'webhook.test' then
    perform assetdock_private.fail('conflict', 'the endpoint is disabled. A successful test enables it again.');
  end if;
  perform assetdock_private.count_webhook_request(endpoint.owner_id);
  update assetdock_private.webhook_deliveries d
  set state = 'pending',
    attempts = case when d.state = 'pending' then d.attempts else 0 end,
    next_attempt_at = now(),
    delivered_at = null
  where d.id = delivery.id
  returning * into delivery;
  perform assetdock_private.queue_delivery(delivery.id);
  return assetdock_private.webhook_delivery_summary(delivery);
end
$$;
comment on function assetdock.replay_webhook_delivery(uuid, uuid) is
  'Sends a delivery again now, with the same webhook-id and the same body. It is retried like a new delivery.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.test_webhook_endpoint(uuid, text) to authenticated;
grant execute on function assetdock.list_webhook_deliveries(uuid, integer, text) to authenticated;
grant execute on function assetdock.replay_webhook_delivery(uuid, uuid) to authenticated;
