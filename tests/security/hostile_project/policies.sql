-- What tutorials and other extensions leave in a project, before Assetdock is installed. Runs as role `postgres`.

-- No bucket in the conditions: "authenticated users may do everything".
create policy "Authenticated users read" on storage.objects for select to authenticated using (true);
create policy "Authenticated users upload" on storage.objects for insert to authenticated with check (true);
create policy "Authenticated users update" on storage.objects for update to authenticated using (true) with check (true);
create policy "Authenticated users delete" on storage.objects for delete to authenticated using (true);
create policy "Everybody does everything" on storage.objects for all to public using (true) with check (true);
create policy "Everybody manages buckets" on storage.buckets for all to public using (true) with check (true);

create table public.log (at timestamptz not null default now(), name text);
create function public.log_object() returns trigger language plpgsql security definer set search_path = ''
as $$ begin insert into public.log (name) values (coalesce(new.name, old.name)); return null; end $$;
create trigger a_log_of_theirs after insert or update or delete on storage.objects
for each row execute function public.log_object();

alter default privileges for role postgres grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres grant all on functions to anon, authenticated, service_role;

insert into storage.buckets (id, name, public) values ('theirs', 'theirs', false);
