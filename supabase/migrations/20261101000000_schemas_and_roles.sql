-- The bucket, schemas and roles that everything else uses, and the rule for grants.
--
--   assetdock          functions that PostgREST exposes, nothing else: the planner's estimates for a view or table
--                      would tell a caller about the rows of other owners
--   assetdock_app      tables under row-level security, without policies and grants: only functions reach them
--   assetdock_private  secrets, queue, settings and helpers; API roles have no USAGE
--
-- Assetdock is a guest in a project: each name outside these schemas (roles, triggers, policies) contains "assetdock".

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Bucket ----------------------------------------------------------------------

-- The name of the bucket stands here and nowhere else. To use another bucket, change it before you apply the
-- migrations. Triggers and policies on storage.objects contain the name as a literal, which later migrations insert
-- with format(): they run as roles that cannot execute our functions, and a literal costs other buckets one comparison.
do $$
declare
  bucket constant text := 'assets';
begin
  if exists (select from storage.objects o where o.bucket_id = bucket) then
    raise exception 'Bucket "%" has objects that Assetdock did not create: empty it, or choose another name here.', bucket;
  end if;
  create schema assetdock_private;
  execute format($function$
    create function assetdock_private.bucket()
    returns text
    language sql immutable parallel safe
    return %L::text
  $function$, bucket);
end
$$;
comment on function assetdock_private.bucket() is 'The bucket that holds the bytes of assets. Its id is also its name.';

-- Roles -----------------------------------------------------------------------

-- Both roles can execute the functions that are granted to them by name and nothing else. They are not members of anon,
-- because they would inherit every policy and grant of anon.
do $$
begin
  -- Roles belong to the cluster and survive `supabase db reset`.
  if not exists (select from pg_catalog.pg_roles where rolname = 'assetdock_worker') then
    create role assetdock_worker nologin noinherit;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'assetdock_gateway') then
    create role assetdock_gateway nologin noinherit;
  end if;
end
$$;
comment on role assetdock_worker is 'The worker: leases jobs, reads and deletes objects, records results.';
comment on role assetdock_gateway is 'The service before it knows the caller: looks up the owner of an API key.';

-- PostgREST and Storage connect as authenticator and switch to the role that a token names.
grant assetdock_worker, assetdock_gateway to authenticator;
-- Shorter than the time limit of the client (10 s), so that a call that the client gave up has no effect later.
alter role assetdock_worker set statement_timeout = '8s';
alter role assetdock_gateway set statement_timeout = '3s';

-- Schemas ---------------------------------------------------------------------
create schema assetdock;
create schema assetdock_app;
comment on schema assetdock is 'Assetdock: the functions that clients call.';
comment on schema assetdock_app is 'Assetdock: tables under row-level security, which only functions reach.';
comment on schema assetdock_private is 'Assetdock: secrets, queue, settings and helpers. No API role has access.';

revoke all on schema assetdock, assetdock_app, assetdock_private from public;
grant usage on schema assetdock to anon, authenticated, assetdock_worker, assetdock_gateway;

-- Grants ----------------------------------------------------------------------

-- Postgres lets PUBLIC execute each new function, and a project may have default grants of its own. Every migration
-- calls this procedure before its first GRANT, so that only named roles have access. A function that PUBLIC can
-- execute, and a table that anon or service_role can use, is new: no migration grants such access. The procedure
-- therefore never removes what an earlier migration granted, as REVOKE ... ON ALL FUNCTIONS would.
create procedure assetdock_private.revoke_default_grants()
language plpgsql set search_path = '' as $$
declare
  schemas constant regnamespace[] := array['assetdock', 'assetdock_app', 'assetdock_private'];
  any_use constant text := 'select, insert, update, delete, truncate, references, trigger';
  target text;
begin
  for target in
    select format('routine %s', p.oid::regprocedure)
    from pg_catalog.pg_proc p
    where p.pronamespace = any (schemas) and has_function_privilege('public', p.oid, 'execute')
    union all
    select format('table %s', c.oid::regclass)
    from pg_catalog.pg_class c
    where c.relnamespace = any (schemas)
      and c.relkind in ('r', 'p', 'v')
      and (has_table_privilege('anon', c.oid, any_use) or has_table_privilege('service_role', c.oid, any_use))
  loop
    execute format('revoke all on %s from public, anon, authenticated, service_role', target);
  end loop;
end
$$;
comment on procedure assetdock_private.revoke_default_grants() is
  'Revokes the default grants on new functions and tables. Each migration calls it before its first GRANT.';

call assetdock_private.revoke_default_grants();
