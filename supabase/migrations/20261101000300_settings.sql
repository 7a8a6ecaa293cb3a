-- Settings of the operator. One row, so that each setting is a column with a type, a default and a check. Later
-- migrations add the columns that they use.

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Tables ----------------------------------------------------------------------
create table assetdock_private.settings (
  singleton boolean primary key default true check (singleton),
  finish_grace interval not null default '2 hours' check (finish_grace between '0' and '1 day'),
  renewal_window interval not null default '24 hours' check (renewal_window > '0'),
  deletion_grace interval not null default '30 days' check (deletion_grace >= '0'),
  record_retention interval not null default '90 days' check (record_retention >= '0')
);
alter table assetdock_private.settings enable row level security;
comment on table assetdock_private.settings is
  'Settings of the operator, one row. Change them with UPDATE ... WHERE singleton.';
comment on column assetdock_private.settings.finish_grace is
  'How long after its window an upload that started in time can still land. Not shorter than the lifetime of an upload '
  'token of Storage (2 hours).';
comment on column assetdock_private.settings.renewal_window is
  'How long after its creation a pending asset can get new upload URLs.';
comment on column assetdock_private.settings.deletion_grace is
  'How long a deleted asset keeps its bytes and can be restored.';
comment on column assetdock_private.settings.record_retention is
  'How long the rows of expired assets, of purged assets with their histories, and of revoked or expired API keys are '
  'kept.';

insert into assetdock_private.settings default values;

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
