-- Attempts at a delivery: whose turn it is, what the worker is to send, and what becomes of it. The lock order is that of
-- all about deliveries: asset, delivery, job, endpoint.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock_private.next_deliveries(max_jobs integer)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  at_once constant integer := (select s.deliveries_at_once from assetdock_private.settings s);
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  first_asked constant uuid := gen_random_uuid();
  asked uuid := first_asked;
  wrapped boolean := false;
  room integer;
  chosen uuid[] := '{}';
begin
  if not exists (
    select from assetdock_private.jobs j where j.kind = 'deliver' and j.finished_at is null and j.available_at <= now()
  ) then
    return chosen;
  end if;
  -- Owner by owner, from anywhere in their circle, an index probe each: however many deliveries one of them is owed,
  -- nobody stands behind all of those.
  while cardinality(chosen) < max_jobs loop
    select j.recipient into asked from assetdock_private.jobs j
    where j.kind = 'deliver' and j.finished_at is null and j.recipient > asked
    order by j.recipient
    limit 1;
    if asked is null and not wrapped then
      wrapped := true;
      asked := nobody;
      continue;
    end if;
    exit when asked is null or (wrapped and asked > first_asked);
    -- Another call that is choosing for this owner would count what this one has not committed.
    continue when not pg_try_advisory_xact_lock(hashtextextended('assetdock.deliveries ' || asked, 0));
    select at_once - count(*) into room from assetdock_private.jobs j
    where j.recipient = asked and j.kind = 'deliver' and j.lease_token is not null and j.available_at > now();
    chosen := chosen || array(
      select j.id from assetdock_private.jobs j
      where j.recipient = asked and j.kind = 'deliver' and j.finished_at is null and j.available_at <= now()
      order by j.available_at
      limit greatest(0, least(room, max_jobs - cardinality(chosen)))
      for update skip locked
    );
  end loop;
  return chosen;
end
$$;
comment on function assetdock_private.next_deliveries(integer) is
  'Locks up to max_jobs deliveries that are due, the oldest of each owner, and no more of one owner than assetdock_private.settings.deliveries_at_once with those under way.';
revoke all on function assetdock_private.next_deliveries(integer) from public, anon, authenticated, service_role;

create function assetdock_private.hold_delivery(job_id uuid, lease_token uuid)
returns assetdock_private.webhook_deliveries
language plpgsql
set search_path = ''
as $$
declare
  delivery assetdock_private.webhook_deliveries;
begin
  select d.* into delivery
  from assetdock_private.jobs j
  join assetdock_private.webhook_deliveries d on d.id = j.delivery_id
  where j.id = hold_delivery.job_id
  for no key update of d;
  perform assetdock_private.hold_lease(job_id, lease_token, 'deliver');
  if delivery.id is null then
    perform assetdock_private.fail('conflict', 'this job delivers nothing.');
  end if;
  return delivery;
end
$$;
comment on function assetdock_private.hold_delivery(uuid, uuid) is 'Locks the delivery of a live lease, then its job; conflict when the lease has passed.';
revoke all on function assetdock_private.hold_delivery(uuid, uuid) from public, anon, authenticated, service_role;

create function assetdock_private.give_up_delivery(job_id uuid, delivery_id uuid, error text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  -- done, not dead: somebody's server that is away is nothing for our operators to look into.
  perform assetdock_private.finish_job(job_id, 'done');
  update assetdock_private.webhook_deliveries d
  set state = 'failed', next_attempt_at = null, error = left(coalesce(give_up_delivery.error, d.error), 300)
  where d.id = give_up_delivery.delivery_id;
end
$$;
comment on function assetdock_private.give_up_delivery(uuid, uuid, text) is 'Ends a delivery as failed, and its job.';
revoke all on function assetdock_private.give_up_delivery(uuid, uuid, text) from public, anon, authenticated, service_role;

create function assetdock.begin_delivery(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  delivery assetdock_private.webhook_deliveries := assetdock_private.hold_delivery(job_id, lease_token);
  endpoint assetdock_app.webhook_endpoints;
  secrets assetdock_private.webhook_secrets;
  obstacle text;
begin
  select * into strict endpoint from assetdock_app.webhook_endpoints e where e.id = delivery.webhook_endpoint_id;
  select * into secrets from assetdock_private.webhook_secrets s where s.webhook_endpoint_id = endpoint.id;
  obstacle := case
    when endpoint.deleted_at is not null or secrets.secret is null then 'The endpoint was deleted.'
    when endpoint.disabled_at is not null and delivery.event_type <> 'webhook.test' then 'The endpoint is disabled.'
    -- Each of them ended without a word. Whatever it is, it is not the endpoint.
    when (select j.attempts from assetdock_private.jobs j where j.id = job_id) > 20 then 'The attempts broke off on our side.'
  end;
  if obstacle is not null then
    perform assetdock_private.give_up_delivery(job_id, delivery.id, obstacle);
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
      'timestamp', assetdock_private.rfc3339(delivery.occurred_at),
      'data', delivery.data
    )::text,
    'secrets', case when secrets.previous_until > now()
      then jsonb_build_array(secrets.secret, secrets.previous_secret)
      else jsonb_build_array(secrets.secret)
    end,
    'loopback', (select s.loopback_webhooks from assetdock_private.settings s)
  );
end
$$;
comment on function assetdock.begin_delivery(uuid, uuid) is
  'For workers: what to send where, and the secrets to sign it with, newest first; outcome dropped when it is not to be sent any more.';
revoke all on function assetdock.begin_delivery(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.begin_delivery(uuid, uuid) to assetdock_worker;

create function assetdock.record_delivery(
  job_id uuid, lease_token uuid, response_status integer, duration_ms integer, error text default null
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  delivery assetdock_private.webhook_deliveries := assetdock_private.hold_delivery(job_id, lease_token);
  is_test constant boolean := delivery.event_type = 'webhook.test';
  wait interval;
begin
  update assetdock_private.webhook_deliveries d
  set attempts = d.attempts + 1,
    last_attempt_at = now(),
    response_status = record_delivery.response_status,
    duration_ms = record_delivery.duration_ms,
    error = left(record_delivery.error, 300)
  where d.id = delivery.id
  returning * into delivery;

  if response_status between 200 and 299 then
    update assetdock_private.webhook_deliveries d
    set state = 'delivered', delivered_at = now(), next_attempt_at = null
    where d.id = delivery.id;
    perform assetdock_private.finish_job(job_id, 'done');
    perform assetdock_private.note_working_endpoint(delivery.webhook_endpoint_id, is_test);
    return jsonb_build_object('outcome', 'delivered');
  end if;

  if not is_test then
    perform assetdock_private.note_failing_endpoint(delivery.webhook_endpoint_id, response_status);
    if response_status is distinct from 410 then
      select s.webhook_retries[delivery.attempts] * (1 + random() / 5) into wait from assetdock_private.settings s;
    end if;
  end if;
  if wait is null then
    perform assetdock_private.give_up_delivery(job_id, delivery.id, null);
    return jsonb_build_object('outcome', 'failed');
  end if;
  update assetdock_private.webhook_deliveries d set next_attempt_at = now() + wait where d.id = delivery.id;
  update assetdock_private.jobs j
  set lease_token = null, attempts = 0, available_at = now() + wait, last_error = left(record_delivery.error, 300)
  where j.id = record_delivery.job_id;
  return jsonb_build_object('outcome', 'retry');
end
$$;
comment on function assetdock.record_delivery(uuid, uuid, integer, integer, text) is
  'For workers: how an attempt ended. 2xx is delivered; 410 disables the endpoint; all else is tried again by the schedule in assetdock_private.settings.webhook_retries, then failed. response_status is null when there was no answer.';
revoke all on function assetdock.record_delivery(uuid, uuid, integer, integer, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.record_delivery(uuid, uuid, integer, integer, text) to assetdock_worker;
