-- Reading assets: one asset, a page of assets, the history of an asset, and which assets the worker has finished.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- One asset -------------------------------------------------------------------
create function assetdock.get_asset(asset_id uuid)
returns json
language plpgsql stable security definer set search_path = '' as $$
declare
  asset assetdock_app.assets := assetdock_private.own_asset(assetdock_private.require('assets:read'), asset_id);
begin
  return assetdock_private.asset_summary(asset);
end
$$;
comment on function assetdock.get_asset(uuid) is 'One of your assets, in any state.';

create function assetdock.list_asset_events(asset_id uuid)
returns json
language plpgsql stable security definer set search_path = '' as $$
declare
  asset assetdock_app.assets := assetdock_private.own_asset(assetdock_private.require('assets:read'), asset_id);
begin
  return json_build_object('items', (
    select json_agg(json_build_object(
      'from', e.from_state,
      'to', e.to_state,
      'at', assetdock_private.rfc3339(e.at),
      'actor', e.actor,
      'reason', e.reason
    ) order by e.id)
    from (
      -- The reservation comes from the row of the asset. As an event it would be a third of all rows.
      select 0 as id, null as from_state, 'pending_upload' as to_state,
        assetdock_private.uuid7_instant(asset.id) as at, asset.reserved_by as actor, 'reserved' as reason
      union all
      select e.id, e.from_state, e.to_state, e.at, e.actor, e.reason
      from assetdock_app.asset_events e
      where e.asset_id = asset.id
    ) e
  ));
end
$$;
comment on function assetdock.list_asset_events(uuid) is
  'The history of one of your assets, in order: its reservation, and every change of its state.';

-- Lists -----------------------------------------------------------------------

-- One index probe for each wanted state and type, then the newest rows of all of them. A filter beside the index would
-- read every row that does not fit; in one query with optional filters, a cached plan would contain such a filter.
create function assetdock_private.page_of_assets(
  owner uuid, states text[], types text[], before_id uuid, max_rows integer
)
returns assetdock_app.assets[]
language plpgsql stable set search_path = '' as $$
begin
  return array(
    select found.asset
    from unnest(states) wanted (state), unnest(types) of_type (type), lateral (
      select a as asset, a.id
      from assetdock_app.assets a
      where a.owner_id = owner
        and a.state = wanted.state
        and a.type = of_type.type
        and a.id < before_id
      order by a.id desc
      limit max_rows
    ) found
    order by found.id desc
    limit max_rows
  );
end
$$;
comment on function assetdock_private.page_of_assets(uuid, text[], text[], uuid, integer) is
  'The newest assets of an owner in these states and of these types, below an id.';

create function assetdock_private.invalid_asset_filter(state text, type text)
returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := '[]';
begin
  if state <> all (assetdock_private.asset_states()) then
    problems := problems
      || assetdock_private.invalid('state', 'One of ' || array_to_string(assetdock_private.asset_states(), ', ') || '.');
  end if;
  if type <> all (assetdock_private.asset_types()) then
    problems := problems
      || assetdock_private.invalid('type', 'One of ' || array_to_string(assetdock_private.asset_types(), ', ') || '.');
  end if;
  return problems;
end
$$;
comment on function assetdock_private.invalid_asset_filter(text, text) is
  'Validates the filters of a list of assets; null is no filter.';

create function assetdock.list_assets(
  "limit" integer default 20,
  cursor text default null,
  state text default null,
  type text default null,
  include_total boolean default false
)
returns json
language plpgsql stable security definer set search_path = ''
-- For the values of one caller the planner may expect few rows, and then read and sort all of them. The generic plan
-- uses index probes, which are right for every caller.
set plan_cache_mode = force_generic_plan
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('assets:read');
  page_size constant integer := coalesce(list_assets."limit", 20);
  wanted_type constant text := assetdock_private.canonical_asset_type(list_assets.type);
  states constant text[] := case
    when list_assets.state is null then array_remove(assetdock_private.asset_states(), 'deleted')
    else array[list_assets.state]
  end;
  types constant text[] := case
    when wanted_type is null then assetdock_private.asset_types()
    else array[wanted_type]
  end;
  problems constant jsonb := assetdock_private.invalid_page_size(page_size)
    || assetdock_private.invalid_asset_filter(list_assets.state, wanted_type);
  -- Greater than any id, so that the first page has the same index condition as the others.
  before_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  page assetdock_app.assets[];
  items json;
  next_cursor text;
  total bigint;
begin
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  if list_assets.cursor is not null then
    before_id := assetdock_private.decode_cursor(caller.owner_id, list_assets.cursor);
  end if;
  -- One row more than the page has shows whether another page follows.
  if list_assets.state is null and wanted_type is null then
    page := array(
      select a
      from assetdock_app.assets a
      where a.owner_id = caller.owner_id and a.id < before_id and a.state <> 'deleted'
      order by a.id desc
      limit page_size + 1
    );
  else
    page := assetdock_private.page_of_assets(caller.owner_id, states, types, before_id, page_size + 1);
  end if;
  if list_assets.include_total then
    select count(*) into total
    from assetdock_app.assets a
    where a.owner_id = caller.owner_id and a.state = any (states) and a.type = any (types);
  end if;
  items := (
    select coalesce(json_agg(assetdock_private.asset_summary(a) order by a.id desc), '[]')
    from unnest(page[1:page_size]) a
  );
  next_cursor := case when cardinality(page) > page_size
    then assetdock_private.encode_cursor(caller.owner_id, (page[page_size]).id)
  end;
  if total is null then
    return json_build_object('items', items, 'limit', page_size, 'next_cursor', next_cursor);
  end if;
  return json_build_object('items', items, 'limit', page_size, 'next_cursor', next_cursor, 'total', total);
end
$$;
comment on function assetdock.list_assets(integer, text, text, text, boolean) is
  'Your assets, newest first. Deleted assets are listed only with state deleted. Pass next_cursor as cursor to get the '
  'next page. include_total counts all matching assets, which takes time in proportion to their number.';

-- Waiting ---------------------------------------------------------------------

-- Each process of the service calls this once a tick for all requests that wait. It checks no owner: the service showed
-- each caller the asset before the caller could wait, and the response contains only ids from the request.
create function assetdock.finished_assets(asset_ids uuid[])
returns json
language sql stable security definer set search_path = '' as $$
  select assetdock_private.require_role('assetdock_gateway');
  select coalesce(json_agg(a.id), '[]')
  from assetdock_app.assets a
  where a.id = any (asset_ids[1:1000]) and a.state not in ('pending_upload', 'processing');
$$;
comment on function assetdock.finished_assets(uuid[]) is
  'For the service: which of up to 1000 assets are neither pending_upload nor processing.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.get_asset(uuid) to authenticated;
grant execute on function assetdock.list_asset_events(uuid) to authenticated;
grant execute on function assetdock.list_assets(integer, text, text, text, boolean) to authenticated;
grant execute on function assetdock.finished_assets(uuid[]) to assetdock_gateway;
