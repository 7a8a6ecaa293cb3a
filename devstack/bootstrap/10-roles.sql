-- Supabase's roles, with their attributes and memberships on a hosted project.
-- The passwords are those of `supabase start`, because this database is for development and listens on loopback only.

create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;

-- Not a superuser, as on hosted, so a migration that needs one fails here too.
create role postgres login createrole createdb replication bypassrls password 'postgres';

create role authenticator login noinherit password 'postgres';
grant anon, authenticated, service_role to authenticator;

create role supabase_auth_admin login noinherit createrole password 'postgres';
create role supabase_storage_admin login noinherit createrole password 'postgres';

-- Storage assumes the caller's role through this membership, including custom roles that are granted to authenticator.
grant authenticator to supabase_storage_admin;

grant anon, authenticated, service_role to postgres with admin option;
grant all on database postgres to postgres;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
-- Hosted also sets session_preload_libraries = 'safeupdate' here (no UPDATE or DELETE without WHERE through the API).
-- That extension is not part of Postgres, and this stack has no replacement for it.

alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_storage_admin set search_path = storage;
