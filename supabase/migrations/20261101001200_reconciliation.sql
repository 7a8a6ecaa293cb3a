-- What should never be, found and put right. Each promise of the other migrations is kept by a transaction or a trigger;
-- this is for the day on which somebody restored a backup, emptied a bucket by hand or switched a trigger off.
--
-- storage.objects is the truth about objects. Bytes without a row there are Storage's own to find.

set lock_timeout = '5s';
set statement_timeout = '30s';

create table assetdock_private.discrepancies (
  kind text primary key,
  repairable boolean not null,
  advice text not null
);
alter table assetdock_private.discrepancies enable row level security;
comment on table assetdock_private.discrepancies is 'Every kind of discrepancy, and what to do about it: what a repair does, or what an operator must.';

insert into assetdock_private.discrepancies (kind, repairable, advice) values
  ('object_without_asset', true, 'No asset needs this object: a repair deletes it through Storage.'),
  ('object_not_landed', false,
    'The object is there, but its asset never noticed: the trigger assetdock_land was off. Switch it on; delete the asset, which purges the object, and have it uploaded again.'),
  ('bytes_missing', true, 'The object of a landed asset is gone. A repair fails an asset in processing and stops counting the bytes.'),
  ('ready_without_bytes', false,
    'The object of a ready asset is gone. Bring it back from a backup of the bucket under the same name, or delete the asset and have it uploaded again.'),
  ('size_differs', false,
    'The object has another size than the asset landed with: somebody replaced it past the triggers. Bring the original back, or delete the asset.'),
  ('processing_without_probe', true, 'Nobody would ever look at this asset: a repair queues its probe.'),
  ('pending_past_its_end', true, 'No worker keeps house. A repair expires the asset; start a worker.'),
  ('deleted_without_purge', true, 'Nobody would ever purge this asset: a repair queues the purge for the end of its grace.'),
  ('purge_failing', true, 'Storage has refused this purge many times; last_error says how. A repair tries it again at once.'),
  ('job_overdue', false, 'The job has been waiting for more than ten minutes and no worker took it. Start a worker, or more of them.'),
  ('lease_long_gone', true, 'The worker is gone and no other took the job. A repair gives it back; start a worker.'),
  ('owner_gone', true, 'The user was deleted, the assets were not. A repair queues the removal of everything the user owned.'),
  ('usage_differs', true, 'The bytes counted for this owner are not those of its assets. A repair counts them anew.');

create function assetdock_private.missing_object(asset assetdock_app.assets)
returns boolean
language sql stable
set search_path = ''
as $$
  select asset.landed_at is not null and asset.purge_started_at is null
    and not exists (select from storage.objects o where o.bucket_id = 'assets' and o.name = asset.id::text);
$$;
comment on function assetdock_private.missing_object(assetdock_app.assets) is 'Whether an asset that landed and is not being purged has no object.';
revoke all on function assetdock_private.missing_object(assetdock_app.assets) from public, anon, authenticated, service_role;

-- Each of the following asks about one row, so that a search and a repair can never disagree.
create function assetdock_private.wrong_with_object(object storage.objects)
returns text
language sql stable
set search_path = ''
as $$
  select case
    when asset.id is null or asset.purged_at is not null then 'object_without_asset'
    when asset.landed_at is null and asset.state <> 'deleted' then 'object_not_landed'
    when asset.purge_started_at is null and (object.metadata ->> 'size')::numeric <> asset.size_bytes then 'size_differs'
  end
  from (select) one
  left join assetdock_app.assets asset on asset.id = case when assetdock_private.is_uuid(object.name) then object.name::uuid end;
$$;
comment on function assetdock_private.wrong_with_object(storage.objects) is 'The kind of discrepancy an object of bucket assets shows, or null.';
revoke all on function assetdock_private.wrong_with_object(storage.objects) from public, anon, authenticated, service_role;

create function assetdock_private.wrong_with_asset(asset assetdock_app.assets)
returns text
language sql stable
set search_path = ''
as $$
  select case
    when asset.state = 'ready' and assetdock_private.missing_object(asset) then 'ready_without_bytes'
    when (asset.state = 'processing' or (asset.state = 'failed' and asset.stored_bytes > 0)) and assetdock_private.missing_object(asset)
      then 'bytes_missing'
    when asset.state = 'processing' and not exists (
      select from assetdock_private.jobs j where j.asset_id = asset.id and j.kind = 'probe' and j.finished_at is null
    ) then 'processing_without_probe'
    -- Workers keep house every few seconds.
    when asset.state = 'pending_upload' and asset.finish_by < now() - interval '1 minute' then 'pending_past_its_end'
    when asset.state = 'deleted' and asset.purged_at is null and not exists (
      select from assetdock_private.jobs j where j.asset_id = asset.id and j.kind = 'purge' and j.finished_at is null
    ) then 'deleted_without_purge'
  end;
$$;
comment on function assetdock_private.wrong_with_asset(assetdock_app.assets) is 'The kind of discrepancy an asset shows, or null.';
revoke all on function assetdock_private.wrong_with_asset(assetdock_app.assets) from public, anon, authenticated, service_role;

create function assetdock_private.wrong_with_job(job assetdock_private.jobs)
returns text
language sql stable
set search_path = ''
as $$
  select case
    when job.finished_at is not null then null
    when job.lease_token is not null and job.available_at < now() - interval '5 minutes' then 'lease_long_gone'
    -- Before what a repair would move to now: that helps nobody while no worker is there.
    when job.lease_token is null and job.available_at < now() - interval '10 minutes' then 'job_overdue'
    when job.kind in ('purge', 'purge_owner')
      and greatest(job.attempts, job.postponed) >= (select s.max_attempts from assetdock_private.settings s) then 'purge_failing'
  end;
$$;
comment on function assetdock_private.wrong_with_job(assetdock_private.jobs) is 'The kind of discrepancy an open job shows, or null.';
revoke all on function assetdock_private.wrong_with_job(assetdock_private.jobs) from public, anon, authenticated, service_role;

create function assetdock_private.wrong_with_owner(owner uuid)
returns text
language sql stable
set search_path = ''
as $$
  select case
    when not exists (select from auth.users u where u.id = owner and u.deleted_at is null)
      and not exists (
        select from assetdock_private.jobs j where j.owner_id = owner and j.kind = 'purge_owner' and j.finished_at is null
      )
      and exists (
        select from assetdock_app.assets a where a.owner_id = owner and a.purge_started_at is null
          and not exists (
            select from assetdock_private.jobs j where j.asset_id = a.id and j.kind = 'purge' and j.finished_at is null
              and j.available_at <= now() + interval '10 minutes'
          )
      )
      then 'owner_gone'
    when (select coalesce(sum(a.stored_bytes), 0) from assetdock_app.assets a where a.owner_id = owner)
      <> coalesce((select u.stored_bytes from assetdock_private.usage u where u.owner_id = owner), 0)
      then 'usage_differs'
  end;
$$;
comment on function assetdock_private.wrong_with_owner(uuid) is 'The kind of discrepancy an owner shows, or null.';
revoke all on function assetdock_private.wrong_with_owner(uuid) from public, anon, authenticated, service_role;

create function assetdock_private.discrepancy(kind text, subject text, details json)
returns json
language sql stable
set search_path = ''
as $$
  select json_build_object(
    'kind', d.kind, 'subject', subject, 'repairable', d.repairable, 'advice', d.advice, 'details', details
  )
  from assetdock_private.discrepancies d
  where d.kind = discrepancy.kind;
$$;
comment on function assetdock_private.discrepancy(text, text, json) is 'A discrepancy as it is reported: its kind, which row it is about, and what can be done.';
revoke all on function assetdock_private.discrepancy(text, text, json) from public, anon, authenticated, service_role;

create function assetdock_private.next_owner(after uuid)
returns uuid
language sql stable
set search_path = ''
as $$
  -- min over two index probes: a distinct over all assets would read them all.
  select least(
    (select u.owner_id from assetdock_private.usage u where u.owner_id > after order by u.owner_id limit 1),
    (select a.owner_id from assetdock_app.assets a where a.owner_id > after order by a.owner_id limit 1)
  );
$$;
comment on function assetdock_private.next_owner(uuid) is 'The owner after this one, in order of id, or null.';
revoke all on function assetdock_private.next_owner(uuid) from public, anon, authenticated, service_role;

create function assetdock.find_discrepancies(cursor text default 'objects:', max integer default 500)
returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  rows_at_a_time constant integer := greatest(1, least(max, 2000));
  room constant text := split_part(cursor, ':', 1);
  place constant text := substring(cursor from position(':' in cursor) + 1);
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  looked integer := 0;
  last text;
  items json;
  owner uuid;
  found_items json[] := '{}';
begin
  if room not in ('objects', 'assets', 'jobs', 'owners')
    or (room <> 'objects' and place <> '' and not assetdock_private.is_uuid(place))
  then
    perform assetdock_private.fail('bad_request', 'the cursor is not one that a search returned.');
  end if;

  -- A page is so many rows looked at, whatever is wrong with them: no call takes longer because more is.
  case room
    when 'objects' then
      select count(*), (array_agg(p.name order by p.name desc))[1],
        coalesce(json_agg(assetdock_private.discrepancy(p.wrong, p.name, json_build_object('owner_id', p.owner_id)) order by p.name)
          filter (where p.wrong is not null), '[]')
      into looked, last, items
      from (
        select o.name, o.owner_id, assetdock_private.wrong_with_object(o) as wrong
        from storage.objects o
        where o.bucket_id = 'assets' and o.name > place
        order by o.name
        limit rows_at_a_time
      ) p;
    when 'assets' then
      select count(*), (array_agg(p.id::text order by p.id desc))[1],
        coalesce(json_agg(assetdock_private.discrepancy(p.wrong, p.id::text, json_build_object(
          'owner_id', p.owner_id, 'state', p.state, 'size_bytes', p.size_bytes
        )) order by p.id) filter (where p.wrong is not null), '[]')
      into looked, last, items
      from (
        select a.id, a.owner_id, a.state, a.size_bytes, assetdock_private.wrong_with_asset(a) as wrong
        from assetdock_app.assets a
        where a.id > coalesce(nullif(place, ''), nobody::text)::uuid
        order by a.id
        limit rows_at_a_time
      ) p;
    when 'jobs' then
      select count(*), (array_agg(p.id::text order by p.id desc))[1],
        coalesce(json_agg(assetdock_private.discrepancy(p.wrong, p.id::text, json_build_object(
          'kind', p.kind, 'asset_id', p.asset_id, 'owner_id', p.owner_id,
          'attempts', p.attempts, 'postponed', p.postponed, 'last_error', p.last_error
        )) order by p.id) filter (where p.wrong is not null), '[]')
      into looked, last, items
      from (
        select j.*, assetdock_private.wrong_with_job(j) as wrong
        from assetdock_private.jobs j
        where j.id > coalesce(nullif(place, ''), nobody::text)::uuid and j.finished_at is null
        order by j.id
        limit rows_at_a_time
      ) p;
    else
      owner := assetdock_private.next_owner(coalesce(nullif(place, ''), nobody::text)::uuid);
      while owner is not null loop
        looked := looked + 1;
        last := owner::text;
        found_items := found_items || assetdock_private.discrepancy(
          assetdock_private.wrong_with_owner(owner), owner::text, json_build_object(
            'counted_bytes', (select u.stored_bytes from assetdock_private.usage u where u.owner_id = owner),
            'stored_bytes', (select sum(a.stored_bytes) from assetdock_app.assets a where a.owner_id = owner)
          )
        );
        exit when looked >= greatest(1, rows_at_a_time / 20);
        owner := assetdock_private.next_owner(owner);
      end loop;
      items := array_to_json(array_remove(found_items::jsonb[], null));
      return json_build_object('items', items, 'next_cursor', case when owner is not null then 'owners:' || last end);
  end case;
  return json_build_object('items', items, 'next_cursor', case
    when looked = rows_at_a_time then room || ':' || last
    when room = 'objects' then 'assets:'
    when room = 'assets' then 'jobs:'
    else 'owners:'
  end);
end
$$;
comment on function assetdock.find_discrepancies(text, integer) is
  'For operators: looks at the next max rows and says what is wrong with them. Call it again with next_cursor until that is null.';
revoke all on function assetdock.find_discrepancies(text, integer) from public, anon, authenticated, service_role;
grant execute on function assetdock.find_discrepancies(text, integer) to assetdock_worker;

create function assetdock_private.repair_asset(id uuid)
returns text
language plpgsql
set search_path = ''
as $$
declare
  asset assetdock_app.assets;
  wrong text;
begin
  select * into asset from assetdock_app.assets a where a.id = repair_asset.id for no key update;
  wrong := assetdock_private.wrong_with_asset(asset);
  case wrong
    when 'bytes_missing' then
      if asset.state = 'processing' then
        perform assetdock_private.cancel_jobs('probe', asset.id);
        update assetdock_app.assets a
        set state = 'failed', error_code = 'bytes_missing',
          error_message = 'The uploaded file is no longer in storage. Upload it as a new asset.'
        where a.id = asset.id;
      end if;
      perform assetdock_private.discount(asset.id);
    when 'processing_without_probe' then
      perform assetdock_private.queue_job('probe', asset.id);
    when 'pending_past_its_end' then
      update assetdock_app.assets a set state = 'expired' where a.id = asset.id;
    when 'deleted_without_purge' then
      perform assetdock_private.queue_job('purge', asset.id, case
        when asset.landed_at is null or asset.purge_started_at is not null then now()
        else asset.deleted_at + (select s.deletion_grace from assetdock_private.settings s)
      end);
    else
      null;
  end case;
  return wrong;
end
$$;
comment on function assetdock_private.repair_asset(uuid) is 'Puts an asset right, if it still needs it; what was wrong.';
revoke all on function assetdock_private.repair_asset(uuid) from public, anon, authenticated, service_role;

create function assetdock_private.repair_job(id uuid)
returns text
language plpgsql
set search_path = ''
as $$
declare
  job assetdock_private.jobs;
  wrong text;
begin
  perform from assetdock_app.assets a
  where a.id = (select j.asset_id from assetdock_private.jobs j where j.id = repair_job.id)
  for no key update;
  select * into job from assetdock_private.jobs j where j.id = repair_job.id for update;
  wrong := assetdock_private.wrong_with_job(job);
  if wrong = 'lease_long_gone' then
    update assetdock_private.jobs j set lease_token = null, available_at = now() where j.id = job.id;
  elsif wrong = 'purge_failing' then
    update assetdock_private.jobs j
    set lease_token = null, available_at = now(), attempts = 0, postponed = 0, first_postponed_at = null
    where j.id = job.id;
  end if;
  return wrong;
end
$$;
comment on function assetdock_private.repair_job(uuid) is 'Puts an open job right, if it still needs it; what was wrong.';
revoke all on function assetdock_private.repair_job(uuid) from public, anon, authenticated, service_role;

create function assetdock_private.repair_owner(id uuid)
returns text
language plpgsql
set search_path = ''
as $$
declare
  wrong text;
begin
  -- Landing and purging wait at this row, so what is summed below is what is counted.
  insert into assetdock_private.usage (owner_id) values (repair_owner.id) on conflict do nothing;
  perform from assetdock_private.usage u where u.owner_id = repair_owner.id for update;
  wrong := assetdock_private.wrong_with_owner(repair_owner.id);
  if wrong = 'owner_gone' then
    insert into assetdock_private.jobs (kind, owner_id) values ('purge_owner', repair_owner.id)
    on conflict do nothing;
  elsif wrong = 'usage_differs' then
    update assetdock_private.usage u
    set stored_bytes = (select coalesce(sum(a.stored_bytes), 0) from assetdock_app.assets a where a.owner_id = repair_owner.id)
    where u.owner_id = repair_owner.id;
  end if;
  return wrong;
end
$$;
comment on function assetdock_private.repair_owner(uuid) is 'Puts an owner right, if it still needs it; what was wrong.';
revoke all on function assetdock_private.repair_owner(uuid) from public, anon, authenticated, service_role;

create function assetdock.repair_discrepancy(kind text, subject text)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  known assetdock_private.discrepancies;
  wrong text;
begin
  select * into known from assetdock_private.discrepancies d where d.kind = repair_discrepancy.kind;
  if known.kind is null or (known.kind <> 'object_without_asset' and not assetdock_private.is_uuid(subject)) then
    perform assetdock_private.fail('bad_request', 'this is no discrepancy that a search returned.');
  end if;
  if not known.repairable then
    return json_build_object('outcome', 'not_repairable');
  end if;
  if known.kind = 'object_without_asset' then
    select assetdock_private.wrong_with_object(o) into wrong
    from storage.objects o
    where o.bucket_id = 'assets' and o.name = subject;
    -- Only Storage may delete the row, because only it can delete the bytes.
    return json_build_object('outcome', case when wrong = known.kind then 'delete_object' else 'repaired' end);
  end if;
  wrong := case
    when known.kind in ('lease_long_gone', 'purge_failing') then assetdock_private.repair_job(subject::uuid)
    when known.kind in ('owner_gone', 'usage_differs') then assetdock_private.repair_owner(subject::uuid)
    else assetdock_private.repair_asset(subject::uuid)
  end;
  -- Something else may be wrong with it by now: the next search says so.
  return json_build_object('outcome', case when wrong = known.kind or wrong is null then 'repaired' else 'changed' end);
end
$$;
comment on function assetdock.repair_discrepancy(text, text) is
  'For operators: puts one discrepancy right, unless it has gone by itself. outcome: repaired; delete_object, when Storage must delete the object first; not_repairable; changed, when something else is wrong by now.';
revoke all on function assetdock.repair_discrepancy(text, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.repair_discrepancy(text, text) to assetdock_worker;
