-- Searching for discrepancies, page by page: first all objects, then assets, open jobs and owners. A page is a number
-- of examined rows, so the time of a call does not depend on how many discrepancies it finds.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Examination -----------------------------------------------------------------
create function assetdock_private.next_owner(after uuid)
returns uuid
language sql stable set search_path = '' as $$
  -- An index probe for each table; select distinct would read all assets.
  select least(
    (select u.owner_id from assetdock_private.usage u where u.owner_id > after order by u.owner_id limit 1),
    (select a.owner_id from assetdock_app.assets a where a.owner_id > after order by a.owner_id limit 1),
    (select k.owner_id from assetdock_app.api_keys k where k.owner_id > after order by k.owner_id limit 1),
    (select e.owner_id from assetdock_app.webhook_endpoints e where e.owner_id > after order by e.owner_id limit 1),
    (select i.owner_id from assetdock_private.idempotency_keys i where i.owner_id > after order by i.owner_id limit 1)
  );
$$;
comment on function assetdock_private.next_owner(uuid) is 'The owner with the next id, or null.';

create function assetdock_private.examine(segment text, after text, max_rows integer)
returns table (subject text, discrepancy text, details json)
language plpgsql stable set search_path = '' as $$
declare
  zero constant text := '00000000-0000-0000-0000-000000000000';
  after_id constant uuid := case when segment <> 'objects:' then coalesce(nullif(after, ''), zero) end;
begin
  case segment
    when 'objects:' then
      return query
      select o.name, assetdock_private.object_discrepancy(o), json_build_object('owner_id', o.owner_id)
      from storage.objects o
      where o.bucket_id = assetdock_private.bucket() and o.name > after
      order by o.name
      limit max_rows;
    when 'assets:' then
      return query
      select a.id::text, assetdock_private.asset_discrepancy(a), json_build_object(
        'owner_id', a.owner_id, 'state', a.state, 'size_bytes', a.size_bytes
      )
      from assetdock_app.assets a
      where a.id > after_id
      order by a.id
      limit max_rows;
    when 'jobs:' then
      return query
      select j.id::text, assetdock_private.job_discrepancy(j), json_build_object(
        'kind', j.kind, 'asset_id', j.asset_id, 'owner_id', j.owner_id,
        'attempts', j.attempts, 'postponed', j.postponed, 'last_error', j.last_error
      )
      from assetdock_private.jobs j
      where j.id > after_id and j.finished_at is null
      order by j.id
      limit max_rows;
    else
      return query
      with recursive owners as (
        select assetdock_private.next_owner(after_id) as id
        union all
        select assetdock_private.next_owner(o.id) from owners o where o.id is not null
      )
      select o.id::text, assetdock_private.owner_discrepancy(o.id), json_build_object(
        'counted_bytes', (select u.stored_bytes from assetdock_private.usage u where u.owner_id = o.id),
        'stored_bytes', (select sum(a.stored_bytes) from assetdock_app.assets a where a.owner_id = o.id)
      )
      from owners o
      where o.id is not null
      limit max_rows;
  end case;
end
$$;
comment on function assetdock_private.examine(text, text, integer) is
  'The next rows of a segment, in order, each with its discrepancy or null.';

-- Search ----------------------------------------------------------------------
create function assetdock.find_discrepancies(cursor text default 'objects:', max integer default 500)
returns json
language plpgsql stable security definer set search_path = '' as $$
declare
  segments constant text[] := array['objects:', 'assets:', 'jobs:', 'owners:'];
  segment constant text := split_part(cursor, ':', 1) || ':';
  place constant integer := array_position(segments, segment);
  after constant text := substring(cursor from position(':' in cursor) + 1);
  -- An owner costs a sum over its assets.
  max_rows constant integer := greatest(1, least(max, 2000) / case segment when 'owners:' then 20 else 1 end);
  examined integer;
  last text;
  items json;
begin
  perform assetdock_private.require_role('assetdock_worker');
  if place is null or (segment <> 'objects:' and after <> '' and not assetdock_private.is_uuid(after)) then
    perform assetdock_private.fail('bad_request', 'the cursor is not one that a search returned.');
  end if;
  select count(*), (array_agg(e.subject order by e.place desc))[1], coalesce(json_agg(json_build_object(
    'kind', d.kind, 'subject', e.subject, 'repairable', d.repairable, 'advice', d.advice, 'details', e.details
  ) order by e.place) filter (where d.kind is not null), '[]')
  into examined, last, items
  from assetdock_private.examine(segment, after, max_rows)
    with ordinality e (subject, discrepancy, details, place)
  left join assetdock_private.discrepancies d on d.kind = e.discrepancy;
  return json_build_object(
    'items', items,
    'next_cursor', case when examined = max_rows then segment || last else segments[place + 1] end
  );
end
$$;
comment on function assetdock.find_discrepancies(text, integer) is
  'For operators: examines the next max rows and reports their discrepancies. Call it again with next_cursor until that '
  'is null.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.find_discrepancies(text, integer) to assetdock_worker;
