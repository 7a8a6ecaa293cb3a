-- Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a repeated request gets the resource that the first one
-- created. A request claims its key by inserting it. Equal requests that arrive together wait at the unique index; the
-- first to commit wins and the others find its resource.
--
-- A request claims its key before anything else is judged, so that a repeated request gets the first response even if
-- limits, time or other rows have changed since. If a check then fails, the claim is rolled back with the request.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Tables ----------------------------------------------------------------------
create table assetdock_private.idempotency_keys (
  owner_id uuid not null,
  operation text not null,
  key text not null,
  fingerprint bytea not null,
  resource_id uuid not null,
  claimed_at timestamptz not null default now(),
  primary key (owner_id, operation, key)
);
alter table assetdock_private.idempotency_keys enable row level security;
create index idempotency_keys_by_age on assetdock_private.idempotency_keys (claimed_at);
comment on table assetdock_private.idempotency_keys is
  'For 24 hours, the resource that a request with an Idempotency-Key created.';
comment on column assetdock_private.idempotency_keys.fingerprint is 'SHA-256 of the arguments of the request.';

-- Functions -------------------------------------------------------------------
create function assetdock_private.invalid_idempotency_key(key text)
returns jsonb
language sql immutable parallel safe
begin atomic
  select case when key is null or key ~ '^[!-~]{1,255}$' then '[]'::jsonb
    else assetdock_private.invalid('idempotency_key', '1 to 255 visible ASCII characters.') end;
end;
comment on function assetdock_private.invalid_idempotency_key(text) is 'Validates an Idempotency-Key; null is valid.';

create function assetdock_private.claim_idempotency_key(
  owner uuid, operation text, key text, resource uuid, request jsonb
)
returns uuid
language plpgsql set search_path = '' as $$
declare
  request_fingerprint constant bytea := sha256(convert_to(request::text, 'UTF8'));
  claimed assetdock_private.idempotency_keys;
begin
  if assetdock_private.invalid_idempotency_key(key) <> '[]' then
    perform assetdock_private.fail('validation_error', fields => assetdock_private.invalid_idempotency_key(key));
  end if;
  insert into assetdock_private.idempotency_keys as k (owner_id, operation, key, fingerprint, resource_id)
  values (owner, operation, key, request_fingerprint, resource)
  on conflict on constraint idempotency_keys_pkey do update
  set fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, claimed_at = now()
  where k.claimed_at <= now() - interval '24 hours'
  returning * into claimed;
  if claimed.resource_id = resource then
    return null;
  end if;
  select * into claimed
  from assetdock_private.idempotency_keys k
  where k.owner_id = owner
    and k.operation = claim_idempotency_key.operation
    and k.key = claim_idempotency_key.key;
  if claimed.fingerprint is distinct from request_fingerprint then
    perform assetdock_private.fail('idempotency_conflict');
  end if;
  return claimed.resource_id;
end
$$;
comment on function assetdock_private.claim_idempotency_key(uuid, text, text, uuid, jsonb) is
  'Null if the key is now claimed for this resource; otherwise the resource that an equal request created. '
  'idempotency_conflict if another request used the key.';

create function assetdock_private.claim_secret_request(
  caller assetdock_private.caller, operation text, key text, request jsonb
)
returns void
language plpgsql set search_path = '' as $$
begin
  -- The first response contained a secret that is not stored, so no later response can contain it.
  if key is not null
    and assetdock_private.claim_idempotency_key(
      caller.owner_id, operation, key, assetdock_private.uuid7(), request
    ) is not null
  then
    perform assetdock_private.fail('conflict',
      'this request has already succeeded, and a secret is shown only once. '
      'List the existing resources, or use a new Idempotency-Key.');
  end if;
end
$$;
comment on function assetdock_private.claim_secret_request(assetdock_private.caller, text, text, jsonb) is
  'Claims an Idempotency-Key for a request whose response shows a secret. Repeating such a request is a conflict.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
