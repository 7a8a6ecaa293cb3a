-- No policy or grant that a project adds later opens our tables: a restrictive policy that is never true stays in force.
-- The functions run as the owner of the tables, to whom row-level security does not apply.

set lock_timeout = '5s';
set statement_timeout = '30s';

do $$
declare
  target regclass;
begin
  for target in
    select c.oid
    from pg_catalog.pg_class c
    where c.relnamespace in ('assetdock_app'::regnamespace, 'assetdock_private'::regnamespace) and c.relkind in ('r', 'p')
  loop
    execute format(
      'create policy "assetdock: only functions" on %s as restrictive for all to public using (false)', target
    );
  end loop;
end
$$;
