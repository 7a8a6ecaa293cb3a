-- Policies on Storage's tables: which objects a role can sign, read and delete. The triggers of the storage guard apply
-- to everyone, whatever a policy allows.
--
-- The functions never raise, because Storage turns an error in a policy into HTTP 500. They are security definer: they
-- read assets for a caller who may hold another scope, or for the worker, which has no access to tables.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Functions -------------------------------------------------------------------
create function assetdock_private.may_sign_upload(object_name text)
returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  if not assetdock_private.is_uuid(object_name)
    or coalesce(current_setting('storage.operation', true), '')
      not in ('storage.object.sign_upload_url', 'object.sign_upload_url')
  then
    return false;
  end if;
  return exists (
    select from assetdock_app.assets a
    where a.id = object_name::uuid
      and a.owner_id = assetdock_private.owner_with('assets:write')
      and a.state = 'pending_upload'
  );
end
$$;
comment on function assetdock_private.may_sign_upload(text) is
  'Whether the caller can get an upload URL for this object: it has an open reservation. No other operation inserts.';

create function assetdock_private.is_ready(object_name text)
returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  if not assetdock_private.is_uuid(object_name) then
    return false;
  end if;
  return exists (select from assetdock_app.assets a where a.id = object_name::uuid and a.state = 'ready');
end
$$;
comment on function assetdock_private.is_ready(text) is 'Whether the asset of an object in our bucket is ready.';

create function assetdock_private.may_purge(object_name text)
returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  if not assetdock_private.is_uuid(object_name) then
    return true;
  end if;
  return not exists (
    select from assetdock_app.assets a where a.id = object_name::uuid and a.purge_started_at is null
  );
end
$$;
comment on function assetdock_private.may_purge(text) is
  'Whether the purge of the asset of an object in our bucket has begun, or the object has no asset.';

-- Policies --------------------------------------------------------------------
do $$
declare
  bucket constant text := assetdock_private.bucket();
begin
  execute format($policy$
    create policy "assetdock: owners sign uploads of their reservations" on storage.objects
    for insert to authenticated
    with check (bucket_id = %L and assetdock_private.may_sign_upload(name))
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: owners read the bytes of their ready assets" on storage.objects
    for select to authenticated
    using (
      bucket_id = %L
      and owner_id = (select assetdock_private.owner_with('assets:read'))::text
      and assetdock_private.is_ready(name)
    )
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: the worker reads the bytes of assets" on storage.objects
    for select to assetdock_worker
    using (bucket_id = %L)
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: the worker deletes the bytes of purged assets" on storage.objects
    for delete to assetdock_worker
    using (bucket_id = %L and assetdock_private.may_purge(name))
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: the worker reads the bucket of assets" on storage.buckets
    for select to assetdock_worker
    using (id = %L)
  $policy$, bucket);
end
$$;

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock_private.may_sign_upload(text) to authenticated;
grant execute on function assetdock_private.is_ready(text) to authenticated;
grant execute on function assetdock_private.may_purge(text) to assetdock_worker;
grant usage on schema storage to assetdock_worker;
grant select, delete on storage.objects to assetdock_worker;
grant select on storage.buckets to assetdock_worker;
