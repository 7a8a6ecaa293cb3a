"""All database objects carry the prefix `assetdock`, and the name of the bucket can be changed in one place."""

import re

import pytest

from assetdock_server.config import BUCKET
from devstack import migrations
from devstack.binaries import PROJECT
from devstack.project import Project
from tests.catalogue import SCHEMAS, Database

SOURCES = "\n".join(
    re.sub(r"--.*", "", migration.path.read_text()) for migration in migrations.find(PROJECT / "supabase/migrations")
)


@pytest.mark.parametrize("kind", ["schema", "role"])
def test_every_schema_and_role_carries_our_name(kind: str) -> None:
    created = re.findall(rf"\bcreate {kind} (\w+)", SOURCES)

    assert len(created) >= 2
    assert [name for name in created if not name.startswith("assetdock")] == []


def test_every_policy_and_trigger_carries_our_name(database: Database) -> None:
    names = database.execute(
        "select polname from pg_policy union all"
        " select t.tgname from pg_trigger t join pg_proc p on p.oid = t.tgfoid"
        " where p.pronamespace = any (%s::regnamespace[])",
        [SCHEMAS],
    ).fetchall()

    assert len(names) > 15
    assert [name for (name,) in names if not name.startswith("assetdock")] == []


def test_the_migrations_name_the_bucket_in_one_place() -> None:
    assert SOURCES.count("'assets'") == 1


def test_the_service_and_config_toml_use_the_bucket_of_the_migrations(database: Database) -> None:
    assert database.execute("select assetdock_private.bucket()").fetchone() == (BUCKET,)
    assert list(Project.read().buckets) == [BUCKET]
