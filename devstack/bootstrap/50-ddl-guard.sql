-- Replaces supautils, which on hosted lets the role `postgres` create policies and triggers on Storage's and Auth's
-- tables, and nothing else in their schemas.
--
-- Creating a policy requires the table owner's privileges, so `postgres` inherits them (without `set role`). That allows
-- too much, so two event triggers reject everything but policies, triggers and grants. The superuser owns the event
-- triggers, so `postgres` cannot drop them. Difference: on hosted `postgres` can create event triggers.

grant supabase_auth_admin, supabase_storage_admin to postgres with inherit true, set false;

-- No role needs USAGE on this schema: event triggers call their functions without a check of privileges.
create schema devstack_ddl_guard;

-- Applies to `postgres` and its members, which inherit the owners' privileges too. The superuser and the owners are
-- not restricted.
create function devstack_ddl_guard.reject_ddl() returns event_trigger language plpgsql set search_path = '' as $$
declare
  violation record;
begin
  if not pg_catalog.pg_has_role(current_user, 'postgres', 'usage')
    or (select rolsuper from pg_catalog.pg_roles where rolname = current_user)
  then
    return;
  end if;
  if tg_event = 'sql_drop' then
    select d.object_type, d.object_identity into violation
    from pg_catalog.pg_event_trigger_dropped_objects() d
    where (d.schema_name in ('auth', 'storage') or d.object_type = 'schema' and d.object_name in ('auth', 'storage'))
      and d.object_type not in ('policy', 'trigger')
    limit 1;
  else
    select c.object_type, c.object_identity into violation
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
    raise exception 'must be owner of % %', violation.object_type, violation.object_identity
      using errcode = '42501', hint = 'Hosted Supabase lets migrations make only policies and triggers here.';
  end if;
end
$$;

create event trigger devstack_ddl_guard_commands on ddl_command_end execute function devstack_ddl_guard.reject_ddl();
create event trigger devstack_ddl_guard_drops on sql_drop execute function devstack_ddl_guard.reject_ddl();
