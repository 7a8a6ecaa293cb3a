"""Expiry of unfinished resumable uploads, and concurrent requests to one upload."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from devstack.stack import Stack
from devstack.storage.tus.locks import UploadLocks
from devstack.storage.tus.protocol import TusError, upload_length_exceeded
from devstack.storage.tus.upload_store import PartialUpload, UploadStore
from tests.contract.tus import encode_metadata

DAY = 24 * 3600


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> UploadStore:
    store = UploadStore(tmp_path, clock=clock)
    store.open()
    return store


def create(store: UploadStore) -> PartialUpload:
    return store.create("assets", "a.bin", str(uuid.uuid4()), 10, "")


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_unfinished_upload_expires_after_a_day_and_its_bytes_are_deleted(store: UploadStore, clock: Clock) -> None:
    abandoned = create(store)
    asyncio.run(store.append(abandoned, stream(b"bytes"), 10, upload_length_exceeded()))
    clock.now += DAY - 1
    store.delete_expired()
    assert store.offset(store.find("assets", "a.bin", abandoned.version)) == 5

    clock.now += 1
    with pytest.raises(TusError, match="no longer exists"):
        store.find("assets", "a.bin", abandoned.version)
    store.delete_expired()

    assert list(store.directory.iterdir()) == []


def test_deletes_part_files_without_an_info_file_after_a_minute(store: UploadStore, clock: Clock) -> None:
    stray = store.directory / f"{uuid.uuid4()}.part"
    for age, stays in ((5, True), (100, False)):
        stray.touch()
        os.utime(stray, (clock.now - age, clock.now - age))
        store.delete_expired()

        assert stray.exists() is stays


def test_finds_an_upload_only_under_its_own_name(store: UploadStore) -> None:
    version = create(store).version

    for bucket, name, given in (
        ("other", "a.bin", version), ("assets", "b.bin", version), ("assets", "a.bin", "../keys"),
        ("assets", "a.bin", str(uuid.uuid4())),
    ):  # fmt: skip
        with pytest.raises(TusError, match="not found"):
            store.find(bucket, name, given)


def test_rejects_a_chunk_beyond_the_length_and_keeps_earlier_bytes(store: UploadStore) -> None:
    partial = create(store)

    with pytest.raises(TusError, match="exceeded"):
        asyncio.run(store.append(partial, stream(b"12345", b"678901"), 10, upload_length_exceeded()))

    assert store.offset(partial) == 5


def test_lock_is_423_while_its_holder_does_not_release_it() -> None:
    async def run() -> int:
        locks = UploadLocks(wait_seconds=0.05, drain_seconds=0.01)
        async with locks.acquire("upload"):  # for example while landing, when it reads no bytes
            try:
                async with locks.acquire("upload"):
                    return 200
            except TusError as error:
                return error.status

    assert asyncio.run(run()) == 423


def test_lock_holder_that_waits_for_bytes_ends_for_a_new_request() -> None:
    async def run() -> bool:
        locks, reading = UploadLocks(wait_seconds=5, drain_seconds=0.01), asyncio.Event()

        async def hold() -> None:
            async with locks.acquire("upload") as lock, lock.reading():
                reading.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold())
        await reading.wait()
        async with locks.acquire("upload"):
            await holder
            return True

    assert asyncio.run(run())


@pytest.fixture
def admin(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"apikey": stack.secret_key, "Tus-Resumable": "1.0.0"}
    with httpx.Client(
        base_url=f"{stack.supabase_url}/storage/v1", headers=headers, timeout=240, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def created(stack: Stack, admin: httpx.Client) -> httpx.Response:
    """The response to the POST that creates an upload of ten bytes."""
    bucket = f"resumable-{uuid.uuid4().hex[:8]}"
    stack.create_bucket(bucket, {})
    metadata = encode_metadata({"bucketName": bucket, "objectName": "a.bin"})
    return admin.post("/upload/resumable", headers={"Upload-Length": "10", "Upload-Metadata": metadata})


@pytest.fixture
def upload(created: httpx.Response) -> str:
    """The URL of a new upload of ten bytes."""
    return str(created.headers["location"])


def test_upload_expires_is_one_day_after_creation(admin: httpx.Client, created: httpx.Response) -> None:
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    responses = [created, admin.patch(created.headers["location"], headers=headers, content=b"01234")]

    assert [response.status_code for response in responses] == [201, 204]
    for response in responses:
        expires = response.headers["upload-expires"]
        assert expires.endswith(" GMT")  # RFC 9110, section 5.6.7, required by TUS's expiration
        assert parsedate_to_datetime(expires).timestamp() == pytest.approx(time.time() + DAY, abs=60)


def test_gateway_deletes_expired_uploads_at_start(stack: Stack, admin: httpx.Client, upload: str) -> None:
    directory = stack.storage_dir / ".resumable"
    info = max(directory.glob("*.json"), key=lambda path: path.stat().st_mtime)
    info.write_text(json.dumps({**json.loads(info.read_text()), "created_at": 0}))
    assert admin.head(upload).status_code == 410

    stack.children["gateway"].restart()

    assert not info.exists()
    assert not info.with_suffix(".part").exists()
    assert admin.head(upload).status_code == 404
