-- Validation of a reservation.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock_private.invalid_content_type(asset_type text, content_type text)
returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  sent constant text := assetdock_private.media_type(content_type);
begin
  -- Callers send the content type back as a header.
  if char_length(content_type) > 255 or content_type !~ '^[ -~\t]*$' then
    return assetdock_private.invalid('content_type', 'At most 255 characters, and only those of ASCII, on one line.');
  end if;
  if not assetdock_private.is_listed_media_type(asset_type, sent) then
    return assetdock_private.invalid('content_type', assetdock_private.unlisted_media_type(asset_type, sent));
  end if;
  return '[]';
end
$$;
comment on function assetdock_private.invalid_content_type(text, text) is 'Validates the content type of a reservation.';

create function assetdock_private.invalid_metadata(metadata jsonb)
returns jsonb
language plpgsql immutable set search_path = '' as $$
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
comment on function assetdock_private.invalid_metadata(jsonb) is 'Validates the metadata of a caller.';

create function assetdock_private.invalid_upload_window(window_seconds integer)
returns jsonb
language sql immutable parallel safe
begin atomic
  select case when window_seconds between 60 and 7200 then '[]'::jsonb
    else assetdock_private.invalid('expires_in', 'From 60 to 7200 seconds.') end;
end;
comment on function assetdock_private.invalid_upload_window(integer) is
  'Validates within how many seconds an upload must start.';

create function assetdock_private.invalid_upload(
  owner uuid, type text, content_type text, filename text, size_bytes bigint, sha256 text, metadata jsonb,
  window_seconds integer, source_asset_id uuid
)
returns jsonb
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
  problems jsonb := '[]';
begin
  if type is null or type <> all (assetdock_private.asset_types()) then
    problems := problems
      || assetdock_private.invalid('type', 'One of ' || array_to_string(assetdock_private.asset_types(), ', ') || '.');
  end if;
  problems := problems || assetdock_private.invalid_content_type(type, content_type);
  if char_length(filename) not between 1 and 255 or assetdock_private.has_control_characters(filename) then
    problems := problems || assetdock_private.invalid('filename', '1 to 255 characters, no control characters.');
  end if;
  if size_bytes < 1 then
    problems := problems || assetdock_private.invalid('size_bytes', 'The exact size of the file, at least 1.');
  end if;
  if not assetdock_private.is_sha256(sha256) then
    problems := problems || assetdock_private.invalid('sha256', '64 hexadecimal digits.');
  end if;
  problems := problems
    || assetdock_private.invalid_upload_window(window_seconds)
    || assetdock_private.invalid_metadata(metadata);
  if source_asset_id is not null then
    if type = any (assetdock_private.asset_types()) and type <> all (assetdock_private.produced_types()) then
      problems := problems || assetdock_private.invalid(
        'source_asset_id', 'Only for ' || array_to_string(assetdock_private.produced_types(), ' and ') || '.'
      );
    elsif not exists (
      select from assetdock_app.assets a
      where a.id = invalid_upload.source_asset_id and a.owner_id = owner and a.state <> 'deleted'
    ) then
      problems := problems || assetdock_private.invalid('source_asset_id', 'Not one of your assets.');
    end if;
  end if;
  return problems;
end
$$;
comment on function assetdock_private.invalid_upload(uuid, text, text, text, bigint, text, jsonb, integer, uuid) is
  'Validates a reservation.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
