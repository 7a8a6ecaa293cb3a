-- The rooms everything else lives in, and who may open which door.
--
--   api      what PostgREST exposes: functions and security_invoker views, nothing else
--   app      tables under row-level security; callers hold column grants for reading and no more
--   private  secrets, queue, settings, helpers; no API role may even look inside
--
-- Two roles of our own stand beside Supabase's. Both can execute the few functions granted to them by name and
-- nothing else. They are deliberately not members of anon: that would hand them every policy and grant anon has.

set lock_timeout = '5s';
set statement_timeout = '30s';

do $$
begin
  -- Roles belong to the cluster and survive `supabase db reset`.
  if not exists (select from pg_catalog.pg_roles where rolname = 'asset_worker') then
    create role asset_worker nologin noinherit;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'asset_gateway') then
    create role asset_gateway nologin noinherit;
  end if;
end
$$;

comment on role asset_worker is 'The worker: leases jobs, reads objects, records what it found.';
comment on role asset_gateway is 'The service before it knows its caller: turns the hash of an API key into its owner.';

-- PostgREST and Storage connect as, or through, authenticator and switch to the role a token names.
grant asset_worker, asset_gateway to authenticator;
alter role asset_worker set statement_timeout = '10s';
alter role asset_gateway set statement_timeout = '3s';

create schema api;
create schema app;
create schema private;

comment on schema api is 'Assetdock: the functions and views that clients call.';
comment on schema app is 'Assetdock: tables under row-level security.';
comment on schema private is 'Assetdock: secrets, queue, settings and helpers. Not reachable by any API role.';

revoke all on schema api, app, private from public;
grant usage on schema api to anon, authenticated, asset_worker, asset_gateway;
