-- Attempts at a delivery: what the worker sends, and what follows from the response.
-- Lock order: asset, delivery, job, endpoint.
--
-- A failed delivery is attempted again 5 seconds after the first attempt, then after 5 and 30 minutes, then after 2, 5,
-- 10, 14, 20 and 24 hours (webhook_retries), each wait up to a fifth longer at random. The tenth failed attempt, about
-- three days after the first, is the last. A test is attempted once.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Settings --------------------------------------------------------------------
alter table assetdock_private.settings
  add column webhook_retries interval[] not null
    default '{5 seconds,5 minutes,30 minutes,2 hours,5 hours,10 hours,14 hours,20 hours,24 hours}',
  add column webhook_failure_window interval not null default '5 days' check (webhook_failure_window >= '0');
comment on column assetdock_private.settings.webhook_retries is
  'The wait after the first failed attempt, after the second, and so on, before the random factor.';
comment on column assetdock_private.settings.webhook_failure_window is
  'An endpoint is disabled after failing for this long without a success.';

-- Health of an endpoint -------------------------------------------------------
create function assetdock_private.record_endpoint_failure(webhook_endpoint_id uuid, response_status integer)
returns void
language sql set search_path = '' as $$
  update assetdock_app.webhook_endpoints e
  set failing_since = coalesce(e.failing_since, now()),
    disabled_at = verdict.disabled_at,
    disabled_reason = verdict.reason
  from (
    select
      f.id,
      case when response_status = 410 or f.failing_since <= now() - s.webhook_failure_window then now() end as disabled_at,
      case
        when response_status = 410 then 'gone'
        when f.failing_since <= now() - s.webhook_failure_window then 'failing'
      end as reason
    from assetdock_app.webhook_endpoints f, assetdock_private.settings s
    where f.id = webhook_endpoint_id
  ) verdict
  -- Only the first failure, and the one that disables the endpoint, change the row.
  where e.id = verdict.id
    and e.disabled_at is null
    and (e.failing_since is null or verdict.disabled_at is not null);
$$;
comment on function assetdock_private.record_endpoint_failure(uuid, integer) is
  'After a failed attempt: records since when the endpoint fails. Disables it after a 410 or after '
  'webhook_failure_window.';

create function assetdock_private.record_endpoint_success(webhook_endpoint_id uuid, is_test boolean)
returns void
language sql set search_path = '' as $$
  update assetdock_app.webhook_endpoints e
  set failing_since = null,
    disabled_at = case when not is_test then e.disabled_at end,
    disabled_reason = case when not is_test then e.disabled_reason end
  where e.id = webhook_endpoint_id
    and (e.failing_since is not null or (is_test and e.disabled_at is not null));
$$;
comment on function assetdock_private.record_endpoint_success(uuid, boolean) is
  'After a successful attempt: the endpoint no longer fails. A successful test enables it.';

-- Attempts --------------------------------------------------------------------
create function assetdock_private.lock_leased_delivery(job_id uuid, lease_token uuid)
returns assetdock_private.webhook_deliveries
language plpgsql set search_path = '' as $$
declare
  delivery assetdock_private.webhook_deliveries;
begin
  select d.* into delivery
  from assetdock_private.jobs j
  join assetdock_private.webhook_deliveries d on d.id = j.delivery_id
  where j.id = lock_leased_delivery.job_id
  for no key update of d;
  perform assetdock_private.lock_leased_job(job_id, lease_token, 'deliver');
  if delivery.id is null then
    perform assetdock_private.fail('conflict', 'this job has no delivery.');
  end if;
  return delivery;
end
$$;
comment on function assetdock_private.lock_leased_delivery(uuid, uuid) is
  'Locks a delivery, then its job. Raises conflict unless the lease is current.';

create function assetdock_private.fail_delivery(job_id uuid, delivery_id uuid, error text)
returns void
language plpgsql set search_path = '' as $$
begin
  -- done, not dead: a receiver that is unavailable is no dead letter for the operator.
  perform assetdock_private.finish_job(job_id, 'done');
  update assetdock_private.webhook_deliveries d
  set state = 'failed', next_attempt_at = null, error = left(coalesce(fail_delivery.error, d.error), 300)
  where d.id = fail_delivery.delivery_id;
end
$$;
comment on function assetdock_private.fail_delivery(uuid, uuid, text) is 'Ends a delivery as failed, and its job.';

create function assetdock.begin_delivery(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  delivery assetdock_private.webhook_deliveries := assetdock_private.lock_leased_delivery(job_id, lease_token);
  endpoint assetdock_app.webhook_endpoints;
  secrets assetdock_private.webhook_secrets;
  obstacle text;
begin
  perform assetdock_private.charge_attempt(j) from assetdock_private.jobs j where j.id = job_id;
  select * into strict endpoint from assetdock_app.webhook_endpoints e where e.id = delivery.webhook_endpoint_id;
  select * into secrets from assetdock_private.webhook_secrets s where s.webhook_endpoint_id = endpoint.id;
  obstacle := case
    when endpoint.deleted_at is not null or secrets.secret is null then 'The endpoint was deleted.'
    when endpoint.disabled_at is not null and delivery.event_type <> 'webhook.test' then 'The endpoint is disabled.'
    -- So many leases expired without a result. That is a fault of the worker, not of the endpoint.
    when (select j.attempts from assetdock_private.jobs j where j.id = job_id) > 20
      then 'The attempts were interrupted on our side.'
  end;
  if obstacle is not null then
    perform assetdock_private.fail_delivery(job_id, delivery.id, obstacle);
    return jsonb_build_object('outcome', 'dropped', 'delivery_id', delivery.id);
  end if;
  return jsonb_build_object(
    'outcome', 'send',
    'delivery_id', delivery.id,
    'webhook_endpoint_id', endpoint.id,
    'url', endpoint.url,
    -- Text, so that every attempt signs and sends the same bytes.
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
  'For workers: the request to send, and the secrets to sign it with, newest first; outcome dropped if it must not be '
  'sent.';

create function assetdock.record_delivery(
  job_id uuid, lease_token uuid, response_status integer, duration_ms integer, error text default null
)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  delivery assetdock_private.webhook_deliveries := assetdock_private.lock_leased_delivery(job_id, lease_token);
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
    perform assetdock_private.record_endpoint_success(delivery.webhook_endpoint_id, is_test);
    return jsonb_build_object('outcome', 'delivered');
  end if;

  if not is_test then
    perform assetdock_private.record_endpoint_failure(delivery.webhook_endpoint_id, response_status);
    if response_status is distinct from 410 then
      select s.webhook_retries[delivery.attempts] * (1 + random() / 5) into wait from assetdock_private.settings s;
    end if;
  end if;
  if wait is null then
    perform assetdock_private.fail_delivery(job_id, delivery.id, null);
    return jsonb_build_object('outcome', 'failed');
  end if;
  update assetdock_private.webhook_deliveries d set next_attempt_at = now() + wait where d.id = delivery.id;
  update assetdock_private.jobs j
  set lease_token = null, attempts = 0, has_begun = false, available_at = now() + wait, last_error = left(record_delivery.error, 300)
  where j.id = record_delivery.job_id;
  return jsonb_build_object('outcome', 'retry');
end
$$;
comment on function assetdock.record_delivery(uuid, uuid, integer, integer, text) is
  'For workers: the result of an attempt. 2xx: delivered. 410: failed, and the endpoint is disabled. Otherwise '
  'retried after the waits in webhook_retries, then failed. response_status is null if there was no response.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.begin_delivery(uuid, uuid) to assetdock_worker;
grant execute on function assetdock.record_delivery(uuid, uuid, integer, integer, text) to assetdock_worker;
