"""Restarts, crashes and interrupted uploads."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from devstack.stack import Stack
from tests.polling import eventually


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=stack.supabase_url, headers={"apikey": stack.secret_key}, timeout=240, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def bucket(stack: Stack) -> str:
    name = f"recovery-{uuid.uuid4().hex[:8]}"
    stack.create_bucket(name, {})
    return name


@pytest.fixture
def signed(client: httpx.Client, bucket: str) -> str:
    """The path for a PUT of `a.bin`."""
    return f"/storage/v1{client.post(f'/storage/v1/object/upload/sign/{bucket}/a.bin').json()['url']}"


def all_servers_respond(client: httpx.Client) -> bool:
    paths = ("/rest/v1/", "/auth/v1/admin/users", "/storage/v1/bucket")
    return all(client.get(path).status_code == 200 for path in paths)


def test_all_servers_reconnect_after_a_restart_of_postgres(stack: Stack, client: httpx.Client) -> None:
    assert all_servers_respond(client)

    stack.children["postgres"].restart()

    eventually(lambda: all_servers_respond(client))


def test_committed_rows_survive_a_killed_postgres(stack: Stack, client: httpx.Client, bucket: str) -> None:
    stack.children["postgres"].kill()
    stack.children["postgres"].restart()

    eventually(lambda: client.get(f"/storage/v1/bucket/{bucket}").status_code == 200)


def test_stopped_postgrest_is_503(stack: Stack, client: httpx.Client) -> None:
    stack.children["postgrest"].kill()
    try:
        assert client.get("/rest/v1/").status_code == 503
    finally:
        stack.children["postgrest"].restart()

    eventually(lambda: all_servers_respond(client))


def incoming(stack: Stack) -> list[Path]:
    return list((stack.storage_dir / ".incoming").iterdir())


def test_gateway_killed_during_a_put_leaves_no_object(
    stack: Stack, client: httpx.Client, bucket: str, signed: str
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 100_000
        eventually(lambda: any(path.stat().st_size for path in incoming(stack)))
        stack.children["gateway"].kill()
        while True:
            yield b"x" * 100_000

    try:
        with pytest.raises(httpx.TransportError):
            client.put(signed, content=chunks())
    finally:
        stack.children["gateway"].restart()

    assert incoming(stack) == []
    assert client.get(f"/storage/v1/object/info/{bucket}/a.bin").json()["code"] == "NoSuchKey"
    assert client.put(signed, content=b"whole").status_code == 200


def test_client_that_disconnects_during_a_put_leaves_no_object(
    stack: Stack, client: httpx.Client, bucket: str, signed: str
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 100_000
        eventually(lambda: any(path.stat().st_size for path in incoming(stack)))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        client.put(signed, content=chunks())

    eventually(lambda: incoming(stack) == [])
    assert client.get(f"/storage/v1/object/info/{bucket}/a.bin").json()["code"] == "NoSuchKey"


def test_last_of_two_concurrent_puts_wins(stack: Stack, client: httpx.Client, bucket: str, signed: str) -> None:
    """As on the real Storage: both permission checks run before either upload lands."""

    started, released = threading.Event(), threading.Event()
    responses: list[int] = []

    def chunks() -> Iterator[bytes]:
        yield b"slow"
        eventually(lambda: bool(incoming(stack)))
        started.set()
        assert released.wait(15)

    def slow_put() -> None:
        responses.append(
            httpx.put(f"{stack.supabase_url}{signed}", content=chunks(), timeout=240, trust_env=False).status_code
        )

    thread = threading.Thread(target=slow_put)
    thread.start()
    assert started.wait(15)
    responses.append(client.put(signed, content=b"quick").status_code)
    released.set()
    thread.join(15)

    assert responses == [200, 200]
    assert client.get(f"/storage/v1/object/authenticated/{bucket}/a.bin").content == b"slow"


def test_bytes_of_a_deleted_or_replaced_object_are_deleted(stack: Stack, client: httpx.Client, bucket: str) -> None:
    def files() -> list[Path]:
        return [path for path in (stack.storage_dir / bucket).rglob("*") if path.is_file()]

    for content in (b"one", b"two"):
        client.post(f"/storage/v1/object/{bucket}/folder/a.bin", content=content, headers={"x-upsert": "true"})
    assert [path.read_bytes() for path in files()] == [b"two"]
    with psycopg.connect(stack.db_url) as superuser:
        row = superuser.execute("select version from storage.objects where bucket_id = %s", [bucket]).fetchone()
    assert row == (files()[0].name,)
    assert files()[0].parent == stack.storage_dir / bucket / "folder/a.bin"

    client.request("DELETE", f"/storage/v1/object/{bucket}", json={"prefixes": ["folder/a.bin"]})
    assert files() == []


def test_object_name_cannot_escape_its_bucket(stack: Stack, client: httpx.Client, bucket: str) -> None:
    for name in ("%2e%2e/escaped.txt", "a/%2e%2e/%2e%2e/escaped.txt", "a%00b"):
        response = client.post(f"/storage/v1/object/{bucket}/{name}", content=b"x")
        assert response.status_code in (400, 404), name

    assert list(stack.state_dir.rglob("escaped.txt*")) == []
