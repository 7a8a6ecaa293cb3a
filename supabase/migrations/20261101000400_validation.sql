-- Checks that several functions apply to their arguments. Functions validate their arguments before a constraint can
-- fail, because the error of a constraint shows a direct caller the whole row.
--
-- invalid_… functions return the "fields" of a validation_error, '[]' when the value is valid.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Texts -----------------------------------------------------------------------
create function assetdock_private.has_control_characters(value text)
returns boolean
language sql immutable parallel safe
begin atomic
  select value ~ '[\u0001-\u001f\u007f-\u009f]';
end;
comment on function assetdock_private.has_control_characters(text) is
  'Whether a text contains a control character (C0, DEL or C1). Null for null.';

create function assetdock_private.is_sha256(digest text)
returns boolean
language sql immutable parallel safe
begin atomic
  select digest ~ '^[0-9a-f]{64}$';
end;
comment on function assetdock_private.is_sha256(text) is
  'Whether a text is a SHA-256 as 64 lower-case hexadecimal digits. Null for null.';

-- Numbers ---------------------------------------------------------------------
create function assetdock_private.invalid_overlap(overlap_seconds integer)
returns jsonb
language sql immutable parallel safe
begin atomic
  select case when overlap_seconds between 0 and 604800 then '[]'::jsonb
    else assetdock_private.invalid('overlap_seconds', 'From 0 to 604800 seconds.') end;
end;
comment on function assetdock_private.invalid_overlap(integer) is
  'Validates how long an old secret stays valid beside a new one.';

-- Pages of a list -------------------------------------------------------------
create function assetdock_private.invalid_page_size(page_size integer)
returns jsonb
language sql immutable parallel safe
begin atomic
  select case when page_size between 1 and 100 then '[]'::jsonb
    else assetdock_private.invalid('limit', 'From 1 to 100.') end;
end;
comment on function assetdock_private.invalid_page_size(integer) is 'Validates how many items a page of a list has.';

-- A cursor is the last id of a page and eight bytes of a hash of owner and id. The hash detects cursors that are made
-- up or belong to another owner. It protects no data: any id only pages through the rows of the caller.
create function assetdock_private.encode_cursor(owner uuid, id uuid)
returns text
language sql immutable set search_path = '' as $$
  select translate(
    encode(uuid_send(id) || substring(sha256(uuid_send(owner) || uuid_send(id)) from 1 for 8), 'base64'),
    '+/', '-_'
  );
$$;
comment on function assetdock_private.encode_cursor(uuid, uuid) is
  'The cursor of the page that follows an id: 24 bytes in base64url.';

create function assetdock_private.decode_cursor(owner uuid, cursor text)
returns uuid
language plpgsql immutable set search_path = '' as $$
declare
  id uuid;
begin
  if cursor ~ '^[A-Za-z0-9_-]{32}$' then
    id := encode(substring(decode(translate(cursor, '-_', '+/'), 'base64') from 1 for 16), 'hex')::uuid;
    if assetdock_private.encode_cursor(owner, id) = cursor then
      return id;
    end if;
  end if;
  perform assetdock_private.fail('bad_request',
    'the cursor is not one that a list of this owner returned. Start again without a cursor.');
  return null;
end
$$;
comment on function assetdock_private.decode_cursor(uuid, text) is 'The id that a page continues after, or bad_request.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
