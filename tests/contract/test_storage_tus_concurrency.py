"""Concurrent requests to one resumable upload."""

import threading
from collections.abc import Iterator

import httpx

from tests.contract.target import Caller
from tests.contract.tus import Tus, by_token, stored
from tests.polling import until


def test_second_writer_waits_and_gets_an_offset_conflict(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    under_way, released = threading.Event(), threading.Event()
    statuses: list[int] = []

    def slowly() -> Iterator[bytes]:
        yield b"01234"
        under_way.set()
        assert released.wait(15)

    thread = threading.Thread(target=lambda: statuses.append(tus.patch(url, 0, slowly()).status_code))
    thread.start()
    assert under_way.wait(15)
    threading.Timer(0.5, released.set).start()
    second = tus.patch(url, 0, b"abcde")
    thread.join(15)

    assert second.status_code in (409, 423)
    assert statuses == [204]
    assert tus.head(url).headers["upload-offset"] == "5"


def test_new_request_aborts_a_hanging_one(owner: Caller, bucket: str, admin: Caller) -> None:
    tus = by_token(owner, bucket, "a.bin")
    url = tus.begin(bucket, "a.bin", 10)
    under_way, over = threading.Event(), threading.Event()
    outcome: list[object] = []

    def hanging() -> Iterator[bytes]:
        yield b"01234"
        under_way.set()
        assert over.wait(15)

    def hang() -> None:
        try:
            outcome.append(tus.patch(url, 0, hanging()).status_code)
        except httpx.TransportError as error:
            outcome.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    assert under_way.wait(15)
    until(lambda: tus.head(url).headers["upload-offset"] == "5", "the first bytes to be stored")
    resumed = tus.patch(url, 5, b"56789")
    over.set()
    thread.join(15)

    assert resumed.status_code == 204
    # An early 204, which a client that is still sending may not see.
    assert outcome == [204] or isinstance(outcome[0], httpx.TransportError)
    assert stored(admin, bucket) == b"0123456789"
