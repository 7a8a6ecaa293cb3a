-- Who is calling. One function answers (assetdock_private.identify); everything that needs an owner, a scope or an actor asks it.
-- A session's JWT comes from Supabase Auth. An API key arrives as a short-lived JWT that the service minted with the
-- claim api_key_id: whether that key is alive is decided here, on every call, never by the age of the token.

set lock_timeout = '5s';
set statement_timeout = '30s';

create table assetdock_app.api_keys (
  id uuid primary key default assetdock_private.uuid7(),
  owner_id uuid not null,
  name text not null check (char_length(name) between 1 and 120),
  prefix text not null unique check (prefix ~ '^rk_live_[0-9A-Za-z]{8}$'),
  scopes text[] not null,
  created_at timestamptz not null generated always as (assetdock_private.uuid7_instant(id)) stored,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  -- 'session', or the prefix of the key that minted this one: what to revoke as well when that one was stolen.
  created_by text not null
)
-- Room beside each row: last_used_at is written twice a minute, and need not be entered anew in every index.
with (fillfactor = 80);
alter table assetdock_app.api_keys enable row level security;
create index api_keys_of_an_owner on assetdock_app.api_keys (owner_id, id);
create index api_keys_by_their_end on assetdock_app.api_keys (least(revoked_at, expires_at));
comment on table assetdock_app.api_keys is 'API keys, without their secrets. Callers read their own and change them through functions only.';

-- Apart from assetdock_app.api_keys, so that no grant or policy on that table can ever reach it.
create table assetdock_private.api_key_secrets (
  sha256 bytea check (octet_length(sha256) = 32),
  api_key_id uuid not null unique references assetdock_app.api_keys on delete cascade,
  primary key (sha256) include (api_key_id)
);
alter table assetdock_private.api_key_secrets enable row level security;
comment on table assetdock_private.api_key_secrets is
  'SHA-256 of each API key. A key holds 190 random bits, so a fast hash is enough and a slow one would only cost.';

create table assetdock_private.producers (
  owner_id uuid primary key,
  allowed_at timestamptz not null default now()
);
alter table assetdock_private.producers enable row level security;
comment on table assetdock_private.producers is 'Owners whose sessions and keys may hold the scope assets:produce.';

create function assetdock_private.allow_produce(owner uuid)
returns void
language sql
set search_path = ''
as $$
  insert into assetdock_private.producers (owner_id) values (owner) on conflict do nothing;
$$;
comment on function assetdock_private.allow_produce(uuid) is 'For operators: lets an owner upload rendered_video and cut_file.';
revoke all on function assetdock_private.allow_produce(uuid) from public, anon, authenticated, service_role;

create function assetdock_private.claims()
returns jsonb
language sql stable parallel safe
begin atomic
  -- On a pooled connection the setting is '' once it has been set, not null.
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb;
end;
comment on function assetdock_private.claims() is 'The claims of the JWT that PostgREST or Storage verified, or null.';
revoke all on function assetdock_private.claims() from public, anon, authenticated, service_role;

create function assetdock_private.every_scope()
returns text[]
language sql immutable parallel safe
begin atomic
  select array[
    'assets:read', 'assets:write', 'assets:produce', 'api_keys:read', 'api_keys:write', 'webhooks:read', 'webhooks:write'
  ];
end;
comment on function assetdock_private.every_scope() is 'All scopes that exist.';
revoke all on function assetdock_private.every_scope() from public, anon, authenticated, service_role;

create type assetdock_private.caller as (
  owner_id uuid,
  api_key_id uuid,
  actor text,
  is_anonymous boolean,
  scopes text[]
);
comment on type assetdock_private.caller is
  'A live caller: whose assets it acts on, by which key if any, the name it has in histories, what it may do.';

create function assetdock_private.identify()
returns assetdock_private.caller
language plpgsql stable
set search_path = ''
as $$
declare
  claims jsonb := assetdock_private.claims();
  caller assetdock_private.caller;
begin
  if claims ->> 'role' is distinct from 'authenticated' or not assetdock_private.is_uuid(claims ->> 'sub') then
    return null;
  end if;

  if claims ? 'api_key_id' then
    -- A malformed api_key_id is a dead key. It must never fall through to the branch of sessions.
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
      -- Not now(): a call that began before a revocation and waited for a lock must not outlive it.
      and (k.revoked_at is null or k.revoked_at > clock_timestamp())
      and (k.expires_at is null or k.expires_at > clock_timestamp())
      and (u.banned_until is null or u.banned_until <= now())
      and u.deleted_at is null;
  else
    select u.id, null, 'session', coalesce(u.is_anonymous, false),
      case when p.owner_id is null then array_remove(assetdock_private.every_scope(), 'assets:produce') else assetdock_private.every_scope() end
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
  'The live caller, or null: the JWT is missing or of another role, the key is revoked, expired or malformed, the owner is banned or gone.';
revoke all on function assetdock_private.identify() from public, anon, authenticated, service_role;

create function assetdock_private.require(scope text)
returns assetdock_private.caller
language plpgsql stable
set search_path = ''
as $$
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
  'Every api function for callers begins with this. Raises unauthenticated (401) or insufficient_scope (403); otherwise the caller.';
revoke all on function assetdock_private.require(text) from public, anon, authenticated, service_role;

-- Policies can hide rows but must not raise (inside a storage.objects policy an error becomes HTTP 500). Written in a
-- policy as owner_id = (select assetdock_private.owner_with('…')), a query evaluates it once and still probes the owner's index.
-- security definer: it reads keys and users for a caller who may read neither.
create function assetdock_private.owner_with(scope text)
returns uuid
language plpgsql stable security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.identify();
begin
  return case when scope = any (caller.scopes) then caller.owner_id end;
end
$$;
comment on function assetdock_private.owner_with(text) is 'For policies: the owner the live caller acts for, if it holds the scope; else null.';
revoke all on function assetdock_private.owner_with(text) from public, anon, authenticated, service_role;
grant execute on function assetdock_private.owner_with(text) to authenticated;

create policy "Owners see their API keys" on assetdock_app.api_keys
for select to authenticated
using (owner_id = (select assetdock_private.owner_with('api_keys:read')));

grant select (id, owner_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at, created_by)
  on assetdock_app.api_keys to authenticated;
-- No insert, update or delete for anyone: the functions of "api keys" do it.

create view assetdock.api_keys with (security_invoker = true) as
select id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at, created_by from assetdock_app.api_keys;
comment on view assetdock.api_keys is 'Your API keys, without their secrets.';
revoke all on assetdock.api_keys from public, anon, authenticated, service_role;
grant select on assetdock.api_keys to authenticated;
