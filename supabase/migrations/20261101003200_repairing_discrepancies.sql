-- Repairing discrepancies. Each repair locks the row and checks it again, so that it changes nothing that is
-- consistent.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Repairs of one row ----------------------------------------------------------
create function assetdock_private.repair_asset(id uuid)
returns text
language plpgsql set search_path = '' as $$
declare
  asset assetdock_app.assets;
  discrepancy text;
begin
  select * into asset from assetdock_app.assets a where a.id = repair_asset.id for no key update;
  discrepancy := assetdock_private.asset_discrepancy(asset);
  case discrepancy
    when 'bytes_missing' then
      if asset.state = 'processing' then
        perform assetdock_private.cancel_jobs('probe', asset.id);
        update assetdock_app.assets a
        set state = 'failed',
          error_code = 'bytes_missing',
          error_message = 'The uploaded file is no longer in storage. Upload it as a new asset.'
        where a.id = asset.id;
      end if;
      perform assetdock_private.remove_usage(asset.id);
    when 'processing_without_probe' then
      perform assetdock_private.queue_job('probe', asset.id);
    when 'pending_past_deadline' then
      update assetdock_app.assets a set state = 'expired' where a.id = asset.id;
    when 'deleted_without_purge' then
      perform assetdock_private.queue_job('purge', asset.id, case
        when asset.landed_at is null or asset.purge_started_at is not null then now()
        else asset.deleted_at + (select s.deletion_grace from assetdock_private.settings s)
      end);
    else
      null;
  end case;
  return discrepancy;
end
$$;
comment on function assetdock_private.repair_asset(uuid) is
  'Repairs an asset. Returns the discrepancy that it had, or null.';

create function assetdock_private.repair_job(id uuid)
returns text
language plpgsql set search_path = '' as $$
declare
  job assetdock_private.jobs;
  discrepancy text;
begin
  perform from assetdock_app.assets a
  where a.id = (select j.asset_id from assetdock_private.jobs j where j.id = repair_job.id)
  for no key update;
  select * into job from assetdock_private.jobs j where j.id = repair_job.id for update;
  discrepancy := assetdock_private.job_discrepancy(job);
  if discrepancy = 'lease_expired' then
    update assetdock_private.jobs j set lease_token = null, available_at = now() where j.id = job.id;
  elsif discrepancy = 'purge_failing' then
    update assetdock_private.jobs j
    set lease_token = null, available_at = now(), attempts = 0, has_begun = false, postponed = 0, first_postponed_at = null
    where j.id = job.id;
  end if;
  return discrepancy;
end
$$;
comment on function assetdock_private.repair_job(uuid) is
  'Repairs an open job. Returns the discrepancy that it had, or null.';

create function assetdock_private.repair_owner(id uuid)
returns text
language plpgsql set search_path = '' as $$
declare
  discrepancy text;
begin
  -- Landing and purging wait at this row, so the sum below stays correct until this transaction ends.
  insert into assetdock_private.usage (owner_id) values (repair_owner.id) on conflict do nothing;
  perform from assetdock_private.usage u where u.owner_id = repair_owner.id for update;
  discrepancy := assetdock_private.owner_discrepancy(repair_owner.id);
  if discrepancy = 'owner_deleted' then
    insert into assetdock_private.jobs (kind, owner_id) values ('purge_owner', repair_owner.id)
    on conflict do nothing;
  elsif discrepancy = 'usage_mismatch' then
    update assetdock_private.usage u
    set stored_bytes = (
      select coalesce(sum(a.stored_bytes), 0) from assetdock_app.assets a where a.owner_id = repair_owner.id
    )
    where u.owner_id = repair_owner.id;
  end if;
  return discrepancy;
end
$$;
comment on function assetdock_private.repair_owner(uuid) is
  'Repairs an owner. Returns the discrepancy that it had, or null.';

-- Repair ----------------------------------------------------------------------
create function assetdock.repair_discrepancy(kind text, subject text)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  known assetdock_private.discrepancies;
  discrepancy text;
begin
  perform assetdock_private.require_role('assetdock_worker');
  select * into known from assetdock_private.discrepancies d where d.kind = repair_discrepancy.kind;
  if known.kind is null or (known.subject_type <> 'object' and not assetdock_private.is_uuid(subject)) then
    perform assetdock_private.fail('bad_request', 'kind and subject are not those of a discrepancy that a search returned.');
  end if;
  if not known.repairable then
    return json_build_object('outcome', 'not_repairable');
  end if;
  if known.subject_type = 'object' then
    select assetdock_private.object_discrepancy(o) into discrepancy
    from storage.objects o
    where o.bucket_id = assetdock_private.bucket() and o.name = subject;
    -- Only Storage can delete the bytes, so only Storage can delete the row.
    return json_build_object('outcome', case when discrepancy = known.kind then 'delete_object' else 'repaired' end);
  end if;
  discrepancy := case known.subject_type
    when 'asset' then assetdock_private.repair_asset(subject::uuid)
    when 'job' then assetdock_private.repair_job(subject::uuid)
    when 'owner' then assetdock_private.repair_owner(subject::uuid)
  end;
  return json_build_object(
    'outcome', case when discrepancy = known.kind or discrepancy is null then 'repaired' else 'changed' end
  );
end
$$;
comment on function assetdock.repair_discrepancy(text, text) is
  'For operators: repairs one discrepancy, unless it no longer exists. outcome: repaired; delete_object, if Storage '
  'must delete the object first; not_repairable; changed, if the row had another discrepancy, which the next search '
  'reports unless this call repaired it.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.repair_discrepancy(text, text) to assetdock_worker;
