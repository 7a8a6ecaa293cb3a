-- What supautils does on hosted, done with plain Postgres: the role `postgres` may create policies and triggers on
-- Storage's and Auth's tables, and nothing else in their schemas.
--
-- A policy needs the table's owner, so `postgres` inherits the owners' rights (it cannot become them); that is too
-- generous, and the two event triggers take back everything but policies, triggers and grants. They are the
-- superuser's: `postgres` cannot drop them. Not imitated: hosted lets `postgres` create event triggers too.

grant supabase_auth_admin, supabase_storage_admin to postgres with inherit true, set false;

-- No role may use this schema: event triggers call their functions without asking who the user is.
create schema devstack_fence;

-- Only `postgres` is fenced: the superuser bootstraps, the owners migrate their own schemas. A role that `postgres`
-- made a member of itself would inherit the owners' rights just the same, so membership is what counts.
create function devstack_fence.guard() returns event_trigger language plpgsql set search_path = '' as $$
declare
  offence record;
begin
  if not pg_catalog.pg_has_role(current_user, 'postgres', 'usage')
    or (select rolsuper from pg_catalog.pg_roles where rolname = current_user)
  then
    return;
  end if;
  if tg_event = 'sql_drop' then
    select d.object_type, d.object_identity into offence
    from pg_catalog.pg_event_trigger_dropped_objects() d
    where (d.schema_name in ('auth', 'storage') or d.object_type = 'schema' and d.object_name in ('auth', 'storage'))
      and d.object_type not in ('policy', 'trigger')
    limit 1;
  else
    select c.object_type, c.object_identity into offence
    from pg_catalog.pg_event_trigger_ddl_commands() c
    left join pg_catalog.pg_policy p on c.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and p.oid = c.objid
    left join pg_catalog.pg_trigger t on c.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass and t.oid = c.objid
    left join pg_catalog.pg_rewrite r on c.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = c.objid
    left join pg_catalog.pg_class k on k.oid = coalesce(p.polrelid, t.tgrelid, r.ev_class)
    where coalesce(
        c.schema_name,
        k.relnamespace::pg_catalog.regnamespace::text,
        case c.object_type when 'schema' then c.object_identity end
      ) in ('auth', 'storage')
      and c.command_tag not in ('CREATE POLICY', 'ALTER POLICY', 'CREATE TRIGGER', 'GRANT', 'REVOKE')
    limit 1;
  end if;
  if found then
    raise exception 'must be owner of % %', offence.object_type, offence.object_identity
      using errcode = '42501', hint = 'Hosted Supabase lets migrations make only policies and triggers here.';
  end if;
end
$$;

create event trigger devstack_fence_commands on ddl_command_end execute function devstack_fence.guard();
create event trigger devstack_fence_drops on sql_drop execute function devstack_fence.guard();
