-- When a job is tried again. Two budgets, because a crash and an outage mean different things:
--
-- An attempt is charged when work begins. If the lease expires without a result, the job becomes available at once, and
-- the attempt stays charged: the file may have crashed the worker. A probe has 5 attempts (max_attempts).
--
-- A worker that meets a temporary obstacle, such as an outage of Storage, postpones the job, which returns the attempt.
-- The waits are 2 seconds, then twice as long each time, at most 5 minutes, each multiplied by a random factor between
-- 0.5 and 1. A probe can be postponed for one day (retry_window) from its first postponement; then it fails. Purges are
-- tried for ever, because bytes must not remain. Webhook deliveries follow webhook_retries instead.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Settings --------------------------------------------------------------------
alter table assetdock_private.settings
  add column max_attempts integer not null default 5 check (max_attempts > 0),
  add column retry_window interval not null default '1 day' check (retry_window >= '0'),
  add column retry_base interval not null default '2 seconds' check (retry_base > '0'),
  add column retry_cap interval not null default '5 minutes' check (retry_cap > '0');
comment on column assetdock_private.settings.max_attempts is
  'A probe whose lease expired so often without a result fails with probe_crashed.';
comment on column assetdock_private.settings.retry_window is
  'How long after its first postponement a probe can be postponed. No asset fails because of a shorter outage.';
comment on column assetdock_private.settings.retry_base is
  'The wait after the first postponement, before the random factor. Each further wait is twice as long.';
comment on column assetdock_private.settings.retry_cap is 'The longest wait between two attempts.';

-- Functions -------------------------------------------------------------------
create function assetdock.retry_job(job_id uuid, lease_token uuid, reason text)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token);
  settings assetdock_private.settings;
begin
  if job.kind = 'deliver' then
    perform assetdock_private.fail('bad_request', 'use record_delivery to report a failed delivery.');
  end if;
  select * into strict settings from assetdock_private.settings;
  if job.kind = 'probe' and coalesce(job.first_postponed_at, now()) <= clock_timestamp() - settings.retry_window then
    perform assetdock_private.fail_exhausted_probe(job);
    return jsonb_build_object('outcome', 'dead');
  end if;
  update assetdock_private.jobs j
  set lease_token = null,
    attempts = j.attempts - j.has_begun::integer,
    has_begun = false,
    postponed = j.postponed + 1,
    first_postponed_at = coalesce(j.first_postponed_at, now()),
    available_at = now()
      + least(settings.retry_base * power(2, least(j.postponed, 20)), settings.retry_cap) * (0.5 + random() / 2),
    last_error = left(reason, 500)
  where j.id = job.id;
  return jsonb_build_object('outcome', 'retry');
end
$$;
comment on function assetdock.retry_job(uuid, uuid, text) is
  'For workers: a temporary obstacle prevented the work. The job is tried again later; outcome dead: a probe was '
  'postponed for too long. Not for deliveries, which have their own schedule.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.retry_job(uuid, uuid, text) to assetdock_worker;
