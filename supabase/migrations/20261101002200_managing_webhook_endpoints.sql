-- Functions with which callers create, list, read and delete webhook endpoints, and rotate their secrets.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Create ----------------------------------------------------------------------
create function assetdock_private.invalid_webhook_endpoint(
  url text, event_types text[], description text, secret text
)
returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  known constant text[] := assetdock_private.webhook_event_types();
  problems jsonb := assetdock_private.invalid_webhook_url(url);
begin
  if (event_types <@ known) is not true
    or cardinality(event_types) = 0
    or array_position(event_types, null) is not null
  then
    problems := problems
      || assetdock_private.invalid('event_types', 'At least one of ' || array_to_string(known, ', ') || '.');
  end if;
  if char_length(description) > 255 or assetdock_private.has_control_characters(description) then
    problems := problems
      || assetdock_private.invalid('description', 'At most 255 characters, no control characters.');
  end if;
  return problems || assetdock_private.invalid_webhook_secret(secret);
end
$$;
comment on function assetdock_private.invalid_webhook_endpoint(text, text[], text, text) is
  'Validates a new webhook endpoint.';

create function assetdock_private.check_webhook_endpoint_limit(owner uuid)
returns void
language plpgsql set search_path = '' as $$
declare
  max_endpoints constant integer := (assetdock_private.effective_limits(owner)).webhook_endpoints;
begin
  if max_endpoints <= (
    select count(*) from assetdock_app.webhook_endpoints e where e.owner_id = owner and e.deleted_at is null
  ) then
    perform assetdock_private.fail('conflict',
      format('there are %s webhook endpoints already. Delete one first.', max_endpoints));
  end if;
  if 10 * max_endpoints <= (select count(*) from assetdock_app.webhook_endpoints e where e.owner_id = owner) then
    perform assetdock_private.fail('conflict', format(
      'there are %s webhook endpoints, including deleted ones, which are removed in time. Try again later.',
      10 * max_endpoints
    ));
  end if;
end
$$;
comment on function assetdock_private.check_webhook_endpoint_limit(uuid) is
  'Raises conflict if an owner has as many webhook endpoints as allowed. The caller holds the lock of the owner.';

create function assetdock.create_webhook_endpoint(
  url text,
  event_types text[],
  secret text,
  description text default null,
  idempotency_key text default null
)
returns json
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:write');
  problems constant jsonb := assetdock_private.invalid_webhook_endpoint(url, event_types, description, secret);
  endpoint assetdock_app.webhook_endpoints;
begin
  if caller.is_anonymous then
    perform assetdock_private.fail('forbidden', 'anonymous users cannot have webhook endpoints. Sign up first.');
  end if;
  -- Calls of one owner wait for each other here, so that they can count endpoints. The endpoint outlives the credential
  -- of the caller, so the credential is checked again: it may have been revoked while this call waited.
  perform assetdock_private.hold_owner(caller.owner_id);
  perform pg_advisory_xact_lock(hashtextextended('assetdock.webhook_endpoints ' || caller.owner_id, 0));
  perform assetdock_private.require('webhooks:write');
  perform assetdock_private.require_open_session(caller);
  perform assetdock_private.claim_secret_request(
    caller, 'create_webhook_endpoint', idempotency_key, jsonb_build_array(url, event_types, description)
  );
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  perform assetdock_private.check_webhook_endpoint_limit(caller.owner_id);
  insert into assetdock_app.webhook_endpoints (owner_id, url, event_types, description)
  values (
    caller.owner_id,
    url,
    -- Without duplicates, in the order of webhook_event_types.
    array(select type from unnest(assetdock_private.webhook_event_types()) type where type = any (event_types)),
    description
  )
  returning * into endpoint;
  insert into assetdock_private.webhook_secrets (webhook_endpoint_id, secret)
  values (endpoint.id, secret);
  return assetdock_private.webhook_endpoint_summary(endpoint);
end
$$;
comment on function assetdock.create_webhook_endpoint(text, text[], text, text, text) is
  'Sends events of your assets to a URL, signed with the secret that you pass: whsec_ and 24 to 64 bytes from a '
  'CSPRNG in base64. The HTTP service generates the secret for you.';

-- Read ------------------------------------------------------------------------
create function assetdock.list_webhook_endpoints()
returns json
language plpgsql stable security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:read');
begin
  return json_build_object('items', (
    select coalesce(json_agg(assetdock_private.webhook_endpoint_summary(e) order by e.id), '[]')
    from assetdock_app.webhook_endpoints e
    where e.owner_id = caller.owner_id and e.deleted_at is null
  ));
end
$$;
comment on function assetdock.list_webhook_endpoints() is
  'Your webhook endpoints, oldest first, including disabled ones.';

create function assetdock.get_webhook_endpoint(webhook_endpoint_id uuid)
returns json
language sql security definer set search_path = '' as $$
  select assetdock_private.webhook_endpoint_summary(
    assetdock_private.own_webhook_endpoint(assetdock_private.require('webhooks:read'), webhook_endpoint_id)
  );
$$;
comment on function assetdock.get_webhook_endpoint(uuid) is 'One of your webhook endpoints.';

-- Change ----------------------------------------------------------------------
create function assetdock.delete_webhook_endpoint(webhook_endpoint_id uuid)
returns void
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:write');
begin
  update assetdock_app.webhook_endpoints e
  set deleted_at = coalesce(e.deleted_at, now())
  where e.id = delete_webhook_endpoint.webhook_endpoint_id and e.owner_id = caller.owner_id;
  if not found then
    perform assetdock_private.fail('not_found');
  end if;
  delete from assetdock_private.webhook_secrets s
  where s.webhook_endpoint_id = delete_webhook_endpoint.webhook_endpoint_id;
end
$$;
comment on function assetdock.delete_webhook_endpoint(uuid) is
  'Deletes a webhook endpoint. Only a request that is already in progress still arrives. Idempotent.';

create function assetdock.rotate_webhook_secret(
  webhook_endpoint_id uuid,
  secret text,
  overlap_seconds integer default 86400,
  idempotency_key text default null
)
returns json
language plpgsql security definer set search_path = '' as $$
declare
  caller assetdock_private.caller := assetdock_private.require('webhooks:write');
  overlap constant integer := coalesce(rotate_webhook_secret.overlap_seconds, 86400);
  problems constant jsonb := assetdock_private.invalid_overlap(overlap)
    || assetdock_private.invalid_webhook_secret(rotate_webhook_secret.secret);
  endpoint assetdock_app.webhook_endpoints;
  rotated assetdock_private.webhook_secrets;
begin
  perform assetdock_private.hold_owner(caller.owner_id);
  perform assetdock_private.require_open_session(caller);
  perform assetdock_private.claim_secret_request(caller, 'rotate_webhook_secret', rotate_webhook_secret.idempotency_key,
    jsonb_build_array(rotate_webhook_secret.webhook_endpoint_id, overlap));
  if problems <> '[]' then
    perform assetdock_private.fail('validation_error', fields => problems);
  end if;
  endpoint := assetdock_private.own_webhook_endpoint(caller, rotate_webhook_secret.webhook_endpoint_id);
  update assetdock_private.webhook_secrets s
  set secret = rotate_webhook_secret.secret,
    previous_secret = case when overlap > 0 then s.secret end,
    previous_until = case when overlap > 0 then now() + make_interval(secs => overlap) end
  where s.webhook_endpoint_id = endpoint.id
  returning * into rotated;
  if rotated.webhook_endpoint_id is null then
    perform assetdock_private.fail('not_found');
  end if;
  return json_build_object(
    'webhook_endpoint', assetdock_private.webhook_endpoint_summary(endpoint),
    'previous_secret_expires_at', assetdock_private.rfc3339(rotated.previous_until)
  );
end
$$;
comment on function assetdock.rotate_webhook_secret(uuid, text, integer, text) is
  'Replaces the signing secret. For overlap_seconds, by default a day, the previous secret also signs deliveries; any '
  'older secret stops at once.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock.create_webhook_endpoint(text, text[], text, text, text) to authenticated;
grant execute on function assetdock.list_webhook_endpoints() to authenticated;
grant execute on function assetdock.get_webhook_endpoint(uuid) to authenticated;
grant execute on function assetdock.delete_webhook_endpoint(uuid) to authenticated;
grant execute on function assetdock.rotate_webhook_secret(uuid, text, integer, text) to authenticated;
