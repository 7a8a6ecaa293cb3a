-- Results of a probe: the asset becomes ready or failed.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock.begin_probe(job_id uuid, lease_token uuid)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token, 'probe');
begin
  perform assetdock_private.charge_attempt(job);
  return jsonb_build_object('outcome', 'begun');
end
$$;
comment on function assetdock.begin_probe(uuid, uuid) is
  'For workers: the file is about to be read, which costs an attempt. If no result follows, the file may have crashed '
  'the worker.';

create function assetdock.complete_probe(
  job_id uuid, lease_token uuid, duration_seconds numeric, content_type text, media json
)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token, 'probe');
begin
  perform assetdock_private.finish_job(job.id, 'done');
  update assetdock_app.assets a
  set state = 'ready',
    duration_seconds = complete_probe.duration_seconds,
    content_type = complete_probe.content_type,
    media = complete_probe.media,
    ready_at = now()
  where a.id = job.asset_id and a.state = 'processing';
  return jsonb_build_object('outcome', 'done');
end
$$;
comment on function assetdock.complete_probe(uuid, uuid, numeric, text, json) is
  'For workers: the media is usable; the asset becomes ready. A deleted asset does not change.';

create function assetdock.reject_probe(job_id uuid, lease_token uuid, error_code text, error_message text)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  job assetdock_private.jobs := assetdock_private.lock_leased_job(job_id, lease_token, 'probe');
begin
  perform assetdock_private.finish_job(job.id, 'done');
  update assetdock_app.assets a
  set state = 'failed',
    error_code = reject_probe.error_code,
    error_message = left(reject_probe.error_message, 1000)
  where a.id = job.asset_id and a.state = 'processing';
  if reject_probe.error_code = 'bytes_missing' then
    perform assetdock_private.remove_usage(job.asset_id);
  end if;
  return jsonb_build_object('outcome', 'done');
end
$$;
comment on function assetdock.reject_probe(uuid, uuid, text, text) is
  'For workers: the bytes are not usable media; the asset becomes failed, with a code and a message for its owner.';

create function assetdock_private.fail_exhausted_probe(job assetdock_private.jobs)
returns void
language plpgsql set search_path = '' as $$
begin
  perform assetdock_private.finish_job(job.id, 'dead');
  update assetdock_app.assets a
  set state = 'failed',
    error_code = 'probe_crashed',
    error_message = 'The file could not be examined after several attempts. Upload it again, or convert it first.'
  where a.id = job.asset_id and a.state = 'processing';
end
$$;
comment on function assetdock_private.fail_exhausted_probe(assetdock_private.jobs) is
  'Makes a probe dead and its asset failed with probe_crashed. The caller has locked asset and job.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.begin_probe(uuid, uuid) to assetdock_worker;
grant execute on function assetdock.complete_probe(uuid, uuid, numeric, text, json) to assetdock_worker;
grant execute on function assetdock.reject_probe(uuid, uuid, text, text) to assetdock_worker;
