-- Reading assets: one, a page of them, their history, and which have come to rest.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock.get_asset(asset_id uuid)
returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  asset assetdock_app.assets := assetdock_private.own_asset(assetdock_private.require('assets:read'), asset_id);
begin
  return assetdock_private.asset_summary(asset);
end
$$;
comment on function assetdock.get_asset(uuid) is 'One of your assets, in whatever state.';
revoke all on function assetdock.get_asset(uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.get_asset(uuid) to authenticated;

-- A cursor is the last id of a page and eight bytes that bind it to the owner, so that a forged one, or another
-- owner's, is told from a real one. It protects nothing: any id would only page through the caller's own rows.
create function assetdock_private.cursor_after(owner uuid, id uuid)
returns text
language sql immutable
set search_path = ''
as $$
  select translate(
    encode(uuid_send(id) || substring(sha256(uuid_send(owner) || uuid_send(id)) from 1 for 8), 'base64'),
    '+/', '-_'
  );
$$;
comment on function assetdock_private.cursor_after(uuid, uuid) is 'The cursor of the page that follows an id: 24 bytes in base64url.';
revoke all on function assetdock_private.cursor_after(uuid, uuid) from public, anon, authenticated, service_role;

create function assetdock_private.id_in_cursor(owner uuid, cursor text)
returns uuid
language plpgsql immutable
set search_path = ''
as $$
declare
  id uuid;
begin
  if cursor ~ '^[A-Za-z0-9_-]{32}$' then
    id := encode(substring(decode(translate(cursor, '-_', '+/'), 'base64') from 1 for 16), 'hex')::uuid;
    if assetdock_private.cursor_after(owner, id) = cursor then
      return id;
    end if;
  end if;
  perform assetdock_private.fail('bad_request', 'the cursor is not one that a list of yours returned. Start again without it.');
  return null;
end
$$;
comment on function assetdock_private.id_in_cursor(uuid, text) is 'The id that a cursor continues after, or bad_request.';
revoke all on function assetdock_private.id_in_cursor(uuid, text) from public, anon, authenticated, service_role;

create function assetdock.list_assets(
  "limit" integer default 20,
  cursor text default null,
  state text default null,
  type text default null,
  include_total boolean default false
)
returns json
language plpgsql stable security definer
set search_path = ''
-- A plan made for one caller's values reads all that fit and sorts them when it expects few: probes are right for everyone.
set plan_cache_mode = force_generic_plan
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('assets:read');
  page_size integer := coalesce(list_assets."limit", 20);
  wanted_type text := case list_assets.type
    when 'audio_input' then 'audio'
    when 'video_input' then 'video'
    else list_assets.type
  end;
  -- Greater than any id, so that every page asks the index for ids below one.
  before_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  states text[] := case
    when list_assets.state is null then array['pending_upload', 'processing', 'ready', 'failed', 'expired']
    else array[list_assets.state]
  end;
  types text[];
  problems jsonb := '[]';
  page assetdock_app.assets[];
  items json;
  next_cursor text;
  total bigint;
begin
  if page_size not between 1 and 100 then
    problems := problems || assetdock_private.invalid('limit', 'From 1 to 100.');
  end if;
  if list_assets.state not in ('pending_upload', 'processing', 'ready', 'failed', 'expired', 'deleted') then
    problems := problems || assetdock_private.invalid('state', 'One of pending_upload, processing, ready, failed, expired, deleted.');
  end if;
  if wanted_type not in ('audio', 'video', 'rendered_video', 'cut_file') then
    problems := problems || assetdock_private.invalid('type', 'One of audio, video, rendered_video, cut_file.');
  end if;
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  if list_assets.cursor is not null then
    before_id := assetdock_private.id_in_cursor(caller.owner_id, list_assets.cursor);
  end if;
  types := case
    when wanted_type is null then array['audio', 'video', 'rendered_video', 'cut_file']
    else array[wanted_type]
  end;

  -- One row more than asked for tells whether another page follows.
  if list_assets.state is null and wanted_type is null then
    page := array(
      select a from assetdock_app.assets a
      where a.owner_id = caller.owner_id and a.id < before_id and a.state <> 'deleted'
      order by a.id desc
      limit page_size + 1
    );
  else
    -- A page of each state and type that is wanted, and of those the newest. A filter beside the index would read
    -- everything that does not fit; in one query with optional filters it would stand beside it in every kept plan.
    page := array(
      select found.asset
      from unnest(states) wanted (state), unnest(types) of_type (type), lateral (
        select a as asset, a.id from assetdock_app.assets a
        where a.owner_id = caller.owner_id
          and a.state = wanted.state
          and a.type = of_type.type
          and a.id < before_id
        order by a.id desc
        limit page_size + 1
      ) found
      order by found.id desc
      limit page_size + 1
    );
  end if;
  if list_assets.include_total then
    select count(*) into total from assetdock_app.assets a
    where a.owner_id = caller.owner_id and a.state = any (states) and a.type = any (types);
  end if;
  items := (
    select coalesce(json_agg(assetdock_private.asset_summary(a) order by a.id desc), '[]')
    from unnest(page[1:page_size]) a
  );
  next_cursor := case when cardinality(page) > page_size
    then assetdock_private.cursor_after(caller.owner_id, (page[page_size]).id)
  end;
  if total is null then
    return json_build_object('items', items, 'limit', page_size, 'next_cursor', next_cursor);
  end if;
  return json_build_object('items', items, 'limit', page_size, 'next_cursor', next_cursor, 'total', total);
end
$$;
comment on function assetdock.list_assets(integer, text, text, text, boolean) is
  'Your assets, newest first, without deleted ones unless state asks for them. Give next_cursor back as cursor for the next page. include_total counts them all, which costs time in proportion.';
revoke all on function assetdock.list_assets(integer, text, text, text, boolean) from public, anon, authenticated, service_role;
grant execute on function assetdock.list_assets(integer, text, text, text, boolean) to authenticated;

create function assetdock.list_asset_events(asset_id uuid)
returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  asset assetdock_app.assets := assetdock_private.own_asset(assetdock_private.require('assets:read'), asset_id);
begin
  return json_build_object('items', (
    select json_agg(json_build_object(
      'from', e.from_state, 'to', e.to_state, 'at', assetdock_private.rfc3339(e.at), 'actor', e.actor, 'reason', e.reason
    ) order by e.id)
    from (
      -- Its own row says this for ever; as an event it would be a third of all rows there are.
      select 0 as id, null as from_state, 'pending_upload' as to_state, assetdock_private.uuid7_instant(asset.id) as at,
        asset.reserved_by as actor, 'reserved' as reason
      union all
      select e.id, e.from_state, e.to_state, e.at, e.actor, e.reason from assetdock_app.asset_events e where e.asset_id = asset.id
    ) e
  ));
end
$$;
comment on function assetdock.list_asset_events(uuid) is 'Everything that happened to one of your assets, in order: its reservation, and every change of its state.';
revoke all on function assetdock.list_asset_events(uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.list_asset_events(uuid) to authenticated;

-- One look-up a tick and process for everyone who waits, whoever they are: the service showed each of them the asset before
-- it let them wait. Says nothing but which ids have come to rest.
create function assetdock.settled_assets(asset_ids uuid[])
returns json
language sql stable security definer
set search_path = ''
as $$
  select coalesce(json_agg(a.id), '[]')
  from assetdock_app.assets a
  where a.id = any (asset_ids[1:1000]) and a.state not in ('pending_upload', 'processing');
$$;
comment on function assetdock.settled_assets(uuid[]) is 'For the service: which of up to 1000 assets are neither pending_upload nor processing any more.';
revoke all on function assetdock.settled_assets(uuid[]) from public, anon, authenticated, service_role;
grant execute on function assetdock.settled_assets(uuid[]) to assetdock_gateway;
