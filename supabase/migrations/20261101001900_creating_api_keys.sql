-- Creating and rotating API keys. The client or the service generates the key; the database only receives its SHA-256.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Helpers ---------------------------------------------------------------------
create function assetdock_private.invalid_api_key(prefix text, secret_sha256 text)
returns jsonb
language sql immutable set search_path = '' as $$
  select
    case when assetdock_private.is_api_key_prefix(prefix) then '[]'::jsonb
      else assetdock_private.invalid('prefix', 'rk_live_ and eight base62 characters.') end
    || case when assetdock_private.is_sha256(secret_sha256) then '[]'::jsonb
      else assetdock_private.invalid('secret_sha256', 'The SHA-256 of the key as 64 hexadecimal digits.') end;
$$;
comment on function assetdock_private.invalid_api_key(text, text) is 'Validates the prefix and the hash of a new key.';

create function assetdock_private.lock_owner_keys(caller assetdock_private.caller)
returns void
language plpgsql set search_path = '' as $$
begin
  perform assetdock_private.hold_owner(caller.owner_id);
  perform pg_advisory_xact_lock(hashtextextended('assetdock.api_keys ' || caller.owner_id, 0));
  -- The credential of the caller may have been revoked while this call waited.
  perform assetdock_private.require('api_keys:write');
  perform assetdock_private.require_open_session(caller);
end
$$;
comment on function assetdock_private.lock_owner_keys(assetdock_private.caller) is
  'Makes calls that create keys of one owner wait for each other, so that they can count keys. Then checks the caller '
  'again.';

create function assetdock_private.require_scopes(caller assetdock_private.caller, scopes text[])
returns void
language plpgsql stable set search_path = '' as $$
declare
  missing constant text := (select scope from unnest(scopes) scope where scope <> all (caller.scopes) limit 1);
begin
  if missing is not null then
    perform assetdock_private.fail('insufficient_scope', missing);
  end if;
end
$$;
comment on function assetdock_private.require_scopes(assetdock_private.caller, text[]) is
  'Raises insufficient_scope unless the caller holds all these scopes.';

create function assetdock_private.caller_expiry(caller assetdock_private.caller)
returns timestamptz
language sql stable set search_path = '' as $$
  select k.expires_at from assetdock_app.api_keys k where k.id = caller.api_key_id;
$$;
comment on function assetdock_private.caller_expiry(assetdock_private.caller) is
  'When the API key of the caller expires; null for a session, and for a key without expiry. A key that expires cannot '
  'create a key that outlives it.';

create function assetdock_private.remove_ended_keys(owner uuid, kept integer)
returns void
language sql set search_path = '' as $$
  delete from assetdock_app.api_keys k
  where k.id in (
    select old.id
    from assetdock_app.api_keys old
    where old.owner_id = owner and least(old.revoked_at, old.expires_at) <= now()
    order by least(old.revoked_at, old.expires_at) desc
    offset kept
  );
$$;
comment on function assetdock_private.remove_ended_keys(uuid, integer) is
  'Removes the revoked and expired keys of an owner, except the last ones. Ended keys count towards no limit, so a key '
  'can be rotated every hour; maintenance removes the last ones after record_retention.';

create function assetdock_private.store_api_key(
  caller assetdock_private.caller, name text, prefix text, secret_sha256 text, scopes text[], expires_at timestamptz
)
returns assetdock_app.api_keys
language plpgsql set search_path = '' as $$
#variable_conflict use_variable
declare
  owner constant uuid := caller.owner_id;
  max_keys constant integer := (assetdock_private.effective_limits(owner)).api_keys;
  key assetdock_app.api_keys;
begin
  if max_keys <= (
    select count(*)
    from assetdock_app.api_keys k
    where k.owner_id = owner
      and (k.revoked_at is null or k.revoked_at > now())
      and (k.expires_at is null or k.expires_at > now())
  ) then
    perform assetdock_private.fail('conflict', format('there are %s API keys already. Revoke one first.', max_keys));
  end if;
  perform assetdock_private.remove_ended_keys(owner, max_keys);
  insert into assetdock_app.api_keys (owner_id, name, prefix, created_by, scopes, expires_at)
  values (
    owner, name, prefix, caller.actor,
    -- Without duplicates, in the order of all_scopes.
    array(select scope from unnest(assetdock_private.all_scopes()) scope where scope = any (scopes)),
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
    perform assetdock_private.fail('conflict', 'another API key has this prefix or secret. Generate a new key.');
  end if;
  return key;
end
$$;
comment on function assetdock_private.store_api_key(assetdock_private.caller, text, text, text, text[], timestamptz) is
  'Stores a valid key for a caller that has called lock_owner_keys; conflict if the owner has too many keys, or the '
  'prefix or secret exists.';

-- For callers -----------------------------------------------------------------
create function assetdock.create_api_key(
  name text,
  prefix text,
  secret_sha256 text,
  scopes text[] default null,
  expires_at timestamptz default null,
  idempotency_key text default null
)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('api_keys:write');
  known constant text[] := assetdock_private.all_scopes();
  wanted constant text[] := coalesce(create_api_key.scopes, array['assets:read', 'assets:write']);
  problems jsonb := '[]';
begin
  if caller.is_anonymous then
    perform assetdock_private.fail('forbidden', 'anonymous users cannot have API keys. Sign up first.');
  end if;
  perform assetdock_private.lock_owner_keys(caller);
  perform assetdock_private.claim_secret_request(caller, 'create_api_key', create_api_key.idempotency_key,
    jsonb_build_array(create_api_key.name, wanted, create_api_key.expires_at));
  if char_length(create_api_key.name) between 1 and 120 is not true
    or assetdock_private.has_control_characters(create_api_key.name)
    or create_api_key.name !~ '[^\s]'
  then
    problems := problems || assetdock_private.invalid('name', '1 to 120 characters, no control characters.');
  end if;
  -- Also for an empty array. array_position raises an error of its own for an array of arrays.
  if (case when array_ndims(wanted) = 1 then not wanted <@ known or array_position(wanted, null) is not null else true end)
  then
    problems := problems
      || assetdock_private.invalid('scopes', 'At least one of ' || array_to_string(known, ', ') || '.');
  end if;
  if create_api_key.expires_at <= now() or not isfinite(create_api_key.expires_at) then
    problems := problems || assetdock_private.invalid('expires_at', 'A time in the future.');
  end if;
  problems := problems
    || assetdock_private.invalid_api_key(create_api_key.prefix, create_api_key.secret_sha256);
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  perform assetdock_private.require_scopes(caller, wanted);
  return assetdock_private.api_key_summary(assetdock_private.store_api_key(
    caller, create_api_key.name, create_api_key.prefix, create_api_key.secret_sha256, wanted,
    least(create_api_key.expires_at, assetdock_private.caller_expiry(caller))
  ));
end
$$;
comment on function assetdock.create_api_key(text, text, text, text[], timestamptz, text) is
  'Registers an API key by its prefix and the SHA-256 of the whole key. The default scopes are assets:read and '
  'assets:write. A caller cannot give a scope that it lacks, and an API key cannot create a key that expires after '
  'itself.';

create function assetdock.rotate_api_key(
  api_key_id uuid,
  prefix text,
  secret_sha256 text,
  overlap_seconds integer default 0,
  idempotency_key text default null
)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('api_keys:write');
  overlap constant integer := coalesce(rotate_api_key.overlap_seconds, 0);
  problems constant jsonb := assetdock_private.invalid_overlap(overlap)
    || assetdock_private.invalid_api_key(rotate_api_key.prefix, rotate_api_key.secret_sha256);
  old assetdock_app.api_keys;
  expiry timestamptz;
begin
  perform assetdock_private.lock_owner_keys(caller);
  perform assetdock_private.claim_secret_request(caller, 'rotate_api_key', rotate_api_key.idempotency_key,
    jsonb_build_array(rotate_api_key.api_key_id, overlap));
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  select * into old
  from assetdock_app.api_keys k
  where k.id = rotate_api_key.api_key_id and k.owner_id = caller.owner_id
  for update;
  if old.id is null then
    perform assetdock_private.fail('not_found');
  end if;
  if old.revoked_at <= now() or old.expires_at <= now() then
    perform assetdock_private.fail('conflict', 'this API key is revoked or expired. Create a new one.');
  end if;
  perform assetdock_private.require_scopes(caller, old.scopes);

  -- Read before the overlap is set: for a key that rotates itself, the overlap must not shorten the new key.
  expiry := least(old.expires_at, assetdock_private.caller_expiry(caller));
  -- The old key first: without an overlap, an owner at the limit of keys can still rotate.
  update assetdock_app.api_keys k
  set revoked_at = case when overlap = 0 then now() else k.revoked_at end,
    expires_at = case
      when overlap = 0 then k.expires_at
      else least(k.expires_at, now() + make_interval(secs => overlap))
    end
  where k.id = old.id;
  return assetdock_private.api_key_summary(assetdock_private.store_api_key(
    caller, old.name, rotate_api_key.prefix, rotate_api_key.secret_sha256, old.scopes, expiry
  ));
end
$$;
comment on function assetdock.rotate_api_key(uuid, text, text, integer, text) is
  'Registers a new API key with the name, scopes and expiry of an old one. The old key is revoked at once or expires '
  'after the overlap. The new key does not outlive an API key that rotates it.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.create_api_key(text, text, text, text[], timestamptz, text) to authenticated;
grant execute on function assetdock.rotate_api_key(uuid, text, text, integer, text) to authenticated;
