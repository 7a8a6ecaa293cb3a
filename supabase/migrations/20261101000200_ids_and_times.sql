-- UUIDv7 and RFC 3339. An id contains its creation time, so rows need no column for it and sort by age.
--
-- Functions with a parsed body (BEGIN ATOMIC) are inlined and need no pinned search_path. With a pinned search_path a
-- call of uuid7() costs almost three times as much.

set lock_timeout = '5s';
set statement_timeout = '30s';


-- RFC 9562, section 5.7: 48 bits of milliseconds, then the random bits of a version 4 UUID, whose version nibble
-- changes from 0100 to 0111. Postgres 17 has no such function.
create function assetdock_private.uuid7()
returns uuid
language sql volatile parallel safe
begin atomic
  select encode(
    set_bit(
      set_bit(
        overlay(
          uuid_send(gen_random_uuid())
          placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
          from 1 for 6
        ),
        52, 1
      ),
      53, 1
    ),
    'hex'
  )::uuid;
end;
comment on function assetdock_private.uuid7() is 'A new UUIDv7. UUIDv7s sort by the millisecond of their creation.';

create function assetdock_private.uuid7_instant(id uuid)
returns timestamptz
language sql immutable parallel safe
begin atomic
  select to_timestamp(
    ('x' || encode(substring(uuid_send(id) from 1 for 6), 'hex'))::bit(48)::bigint / 1000.0::double precision
  );
end;
comment on function assetdock_private.uuid7_instant(uuid) is 'The creation time in a UUIDv7.';

-- Not immutable: EXTRACT from a timestamptz is stable, and a function that claims more than its body is not inlined.
create function assetdock_private.uuid7_floor(at timestamptz)
returns uuid
language sql stable parallel safe
begin atomic
  select encode(
    substring(int8send((extract(epoch from at) * 1000)::bigint) from 3) || '\x70008000000000000000'::bytea, 'hex'
  )::uuid;
end;
comment on function assetdock_private.uuid7_floor(timestamptz) is
  'The smallest UUIDv7 of a time. Ids created at that time or later are not smaller.';

create function assetdock_private.is_uuid(candidate text)
returns boolean
language sql immutable parallel safe
begin atomic
  select coalesce(candidate ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$', false);
end;
comment on function assetdock_private.is_uuid(text) is
  'Whether a text is a UUID in canonical lower-case form. False for null.';

create function assetdock_private.rfc3339(at timestamptz)
returns text
language sql stable parallel safe
begin atomic
  select to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
end;
comment on function assetdock_private.rfc3339(timestamptz) is
  'RFC 3339 in UTC with six decimal places and Z, the format of times in the HTTP API.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
