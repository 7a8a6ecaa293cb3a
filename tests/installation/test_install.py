"""`assetdock-server install` in the Supabase project of somebody else, and `supabase db push` after it."""

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import psycopg
import pytest

from assetdock_server.cli import main
from devstack.binaries import PROJECT
from devstack.ports import Ports
from devstack.project import Project
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests.database.supabase_cli import push

CONFIG = """\
# Our project. Keep this comment.
project_id = "lamps"

[api]
port = 54321 # ours
schemas = ["public", "graphql_public"] # what we expose

[storage.buckets.avatars]
public = true

[functions.hello]
verify_jwt = true
"""
OWN_MIGRATION = "create table public.lamps (id int primary key);\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a migration, a function and a bucket of its own. Its path has a space."""
    project = tmp_path / "my app"
    (project / "supabase/migrations").mkdir(parents=True)
    (project / "supabase/functions/hello").mkdir(parents=True)
    (project / "supabase/config.toml").write_text(CONFIG)
    (project / "supabase/migrations/20250101000000_lamps.sql").write_text(OWN_MIGRATION)
    (project / "supabase/functions/hello/index.ts").write_text("// hello\n")
    return project


def install(project: Path, *arguments: str) -> int:
    return main(["install", "--project", str(project), *arguments])


def contents(project: Path) -> dict[str, str]:
    return {str(path.relative_to(project)): path.read_text() for path in project.rglob("*") if path.is_file()}


def migrations(project: Path) -> list[str]:
    return sorted(path.name for path in (project / "supabase/migrations").glob("*_assetdock_*.sql"))


def test_adds_what_is_missing_and_keeps_what_is_there(project: Path) -> None:
    before = contents(project)

    assert install(project, "--yes") == 0

    after = contents(project)
    assert {name for name in before if after[name] != before[name]} == {"supabase/config.toml"}
    ours = [path.name.partition("_")[2] for path in sorted((PROJECT / "supabase/migrations").glob("*.sql"))]
    assert [name.partition("_assetdock_")[2] for name in migrations(project)] == ours
    assert min(migrations(project)) > "20250101000000"
    config = after["supabase/config.toml"]
    for line in CONFIG.splitlines():
        assert line.partition("[")[0] in config
    parsed = tomllib.loads(config)
    assert parsed["api"] == {"port": 54321, "schemas": ["public", "graphql_public", "assetdock"]}
    assert parsed["storage"]["buckets"] == {"avatars": {"public": True}, "assets": {"public": False}}
    assert parsed["functions"] == {"hello": {"verify_jwt": True}, "upload-url": {"verify_jwt": False}}


def test_a_second_run_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(project, "--yes")
    before = contents(project)
    capsys.readouterr()

    assert install(project) == 0  # without asking

    assert contents(project) == before
    assert "Nothing to do" in capsys.readouterr().out


def test_a_second_run_adds_only_what_is_new(project: Path) -> None:
    install(project, "--yes")
    newest = project / "supabase/migrations" / migrations(project)[-1]
    newest.unlink()
    before = contents(project)

    assert install(project, "--yes") == 0

    added = set(contents(project)) - set(before)
    assert [re.sub(r".*_assetdock_", "", name) for name in added] == [newest.name.partition("_assetdock_")[2]]


def test_new_migrations_sort_after_one_whose_version_is_in_the_future(project: Path) -> None:
    (project / "supabase/migrations/29991231235959_later.sql").write_text("select 1;\n")

    install(project, "--yes")

    assert min(migrations(project)) > "29991231235959"


def test_asks_before_it_changes_anything(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(project)
    monkeypatch.setattr("click.confirm", lambda *_: False)

    assert install(project) == 1

    assert contents(project) == before


def damage_migration(project: Path) -> str:
    path = project / "supabase/migrations" / migrations(project)[3]
    path.write_text(path.read_text() + "-- changed\n")
    return path.name


def add_newer_migration(project: Path) -> str:
    path = project / "supabase/migrations/20990101000000_assetdock_not_known_yet.sql"
    path.write_text("select 1;\n")
    return path.name


def change_function(project: Path) -> str:
    path = project / "supabase/functions/upload-url/index.ts"
    path.write_text("// ours\n")
    return "functions/upload-url/index.ts"


def break_config(project: Path) -> str:
    (project / "supabase/config.toml").write_text("[api\n")
    return "config.toml is not valid TOML"


def publish_bucket(project: Path) -> str:
    path = project / "supabase/config.toml"
    ours = "[storage.buckets.assets]\npublic = "
    path.write_text(path.read_text().replace(f"{ours}false", f"{ours}true"))
    return "makes the bucket assets public"


def make_api_a_number(project: Path) -> str:
    (project / "supabase/config.toml").write_text("api = 1\n")
    return "api is not a table"


def remove_config(project: Path) -> str:
    (project / "supabase/config.toml").unlink()
    return "run `supabase init`"


@pytest.mark.parametrize(
    "damage",
    [
        damage_migration, add_newer_migration, change_function, break_config, publish_bucket, make_api_a_number,
        remove_config,
    ],
)  # fmt: skip
def test_refuses_with_one_sentence_and_changes_nothing(
    project: Path, damage: object, capsys: pytest.CaptureFixture[str]
) -> None:
    install(project, "--yes")
    assert callable(damage)
    expected = damage(project)
    before = contents(project)
    capsys.readouterr()

    assert install(project, "--yes") == 1

    assert contents(project) == before
    printed = capsys.readouterr()
    assert expected in printed.err
    assert printed.err.startswith("assetdock: ")
    assert printed.err.count("\n") == 1


def test_nothing_is_changed_if_one_file_cannot_be_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "supabase/functions/upload-url").write_text("a file where a directory must be")
    before = contents(project)

    assert install(project, "--yes") == 1

    assert contents(project) == before
    assert "upload-url" in capsys.readouterr().err


def test_an_upgrade_replaces_a_function_that_nobody_changed(project: Path) -> None:
    install(project, "--yes")
    directory = project / "supabase/functions/upload-url"
    current = (directory / "index.ts").read_text()
    # As an earlier version would have installed it.
    earlier = "// earlier\n"
    (directory / "index.ts").write_text(earlier)
    manifest = directory / ".assetdock.json"
    digests = manifest.read_text().replace(
        hashlib.sha256(current.encode()).hexdigest(), hashlib.sha256(earlier.encode()).hexdigest()
    )
    manifest.write_text(digests)

    assert install(project, "--yes") == 0

    assert (directory / "index.ts").read_text() == current


def test_the_cli_pushes_the_installed_migrations_beside_those_of_the_project(project: Path) -> None:
    install(project, "--yes")
    with (
        temporary_state_directory() as directory,
        Stack(directory, Ports.free(), project=Project()) as stack,
    ):
        first = push(stack, project)
        again = push(stack, project)
        with psycopg.connect(stack.db_url) as database:
            applied = database.execute("select count(*) from supabase_migrations.schema_migrations").fetchone()
            lamps = database.execute("select count(*) from public.lamps").fetchone()
            functions = database.execute(
                "select count(*) from pg_proc where pronamespace = 'assetdock'::regnamespace"
            ).fetchone()

    assert first.returncode == 0, first.stdout
    assert (again.returncode, "up to date" in again.stdout) == (0, True), again.stdout
    assert applied == (len(migrations(project)) + 1,)
    assert lamps == (0,)
    assert functions is not None
    assert functions[0] > 30


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "assetdock_server", "install", "--project", tmp_path / "nowhere"],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip

    assert printed.returncode == 2
    assert "nowhere" in printed.stderr
