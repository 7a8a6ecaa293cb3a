-- The reservation binds the bytes. Storage's own checks run at signing time only: the PUT runs as service_role, a chunked
-- PUT has no declared size, and signed TUS overwrites finished objects. Row triggers on storage.objects do fire for all
-- of them, so the promise is kept here.
--
-- Storage passes a message on to the uploader for sqlstate 42501 and for no other; anything else becomes HTTP 500.
--
-- Which rows come by: signing shows one row as the caller, rolled back, with the *sign request's* headers in metadata; a
-- PUT shows one rolled-back row with the upload's declared type and length, then the final row; signed TUS shows the final
-- row alone. Rows with an eTag in metadata are landed bytes, rows without are the rolled-back ones.

set lock_timeout = '5s';
set statement_timeout = '30s';

insert into storage.buckets (id, name, public)
values ('assets', 'assets', false)
on conflict (id) do update set public = false;

create function assetdock_private.refuse_object(message text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate '42501' using message = message;
end
$$;
comment on function assetdock_private.refuse_object(text) is 'Refuses a row of storage.objects with a message for the uploader.';
revoke all on function assetdock_private.refuse_object(text) from public, anon, authenticated, service_role;

create function assetdock_private.check_object(object storage.objects)
returns void
language plpgsql
set search_path = ''
as $$
declare
  unknown constant text := 'No upload is reserved under this name. Reserve one with POST /api/v1/assets/upload-url.';
  operation constant text := coalesce(current_setting('storage.operation', true), '');
  claims constant jsonb := assetdock_private.claims();
  landed constant boolean := coalesce(object.metadata ? 'eTag', false);
  -- Only these two say what will be, or has been, stored. The row at signing carries the sign request's own headers.
  judged constant boolean := landed or operation like '%object.upload\_signed';
  asset assetdock_app.assets;
  cap bigint;
  size numeric;
  mimetype text := object.metadata ->> 'mimetype';
begin
  if not assetdock_private.is_uuid(object.name) then
    perform assetdock_private.refuse_object(unknown);
  end if;
  if landed then
    select * into asset from assetdock_app.assets a where a.id = object.name::uuid for no key update;
  else
    select * into asset from assetdock_app.assets a where a.id = object.name::uuid;
  end if;
  if asset.id is null or (claims ->> 'role' in ('anon', 'authenticated') and claims ->> 'sub' is distinct from asset.owner_id::text)
  then
    perform assetdock_private.refuse_object(unknown);
  end if;
  if operation ~ 'object\.(copy|move)' then
    perform assetdock_private.refuse_object('Assets cannot be copied or moved. Reserve an upload and send the bytes.');
  end if;
  if asset.state <> 'pending_upload' then
    perform assetdock_private.refuse_object(case
      when asset.state in ('expired', 'deleted') then 'This upload is over: the asset is ' || asset.state || '. Reserve a new one.'
      else 'This asset already has its bytes, and they never change. Reserve a new asset for other bytes.'
    end);
  end if;
  if now() >= asset.finish_by or (not landed and now() >= asset.upload_expires_at) then
    perform assetdock_private.refuse_object('The upload window has closed. Ask for a new upload URL, or reserve a new asset.');
  end if;
  if not judged then
    return;
  end if;

  if asset.reserved_content_type is not null then
    if lower(mimetype) is distinct from lower(asset.reserved_content_type) then
      perform assetdock_private.refuse_object(format(
        'The asset was reserved as %s, but the upload says %s. Send the Content-Type that was reserved.',
        asset.reserved_content_type, coalesce(left(mimetype, 255), 'nothing')
      ));
    end if;
  elsif not assetdock_private.is_acceptable_content_type(asset.type, mimetype) then
    perform assetdock_private.refuse_object(format(
      'Content-Type %s is not audio or video. Send the right Content-Type with the upload.', coalesce(left(mimetype, 255), '(none)')
    ));
  end if;

  -- A PUT may not know its length beforehand; landed bytes always have one.
  if coalesce(object.metadata ->> 'size', object.metadata ->> 'contentLength') ~ '^[0-9]{1,18}$' then
    size := coalesce(object.metadata ->> 'size', object.metadata ->> 'contentLength')::numeric;
  elsif landed then
    perform assetdock_private.refuse_object('Storage did not say how large the upload is. Try again.');
  end if;
  -- Multipart bodies declare the length of the whole form, and nothing here tells them from others, so only landed sizes
  -- are exact: before the bytes are there, the rest of a form is granted 64 KiB.
  cap := (assetdock_private.limits_of(asset.owner_id)).asset_bytes;
  if size > cap + (case when landed then 0 else 65536 end) then
    perform assetdock_private.refuse_object(format('The upload has %s bytes; an asset may have %s.', size, cap));
  end if;
  if landed and size <> asset.reserved_size_bytes then
    perform assetdock_private.refuse_object(format(
      'The asset was reserved with %s bytes, but %s arrived. Send the file that was reserved.', asset.reserved_size_bytes, size
    ));
  end if;
end
$$;
comment on function assetdock_private.check_object(storage.objects) is
  'Refuses an object row unless it fits an open reservation: name, state, window, and for real bytes type and size.';
revoke all on function assetdock_private.check_object(storage.objects) from public, anon, authenticated, service_role;

-- security definer: Storage inserts as the caller or as service_role, and neither may read reservations or settings.
create function assetdock_private.guard_object_insert()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform assetdock_private.check_object(new);
  return new;
exception
  when insufficient_privilege then
    raise;
  when others then
    -- Any other error would reach the uploader as HTTP 500 without a word.
    raise warning 'assetdock: object % could not be checked: % (%)', new.name, sqlerrm, sqlstate;
    raise sqlstate '42501' using message = 'The upload could not be checked just now. Try again.';
end
$$;
comment on function assetdock_private.guard_object_insert() is 'Refuses objects in bucket assets that no open reservation admits.';
revoke all on function assetdock_private.guard_object_insert() from public, anon, authenticated, service_role;

create trigger assetdock_guard_insert
before insert on storage.objects
for each row when (new.bucket_id = 'assets')
execute function assetdock_private.guard_object_insert();

create function assetdock_private.guard_object_update()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate '42501' using
    message = 'The bytes of an asset never change: no overwrite, move or rename. Reserve a new asset for other bytes.';
end
$$;
comment on function assetdock_private.guard_object_update() is 'Refuses every change of what an object of bucket assets is, or of which bucket it is in.';
revoke all on function assetdock_private.guard_object_update() from public, anon, authenticated, service_role;

-- Storage's own housekeeping touches other columns (last_accessed_at, user_metadata), and may.
create trigger assetdock_guard_update
before update on storage.objects
for each row when (
  (old.bucket_id = 'assets' or new.bucket_id = 'assets')
  and (
    (old.bucket_id, old.name, old.version) is distinct from (new.bucket_id, new.name, new.version)
    or (old.metadata ->> 'eTag') is distinct from (new.metadata ->> 'eTag')
    or (old.metadata ->> 'size') is distinct from (new.metadata ->> 'size')
    or (old.metadata ->> 'mimetype') is distinct from (new.metadata ->> 'mimetype')
  )
)
execute function assetdock_private.guard_object_update();

create function assetdock_private.add_usage(owner uuid, size bigint)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  room constant bigint := (assetdock_private.limits_of(owner)).stored_bytes;
begin
  insert into assetdock_private.usage (owner_id) values (owner) on conflict do nothing;
  update assetdock_private.usage u
  set stored_bytes = u.stored_bytes + size
  where u.owner_id = owner and (room is null or u.stored_bytes + size <= room);
  return found;
end
$$;
comment on function assetdock_private.add_usage(uuid, bigint) is
  'Books landed bytes on their owner; false when there is no room. The row''s lock makes landings of one owner decide one after the other.';
revoke all on function assetdock_private.add_usage(uuid, bigint) from public, anon, authenticated, service_role;

-- security definer: landing runs as service_role, which may not touch assets or jobs.
create function assetdock_private.land_object()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  asset assetdock_app.assets;
begin
  update assetdock_app.assets a
  set state = 'processing',
    landed_at = now(),
    object_version = new.version,
    size_bytes = (new.metadata ->> 'size')::bigint,
    stored_bytes = (new.metadata ->> 'size')::bigint,
    content_type = coalesce(a.reserved_content_type, new.metadata ->> 'mimetype')
  where a.id = new.name::uuid and a.state = 'pending_upload'
  returning * into asset;
  if asset.id is null then
    perform assetdock_private.refuse_object('This asset already has its bytes, and they never change. Reserve a new asset for other bytes.');
  end if;
  perform assetdock_private.queue_job('probe', asset.id);
  if not assetdock_private.add_usage(asset.owner_id, asset.size_bytes) then
    perform assetdock_private.refuse_object('The owner of this asset has no room left. Delete assets, or ask for more.');
  end if;
  return null;
exception
  when insufficient_privilege then
    raise;
  when others then
    raise warning 'assetdock: object % could not land: % (%)', new.name, sqlerrm, sqlstate;
    raise sqlstate '42501' using message = 'The upload could not be recorded just now. Try again.';
end
$$;
comment on function assetdock_private.land_object() is
  'The moment bytes are there: moves the asset to processing and queues its probe, in the transaction in which the object appears.';
revoke all on function assetdock_private.land_object() from public, anon, authenticated, service_role;

create trigger assetdock_land
after insert on storage.objects
for each row when (new.bucket_id = 'assets' and new.metadata ? 'eTag')
execute function assetdock_private.land_object();

-- Policies only decide what a caller may do in Storage's name; the triggers above bind everyone.

-- security definer: reads reservations for a caller who sees them only with another scope. Never raises.
create function assetdock_private.may_sign_upload(object_name text)
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
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
  'Whether the caller may have an upload URL signed for this object: its own open reservation, and no other way of writing.';
revoke all on function assetdock_private.may_sign_upload(text) from public, anon, authenticated, service_role;
grant execute on function assetdock_private.may_sign_upload(text) to authenticated;

create policy "Owners have uploads of their reservations signed" on storage.objects
for insert to authenticated
with check (bucket_id = 'assets' and assetdock_private.may_sign_upload(name));

-- security definer: for callers and policies, as above. Never raises.
create function assetdock_private.is_ready(object_name text)
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if not assetdock_private.is_uuid(object_name) then
    return false;
  end if;
  return exists (select from assetdock_app.assets a where a.id = object_name::uuid and a.state = 'ready');
end
$$;
comment on function assetdock_private.is_ready(text) is 'Whether an object of bucket assets belongs to an asset that is ready.';
revoke all on function assetdock_private.is_ready(text) from public, anon, authenticated, service_role;
grant execute on function assetdock_private.is_ready(text) to authenticated;

create policy "Owners read the bytes of their ready assets" on storage.objects
for select to authenticated
using (
  bucket_id = 'assets'
  and owner_id = (select assetdock_private.owner_with('assets:read'))::text
  and assetdock_private.is_ready(name)
);

grant usage on schema storage to assetdock_worker;
grant select on storage.objects, storage.buckets to assetdock_worker;

create policy "The worker reads assets" on storage.objects
for select to assetdock_worker
using (bucket_id = 'assets');

create policy "The worker knows the bucket of assets" on storage.buckets
for select to assetdock_worker
using (id = 'assets');

-- security definer: for the worker, which reads no table. Never raises.
create function assetdock_private.may_purge(object_name text)
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if not assetdock_private.is_uuid(object_name) then
    return true;
  end if;
  return not exists (
    select from assetdock_app.assets a where a.id = object_name::uuid and a.purge_started_at is null
  );
end
$$;
comment on function assetdock_private.may_purge(text) is 'Whether an object of bucket assets belongs to an asset whose purge has begun, or to none at all.';
revoke all on function assetdock_private.may_purge(text) from public, anon, authenticated, service_role;
grant execute on function assetdock_private.may_purge(text) to assetdock_worker;

grant delete on storage.objects to assetdock_worker;

create policy "The worker deletes what is being purged" on storage.objects
for delete to assetdock_worker
using (bucket_id = 'assets' and assetdock_private.may_purge(name));
