-- Triggers on storage.objects that refuse bytes which do not fit a reservation. Storage checks permissions only when it
-- signs a URL. Later, a PUT runs as service_role, a chunked PUT declares no size, and signed TUS overwrites finished
-- objects. Row triggers run for all of these writes.
--
-- Storage passes the message of sqlstate 42501 on to the uploader; every other error becomes HTTP 500 without a
-- message.
--
-- To sign a URL, Storage inserts a row as the caller, with the headers of the sign request in metadata, and rolls it
-- back. For a PUT, it inserts and rolls back a row with the declared type and length of the upload, then inserts the
-- final row. For signed TUS, it inserts only the final row. A final row has an eTag in metadata, because its bytes have
-- landed; the others have none.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Bucket ----------------------------------------------------------------------
insert into storage.buckets (id, name, public)
values (assetdock_private.bucket(), assetdock_private.bucket(), false)
on conflict (id) do update set public = false;

-- Checks ----------------------------------------------------------------------
create function assetdock_private.refuse_object(message text)
returns void
language plpgsql set search_path = '' as $$
begin
  raise sqlstate '42501' using message = message;
end
$$;
comment on function assetdock_private.refuse_object(text) is
  'Rejects a row of storage.objects with a message for the uploader.';

create function assetdock_private.state_refusal(asset assetdock_app.assets, landed boolean)
returns text
language sql stable
begin atomic
  select case
    when asset.state in ('expired', 'deleted')
      then 'This upload has ended: the asset is ' || asset.state || '. Reserve a new asset.'
    when asset.state <> 'pending_upload'
      then 'This asset already has its bytes, and they never change. Reserve a new asset for other bytes.'
    when now() >= asset.finish_by or (not landed and now() >= asset.upload_expires_at)
      then 'The upload window has closed. Request a new upload URL, or reserve a new asset.'
  end;
end;
comment on function assetdock_private.state_refusal(assetdock_app.assets, boolean) is
  'Why an asset accepts no bytes now, or null. landed: whether the bytes are already in Storage.';

create function assetdock_private.content_refusal(asset assetdock_app.assets, metadata jsonb, landed boolean)
returns text
language plpgsql stable set search_path = '' as $$
declare
  mimetype constant text := metadata ->> 'mimetype';
  sent constant text := assetdock_private.media_type(mimetype);
  size_text constant text := coalesce(metadata ->> 'size', metadata ->> 'contentLength');
  size constant numeric := case when size_text ~ '^[0-9]{1,18}$' then size_text::numeric end;
  max_size bigint;
begin
  if asset.declared_content_type is not null then
    if sent is distinct from assetdock_private.media_type(asset.declared_content_type) then
      return format(
        'The asset was reserved as %s, but the upload says %s. Send the Content-Type that was reserved.',
        asset.declared_content_type, coalesce(nullif(left(mimetype, 255), ''), 'nothing')
      );
    end if;
  elsif not assetdock_private.is_listed_media_type(asset.type, sent) then
    return assetdock_private.unlisted_media_type(asset.type, sent);
  end if;
  -- A chunked PUT declares no length; landed bytes always have one.
  if landed and size is null then
    return 'Storage did not report the size of the upload. Try again.';
  end if;
  -- A multipart body declares the length of the whole form, and metadata does not show that a body is multipart. So
  -- before landing, a declared length can exceed the limit by 64 KiB; only landed sizes are exact.
  max_size := (assetdock_private.effective_limits(asset.owner_id)).asset_bytes;
  if size > max_size + (case when landed then 0 else 65536 end) then
    return format('The upload has %s bytes; an asset may have %s.', size, max_size);
  end if;
  if landed and size <> asset.reserved_size_bytes then
    return format(
      'The asset was reserved with %s bytes, but %s arrived. Send the file that was reserved.',
      asset.reserved_size_bytes, size
    );
  end if;
  return null;
end
$$;
comment on function assetdock_private.content_refusal(assetdock_app.assets, jsonb, boolean) is
  'Why the type or size of an upload does not fit its reservation, or null. metadata: that of the row of '
  'storage.objects.';

create function assetdock_private.object_refusal(object storage.objects)
returns text
language plpgsql set search_path = '' as $$
declare
  unknown_name constant text := 'No upload is reserved under this name. Reserve one with POST /api/v1/assets/upload-url.';
  operation constant text := coalesce(current_setting('storage.operation', true), '');
  claims constant jsonb := assetdock_private.claims();
  landed constant boolean := coalesce(object.metadata ? 'eTag', false);
  refusal text;
  asset assetdock_app.assets;
begin
  if not assetdock_private.is_uuid(object.name) then
    return unknown_name;
  end if;
  if landed then
    select * into asset from assetdock_app.assets a where a.id = object.name::uuid for no key update;
  else
    select * into asset from assetdock_app.assets a where a.id = object.name::uuid;
  end if;
  if asset.id is null
    or (claims ->> 'role' in ('anon', 'authenticated') and claims ->> 'sub' is distinct from asset.owner_id::text)
  then
    return unknown_name;
  end if;
  if operation ~ 'object\.(copy|move)' then
    return 'Assets cannot be copied or moved. Reserve an upload and send the bytes.';
  end if;
  refusal := assetdock_private.state_refusal(asset, landed);
  -- The row that Storage inserts to sign a URL has the headers of the sign request, which do not describe the bytes.
  -- Before version 1.45, Storage checks a signed PUT with a row without metadata, which says nothing about the bytes.
  if refusal is null
    and (landed or (operation like '%object.upload\_signed' and coalesce(object.metadata ? 'mimetype', false)))
  then
    refusal := assetdock_private.content_refusal(asset, object.metadata, landed);
  end if;
  return refusal;
end
$$;
comment on function assetdock_private.object_refusal(storage.objects) is
  'Why an object row does not fit an open reservation, or null. Checks name, state and window, and for real bytes '
  'also type and size. Locks the asset of landed bytes.';

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

-- Trigger functions -----------------------------------------------------------

-- security definer: Storage inserts as the caller or as service_role, and neither can read reservations or settings.
create function assetdock_private.guard_object_insert()
returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  refusal text;
begin
  refusal := assetdock_private.object_refusal(new);
  if refusal is not null then
    perform assetdock_private.refuse_object(refusal);
  end if;
  return new;
exception
  when insufficient_privilege then
    raise;
  when others then
    -- Storage would turn any other error into HTTP 500 without a message.
    raise warning 'assetdock: object % could not be checked: % (%)', new.name, sqlerrm, sqlstate;
    raise sqlstate '42501' using message = 'The upload could not be checked. Try again.';
end
$$;
comment on function assetdock_private.guard_object_insert() is
  'Rejects objects in our bucket that do not fit an open reservation.';

create function assetdock_private.guard_object_update()
returns trigger
language plpgsql set search_path = '' as $$
begin
  raise sqlstate '42501' using
    message = 'The bytes of an asset never change: no overwrite, move or rename. Reserve a new asset for other bytes.';
end
$$;
comment on function assetdock_private.guard_object_update() is
  'Rejects every change of the bytes, name or bucket of an object in our bucket.';

-- security definer: Storage deletes as the caller or as service_role, and neither can read assets.
create function assetdock_private.guard_object_delete()
returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not assetdock_private.may_purge(old.name) then
    perform assetdock_private.refuse_object(
      'The bytes of an asset are deleted after the asset: DELETE /api/v1/assets/{id}.'
    );
  end if;
  return old;
end
$$;
comment on function assetdock_private.guard_object_delete() is
  'Rejects the deletion of an object in our bucket until the purge of its asset has begun.';

-- security definer: bytes land as service_role, which has no access to assets or jobs.
create function assetdock_private.land_object()
returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  asset assetdock_app.assets;
begin
  update assetdock_app.assets a
  set state = 'processing',
    landed_at = now(),
    object_version = new.version,
    size_bytes = (new.metadata ->> 'size')::bigint,
    stored_bytes = (new.metadata ->> 'size')::bigint,
    declared_content_type = coalesce(
      a.declared_content_type, left(assetdock_private.stated_content_type(new.metadata ->> 'mimetype'), 255)
    )
  where a.id = new.name::uuid and a.state = 'pending_upload'
  returning * into asset;
  if asset.id is null then
    perform assetdock_private.refuse_object(
      'This asset already has its bytes, and they never change. Reserve a new asset for other bytes.'
    );
  end if;
  perform assetdock_private.queue_job('probe', asset.id);
  if not assetdock_private.add_usage(asset.owner_id, asset.size_bytes) then
    perform assetdock_private.refuse_object(
      'The storage quota of the owner of this asset is full. Delete assets, or ask the operator for a larger quota.'
    );
  end if;
  return null;
exception
  when insufficient_privilege then
    raise;
  when others then
    raise warning 'assetdock: object % could not land: % (%)', new.name, sqlerrm, sqlstate;
    raise sqlstate '42501' using message = 'The upload could not be recorded. Try again.';
end
$$;
comment on function assetdock_private.land_object() is
  'Moves an asset to processing and queues its probe, in the transaction in which its object appears.';

-- Triggers --------------------------------------------------------------------
do $$
declare
  bucket constant text := assetdock_private.bucket();
begin
  execute format($trigger$
    create trigger assetdock_guard_insert
    before insert on storage.objects
    for each row when (new.bucket_id = %L)
    execute function assetdock_private.guard_object_insert()
  $trigger$, bucket);

  -- Updates of other columns are allowed: Storage itself changes last_accessed_at and user_metadata, for example.
  execute format($trigger$
    create trigger assetdock_guard_update
    before update on storage.objects
    for each row when (
      (old.bucket_id = %1$L or new.bucket_id = %1$L)
      and (
        (old.bucket_id, old.name, old.version) is distinct from (new.bucket_id, new.name, new.version)
        or (old.metadata ->> 'eTag') is distinct from (new.metadata ->> 'eTag')
        or (old.metadata ->> 'size') is distinct from (new.metadata ->> 'size')
        or (old.metadata ->> 'mimetype') is distinct from (new.metadata ->> 'mimetype')
      )
    )
    execute function assetdock_private.guard_object_update()
  $trigger$, bucket);

  execute format($trigger$
    create trigger assetdock_guard_delete
    before delete on storage.objects
    for each row when (old.bucket_id = %L)
    execute function assetdock_private.guard_object_delete()
  $trigger$, bucket);

  execute format($trigger$
    create trigger assetdock_land
    after insert on storage.objects
    for each row when (new.bucket_id = %L and new.metadata ? 'eTag')
    execute function assetdock_private.land_object()
  $trigger$, bucket);
end
$$;

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();

grant execute on function assetdock_private.may_purge(text) to assetdock_worker;
