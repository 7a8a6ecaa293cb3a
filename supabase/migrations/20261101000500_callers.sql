-- Who is calling. assetdock_private.identify() is the only function that reads credentials; every function that needs
-- an owner, a scope or an actor asks it.
--
-- The JWT of a session comes from Supabase Auth. An API key arrives as a short-lived JWT that the service signed, with
-- the claim api_key_id. The database decides on every call whether the key is still valid; the age of the token does
-- not matter.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Scopes ----------------------------------------------------------------------
create function assetdock_private.all_scopes()
returns text[]
language sql immutable parallel safe
begin atomic
  select array[
    'assets:read', 'assets:write', 'assets:produce', 'api_keys:read', 'api_keys:write', 'webhooks:read', 'webhooks:write'
  ];
end;
comment on function assetdock_private.all_scopes() is 'Every scope that exists.';

create table assetdock_private.producers (
  owner_id uuid primary key,
  allowed_at timestamptz not null default now()
);
alter table assetdock_private.producers enable row level security;
comment on table assetdock_private.producers is
  'Owners whose sessions and API keys can hold the scope assets:produce.';

create function assetdock_private.allow_produce(owner uuid)
returns void
language sql set search_path = '' as $$
  insert into assetdock_private.producers (owner_id) values (owner) on conflict do nothing;
$$;
comment on function assetdock_private.allow_produce(uuid) is
  'For operators: lets an owner upload rendered_video and cut_file.';

-- API keys --------------------------------------------------------------------
create function assetdock_private.is_api_key_prefix(prefix text)
returns boolean
language sql immutable parallel safe
begin atomic
  select prefix ~ '^rk_live_[0-9A-Za-z]{8}$';
end;
comment on function assetdock_private.is_api_key_prefix(text) is
  'Whether a text has the form of the public part of an API key. Null for null.';

create table assetdock_app.api_keys (
  id uuid primary key default assetdock_private.uuid7(),
  owner_id uuid not null,
  name text not null check (char_length(name) between 1 and 120),
  prefix text not null unique check (assetdock_private.is_api_key_prefix(prefix)),
  scopes text[] not null,
  created_at timestamptz not null generated always as (assetdock_private.uuid7_instant(id)) stored,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_by text not null
)
-- last_used_at changes twice a minute. Free space in each page keeps the new row version there (a HOT update), so the
-- update adds no index entries.
with (fillfactor = 80);
alter table assetdock_app.api_keys enable row level security;
create index api_keys_by_owner on assetdock_app.api_keys (owner_id, id);
create index api_keys_by_end on assetdock_app.api_keys (least(revoked_at, expires_at));
comment on table assetdock_app.api_keys is 'API keys without their secrets.';
comment on column assetdock_app.api_keys.created_by is
  '''session'', or the prefix of the API key that created this key. If that key was stolen, revoke this one as well.';

-- A table of its own, so that no grant or policy on assetdock_app.api_keys can expose the hashes.
create table assetdock_private.api_key_secrets (
  sha256 bytea check (octet_length(sha256) = 32),
  api_key_id uuid not null unique references assetdock_app.api_keys on delete cascade,
  primary key (sha256) include (api_key_id)
);
alter table assetdock_private.api_key_secrets enable row level security;
comment on table assetdock_private.api_key_secrets is
  'SHA-256 of each API key. A key has 190 random bits, so a fast hash is as safe as a slow one.';

-- Callers ---------------------------------------------------------------------
create type assetdock_private.caller as (
  owner_id uuid,
  api_key_id uuid,
  actor text,
  is_anonymous boolean,
  scopes text[]
);
comment on type assetdock_private.caller is
  'A caller with a valid credential: owner of its assets, API key if it uses one, name in histories, scopes.';

create function assetdock_private.claims()
returns jsonb
language sql stable parallel safe
begin atomic
  -- On a pooled connection that once set it, the setting is '' and not null.
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb;
end;
comment on function assetdock_private.claims() is 'The claims of the JWT that PostgREST or Storage verified, or null.';

create function assetdock_private.identify()
returns assetdock_private.caller
language plpgsql stable set search_path = '' as $$
declare
  claims jsonb := assetdock_private.claims();
  caller assetdock_private.caller;
begin
  if claims ->> 'role' is distinct from 'authenticated' or not assetdock_private.is_uuid(claims ->> 'sub') then
    return null;
  end if;

  if claims ? 'api_key_id' then
    -- A malformed api_key_id is an invalid key. It must never be treated as a session.
    if not assetdock_private.is_uuid(claims ->> 'api_key_id') then
      return null;
    end if;
    select k.owner_id, k.id, k.prefix, false,
      case when p.owner_id is null then array_remove(k.scopes, 'assets:produce') else k.scopes end
    into caller
    from assetdock_app.api_keys k
    join auth.users u on u.id = k.owner_id
    left join assetdock_private.producers p on p.owner_id = k.owner_id
    where k.id = (claims ->> 'api_key_id')::uuid
      and k.owner_id = (claims ->> 'sub')::uuid
      -- Not now(): a call that started before a revocation and waited for a lock must fail.
      and (k.revoked_at is null or k.revoked_at > clock_timestamp())
      and (k.expires_at is null or k.expires_at > clock_timestamp())
      and (u.banned_until is null or u.banned_until <= now())
      and u.deleted_at is null;
  else
    select u.id, null, 'session', coalesce(u.is_anonymous, false),
      case
        when p.owner_id is null then array_remove(assetdock_private.all_scopes(), 'assets:produce')
        else assetdock_private.all_scopes()
      end
    into caller
    from auth.users u
    left join assetdock_private.producers p on p.owner_id = u.id
    where u.id = (claims ->> 'sub')::uuid
      and (u.banned_until is null or u.banned_until <= now())
      and u.deleted_at is null;
  end if;

  if caller.owner_id is null then
    return null;
  end if;
  return caller;
end
$$;
comment on function assetdock_private.identify() is
  'The caller, or null if its credential is not valid: no JWT or one of another role, an API key that is malformed, '
  'revoked or expired, an owner who is banned or deleted.';

create function assetdock_private.require(scope text)
returns assetdock_private.caller
language plpgsql stable set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.identify();
begin
  if caller.owner_id is null then
    perform assetdock_private.fail('unauthenticated');
  end if;
  if scope <> all (caller.scopes) then
    perform assetdock_private.fail('insufficient_scope', scope);
  end if;
  return caller;
end
$$;
comment on function assetdock_private.require(text) is
  'The caller, if it holds the scope; otherwise unauthenticated (401) or insufficient_scope (403). Every function for '
  'callers starts with it.';

create function assetdock_private.require_open_session(caller assetdock_private.caller)
returns void
language plpgsql stable set search_path = '' as $$
begin
  -- The JWT of a session stays valid for up to an hour after signing out. A secret that it creates would stay valid.
  if caller.api_key_id is null and not exists (
    select from auth.sessions s
    where s.id::text = assetdock_private.claims() ->> 'session_id' and s.user_id = caller.owner_id
  ) then
    perform assetdock_private.fail('unauthenticated');
  end if;
end
$$;
comment on function assetdock_private.require_open_session(assetdock_private.caller) is
  'Raises unauthenticated if the session of the caller was signed out. Callers with an API key pass.';

-- A call that creates something for its owner may overlap the deletion of that user, which would then miss the new row.
-- So such calls share a lock that the deletion takes alone: the deletion waits for them and sees their rows, and a later
-- call waits for the deletion and finds no user. An advisory lock, because a row lock would write to auth.users.
create function assetdock_private.owner_lock(owner uuid)
returns bigint
language sql immutable parallel safe
begin atomic
  select hashtextextended('assetdock.owner ' || owner, 0);
end;
comment on function assetdock_private.owner_lock(uuid) is 'The key of the advisory lock on an owner.';

create function assetdock_private.hold_owner(owner uuid)
returns boolean
language plpgsql set search_path = '' as $$
declare
  -- An assignment costs less than a PERFORM. The query below has a snapshot of its own, taken after the wait.
  is_held constant boolean := pg_advisory_xact_lock_shared(assetdock_private.owner_lock(owner)) is not null;
begin
  if not exists (select from auth.users u where u.id = owner and u.deleted_at is null) then
    perform assetdock_private.fail('unauthenticated');
  end if;
  return is_held;
end
$$;
comment on function assetdock_private.hold_owner(uuid) is
  'True, and keeps an owner from being deleted until this transaction ends; unauthenticated if the user is deleted. Every function '
  'that creates something for an owner calls it before its first write.';

-- Policies call this function instead of require(), because a policy must not raise: an error in a policy on
-- storage.objects becomes HTTP 500. In the form owner_id = (select assetdock_private.owner_with('…')) a query evaluates
-- it once and still uses the index on owner_id. security definer: it reads API keys and users, which callers cannot
-- read.
create function assetdock_private.owner_with(scope text)
returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.identify();
begin
  return case when scope = any (caller.scopes) then caller.owner_id end;
end
$$;
comment on function assetdock_private.owner_with(text) is
  'For policies: the owner that the caller acts for, if the caller holds the scope; otherwise null.';

-- Grants alone do not protect the functions for our programs: a project may grant all functions to its API roles.
create function assetdock_private.require_role(variadic roles text[])
returns boolean
language plpgsql stable set search_path = '' as $$
begin
  -- The setting and not current_user, which is the owner of the function that calls this one. PostgREST always sets a
  -- role; a connection without one is direct, and of an operator.
  if current_setting('role') <> all (array_append(roles, 'none')) then
    perform assetdock_private.fail('forbidden', 'This function is for the programs of Assetdock.');
  end if;
  return true;
end
$$;
comment on function assetdock_private.require_role(text[]) is
  'True; raises forbidden for an API role that is not among these. First in each function for the worker or the gateway.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock_private.owner_with(text) to authenticated;
