"""Reservations uploaded in chunks by the unmodified tus-js-client, with interruptions and rejections."""

import itertools
import socket
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from devstack.stack import Stack
from tests.callers import Caller, Json
from tests.contract.tus import encode_metadata
from tests.polling import until
from tests.processes import WorkerProcess
from tests.tus.browser import Tab

MIB = 1024 * 1024
BYTES = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
Open = Callable[..., Tab]


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV file of 20 MB: four chunks."""
    file = tmp_path_factory.mktemp("media") / "recording.wav"
    with wave.open(str(file), "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(48_000)
        writer.writeframes(bytes(20_000_000))
    return file


@pytest.fixture
def open_tab() -> Iterator[Open]:
    with ExitStack() as tabs:

        def make(*given: Any, **options: Any) -> Tab:
            tab = Tab(*given, **options)
            tabs.callback(tab.close)
            return tab

        yield make


def head(reservation: Json, url: str) -> httpx.Response:
    signature = reservation["upload"]["resumable"]["headers"]
    return httpx.head(url, headers={**signature, "Tus-Resumable": "1.0.0"}, timeout=240)


def patch(reservation: Json, url: str, offset: int, content: Any) -> httpx.Response:
    headers = {**reservation["upload"]["resumable"]["headers"], **BYTES, "Upload-Offset": str(offset)}
    return httpx.patch(url, headers=headers, content=content, timeout=240)


def part_files(stack: Stack) -> list[Path]:
    """The files of unfinished uploads."""
    return list((stack.storage_dir / ".resumable").glob("*.part"))


def test_upload_in_chunks_of_6_mib_becomes_a_ready_asset(
    owner: Caller, worker: WorkerProcess, recording: Path, open_tab: Open
) -> None:
    reservation = owner.reserve(size_bytes=recording.stat().st_size)
    tab = open_tab(recording, reservation)

    assert "done" in tab.end()
    parts = [line["progress"] for line in tab.lines if "progress" in line]
    assert parts == [6 * MIB, 12 * MIB, 18 * MIB, recording.stat().st_size]
    asset = owner.wait_until_finished(reservation["asset"]["id"])
    assert (asset["state"], asset["size_bytes"]) == ("ready", recording.stat().st_size)
    assert asset["content_type"] == "audio/wav"


def test_reservation_of_an_api_key_is_uploaded_in_chunks(key_holder: Caller, recording: Path, open_tab: Open) -> None:
    reservation = key_holder.reserve()

    assert "done" in open_tab(recording, reservation).end()
    assert key_holder.asset(reservation["asset"]["id"])["state"] != "pending_upload"


def test_reopened_tab_resumes_at_the_offset(owner: Caller, recording: Path, open_tab: Open) -> None:
    reservation = owner.reserve()
    closed = open_tab(recording, reservation, abortAfter=1)
    assert closed.end() == {"aborted": 6 * MIB}
    assert owner.asset(reservation["asset"]["id"])["state"] == "pending_upload"

    resumed = open_tab(recording, reservation, uploadUrl=closed.url)

    assert "done" in resumed.end()
    assert next(line["progress"] for line in resumed.lines if "progress" in line) == 12 * MIB
    assert owner.asset(reservation["asset"]["id"])["state"] != "pending_upload"


def test_bytes_received_before_a_lost_connection_are_kept(
    owner: Caller, stack: Stack, recording: Path, open_tab: Open
) -> None:
    reservation = owner.reserve()
    first = open_tab(recording, reservation, abortAfter=1)
    first.end()
    part = recording.read_bytes()[6 * MIB : 12 * MIB]
    signature = reservation["upload"]["resumable"]["headers"]["x-signature"]
    path = httpx.URL(first.url).path
    lines = {**BYTES, "x-signature": signature, "Upload-Offset": str(6 * MIB), "Content-Length": str(len(part))}
    with socket.create_connection(("127.0.0.1", stack.ports.gateway)) as connection:
        request = f"PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1:{stack.ports.gateway}\r\n"
        connection.sendall((request + "".join(f"{name}: {value}\r\n" for name, value in lines.items())).encode())
        connection.sendall(b"\r\n" + part[:MIB])  # then the connection is lost
    until(lambda: head(reservation, first.url).headers["upload-offset"] == str(7 * MIB), "the sent bytes to be stored")

    assert "done" in open_tab(recording, reservation, uploadUrl=first.url).end()
    assert owner.asset(reservation["asset"]["id"])["state"] != "pending_upload"


def test_offset_survives_a_killed_gateway(owner: Caller, stack: Stack, recording: Path, open_tab: Open) -> None:
    reservation = owner.reserve()
    tab = open_tab(recording, reservation, retryDelays=[200] * 30)
    tab.until("progress")
    gateway = stack.children["gateway"]
    gateway.kill()
    gateway.restart()

    assert "done" in tab.end()
    assert head(reservation, tab.url).headers["upload-offset"] == str(recording.stat().st_size)
    assert owner.asset(reservation["asset"]["id"])["size_bytes"] == recording.stat().st_size


def test_head_writes_the_row_after_the_gateway_was_killed_before_it(
    owner: Caller, stack: Stack, database: psycopg.Connection[Any], recording: Path, open_tab: Open
) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]
    tab = open_tab(recording, reservation, abortAfter=18 * MIB)
    tab.end()
    gateway = stack.children["gateway"]
    with psycopg.connect(stack.db_url) as locking:
        locking.execute("select from assetdock_app.assets where id = %s for update", [asset_id])
        responses: list[Any] = []

        def send_last_chunk() -> None:
            try:
                responses.append(patch(reservation, tab.url, 18 * MIB, recording.read_bytes()[18 * MIB :]))
            except httpx.TransportError as error:
                responses.append(error)

        thread = threading.Thread(target=send_last_chunk)
        thread.start()
        until(
            lambda: database.execute("select from pg_locks where not granted").fetchone() is not None,
            "the insert of the row to wait",
        )
        gateway.kill()
        thread.join(30)
    gateway.restart()
    assert isinstance(responses[0], httpx.TransportError)

    response = head(reservation, tab.url)

    assert (response.status_code, response.headers["upload-offset"]) == (200, str(recording.stat().st_size))
    assert owner.asset(asset_id)["state"] != "pending_upload"


def test_two_tabs_with_one_upload_send_the_bytes_once(owner: Caller, recording: Path, open_tab: Open) -> None:
    reservation = owner.reserve()
    started = open_tab(recording, reservation, abortAfter=1)
    started.end()

    tabs = [open_tab(recording, reservation, uploadUrl=started.url, retryDelays=[100] * 20) for _ in range(2)]
    results = [tab.end() for tab in tabs]

    assert any("done" in end for end in results), results
    asset = owner.asset(reservation["asset"]["id"])
    assert (asset["state"] != "pending_upload", asset["size_bytes"]) == (True, recording.stat().st_size)


def test_chunk_at_a_wrong_offset_is_a_conflict(owner: Caller, recording: Path, open_tab: Open) -> None:
    reservation = owner.reserve()
    tab = open_tab(recording, reservation, abortAfter=1)
    tab.end()

    assert patch(reservation, tab.url, 0, b"again").status_code == 409
    assert head(reservation, tab.url).headers["upload-offset"] == str(6 * MIB)


def test_rejects_a_size_other_than_reserved_and_deletes_the_bytes(
    owner: Caller, stack: Stack, recording: Path, open_tab: Open
) -> None:
    reservation = owner.reserve(size_bytes=recording.stat().st_size - 1)
    before = part_files(stack)
    tab = open_tab(recording, reservation)
    ended = tab.end()

    assert ended["failed"] == 403
    assert "Send the file that was reserved" in ended["message"]
    assert owner.asset(reservation["asset"]["id"])["state"] == "pending_upload"
    assert part_files(stack) == before
    assert head(reservation, tab.url).status_code == 410


def test_rejects_a_type_other_than_reserved_with_a_reason(owner: Caller, recording: Path, open_tab: Open) -> None:
    reservation = owner.reserve(content_type="audio/mpeg")
    for content_type in ("audio/wav", ""):
        ended = open_tab(recording, reservation, metadata={"contentType": content_type}).end()

        assert ended["failed"] == 403
        assert "reserved as audio/mpeg" in ended["message"]
    assert owner.asset(reservation["asset"]["id"])["state"] == "pending_upload"


def test_rejects_a_second_upload_with_the_same_token(
    owner: Caller, recording: Path, open_tab: Open, database: psycopg.Connection[Any]
) -> None:
    reservation = owner.reserve()
    assert "done" in open_tab(recording, reservation).end()
    version = "select version from storage.objects where name = %s"
    before = database.execute(version, [reservation["asset"]["id"]]).fetchone()

    again = open_tab(recording, reservation).end()

    assert again["failed"] == 403
    assert "already has its bytes" in again["message"]
    assert database.execute(version, [reservation["asset"]["id"]]).fetchone() == before


def test_terminated_upload_leaves_no_bytes_and_an_open_reservation(
    owner: Caller, stack: Stack, recording: Path, open_tab: Open
) -> None:
    reservation = owner.reserve()
    before = part_files(stack)
    terminated = open_tab(recording, reservation, abortAfter=1, terminate=True)
    assert "aborted" in terminated.end()

    assert part_files(stack) == before
    assert head(reservation, terminated.url).status_code == 404
    assert "done" in open_tab(recording, reservation).end()


def peak_memory(pid: int) -> int:
    """The peak resident memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def test_memory_of_the_gateway_does_not_grow_with_the_upload(owner: Caller, stack: Stack) -> None:
    size = 300 * MIB
    reservation = owner.reserve(size_bytes=size)
    target = reservation["upload"]["resumable"]
    created = httpx.post(
        target["url"],
        headers={
            **target["headers"],
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(size),
            "Upload-Metadata": encode_metadata(target["metadata"]),
        },
    )
    gateway = stack.children["gateway"].pid
    before = peak_memory(gateway)
    response = patch(reservation, created.headers["location"], 0, itertools.repeat(bytes(MIB), size // MIB))

    assert (response.status_code, response.headers["upload-offset"]) == (204, str(size))
    assert peak_memory(gateway) - before < 60 * MIB
