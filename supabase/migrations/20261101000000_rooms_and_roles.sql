-- The rooms everything else lives in, and who may open which door.
--
--   assetdock          what PostgREST exposes: functions and security_invoker views, nothing else
--   assetdock_app      tables under row-level security; callers hold column grants for reading and no more
--   assetdock_private  secrets, queue, settings, helpers; no API role may even look inside
--
-- Two roles of our own stand beside Supabase's. Both can execute the few functions granted to them by name and
-- nothing else. They are deliberately not members of anon: that would hand them every policy and grant anon has.

set lock_timeout = '5s';
set statement_timeout = '30s';

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

comment on role assetdock_worker is 'The worker: leases jobs, reads objects, records what it found.';
comment on role assetdock_gateway is 'The service before it knows its caller: turns the hash of an API key into its owner.';

-- PostgREST and Storage connect as, or through, authenticator and switch to the role a token names.
grant assetdock_worker, assetdock_gateway to authenticator;
alter role assetdock_worker set statement_timeout = '10s';
alter role assetdock_gateway set statement_timeout = '3s';

create schema assetdock;
create schema assetdock_app;
create schema assetdock_private;

comment on schema assetdock is 'Assetdock: the functions and views that clients call.';
comment on schema assetdock_app is 'Assetdock: tables under row-level security.';
comment on schema assetdock_private is 'Assetdock: secrets, queue, settings and helpers. Not reachable by any API role.';

revoke all on schema assetdock, assetdock_app, assetdock_private from public;
grant usage on schema assetdock to anon, authenticated, assetdock_worker, assetdock_gateway;
