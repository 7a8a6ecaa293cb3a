-- The history of assets. A trigger writes each change of state in the transaction of the change.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Tables ----------------------------------------------------------------------
create table assetdock_app.asset_events (
  id bigint generated always as identity,
  asset_id uuid not null references assetdock_app.assets on delete cascade,
  owner_id uuid not null,
  from_state text not null,
  to_state text not null,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  reason text not null,
  primary key (asset_id, id)
);
alter table assetdock_app.asset_events enable row level security;
comment on table assetdock_app.asset_events is
  'One row for each change of state, without the reservation, which the row of the asset records. The ids of one '
  'asset are in order of time, because a change locks the asset.';
comment on column assetdock_app.asset_events.actor is '''session'', the prefix of an API key, ''worker'' or ''system''.';

-- Triggers --------------------------------------------------------------------
create function assetdock_private.record_state_change()
returns trigger
language plpgsql set search_path = '' as $$
begin
  insert into assetdock_app.asset_events (asset_id, owner_id, from_state, to_state, actor, reason)
  select
    new.id, new.owner_id, old.state, new.state,
    case
      -- Storage lands bytes as service_role, which does not identify the sender. Only who reserved is known.
      when old.state = 'pending_upload' and new.state = 'processing' then new.reserved_by
      when assetdock_private.claims() ->> 'role' = 'assetdock_worker' then
        case when old.state = 'processing' and new.state <> 'deleted' then 'worker' else 'system' end
      else coalesce((assetdock_private.identify()).actor, 'system')
    end,
    case
      when new.state = 'failed' and old.state = 'processing' then new.error_code
      else (
        select t.reason from assetdock_private.transitions t where t.from_state = old.state and t.to_state = new.state
      )
    end;
  return null;
end
$$;
comment on function assetdock_private.record_state_change() is
  'Writes each change of state into assetdock_app.asset_events.';

create trigger assetdock_record_state_change
after update of state on assetdock_app.assets
for each row when (old.state is distinct from new.state)
execute function assetdock_private.record_state_change();

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
