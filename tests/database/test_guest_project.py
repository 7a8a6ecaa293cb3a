"""Assetdock is a guest: `supabase db push` changes nothing of a host project and refuses a bucket that is in use."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from devstack import migrations
from devstack.binaries import PROJECT
from devstack.ports import Ports
from devstack.postgres import DefaultGrants
from devstack.project import Project
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests import callers
from tests.callers import Json, User
from tests.database.snapshot import catalogue_rows, objects_of_the_host, table_rows
from tests.database.supabase_cli import push
from tests.polling import until

HOST_PROJECT = Path(__file__).with_name("host_project.sql")


@dataclass(frozen=True)
class Snapshot:
    """A host project at one moment."""

    catalogue: set[str]
    objects: set[tuple[str, str | None, str]]
    rows: dict[str, list[str]]

    @classmethod
    def of(cls, stack: Stack) -> "Snapshot":
        with psycopg.connect(stack.db_url) as database:
            return cls(catalogue_rows(database), objects_of_the_host(database), table_rows(database))


@dataclass(frozen=True)
class Installation:
    """A host project into which Assetdock was pushed."""

    stack: Stack
    user: User
    before: Snapshot
    after: Snapshot


@contextmanager
def empty_stack(default_grants: DefaultGrants = "explicit") -> Iterator[Stack]:
    with (
        temporary_state_directory() as directory,
        Stack(directory, Ports.free(), default_grants=default_grants, project=Project()) as stack,
    ):
        yield stack


def sign_up(stack: Stack) -> User:
    return callers.sign_up(callers.Project(stack.supabase_url, stack.publishable_key, stack.secret_key, api_url=""))


def request(stack: Stack, credential: str, method: str, path: str, **options: Any) -> httpx.Response:
    key = credential if credential.startswith("sb_") else stack.publishable_key
    headers = {"apikey": key, "Authorization": f"Bearer {credential}", **options.pop("headers", {})}
    return httpx.request(method, f"{stack.supabase_url}{path}", headers=headers, **options)


def upload(stack: Stack, credential: str, path: str, method: str = "POST", content: bytes = b"bytes") -> httpx.Response:
    return request(
        stack, credential, method, f"/storage/v1/object/{path}", content=content, headers={"Content-Type": "image/png"}
    )


@pytest.fixture(scope="module", params=["legacy", "explicit"])
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Assetdock in a host project with users, objects, policies and triggers, under each regime of default grants."""
    with empty_stack(request.param) as stack:
        with psycopg.connect(stack.postgres_db_url) as database:
            database.execute(HOST_PROJECT.read_bytes())
            database.execute("notify pgrst, 'reload schema'")
        user = sign_up(stack)
        assert upload(stack, user.access_token, "avatars/first.png").status_code == 200
        assert upload(stack, stack.secret_key, "press/logo.png").status_code == 200
        before = Snapshot.of(stack)
        pushed = push(stack)
        assert pushed.returncode == 0, pushed.stdout
        yield Installation(stack, user, before, Snapshot.of(stack))


def test_push_changes_no_object_of_the_host_project(installation: Installation) -> None:
    assert installation.before.catalogue - installation.after.catalogue == set()


def test_push_creates_only_objects_that_carry_our_name(installation: Installation) -> None:
    assert installation.after.objects - installation.before.objects == set()


def test_push_adds_one_bucket_and_changes_no_row_of_the_host_project(installation: Installation) -> None:
    before, after = installation.before.rows, installation.after.rows

    added = set(after["storage.buckets"]) - set(before["storage.buckets"])

    assert len(before) > 8
    assert len(added) == 1
    assert '"id": "assets"' in added.pop()
    for table, rows in before.items():
        assert rows
        assert set(rows) <= set(after[table]), table
        assert table == "storage.buckets" or len(rows) == len(after[table]), table


def test_users_of_the_host_project_still_upload_replace_read_and_delete(installation: Installation) -> None:
    stack, session = installation.stack, installation.user.access_token

    created = upload(stack, session, "avatars/second.png")
    replaced = upload(stack, session, "avatars/second.png", "PUT", b"other bytes")
    read = request(stack, session, "GET", "/storage/v1/object/authenticated/avatars/second.png")
    listed = request(stack, session, "POST", "/storage/v1/object/list/avatars", json={"prefix": ""})
    foreign = upload(stack, session, "press/second.png")
    deleted = request(stack, session, "DELETE", "/storage/v1/object/avatars", json={"prefixes": ["second.png"]})

    assert (created.status_code, replaced.status_code, read.content) == (200, 200, b"other bytes")
    assert {each["name"] for each in listed.json()} == {"first.png", "second.png"}
    assert foreign.status_code == 400
    assert [each["name"] for each in deleted.json()] == ["second.png"]


def test_anonymous_visitors_of_the_host_project_still_read_and_list_what_they_could(installation: Installation) -> None:
    stack, anonymous = installation.stack, installation.stack.publishable_key

    def listed(bucket: str) -> list[Json]:
        response = request(stack, anonymous, "POST", f"/storage/v1/object/list/{bucket}", json={"prefix": ""})
        assert response.status_code == 200, response.text
        items: list[Json] = response.json()
        return items

    assert httpx.get(f"{stack.supabase_url}/storage/v1/object/public/press/logo.png").content == b"bytes"
    assert "first.png" in [each["name"] for each in listed("avatars")]
    assert listed("press") == []


def test_triggers_and_tables_of_the_host_project_still_work(installation: Installation) -> None:
    stack, session = installation.stack, installation.user.access_token
    counts = "select (select count(*) from private.uploads), (select count(*) from app.jobs where kind = 'welcome')"

    def rest(method: str, path: str, **options: Any) -> httpx.Response:
        return request(stack, session, method, f"/rest/v1{path}", **options)

    with psycopg.connect(stack.db_url, autocommit=True) as database:
        [(uploads, welcomes)] = database.execute(counts).fetchall()
        leaving = sign_up(stack)
        assert upload(stack, leaving.access_token, "avatars/third.png").status_code == 200
        assert database.execute(counts).fetchone() == (uploads + 1, welcomes + 1)

    deleted = request(stack, stack.secret_key, "DELETE", f"/auth/v1/admin/users/{leaving.id}")
    assert deleted.status_code == 200
    until(lambda: rest("GET", "/assets").status_code == 200, "PostgREST to know the tables")
    assert rest("POST", "/assets", json={"title": "a lamp"}).status_code == 201
    assert [row["title"] for row in rest("GET", "/assets").json()] == ["a lamp"]


def test_push_refuses_a_bucket_of_our_name_with_objects_and_adopts_it_once_it_is_empty() -> None:
    """An empty bucket becomes private, because policies do not apply to a public one. It keeps its other properties."""
    properties = "select file_size_limit, allowed_mime_types, public from storage.buckets where id = 'assets'"
    with empty_stack() as stack, psycopg.connect(stack.db_url, autocommit=True) as database:
        stack.create_bucket("assets", {"public": True, "file_size_limit": 1000, "allowed_mime_types": ["audio/mpeg"]})
        database.execute("insert into storage.objects (bucket_id, name) values ('assets', 'song.mp3')")
        before = Snapshot.of(stack)

        refused = push(stack)

        [sentence] = [line for line in refused.stdout.splitlines() if line.startswith("ERROR")]
        after = Snapshot.of(stack)
        assert refused.returncode != 0
        assert '"assets"' in sentence
        assert "empty" in sentence.lower()
        assert sentence.removesuffix(" (SQLSTATE P0001)").endswith(".")
        assert before.catalogue - after.catalogue == set()
        assert not [row for row in after.catalogue if "assetdock" in row]
        assert (after.objects, after.rows) == (before.objects, before.rows)

        with database.transaction():
            database.execute("set local storage.allow_delete_query = 'true'")
            database.execute("delete from storage.objects where bucket_id = 'assets'")
        adopted = push(stack)

        assert adopted.returncode == 0, adopted.stdout
        assert database.execute(properties).fetchone() == (1000, ["audio/mpeg"], False)


def test_an_installer_can_choose_another_bucket_in_one_place(tmp_path: Path) -> None:
    for migration in migrations.find(PROJECT / "supabase/migrations"):
        (tmp_path / migration.path.name).write_text(migration.path.read_text().replace("'assets'", "'media'"))
    with empty_stack() as stack, psycopg.connect(stack.db_url, autocommit=True) as database:
        migrations.apply(stack.postgres_db_url, tmp_path)

        assert database.execute("select id, public from storage.buckets").fetchall() == [("media", False)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="No upload is reserved"):
            database.execute("insert into storage.objects (bucket_id, name) values ('media', 'song.mp3')")
        rules = database.execute(
            "select pg_get_triggerdef(oid) from pg_trigger where tgname ~ '^assetdock' union all"
            " select concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) from pg_policy"
        ).fetchall()
        assert sum("'media'" in rule for (rule,) in rules) >= 8
        assert not [rule for (rule,) in rules if "'assets'" in rule]
