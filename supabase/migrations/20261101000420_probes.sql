-- What a probe that is over, or given up, makes of its asset.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock_private.bury_job(job assetdock_private.jobs)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform assetdock_private.finish_job(job.id, 'dead');
  update assetdock_app.assets a
  set state = 'failed',
    error_code = 'probe_crashed',
    error_message = 'The file could not be examined after several attempts. Upload it again, or convert it first.'
  where a.id = job.asset_id and a.state = 'processing';
end
$$;
comment on function assetdock_private.bury_job(assetdock_private.jobs) is 'Gives up on a job whose asset and row the caller has locked: dead, and the asset failed with probe_crashed.';
revoke all on function assetdock_private.bury_job(assetdock_private.jobs) from public, anon, authenticated, service_role;

create function assetdock.complete_probe(
  job_id uuid, lease_token uuid, duration_seconds numeric, content_type text, media json
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  job assetdock_private.jobs := assetdock_private.hold_lease(job_id, lease_token, 'probe');
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
  'For workers: the media is good; the asset becomes ready with what was read. Nothing changes when the asset was deleted meanwhile.';
revoke all on function assetdock.complete_probe(uuid, uuid, numeric, text, json) from public, anon, authenticated, service_role;
grant execute on function assetdock.complete_probe(uuid, uuid, numeric, text, json) to assetdock_worker;

create function assetdock_private.discount(asset_id uuid)
returns void
language sql
set search_path = ''
as $$
  -- One statement, so that the asset and its owner's sum never disagree; the asset's row is locked first.
  with counted as (
    select a.id, a.owner_id, a.stored_bytes from assetdock_app.assets a
    where a.id = discount.asset_id and a.stored_bytes > 0
    for no key update
  ),
  cleared as (
    update assetdock_app.assets a set stored_bytes = 0
    from counted c
    where a.id = c.id
  )
  update assetdock_private.usage u
  set stored_bytes = u.stored_bytes - c.stored_bytes
  from counted c
  where u.owner_id = c.owner_id;
$$;
comment on function assetdock_private.discount(uuid) is 'Takes the bytes of an asset that are gone from its owner''s usage, once. For callers who have locked the asset.';
revoke all on function assetdock_private.discount(uuid) from public, anon, authenticated, service_role;

create function assetdock.reject_probe(job_id uuid, lease_token uuid, error_code text, error_message text)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  job assetdock_private.jobs := assetdock_private.hold_lease(job_id, lease_token, 'probe');
begin
  perform assetdock_private.finish_job(job.id, 'done');
  update assetdock_app.assets a
  set state = 'failed', error_code = reject_probe.error_code, error_message = left(reject_probe.error_message, 1000)
  where a.id = job.asset_id and a.state = 'processing';
  if reject_probe.error_code = 'bytes_missing' then
    perform assetdock_private.discount(job.asset_id);
  end if;
  return jsonb_build_object('outcome', 'done');
end
$$;
comment on function assetdock.reject_probe(uuid, uuid, text, text) is
  'For workers: the bytes are no usable media; the asset becomes failed with the code and a message for its owner.';
revoke all on function assetdock.reject_probe(uuid, uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.reject_probe(uuid, uuid, text, text) to assetdock_worker;
