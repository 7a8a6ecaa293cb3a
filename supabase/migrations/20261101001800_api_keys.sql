-- Listing, revoking and resolving API keys.

set lock_timeout = '5s';
set statement_timeout = '30s';

create function assetdock_private.api_key_summary(key assetdock_app.api_keys)
returns json
language sql stable set search_path = '' as $$
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

create function assetdock.list_api_keys()
returns json
language plpgsql stable security definer set search_path = '' as $$
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
comment on function assetdock.list_api_keys() is 'Your API keys, oldest first, including revoked ones.';

create function assetdock.revoke_api_key(api_key_id uuid)
returns void
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('api_keys:write');
begin
  -- least() ignores null. A key that was to be revoked later is revoked now; one that was revoked earlier keeps its
  -- time.
  update assetdock_app.api_keys k
  set revoked_at = least(k.revoked_at, now())
  where k.id = api_key_id and k.owner_id = caller.owner_id;
  if not found then
    perform assetdock_private.fail('not_found');
  end if;
end
$$;
comment on function assetdock.revoke_api_key(uuid) is
  'Revokes an API key. The next call with it fails, in every process. Idempotent.';

-- For the service -------------------------------------------------------------
create function assetdock.resolve_api_key(secret_sha256 text)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  is_allowed constant boolean := assetdock_private.require_role('assetdock_gateway');
  key assetdock_app.api_keys;
begin
  if assetdock_private.is_sha256(secret_sha256) then
    -- The service caches a response for half a minute, so most calls must also update last_used_at: one statement finds
    -- the key and updates it, at most twice a minute for each key. The subquery needs only the index of the secrets;
    -- UPDATE … FROM would also lock the row of the secret.
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
  'For the service: the API key with this SHA-256, and its owner, or unauthenticated. The response can be cached, '
  'because assetdock_private.require checks on every call whether the key is valid.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.list_api_keys() to authenticated;
grant execute on function assetdock.revoke_api_key(uuid) to authenticated;
grant execute on function assetdock.resolve_api_key(text) to assetdock_gateway;
