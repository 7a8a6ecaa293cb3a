-- Minting, listing and revoking API keys, and finding the owner of one. The service makes the plaintext; the database only
-- ever sees its SHA-256.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock_private.api_key_summary(key assetdock_app.api_keys)
returns json
language sql stable
set search_path = ''
as $$
  select json_build_object(
    'id', key.id,
    'name', key.name,
    'prefix', key.prefix,
    'scopes', to_jsonb(key.scopes),
    'created_at', assetdock_private.rfc3339(key.created_at),
    'expires_at', assetdock_private.rfc3339(key.expires_at),
    'last_used_at', assetdock_private.rfc3339(key.last_used_at),
    'revoked_at', assetdock_private.rfc3339(key.revoked_at),
    'created_by', key.created_by
  );
$$;
comment on function assetdock_private.api_key_summary(assetdock_app.api_keys) is 'An API key as the HTTP API shows it.';
revoke all on function assetdock_private.api_key_summary(assetdock_app.api_keys) from public, anon, authenticated, service_role;

create function assetdock_private.lock_owner_keys(caller assetdock_private.caller)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('assetdock.api_keys ' || caller.owner_id, 0));
  -- Again: the caller's own key may have been revoked while this call waited.
  perform assetdock_private.require('api_keys:write');
end
$$;
comment on function assetdock_private.lock_owner_keys(assetdock_private.caller) is
  'One owner''s mints wait for each other here, so that counting keys means something.';
revoke all on function assetdock_private.lock_owner_keys(assetdock_private.caller) from public, anon, authenticated, service_role;

create function assetdock_private.caller_expiry(caller assetdock_private.caller)
returns timestamptz
language sql stable
set search_path = ''
as $$
  select k.expires_at from assetdock_app.api_keys k where k.id = caller.api_key_id;
$$;
comment on function assetdock_private.caller_expiry(assetdock_private.caller) is
  'When the key that calls ends; null for a session, and for a key that never does. No key it makes may end later: a key that ends cannot leave behind one that does not.';
revoke all on function assetdock_private.caller_expiry(assetdock_private.caller) from public, anon, authenticated, service_role;

create function assetdock_private.store_api_key(
  caller assetdock_private.caller, name text, prefix text, secret_sha256 text, scopes text[], expires_at timestamptz
)
returns assetdock_app.api_keys
language plpgsql
set search_path = ''
as $$
#variable_conflict use_variable
declare
  owner constant uuid := caller.owner_id;
  room constant integer := (assetdock_private.limits_of(owner)).api_keys;
  key assetdock_app.api_keys;
begin
  if room <= (
    select count(*) from assetdock_app.api_keys k
    where k.owner_id = owner and (k.revoked_at is null or k.revoked_at > now()) and (k.expires_at is null or k.expires_at > now())
  ) then
    perform assetdock_private.fail('conflict', format('there are %s API keys already. Revoke one first.', room));
  end if;
  if 10 * room <= (select count(*) from assetdock_app.api_keys k where k.owner_id = owner) then
    perform assetdock_private.fail('conflict', format('%s API keys are remembered, ended ones too. They are forgotten in time.', 10 * room));
  end if;
  insert into assetdock_app.api_keys (owner_id, name, prefix, created_by, scopes, expires_at)
  values (
    owner, name, prefix, caller.actor,
    -- In the order of every_scope, each once.
    array(select scope from unnest(assetdock_private.every_scope()) scope where scope = any (scopes)),
    expires_at
  )
  on conflict do nothing
  returning * into key;
  if key.id is not null then
    insert into assetdock_private.api_key_secrets (sha256, api_key_id)
    values (decode(secret_sha256, 'hex'), key.id)
    on conflict do nothing;
  end if;
  if key.id is null or not found then
    perform assetdock_private.fail('conflict', 'this prefix or secret is taken. Make another key.');
  end if;
  return key;
end
$$;
comment on function assetdock_private.store_api_key(assetdock_private.caller, text, text, text, text[], timestamptz) is
  'Stores a key that was judged already, its end too, for a caller whose turn it is; conflict when the owner has as many as allowed, or the prefix is taken.';
revoke all on function assetdock_private.store_api_key(assetdock_private.caller, text, text, text, text[], timestamptz) from public, anon, authenticated, service_role;

create function assetdock_private.require_open_session(caller assetdock_private.caller)
returns void
language plpgsql stable
set search_path = ''
as $$
begin
  -- A session's JWT outlives signing out by up to an hour. What it makes here would live for ever.
  if caller.api_key_id is null and not exists (
    select from auth.sessions s
    where s.id::text = assetdock_private.claims() ->> 'session_id' and s.user_id = caller.owner_id
  ) then
    perform assetdock_private.fail('unauthenticated');
  end if;
end
$$;
comment on function assetdock_private.require_open_session(assetdock_private.caller) is 'Raises unauthenticated for a session that was signed out; an API key passes.';
revoke all on function assetdock_private.require_open_session(assetdock_private.caller) from public, anon, authenticated, service_role;

create function assetdock_private.claim_secret_request(caller assetdock_private.caller, operation text, key text, request jsonb)
returns void
language plpgsql
set search_path = ''
as $$
begin
  -- The first answer held a plaintext that is kept nowhere, so it cannot be given again.
  if key is not null and assetdock_private.claim_idempotency_key(caller.owner_id, operation, key, assetdock_private.uuid7(), request) is not null then
    perform assetdock_private.fail('conflict', 'this request was answered before, and a secret is shown only once. List what there is, or use a new Idempotency-Key.');
  end if;
end
$$;
comment on function assetdock_private.claim_secret_request(assetdock_private.caller, text, text, jsonb) is
  'Claims an Idempotency-Key for a request that shows a secret: repeating it is a conflict.';
revoke all on function assetdock_private.claim_secret_request(assetdock_private.caller, text, text, jsonb) from public, anon, authenticated, service_role;

create function assetdock.create_api_key(
  name text,
  prefix text,
  secret_sha256 text,
  scopes text[] default null,
  expires_at timestamptz default null,
  idempotency_key text default null
)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('api_keys:write');
  wanted text[] := coalesce(create_api_key.scopes, array['assets:read', 'assets:write']);
  missing text;
  problems jsonb := '[]';
begin
  if caller.is_anonymous then
    perform assetdock_private.fail('forbidden', 'anonymous users cannot have API keys. Sign up first.');
  end if;
  if char_length(create_api_key.name) between 1 and 120 is not true
    or create_api_key.name ~ '[\u0001-\u001f\u007f-\u009f]' or create_api_key.name !~ '[^\s]'
  then
    problems := problems || assetdock_private.invalid('name', '1 to 120 characters, none of them a control character.');
  end if;
  if not wanted <@ assetdock_private.every_scope() or cardinality(wanted) = 0 or array_position(wanted, null) is not null then
    problems := problems || assetdock_private.invalid('scopes', 'At least one of ' || array_to_string(assetdock_private.every_scope(), ', ') || '.');
  end if;
  if create_api_key.expires_at <= now() or not isfinite(create_api_key.expires_at) then
    problems := problems || assetdock_private.invalid('expires_at', 'A time in the future.');
  end if;
  if create_api_key.prefix ~ '^rk_live_[0-9A-Za-z]{8}$' is not true then
    problems := problems || assetdock_private.invalid('prefix', 'rk_live_ and eight base62 characters.');
  end if;
  if create_api_key.secret_sha256 ~ '^[0-9a-f]{64}$' is not true then
    problems := problems || assetdock_private.invalid('secret_sha256', 'The SHA-256 of the key as 64 hexadecimal digits.');
  end if;
  problems := problems || assetdock_private.invalid_idempotency_key(create_api_key.idempotency_key);
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;

  perform assetdock_private.lock_owner_keys(caller);
  perform assetdock_private.require_open_session(caller);
  select scope into missing from unnest(wanted) scope where scope <> all (caller.scopes) limit 1;
  if missing is not null then
    perform assetdock_private.fail('insufficient_scope', missing);
  end if;

  perform assetdock_private.claim_secret_request(caller, 'create_api_key', create_api_key.idempotency_key,
    jsonb_build_array(create_api_key.name, wanted, create_api_key.expires_at));
  return assetdock_private.api_key_summary(assetdock_private.store_api_key(
    caller, create_api_key.name, create_api_key.prefix, create_api_key.secret_sha256, wanted,
    least(create_api_key.expires_at, assetdock_private.caller_expiry(caller))
  ));
end
$$;
comment on function assetdock.create_api_key(text, text, text, text[], timestamptz, text) is
  'Registers an API key by its prefix and the SHA-256 of its plaintext. Without scopes it holds assets:read and assets:write. No caller can mint a scope it lacks, and no key one that ends after itself.';
revoke all on function assetdock.create_api_key(text, text, text, text[], timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.create_api_key(text, text, text, text[], timestamptz, text) to authenticated;

create function assetdock.rotate_api_key(
  api_key_id uuid,
  prefix text,
  secret_sha256 text,
  overlap_seconds integer default 0,
  idempotency_key text default null
)
returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('api_keys:write');
  overlap constant integer := coalesce(rotate_api_key.overlap_seconds, 0);
  missing text;
  problems jsonb := assetdock_private.invalid_idempotency_key(rotate_api_key.idempotency_key);
  old assetdock_app.api_keys;
  ending timestamptz;
begin
  if overlap not between 0 and 604800 then
    problems := problems || assetdock_private.invalid('overlap_seconds', 'From 0 to 604800 seconds.');
  end if;
  if rotate_api_key.prefix ~ '^rk_live_[0-9A-Za-z]{8}$' is not true then
    problems := problems || assetdock_private.invalid('prefix', 'rk_live_ and eight base62 characters.');
  end if;
  if rotate_api_key.secret_sha256 ~ '^[0-9a-f]{64}$' is not true then
    problems := problems || assetdock_private.invalid('secret_sha256', 'The SHA-256 of the key as 64 hexadecimal digits.');
  end if;
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;

  perform assetdock_private.lock_owner_keys(caller);
  perform assetdock_private.require_open_session(caller);
  select * into old from assetdock_app.api_keys k
  where k.id = rotate_api_key.api_key_id and k.owner_id = caller.owner_id
  for update;
  if old.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  perform assetdock_private.claim_secret_request(caller, 'rotate_api_key', rotate_api_key.idempotency_key,
    jsonb_build_array(old.id, overlap));
  if old.revoked_at <= now() or old.expires_at <= now() then
    perform assetdock_private.fail('conflict', 'this API key has ended already. Make a new one.');
  end if;
  select scope into missing from unnest(old.scopes) scope where scope <> all (caller.scopes) limit 1;
  if missing is not null then
    perform assetdock_private.fail('insufficient_scope', missing);
  end if;

  -- Asked before the overlap is set: a key that rotates itself is not yet the one that ends with it.
  ending := least(old.expires_at, assetdock_private.caller_expiry(caller));
  -- The old one first: without an overlap, an owner who has as many keys as allowed can still rotate.
  update assetdock_app.api_keys k
  set revoked_at = case when overlap = 0 then now() else k.revoked_at end,
    expires_at = case when overlap = 0 then k.expires_at else least(k.expires_at, now() + make_interval(secs => overlap)) end
  where k.id = old.id;
  return assetdock_private.api_key_summary(assetdock_private.store_api_key(
    caller, old.name, rotate_api_key.prefix, rotate_api_key.secret_sha256, old.scopes, ending
  ));
end
$$;
comment on function assetdock.rotate_api_key(uuid, text, text, integer, text) is
  'A new API key with the name, scopes and expiry of an old one, which is revoked at once or expires after the overlap. Rotated by a key that ends sooner, the new one ends with that key.';
revoke all on function assetdock.rotate_api_key(uuid, text, text, integer, text) from public, anon, authenticated, service_role;
grant execute on function assetdock.rotate_api_key(uuid, text, text, integer, text) to authenticated;

create function assetdock.list_api_keys()
returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('api_keys:read');
begin
  return json_build_object('items', (
    select coalesce(json_agg(assetdock_private.api_key_summary(k) order by k.id), '[]')
    from assetdock_app.api_keys k
    where k.owner_id = caller.owner_id
  ));
end
$$;
comment on function assetdock.list_api_keys() is 'Your API keys, oldest first, revoked ones too.';
revoke all on function assetdock.list_api_keys() from public, anon, authenticated, service_role;
grant execute on function assetdock.list_api_keys() to authenticated;

create function assetdock.revoke_api_key(api_key_id uuid)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  caller assetdock_private.caller := assetdock_private.require('api_keys:write');
begin
  -- least() passes over null: a key that was to end later ends now, one that ended earlier keeps its instant.
  update assetdock_app.api_keys k
  set revoked_at = least(k.revoked_at, now())
  where k.id = api_key_id and k.owner_id = caller.owner_id;
  if not found then
    perform assetdock_private.fail('not_found');
  end if;
end
$$;
comment on function assetdock.revoke_api_key(uuid) is 'Ends an API key for the very next call, on every replica. Idempotent.';
revoke all on function assetdock.revoke_api_key(uuid) from public, anon, authenticated, service_role;
grant execute on function assetdock.revoke_api_key(uuid) to authenticated;

create function assetdock.resolve_api_key(secret_sha256 text)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  key assetdock_app.api_keys;
begin
  if secret_sha256 ~ '^[0-9a-f]{64}$' then
    -- An answer is remembered for half a minute, so whoever asks has most often a use to note as well: found and noted in
    -- one way down each index. At most two writes a minute and key, however often it is used. The secret is looked up
    -- in a query of its own, for which its index is enough; UPDATE … FROM would lock its row as well.
    update assetdock_app.api_keys k
    set last_used_at = now()
    where k.id = (select s.api_key_id from assetdock_private.api_key_secrets s where s.sha256 = decode(secret_sha256, 'hex'))
      and (k.last_used_at is null or k.last_used_at < now() - interval '30 seconds')
      and (k.revoked_at is null or k.revoked_at > now())
      and (k.expires_at is null or k.expires_at > now())
    returning k.* into key;
    if not found then
      select k.* into key
      from assetdock_app.api_keys k
      where k.id = (select s.api_key_id from assetdock_private.api_key_secrets s where s.sha256 = decode(secret_sha256, 'hex'))
        and (k.revoked_at is null or k.revoked_at > now())
        and (k.expires_at is null or k.expires_at > now());
    end if;
  end if;
  if key.id is null then
    perform assetdock_private.fail('unauthenticated');
  end if;
  return jsonb_build_object('api_key_id', key.id, 'owner_id', key.owner_id, 'prefix', key.prefix);
end
$$;
comment on function assetdock.resolve_api_key(text) is
  'For the service: the key and owner behind the SHA-256 of an API key, or unauthenticated. The answer may be cached: assetdock_private.require asks again on every call whether the key lives.';
revoke all on function assetdock.resolve_api_key(text) from public, anon, authenticated, service_role;
grant execute on function assetdock.resolve_api_key(text) to assetdock_gateway;

create function assetdock.ping()
returns boolean
language sql stable
set search_path = ''
as $$
  select true;
$$;
comment on function assetdock.ping() is 'For the service''s readiness: the database answers, and takes the tokens that the service mints.';
revoke all on function assetdock.ping() from public, anon, authenticated, service_role;
grant execute on function assetdock.ping() to assetdock_gateway;
