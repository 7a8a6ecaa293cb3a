-- Telling an owner's servers what happened to an asset. The outbox is a trigger on the history: a change of state and the
-- deliveries it owes are one transaction, so none is lost or invented. Lock order here: asset, delivery, job, endpoint.

set lock_timeout = '5s';
set statement_timeout = '30s';

alter table assetdock_private.settings
  add column webhook_retries interval[] not null
    default '{5 seconds,5 minutes,30 minutes,2 hours,5 hours,10 hours,14 hours,20 hours,24 hours}',
  add column keep_webhook_deliveries interval not null default '30 days' check (keep_webhook_deliveries >= '2 days'),
  add column webhook_requests_per_minute integer not null default 60 check (webhook_requests_per_minute > 0);
comment on column assetdock_private.settings.webhook_retries is
  'The waits after the first failed attempt, the second, and so on, each with up to a fifth more at random. One attempt more than there are waits.';
comment on column assetdock_private.settings.keep_webhook_deliveries is 'How long a delivery can be looked up and replayed.';
comment on column assetdock_private.settings.webhook_requests_per_minute is
  'How many tests and replays together one owner may ask for in a minute: each is a request to somebody''s server.';

-- data is the asset as it was when the event happened, not as it is at delivery: an event that says "processing" must not
-- carry a ready asset, and every attempt with one webhook-id must carry the same bytes, or receivers cannot rely on the id.
create table assetdock_private.webhook_deliveries (
  id uuid primary key default assetdock_private.uuid7(),
  webhook_endpoint_id uuid not null references assetdock_app.webhook_endpoints on delete cascade,
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
alter table assetdock_private.webhook_deliveries enable row level security;
create index deliveries_of_an_endpoint on assetdock_private.webhook_deliveries (webhook_endpoint_id, id desc);
create index tests_on_their_way on assetdock_private.webhook_deliveries (webhook_endpoint_id)
  where event_type = 'webhook.test' and state = 'pending';
comment on table assetdock_private.webhook_deliveries is 'One row for each event and endpoint: what is to be said, and how saying it went. The id is the webhook-id.';
comment on column assetdock_private.webhook_deliveries.attempts is 'Attempts that ended, since the delivery was made or last replayed.';

alter table assetdock_private.jobs
  -- not valid: no row has a delivery yet, so there is nothing to scan the table for.
  add constraint delivery_of_a_job foreign key (delivery_id) references assetdock_private.webhook_deliveries
    on delete cascade not valid;

-- What an owner had sent by asking. A replay makes no row that could be counted.
create table assetdock_private.webhook_requests (
  owner_id uuid primary key,
  minute timestamptz not null,
  requests integer not null
);
alter table assetdock_private.webhook_requests enable row level security;
comment on table assetdock_private.webhook_requests is 'Tests and replays of each owner in the last minute in which there were any.';

create function assetdock_private.count_webhook_request(owner uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  per_minute constant integer := (select s.webhook_requests_per_minute from assetdock_private.settings s);
  lately integer;
begin
  insert into assetdock_private.webhook_requests as w (owner_id, minute, requests)
  values (owner, date_trunc('minute', now()), 1)
  on conflict (owner_id) do update
  set minute = excluded.minute,
    requests = case when w.minute = excluded.minute then w.requests + 1 else 1 end
  where w.owner_id = owner
  returning w.requests into lately;
  if lately > per_minute then
    perform assetdock_private.fail('rate_limited', format('%s tests and replays of webhooks', per_minute),
      retry_after => greatest(1, ceil(extract(epoch from date_trunc('minute', now()) + interval '1 minute' - now()))::integer));
  end if;
end
$$;
comment on function assetdock_private.count_webhook_request(uuid) is
  'Counts a delivery that an owner asks for; rate_limited beyond assetdock_private.settings.webhook_requests_per_minute.';
revoke all on function assetdock_private.count_webhook_request(uuid) from public, anon, authenticated, service_role;

create function assetdock_private.queue_delivery(delivery_id uuid)
returns void
language sql
set search_path = ''
as $$
  insert into assetdock_private.jobs as j (kind, delivery_id, recipient)
  select 'deliver', d.id, e.owner_id
  from assetdock_private.webhook_deliveries d
  join assetdock_app.webhook_endpoints e on e.id = d.webhook_endpoint_id
  where d.id = queue_delivery.delivery_id
  on conflict (delivery_id) where delivery_id is not null do update
  set available_at = now(), attempts = 0, finished_at = null, outcome = null
  -- Someone is at it right now; that attempt will do.
  where j.lease_token is null;
$$;
comment on function assetdock_private.queue_delivery(uuid) is 'Has a delivery attempted at once, unless an attempt is under way.';
revoke all on function assetdock_private.queue_delivery(uuid) from public, anon, authenticated, service_role;

create function assetdock_private.enqueue_deliveries()
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
    select e.id from assetdock_app.webhook_endpoints e
    where e.owner_id = new.owner_id
      and e.deleted_at is null
      and e.disabled_at is null
      and 'asset.' || new.to_state = any (e.event_types)
    order by e.id
  loop
    insert into assetdock_private.webhook_deliveries (webhook_endpoint_id, event_type, asset_id, occurred_at, data)
    select endpoint, 'asset.' || new.to_state, new.asset_id, new.at, assetdock_private.asset_summary(a)
    from assetdock_app.assets a
    where a.id = new.asset_id
    returning id into owed;
    perform assetdock_private.queue_delivery(owed);
  end loop;
  return null;
end
$$;
comment on function assetdock_private.enqueue_deliveries() is
  'The outbox: for each enabled endpoint of the owner that subscribed to the event, a delivery and its job, in the transaction of the event.';
revoke all on function assetdock_private.enqueue_deliveries() from public, anon, authenticated, service_role;

create trigger enqueue_deliveries
after insert on assetdock_app.asset_events
for each row execute function assetdock_private.enqueue_deliveries();

create function assetdock_private.webhook_delivery_summary(delivery assetdock_private.webhook_deliveries)
returns json
language sql stable
set search_path = ''
as $$
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
revoke all on function assetdock_private.webhook_delivery_summary(assetdock_private.webhook_deliveries) from public, anon, authenticated, service_role;

create function assetdock.test_webhook_endpoint(webhook_endpoint_id uuid, idempotency_key text default null)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:write');
  endpoint assetdock_app.webhook_endpoints := assetdock_private.own_webhook_endpoint(caller, webhook_endpoint_id);
  problems constant jsonb := assetdock_private.invalid_idempotency_key(test_webhook_endpoint.idempotency_key);
  new_id uuid := assetdock_private.uuid7();
  replayed uuid;
  delivery assetdock_private.webhook_deliveries;
begin
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  if test_webhook_endpoint.idempotency_key is not null then
    replayed := assetdock_private.claim_idempotency_key(caller.owner_id, 'test_webhook_endpoint',
      test_webhook_endpoint.idempotency_key, new_id, jsonb_build_array(endpoint.id));
  end if;
  if replayed is null then
    -- Each is a request to somebody's server, at the caller's word.
    perform assetdock_private.count_webhook_request(caller.owner_id);
    if 5 <= (
      select count(*) from assetdock_private.webhook_deliveries d
      where d.webhook_endpoint_id = endpoint.id and d.event_type = 'webhook.test' and d.state = 'pending'
    ) then
      perform assetdock_private.fail('conflict', 'five tests are still on their way. Wait for them.');
    end if;
    insert into assetdock_private.webhook_deliveries (id, webhook_endpoint_id, event_type, occurred_at, data)
    values (new_id, endpoint.id, 'webhook.test', now(), json_build_object('webhook_endpoint_id', endpoint.id));
    perform assetdock_private.queue_delivery(new_id);
  end if;
  select * into strict delivery from assetdock_private.webhook_deliveries d where d.id = coalesce(replayed, new_id);
  return assetdock_private.webhook_delivery_summary(delivery);
end
$$;
comment on function assetdock.test_webhook_endpoint(uuid, text) is
  'Sends one webhook.test, also to a disabled endpoint, which is enabled again when it succeeds. Tried once.';
revoke all on function assetdock.test_webhook_endpoint(uuid, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.test_webhook_endpoint(uuid, text) to authenticated;

create function assetdock.list_webhook_deliveries(webhook_endpoint_id uuid, "limit" integer default 20, cursor text default null)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:read');
  endpoint assetdock_app.webhook_endpoints := assetdock_private.own_webhook_endpoint(caller, webhook_endpoint_id);
  page_size constant integer := coalesce(list_webhook_deliveries."limit", 20);
  after_id uuid;
  page assetdock_private.webhook_deliveries[];
begin
  if page_size not between 1 and 100 then
    perform assetdock_private.fail('validation_error', fields => assetdock_private.invalid('limit', 'From 1 to 100.'));
  end if;
  if list_webhook_deliveries.cursor is not null then
    after_id := assetdock_private.id_in_cursor(caller.owner_id, list_webhook_deliveries.cursor);
  end if;
  page := array(
    select d from assetdock_private.webhook_deliveries d
    where d.webhook_endpoint_id = endpoint.id and (after_id is null or d.id < after_id)
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
      then assetdock_private.cursor_after(caller.owner_id, (page[page_size]).id)
    end
  );
end
$$;
comment on function assetdock.list_webhook_deliveries(uuid, integer, text) is
  'What was sent, or is still to be sent, to one of your endpoints in the last 30 days, newest first.';
revoke all on function assetdock.list_webhook_deliveries(uuid, integer, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.list_webhook_deliveries(uuid, integer, text) to authenticated;

create function assetdock.replay_webhook_delivery(webhook_endpoint_id uuid, delivery_id uuid)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  endpoint assetdock_app.webhook_endpoints :=
    assetdock_private.own_webhook_endpoint(assetdock_private.require('webhooks:write'), webhook_endpoint_id);
  delivery assetdock_private.webhook_deliveries;
begin
  select * into delivery from assetdock_private.webhook_deliveries d
  where d.id = replay_webhook_delivery.delivery_id and d.webhook_endpoint_id = endpoint.id
  for no key update;
  if delivery.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  if endpoint.disabled_at is not null and delivery.event_type <> 'webhook.test' then
    perform assetdock_private.fail('conflict', 'the endpoint is disabled. A test that it answers with 2xx enables it again.');
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
  'Sends a delivery again, at once, with the same webhook-id and the same body; then retried as a new one would be.';
revoke all on function assetdock.replay_webhook_delivery(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.replay_webhook_delivery(uuid, uuid) to authenticated;

create function assetdock_private.leave_webhooks(owner uuid)
returns void
language sql
set search_path = ''
as $$
  with leaving as (
    update assetdock_app.webhook_endpoints e
    set deleted_at = now()
    where e.owner_id = owner and e.deleted_at is null
    returning e.id
  )
  delete from assetdock_private.webhook_secrets s using leaving where s.webhook_endpoint_id = leaving.id;
  delete from assetdock_private.webhook_requests w where w.owner_id = owner;
$$;
comment on function assetdock_private.leave_webhooks(uuid) is 'Ends the webhook endpoints of a user who leaves; what was still to be sent is not sent.';
revoke all on function assetdock_private.leave_webhooks(uuid) from public, anon, authenticated, service_role;

create function assetdock_private.prune_webhooks(batch integer)
returns void
language plpgsql
set search_path = ''
as $$
declare
  oldest constant timestamptz := now() - (select s.keep_webhook_deliveries from assetdock_private.settings s);
begin
  delete from assetdock_private.webhook_deliveries d
  where d.id in (
    select old.id from assetdock_private.webhook_deliveries old
    where old.id < assetdock_private.uuid7_floor(oldest) and old.state <> 'pending'
    order by old.id
    limit batch
    for update skip locked
  );
  delete from assetdock_private.webhook_deliveries d
  where d.id in (
    select orphan.id
    from assetdock_app.webhook_endpoints e
    join assetdock_private.webhook_deliveries orphan on orphan.webhook_endpoint_id = e.id
    where e.deleted_at is not null
    limit batch
    for update of orphan skip locked
  );
  delete from assetdock_app.webhook_endpoints e
  where e.id in (
    select gone.id from assetdock_app.webhook_endpoints gone
    where gone.deleted_at < oldest
      and not exists (select from assetdock_private.webhook_deliveries d where d.webhook_endpoint_id = gone.id)
    order by gone.deleted_at
    limit batch
    for update skip locked
  );
end
$$;
comment on function assetdock_private.prune_webhooks(integer) is
  'Forgets deliveries older than assetdock_private.settings.keep_webhook_deliveries, those of deleted endpoints, and at last those endpoints.';
revoke all on function assetdock_private.prune_webhooks(integer) from public, anon, authenticated, service_role;
