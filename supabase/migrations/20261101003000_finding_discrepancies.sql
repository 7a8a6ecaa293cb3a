-- Searching for discrepancies, page by page: first all objects, then assets, open jobs and owners. A page is a number
-- of examined rows, so the time of a call does not depend on how many discrepancies it finds.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Pages -----------------------------------------------------------------------

create type assetdock_private.discrepancy_page as (
  examined integer,
  last_subject text,
  items json
);
comment on type assetdock_private.discrepancy_page is
  'How many rows were examined, the last of them, and the discrepancies among them.';

create function assetdock_private.discrepancy(kind text, subject text, details json)
returns json
language sql stable
set search_path = ''
as $$
  select json_build_object(
    'kind', d.kind,
    'subject', subject,
    'repairable', d.repairable,
    'advice', d.advice,
    'details', details
  )
  from assetdock_private.discrepancies d
  where d.kind = discrepancy.kind;
$$;
comment on function assetdock_private.discrepancy(text, text, json) is 'A discrepancy as a search reports it.';

create function assetdock_private.examine_objects(after text, max_rows integer)
returns assetdock_private.discrepancy_page
language plpgsql stable
set search_path = ''
as $$
declare
  page assetdock_private.discrepancy_page;
begin
  select count(*), (array_agg(p.name order by p.name desc))[1],
    coalesce(json_agg(
      assetdock_private.discrepancy(p.kind, p.name, json_build_object('owner_id', p.owner_id)) order by p.name
    ) filter (where p.kind is not null), '[]')
  into page
  from (
    select o.name, o.owner_id, assetdock_private.object_discrepancy(o) as kind
    from storage.objects o
    where o.bucket_id = assetdock_private.bucket() and o.name > after
    order by o.name
    limit max_rows
  ) p;
  return page;
end
$$;
comment on function assetdock_private.examine_objects(text, integer) is 'Examines the objects after a name.';

create function assetdock_private.examine_assets(after uuid, max_rows integer)
returns assetdock_private.discrepancy_page
language plpgsql stable
set search_path = ''
as $$
declare
  page assetdock_private.discrepancy_page;
begin
  select count(*), (array_agg(p.id::text order by p.id desc))[1],
    coalesce(json_agg(assetdock_private.discrepancy(p.kind, p.id::text, json_build_object(
      'owner_id', p.owner_id, 'state', p.state, 'size_bytes', p.size_bytes
    )) order by p.id) filter (where p.kind is not null), '[]')
  into page
  from (
    select a.id, a.owner_id, a.state, a.size_bytes, assetdock_private.asset_discrepancy(a) as kind
    from assetdock_app.assets a
    where a.id > after
    order by a.id
    limit max_rows
  ) p;
  return page;
end
$$;
comment on function assetdock_private.examine_assets(uuid, integer) is 'Examines the assets after an id.';

create function assetdock_private.examine_jobs(after uuid, max_rows integer)
returns assetdock_private.discrepancy_page
language plpgsql stable
set search_path = ''
as $$
declare
  page assetdock_private.discrepancy_page;
begin
  select count(*), (array_agg(p.id::text order by p.id desc))[1],
    coalesce(json_agg(assetdock_private.discrepancy(p.discrepancy, p.id::text, json_build_object(
      'kind', p.kind, 'asset_id', p.asset_id, 'owner_id', p.owner_id,
      'attempts', p.attempts, 'postponed', p.postponed, 'last_error', p.last_error
    )) order by p.id) filter (where p.discrepancy is not null), '[]')
  into page
  from (
    select j.*, assetdock_private.job_discrepancy(j) as discrepancy
    from assetdock_private.jobs j
    where j.id > after and j.finished_at is null
    order by j.id
    limit max_rows
  ) p;
  return page;
end
$$;
comment on function assetdock_private.examine_jobs(uuid, integer) is 'Examines the open jobs after an id.';

create function assetdock_private.next_owner(after uuid)
returns uuid
language sql stable
set search_path = ''
as $$
  -- Two index probes; select distinct would read all assets.
  select least(
    (select u.owner_id from assetdock_private.usage u where u.owner_id > after order by u.owner_id limit 1),
    (select a.owner_id from assetdock_app.assets a where a.owner_id > after order by a.owner_id limit 1)
  );
$$;
comment on function assetdock_private.next_owner(uuid) is 'The owner with the next id, or null.';

create function assetdock_private.examine_owners(after uuid, max_rows integer)
returns assetdock_private.discrepancy_page
language plpgsql stable
set search_path = ''
as $$
declare
  page assetdock_private.discrepancy_page;
  owner uuid := assetdock_private.next_owner(after);
  found_items json[] := '{}';
begin
  page.examined := 0;
  while owner is not null and page.examined < max_rows loop
    found_items := found_items || assetdock_private.discrepancy(
      assetdock_private.owner_discrepancy(owner), owner::text, json_build_object(
        'counted_bytes', (select u.stored_bytes from assetdock_private.usage u where u.owner_id = owner),
        'stored_bytes', (select sum(a.stored_bytes) from assetdock_app.assets a where a.owner_id = owner)
      )
    );
    page.examined := page.examined + 1;
    page.last_subject := owner;
    owner := assetdock_private.next_owner(owner);
  end loop;
  page.items := array_to_json(array_remove(found_items::jsonb[], null));
  return page;
end
$$;
comment on function assetdock_private.examine_owners(uuid, integer) is 'Examines the owners after an id.';

-- Search ----------------------------------------------------------------------

create function assetdock.find_discrepancies(cursor text default 'objects:', max integer default 500)
returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  segments constant text[] := array['objects:', 'assets:', 'jobs:', 'owners:'];
  segment constant text := split_part(cursor, ':', 1) || ':';
  after constant text := substring(cursor from position(':' in cursor) + 1);
  after_id uuid := '00000000-0000-0000-0000-000000000000';
  max_rows integer := greatest(1, least(max, 2000));
  page assetdock_private.discrepancy_page;
begin
  if segment <> 'objects:' and assetdock_private.is_uuid(after) then
    after_id := after;
  elsif array_position(segments, segment) is null or (segment <> 'objects:' and after <> '') then
    perform assetdock_private.fail('bad_request', 'the cursor is not one that a search returned.');
  end if;
  case segment
    when 'objects:' then
      page := assetdock_private.examine_objects(after, max_rows);
    when 'assets:' then
      page := assetdock_private.examine_assets(after_id, max_rows);
    when 'jobs:' then
      page := assetdock_private.examine_jobs(after_id, max_rows);
    else
      -- An owner costs a sum over its assets.
      max_rows := greatest(1, max_rows / 20);
      page := assetdock_private.examine_owners(after_id, max_rows);
  end case;
  return json_build_object('items', page.items, 'next_cursor', case
    when page.examined = max_rows then segment || page.last_subject
    else segments[array_position(segments, segment) + 1]
  end);
end
$$;
comment on function assetdock.find_discrepancies(text, integer) is
  'For operators: examines the next max rows and reports their discrepancies. Call it again with next_cursor until '
  'that is null.';

-- Grants ----------------------------------------------------------------------

call assetdock_private.revoke_default_grants();

grant execute on function assetdock.find_discrepancies(text, integer) to assetdock_worker;
