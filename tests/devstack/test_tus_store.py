"""What becomes of resumable uploads that nobody finishes, and of requests that meet at one."""

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
from tests.contract.tus import encoded

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
    made = UploadStore(tmp_path, clock=clock)
    made.open()
    return made


def create(store: UploadStore) -> PartialUpload:
    return store.create("assets", "a.bin", str(uuid.uuid4()), 10, "")


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_an_abandoned_upload_is_gone_after_a_day_and_its_bytes_with_it(store: UploadStore, clock: Clock) -> None:
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


def test_bytes_without_a_note_are_swept_once_their_note_cannot_come_any_more(store: UploadStore, clock: Clock) -> None:
    stray = store.directory / f"{uuid.uuid4()}.part"
    for age, stays in ((5, True), (100, False)):
        stray.touch()
        os.utime(stray, (clock.now - age, clock.now - age))
        store.delete_expired()

        assert stray.exists() is stays


def test_an_upload_is_found_only_under_its_own_name(store: UploadStore) -> None:
    version = create(store).version

    for bucket, name, given in (
        ("other", "a.bin", version), ("assets", "b.bin", version), ("assets", "a.bin", "../keys"),
        ("assets", "a.bin", str(uuid.uuid4())),
    ):  # fmt: skip
        with pytest.raises(TusError, match="not found"):
            store.find(bucket, name, given)


def test_a_chunk_too_many_is_refused_and_the_bytes_before_it_stay(store: UploadStore) -> None:
    partial = create(store)

    with pytest.raises(TusError, match="exceeded"):
        asyncio.run(store.append(partial, stream(b"12345", b"678901"), 10, upload_length_exceeded()))

    assert store.offset(partial) == 5


def test_a_holder_that_does_not_let_go_keeps_the_newcomer_out() -> None:
    async def meet() -> int:
        locks = UploadLocks(wait_seconds=0.05, drain_seconds=0.01)
        async with locks.acquire("upload"):  # landing, say: it reads nothing that could be broken off
            try:
                async with locks.acquire("upload"):
                    return 200
            except TusError as error:
                return error.status

    assert asyncio.run(meet()) == 423


def test_a_holder_that_waits_for_bytes_is_broken_off_for_the_newcomer() -> None:
    async def meet() -> bool:
        locks, reading = UploadLocks(wait_seconds=5, drain_seconds=0.01), asyncio.Event()

        async def hold() -> None:
            async with locks.acquire("upload") as lock, lock.reading():
                reading.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold())
        await reading.wait()
        async with locks.acquire("upload"):
            with pytest.raises(TusError, match="aborted"):
                await holder
            return True

    assert asyncio.run(meet())


@pytest.fixture
def admin(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"apikey": stack.secret_key, "Tus-Resumable": "1.0.0"}
    with httpx.Client(
        base_url=f"{stack.supabase_url}/storage/v1", headers=headers, timeout=30, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def created(stack: Stack, admin: httpx.Client) -> httpx.Response:
    """The answer to the POST that begins an upload of ten bytes."""
    bucket = f"resumable-{uuid.uuid4().hex[:8]}"
    stack.create_bucket(bucket, {})
    metadata = encoded({"bucketName": bucket, "objectName": "a.bin"})
    return admin.post("/upload/resumable", headers={"Upload-Length": "10", "Upload-Metadata": metadata})


@pytest.fixture
def upload(created: httpx.Response) -> str:
    """The URL of an upload of ten bytes that has begun."""
    return str(created.headers["location"])


def test_an_unfinished_upload_says_that_it_expires_in_a_day(admin: httpx.Client, created: httpx.Response) -> None:
    part = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answers = [created, admin.patch(created.headers["location"], headers=part, content=b"01234")]

    assert [answer.status_code for answer in answers] == [201, 204]
    for answer in answers:
        expires = answer.headers["upload-expires"]
        assert expires.endswith(" GMT")  # as RFC 9110, section 5.6.7, and TUS's expiration demand
        assert parsedate_to_datetime(expires).timestamp() == pytest.approx(time.time() + DAY, abs=60)


def test_a_client_that_cannot_patch_says_so_in_a_header(admin: httpx.Client, upload: str) -> None:
    part = {
        "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream", "X-HTTP-Method-Override": "PATCH",
    }  # fmt: skip
    answer = admin.post(upload, headers=part, content=b"01234")

    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "5")


def test_a_gateway_that_starts_sweeps_first(stack: Stack, admin: httpx.Client, upload: str) -> None:
    directory = stack.storage_dir / ".resumable"
    note = max(directory.glob("*.json"), key=lambda path: path.stat().st_mtime)
    note.write_text(json.dumps({**json.loads(note.read_text()), "created_at": 0}))
    assert admin.head(upload).status_code == 410

    stack.children["gateway"].restart()

    assert not note.exists()
    assert not note.with_suffix(".part").exists()
    assert admin.head(upload).status_code == 404
