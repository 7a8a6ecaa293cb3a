-- A request that creates something, made again, is given what the first one made.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Idempotency (draft-ietf-httpapi-idempotency-key-header): a key is claimed by inserting it. Ten equal requests at once
-- queue up on the unique index; the first to commit wins and the others find its resource.
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
comment on table assetdock_private.idempotency_keys is 'For 24 hours, which resource a request with an Idempotency-Key made.';

create function assetdock_private.invalid_idempotency_key(key text)
returns jsonb
language sql immutable parallel safe
begin atomic
  select case when key is null or key ~ '^[!-~]{1,255}$' then '[]'::jsonb
    else assetdock_private.invalid('idempotency_key', '1 to 255 visible ASCII characters.') end;
end;
comment on function assetdock_private.invalid_idempotency_key(text) is 'What is wrong with an Idempotency-Key, as validation fields.';
revoke all on function assetdock_private.invalid_idempotency_key(text) from public, anon, authenticated, service_role;

create function assetdock_private.claim_idempotency_key(owner uuid, operation text, key text, resource uuid, request jsonb)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  print constant bytea := sha256(convert_to(request::text, 'UTF8'));
  taken assetdock_private.idempotency_keys;
begin
  insert into assetdock_private.idempotency_keys as k (owner_id, operation, key, fingerprint, resource_id)
  values (owner, operation, key, print, resource)
  on conflict on constraint idempotency_keys_pkey do update
  set fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, claimed_at = now()
  where k.claimed_at <= now() - interval '24 hours'
  returning * into taken;
  if taken.resource_id = resource then
    return null;
  end if;
  select * into taken from assetdock_private.idempotency_keys k
  where k.owner_id = owner and k.operation = claim_idempotency_key.operation and k.key = claim_idempotency_key.key;
  if taken.fingerprint is distinct from print then
    perform assetdock_private.fail('idempotency_conflict');
  end if;
  return taken.resource_id;
end
$$;
comment on function assetdock_private.claim_idempotency_key(uuid, text, text, uuid, jsonb) is
  'Null when the key is now claimed for this resource; else the resource an equal request made. idempotency_conflict when that request was another one.';
revoke all on function assetdock_private.claim_idempotency_key(uuid, text, text, uuid, jsonb) from public, anon, authenticated, service_role;
