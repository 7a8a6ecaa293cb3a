-- What somebody grants afterwards, to make an error go away. Runs as role `postgres`, which owns our schemas.

grant usage on schema assetdock, assetdock_app, assetdock_private to anon, authenticated, service_role;
grant all on all tables in schema assetdock_app, assetdock_private to anon, authenticated, assetdock_worker;
grant all on all functions in schema assetdock, assetdock_private
to anon, authenticated, service_role, assetdock_worker, assetdock_gateway;
create policy "Everybody" on assetdock_app.assets for all to public using (true) with check (true);
create policy "Everybody" on assetdock_app.api_keys for all to public using (true) with check (true);
create policy "Everybody" on assetdock_private.webhook_secrets for all to public using (true) with check (true);
create policy "Everybody again" on storage.objects for all to authenticated using (true) with check (true);
