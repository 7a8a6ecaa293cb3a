-- Somebody else's project, as it stands before Assetdock is installed into it. Runs as role `postgres`.

create schema api;
create schema app;
create schema private;
grant usage on schema api to anon, authenticated, service_role;

create table public.assets (id bigint generated always as identity primary key, owner uuid default auth.uid(), title text not null);
create index assets_of_owner on public.assets (owner);
alter table public.assets enable row level security;
grant select, insert on public.assets to authenticated;
create policy "Users read their assets" on public.assets for select to authenticated using (owner = (select auth.uid()));
create policy "Users create assets" on public.assets for insert to authenticated with check (owner = (select auth.uid()));
insert into public.assets (title) values ('a chair');

create table app.jobs (id uuid primary key default gen_random_uuid(), kind text not null default 'probe');
insert into app.jobs default values;
create table private.settings (singleton boolean primary key default true, secret text);
insert into private.settings values (true, 'theirs');
create table private.uploads (name text, at timestamptz not null default now());

create function api.get_asset(id bigint) returns text language sql stable
as $$ select a.title from public.assets a where a.id = get_asset.id $$;
create function private.fail(code text) returns void language plpgsql
as $$ begin raise exception '%', code; end $$;
create view api.titles with (security_invoker = true) as select a.title from public.assets a;
grant select on api.titles to authenticated;

create function private.count_upload() returns trigger language plpgsql security definer set search_path = ''
as $$ begin insert into private.uploads (name) values (new.name); return null; end $$;
create trigger count_upload after insert on storage.objects for each row execute function private.count_upload();
create function private.welcome() returns trigger language plpgsql security definer set search_path = ''
as $$ begin insert into app.jobs (kind) values ('welcome'); return new; end $$;
create trigger welcome after insert on auth.users for each row execute function private.welcome();

insert into storage.buckets (id, name, public, file_size_limit) values ('avatars', 'avatars', false, 1000000), ('press', 'press', true, null);
create policy "Users upload avatars" on storage.objects for insert to authenticated with check (bucket_id = 'avatars');
create policy "Users replace avatars" on storage.objects for update to authenticated
using (bucket_id = 'avatars' and owner_id = (select auth.uid())::text);
create policy "Users delete avatars" on storage.objects for delete to authenticated
using (bucket_id = 'avatars' and owner_id = (select auth.uid())::text);
create policy "Everybody reads avatars" on storage.objects for select to public using (bucket_id = 'avatars');
create policy "Nobody lists the press bucket" on storage.objects as restrictive for select to anon using (bucket_id <> 'press');

alter default privileges for role postgres in schema app grant select on tables to authenticated;
alter role authenticated set statement_timeout = '7s';
