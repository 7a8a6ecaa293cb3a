-- Webhook deliveries. The outbox is a trigger on the history of assets: a change of state and the deliveries for it are
-- one transaction, so that no delivery is lost or sent for a change that did not happen. Lock order: asset, delivery,
-- job, endpoint.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Tables ----------------------------------------------------------------------
alter table assetdock_private.settings
  add column delivery_retention interval not null default '30 days' check (delivery_retention >= '2 days');
comment on column assetdock_private.settings.delivery_retention is
  'How long a finished delivery can be listed and replayed.';

create table assetdock_private.webhook_deliveries (
  id uuid primary key default assetdock_private.uuid7(),
  webhook_endpoint_id uuid not null references assetdock_app.webhook_endpoints on delete cascade,
  event_type text not null,
  -- No foreign key: a delivery outlives its asset.
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
create index webhook_deliveries_by_endpoint on assetdock_private.webhook_deliveries (webhook_endpoint_id, id desc);
create index webhook_deliveries_pending_tests on assetdock_private.webhook_deliveries (webhook_endpoint_id)
  where event_type = 'webhook.test' and state = 'pending';
comment on table assetdock_private.webhook_deliveries is
  'One row for each event and endpoint: the payload and the result. The id is the webhook-id.';
comment on column assetdock_private.webhook_deliveries.data is
  'The asset at the time of the event, not at the time of delivery: an event asset.processing must not contain a ready '
  'asset, and every attempt with one webhook-id must send the same bytes.';
comment on column assetdock_private.webhook_deliveries.attempts is
  'Finished attempts since the delivery was created or last replayed.';

alter table assetdock_private.jobs
  -- not valid: no job has a delivery yet, so no scan is needed.
  add constraint jobs_delivery_id_fkey foreign key (delivery_id) references assetdock_private.webhook_deliveries
    on delete cascade not valid;

-- Outbox ----------------------------------------------------------------------
create function assetdock_private.queue_delivery(delivery_id uuid)
returns void
language sql set search_path = '' as $$
  insert into assetdock_private.jobs as j (kind, delivery_id, recipient)
  select 'deliver', d.id, e.owner_id
  from assetdock_private.webhook_deliveries d
  join assetdock_app.webhook_endpoints e on e.id = d.webhook_endpoint_id
  where d.id = queue_delivery.delivery_id
  on conflict (delivery_id) where delivery_id is not null do update
  set available_at = now(), attempts = 0, finished_at = null, outcome = null
  -- A leased job is an attempt in progress, which is enough.
  where j.lease_token is null;
$$;
comment on function assetdock_private.queue_delivery(uuid) is
  'Makes a delivery due now, unless an attempt is in progress.';

create function assetdock_private.enqueue_deliveries()
returns trigger
language plpgsql set search_path = '' as $$
declare
  endpoint uuid;
  new_delivery uuid;
begin
  -- Most owners have no endpoints. For them this is one probe of a small index.
  for endpoint in
    select e.id
    from assetdock_app.webhook_endpoints e
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
    returning id into new_delivery;
    perform assetdock_private.queue_delivery(new_delivery);
  end loop;
  return null;
end
$$;
comment on function assetdock_private.enqueue_deliveries() is
  'Creates a delivery and its job for each enabled endpoint of the owner that subscribed to the event.';

create trigger assetdock_enqueue_deliveries
after insert on assetdock_app.asset_events
for each row execute function assetdock_private.enqueue_deliveries();

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
