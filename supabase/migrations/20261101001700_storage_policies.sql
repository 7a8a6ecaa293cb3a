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

-- Policies --------------------------------------------------------------------

-- Policies of the project may allow more: permissive policies add up. So the permissive ones below only name our bucket,
-- and restrictive ones, which all have to hold, contain the conditions. For objects of other buckets they are true
-- after one comparison.
do $$
declare
  bucket constant text := assetdock_private.bucket();
begin
  execute format($policy$
    create policy "assetdock: callers and the worker use our bucket" on storage.objects
    for all to authenticated, assetdock_worker
    using (bucket_id = %1$L) with check (bucket_id = %1$L)
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: no other role uses our bucket" on storage.objects
    as restrictive for all to public
    using (bucket_id <> %1$L or current_user in ('authenticated', 'assetdock_worker', 'postgres'))
    with check (bucket_id <> %1$L or current_user in ('authenticated', 'assetdock_worker', 'postgres'))
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: owners sign uploads of their reservations" on storage.objects
    as restrictive for insert to authenticated
    with check (bucket_id <> %L or assetdock_private.may_sign_upload(name))
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: owners read the bytes of their ready assets" on storage.objects
    as restrictive for select to authenticated
    using (
      bucket_id <> %L
      or (
        owner_id = (select assetdock_private.owner_with('assets:read'))::text
        and assetdock_private.is_ready(name)
      )
    )
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: nobody changes the bytes of assets" on storage.objects
    as restrictive for update to authenticated, assetdock_worker
    using (bucket_id <> %1$L) with check (bucket_id <> %1$L)
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: callers delete assets, not bytes" on storage.objects
    as restrictive for delete to authenticated
    using (bucket_id <> %L)
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: the worker reads our bucket only" on storage.objects
    as restrictive for select to assetdock_worker
    using (bucket_id = %L)
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: the worker deletes the bytes of purged assets" on storage.objects
    as restrictive for delete to assetdock_worker
    using (bucket_id = %L and assetdock_private.may_purge(name))
  $policy$, bucket);

  execute $policy$
    create policy "assetdock: the worker uploads nothing" on storage.objects
    as restrictive for insert to assetdock_worker
    with check (false)
  $policy$;

  execute format($policy$
    create policy "assetdock: the worker reads the bucket of assets" on storage.buckets
    for select to assetdock_worker
    using (id = %L)
  $policy$, bucket);

  -- A public bucket would serve every object to everyone.
  execute format($policy$
    create policy "assetdock: no API role creates our bucket" on storage.buckets
    as restrictive for insert to public
    with check (id <> %L or current_user = 'postgres')
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: no API role changes our bucket" on storage.buckets
    as restrictive for update to public
    using (id <> %1$L or current_user = 'postgres') with check (id <> %1$L or current_user = 'postgres')
  $policy$, bucket);

  execute format($policy$
    create policy "assetdock: no API role deletes our bucket" on storage.buckets
    as restrictive for delete to public
    using (id <> %L or current_user = 'postgres')
  $policy$, bucket);
end
$$;

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock_private.may_sign_upload(text) to authenticated;
grant execute on function assetdock_private.is_ready(text) to authenticated;
grant usage on schema storage to assetdock_worker;
grant select, delete on storage.objects to assetdock_worker;
grant select on storage.buckets to assetdock_worker;
