-- Reserving an upload, and asking whether it arrived. Inputs are judged inside the functions, before any constraint could:
-- a constraint's error shows a direct caller the whole row.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock_private.is_acceptable_content_type(asset_type text, content_type text)
returns boolean
language sql immutable parallel safe
begin atomic
  -- A media type with optional parameters (RFC 9110, section 8.3.1), of a kind that is media. text/html and its like
  -- would be served from the project's own Storage host under the uploader's control.
  select coalesce(
    char_length(content_type) between 1 and 255
    and content_type ~ '^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+([ \t]*;[ \t]*[A-Za-z0-9!#$&^_.+-]+=([A-Za-z0-9!#$&^_.+-]+|"[A-Za-z0-9!#$&^_.+,=/ -]*"))*$'
    and (
      lower(content_type) ~ '^(audio|video)/'
      or lower(content_type) ~ '^application/(octet-stream|ogg|mp4|mxf|vnd\.ms-asf)($|[ \t;])'
      or (asset_type = 'cut_file' and lower(content_type) ~ '^(text/plain|(text|application)/(x-subrip|x-srt|srt))($|[ \t;])')
    ),
    false
  );
end;
comment on function assetdock_private.is_acceptable_content_type(text, text) is
  'Whether bytes of this Content-Type may be uploaded for an asset of this type.';
revoke all on function assetdock_private.is_acceptable_content_type(text, text) from public, anon, authenticated, service_role;

create function assetdock_private.invalid_metadata(metadata jsonb)
returns jsonb
language plpgsql immutable
set search_path = ''
as $$
begin
  if metadata = '{}' then
    return '[]';
  end if;
  if jsonb_typeof(metadata) <> 'object' then
    return assetdock_private.invalid('metadata', 'An object whose values are strings.');
  end if;
  if exists (select from jsonb_each(metadata) entry where jsonb_typeof(entry.value) <> 'string') then
    return assetdock_private.invalid('metadata', 'Every value is a string.');
  end if;
  if octet_length(metadata::text) > 4096 then
    return assetdock_private.invalid('metadata', 'At most 4096 bytes as JSON.');
  end if;
  return '[]';
end
$$;
comment on function assetdock_private.invalid_metadata(jsonb) is 'What is wrong with a caller''s metadata, as validation fields.';
revoke all on function assetdock_private.invalid_metadata(jsonb) from public, anon, authenticated, service_role;

create function assetdock_private.reservation(asset assetdock_app.assets)
returns json
language sql stable
begin atomic
  select json_build_object(
    'asset', assetdock_private.asset_summary(asset),
    'bucket', 'assets',
    'object_name', asset.id,
    'upload_expires_at', assetdock_private.rfc3339(asset.upload_expires_at)
  );
end;
comment on function assetdock_private.reservation(assetdock_app.assets) is 'What a caller needs to have an upload URL signed: the asset, bucket, object name and the end of the window.';
revoke all on function assetdock_private.reservation(assetdock_app.assets) from public, anon, authenticated, service_role;

create function assetdock_private.open_window(asset_id uuid, window_seconds integer)
returns assetdock_app.assets
language plpgsql
set search_path = ''
as $$
declare
  settings assetdock_private.settings;
  asset assetdock_app.assets;
  limits assetdock_private.limits;
begin
  select * into strict settings from assetdock_private.settings;
  select * into strict asset from assetdock_app.assets a where a.id = open_window.asset_id for no key update;
  if asset.state = 'pending_upload' and asset.upload_expires_at <= now() then
    -- A window that had closed counts as a new one, but is no new reservation.
    limits := assetdock_private.limits_of(asset.owner_id);
    limits.reservations_per_minute := null;
    perform assetdock_private.check_room(asset.owner_id, limits, asset.reserved_size_bytes);
  end if;
  -- A window only ever grows: a URL that was handed out keeps its promise.
  update assetdock_app.assets a
  set upload_expires_at = greatest(a.upload_expires_at, now() + make_interval(secs => window_seconds)),
    finish_by = greatest(a.finish_by, now() + make_interval(secs => window_seconds) + settings.finish_grace)
  where a.id = open_window.asset_id and a.state = 'pending_upload' and a.finish_by > now()
    and now() < assetdock_private.uuid7_instant(a.id) + settings.renewable_for
  returning * into asset;
  if asset.id is null then
    select * into strict asset from assetdock_app.assets a where a.id = open_window.asset_id;
    if asset.state not in ('pending_upload', 'expired') then
      perform assetdock_private.fail('asset_not_pending', asset.state);
    end if;
    perform assetdock_private.fail('upload_expired');
  end if;
  return asset;
end
$$;
comment on function assetdock_private.open_window(uuid, integer) is
  'Opens a new window for a pending asset: asset_not_pending or upload_expired when it is too late for that.';
revoke all on function assetdock_private.open_window(uuid, integer) from public, anon, authenticated, service_role;

create function assetdock_private.replayed_reservation(asset_id uuid, window_seconds integer)
returns json
language plpgsql
set search_path = ''
as $$
declare
  asset assetdock_app.assets;
begin
  select * into strict asset from assetdock_app.assets a where a.id = asset_id;
  if asset.state = 'pending_upload' then
    return assetdock_private.reservation(assetdock_private.open_window(asset_id, window_seconds));
  end if;
  if asset.state in ('expired', 'deleted') then
    perform assetdock_private.fail('upload_expired');
  end if;
  -- The bytes are there: nothing to upload any more.
  return json_build_object('asset', assetdock_private.asset_summary(asset), 'upload_expires_at', null);
end
$$;
comment on function assetdock_private.replayed_reservation(uuid, integer) is
  'The answer to a request that was made before: a fresh target while the asset is pending, none once it landed, upload_expired when it is over.';
revoke all on function assetdock_private.replayed_reservation(uuid, integer) from public, anon, authenticated, service_role;

create function assetdock_private.check_room(owner uuid, limits assetdock_private.limits, size_bytes bigint)
returns boolean
language plpgsql stable
set search_path = ''
as $$
declare
  lately bigint;
  pending bigint;
  first_end timestamptz;
  stored bigint;
begin
  -- Each counts no further than its limit. A call does not see those in flight beside it, so a burst may overshoot by its
  -- size. One statement: starting one costs more than what is read here.
  select minute.reservations, windows.open, windows.first_end, u.stored_bytes
  into lately, pending, first_end, stored
  from (
    select count(*) as reservations
    from (
      select from assetdock_app.assets a
      where a.owner_id = owner and a.id >= assetdock_private.uuid7_floor(now() - interval '1 minute')
        and limits.reservations_per_minute is not null
      limit limits.reservations_per_minute
    ) counted
  ) minute
  cross join (
    select count(*) as open, min(counted.upload_expires_at) as first_end
    from (
      select a.upload_expires_at from assetdock_app.assets a
      where a.owner_id = owner and a.state = 'pending_upload' and a.upload_expires_at > now()
        and limits.pending_uploads is not null
      order by a.upload_expires_at
      limit limits.pending_uploads
    ) counted
  ) windows
  left join assetdock_private.usage u on u.owner_id = owner;

  if lately >= limits.reservations_per_minute then
    perform assetdock_private.fail('rate_limited', format('%s reservations', limits.reservations_per_minute), retry_after => 60);
  end if;
  if pending >= limits.pending_uploads then
    perform assetdock_private.fail('too_many_pending_uploads', limits.pending_uploads::text,
      retry_after => greatest(1, ceil(extract(epoch from coalesce(first_end, now()) - now()))::integer));
  end if;
  if coalesce(stored, 0) + coalesce(size_bytes, 1) > limits.stored_bytes then
    perform assetdock_private.fail('storage_quota_exceeded', format('%s of %s bytes are used', coalesce(stored, 0), limits.stored_bytes));
  end if;
  return true;
end
$$;
comment on function assetdock_private.check_room(uuid, assetdock_private.limits, bigint) is
  'True when an owner''s limits allow one more reservation; otherwise refuses: rate_limited, too_many_pending_uploads or storage_quota_exceeded.';
revoke all on function assetdock_private.check_room(uuid, assetdock_private.limits, bigint) from public, anon, authenticated, service_role;

-- security definer, as are all functions for callers: no API role may write a table. Each begins with
-- assetdock_private.require and filters by the caller it returns, because row-level security does not bind a definer.
create function assetdock.create_upload(
  type text,
  content_type text default null,
  filename text default null,
  size_bytes bigint default null,
  sha256 text default null,
  metadata jsonb default '{}',
  expires_in integer default 900,
  source_asset_id uuid default null,
  idempotency_key text default null
)
returns json
language plpgsql security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
  caller assetdock_private.caller := assetdock_private.require('assets:write');
  limits constant assetdock_private.limits := assetdock_private.limits_of(caller.owner_id);
  -- audio_input and video_input are deprecated spellings that published clients still send.
  canonical_type text := case create_upload.type
    when 'audio_input' then 'audio'
    when 'video_input' then 'video'
    else create_upload.type
  end;
  declared_metadata jsonb := coalesce(create_upload.metadata, '{}');
  window_seconds integer := coalesce(create_upload.expires_in, 900);
  problems jsonb := '[]';
  new_id constant uuid := assetdock_private.uuid7();
  has_room boolean;
  window_ends timestamptz;
  replayed uuid;
  asset assetdock_app.assets;
begin
  if canonical_type is null or canonical_type not in ('audio', 'video', 'rendered_video', 'cut_file') then
    problems := problems || assetdock_private.invalid('type', 'One of audio, video, rendered_video, cut_file.');
  end if;
  if create_upload.content_type is not null
    and not assetdock_private.is_acceptable_content_type(canonical_type, create_upload.content_type)
  then
    problems := problems || assetdock_private.invalid('content_type', 'The media type of audio or video, such as audio/mpeg; at most 255 characters.');
  end if;
  if char_length(create_upload.filename) not between 1 and 255 or create_upload.filename ~ '[\u0001-\u001f\u007f-\u009f]' then
    problems := problems || assetdock_private.invalid('filename', '1 to 255 characters, none of them a control character.');
  end if;
  if create_upload.size_bytes < 1 then
    problems := problems || assetdock_private.invalid('size_bytes', 'The exact size of the file, at least 1.');
  end if;
  if create_upload.sha256 !~ '^[0-9A-Fa-f]{64}$' then
    problems := problems || assetdock_private.invalid('sha256', '64 hexadecimal digits.');
  end if;
  if window_seconds not between 60 and 7200 then
    problems := problems || assetdock_private.invalid('expires_in', 'From 60 to 7200 seconds.');
  end if;
  problems := problems || assetdock_private.invalid_metadata(declared_metadata);
  if create_upload.source_asset_id is not null then
    if canonical_type in ('audio', 'video') then
      problems := problems || assetdock_private.invalid('source_asset_id', 'Only for rendered_video and cut_file.');
    elsif not exists (
      select from assetdock_app.assets a
      where a.id = create_upload.source_asset_id and a.owner_id = caller.owner_id and a.state <> 'deleted'
    ) then
      problems := problems || assetdock_private.invalid('source_asset_id', 'Not one of your assets.');
    end if;
  end if;
  problems := problems || assetdock_private.invalid_idempotency_key(create_upload.idempotency_key);
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;

  if canonical_type in ('rendered_video', 'cut_file') and 'assets:produce' <> all (caller.scopes) then
    perform assetdock_private.fail('asset_type_not_uploadable');
  end if;
  if create_upload.size_bytes > limits.asset_bytes then
    perform assetdock_private.fail('asset_too_large', limits.asset_bytes::text);
  end if;

  if create_upload.idempotency_key is not null then
    replayed := assetdock_private.claim_idempotency_key(caller.owner_id, 'create_upload', create_upload.idempotency_key, new_id,
      jsonb_build_array(
        canonical_type, create_upload.content_type, create_upload.filename, create_upload.size_bytes,
        lower(create_upload.sha256), declared_metadata, window_seconds, create_upload.source_asset_id
      ));
    if replayed is not null then
      return assetdock_private.replayed_reservation(replayed, window_seconds);
    end if;
  end if;
  -- Assigned, for PERFORM would make a statement of it.
  has_room := assetdock_private.check_room(caller.owner_id, limits, create_upload.size_bytes);

  window_ends := assetdock_private.uuid7_instant(new_id) + make_interval(secs => window_seconds);
  insert into assetdock_app.assets (
    id, owner_id, type, reserved_by, reserved_content_type, reserved_size_bytes, reserved_sha256,
    filename, metadata, source_asset_id, upload_expires_at, finish_by
  )
  values (
    new_id, caller.owner_id, canonical_type, caller.actor, create_upload.content_type, create_upload.size_bytes,
    lower(create_upload.sha256), create_upload.filename, declared_metadata, create_upload.source_asset_id,
    window_ends, window_ends + (select s.finish_grace from assetdock_private.settings s)
  )
  returning * into asset;
  return assetdock_private.reservation(asset);
end
$$;
comment on function assetdock.create_upload(text, text, text, bigint, text, jsonb, integer, uuid, text) is
  'Reserves an asset. content_type, size_bytes and sha256, when given, bind the bytes. An upload must start within expires_in seconds. With an idempotency_key the same request within 24 hours answers with the same asset. Ask Storage for a signed upload URL of object_name in bucket next.';
revoke all on function assetdock.create_upload(text, text, text, bigint, text, jsonb, integer, uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function assetdock.create_upload(text, text, text, bigint, text, jsonb, integer, uuid, text) to authenticated;

create function assetdock_private.own_asset(caller assetdock_private.caller, asset_id uuid)
returns assetdock_app.assets
language plpgsql stable
set search_path = ''
as $$
declare
  asset assetdock_app.assets;
begin
  select * into asset from assetdock_app.assets a where a.id = asset_id and a.owner_id = caller.owner_id;
  if asset.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  return asset;
end
$$;
comment on function assetdock_private.own_asset(assetdock_private.caller, uuid) is 'The caller''s asset, or not_found: another owner''s asset is as absent as one that never was.';
revoke all on function assetdock_private.own_asset(assetdock_private.caller, uuid) from public, anon, authenticated, service_role;

create function assetdock.renew_upload(asset_id uuid, expires_in integer default 900)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  asset assetdock_app.assets := assetdock_private.own_asset(assetdock_private.require('assets:write'), asset_id);
  window_seconds constant integer := coalesce(expires_in, 900);
begin
  if window_seconds not between 60 and 7200 then
    perform assetdock_private.fail('validation_error', fields => assetdock_private.invalid('expires_in', 'From 60 to 7200 seconds.'));
  end if;
  return assetdock_private.reservation(assetdock_private.open_window(asset.id, window_seconds));
end
$$;
comment on function assetdock.renew_upload(uuid, integer) is
  'A new window for an asset that is still pending_upload, up to 24 hours after its creation. Ask Storage for a signed upload URL next.';
revoke all on function assetdock.renew_upload(uuid, integer) from public, anon, authenticated, service_role;
grant execute on function assetdock.renew_upload(uuid, integer) to authenticated;

create function assetdock.confirm_upload(asset_id uuid)
returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  asset assetdock_app.assets := assetdock_private.own_asset(assetdock_private.require('assets:write'), asset_id);
begin
  if asset.landed_at is not null then
    return assetdock_private.asset_summary(asset);
  end if;
  if asset.state <> 'pending_upload' or now() >= asset.finish_by then
    perform assetdock_private.fail('upload_expired');
  end if;
  perform assetdock_private.fail('upload_incomplete', retry_after => 1);
  return null;
end
$$;
comment on function assetdock.confirm_upload(uuid) is
  'Whether the bytes are there: the asset if they landed, upload_incomplete while they may still come, upload_expired once they cannot. Changes nothing.';
revoke all on function assetdock.confirm_upload(uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.confirm_upload(uuid) to authenticated;
