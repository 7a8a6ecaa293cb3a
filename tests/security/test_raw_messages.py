"""Bytes of a request that are neither its head nor its body: each message has a limit, and fields after the head are
ignored."""

import socket
import subprocess
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from tests.attacks import Record
from tests.callers import Caller, Project
from tests.processes import PROJECT
from tests.security.endless_trailers import CONNECTIONS

MOST_SENT = 8 * 1024 * 1024  # bytes a connection may send before the test gives up on the server closing it
CHUNKED = b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
KIB = b"a" * 1024

ENDLESS = {
    "a trailer's value": (CHUNKED + b"0\r\nX: ", KIB),
    "a trailer's name": (CHUNKED + b"0\r\n", KIB),
    "many trailers": (CHUNKED + b"0\r\n", b"X-Trailer: a\r\n" * 64),
    "a chunk extension": (CHUNKED + b"1;x=", KIB),
    "one-byte chunks with extensions": (CHUNKED, b"1;" + b"x" * 600 + b"\r\na\r\n"),
    "blank lines before a request": (b"", b"\r\n" * 512),
    "blank lines after a request": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n" * 512),
    "a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", KIB),
    "a URL": (b"GET /", KIB),
    "a body after 413": (
        b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n",
        KIB * 16,
    ),
    "a chunked body after 401": (CHUNKED, b"4000\r\n" + KIB * 16 + b"\r\n"),
}


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 80)), timeout=240)


def bytes_taken(url: str, start: bytes, piece: bytes) -> int:
    """How many bytes the server reads of an endless message before it closes the connection; at most MOST_SENT."""
    sent = 0
    with connect(url) as connection, suppress(ConnectionError):
        connection.sendall(start)
        while sent < MOST_SENT:
            connection.sendall(piece)
            sent += len(piece)
    return sent


@pytest.mark.parametrize("message", ENDLESS.values(), ids=ENDLESS)
def test_closes_a_connection_whose_message_never_ends(project: Project, message: tuple[bytes, bytes]) -> None:
    assert bytes_taken(project.api_url, *message) < MOST_SENT


def healthz_p99(client: httpx.Client) -> float:
    """Seconds, over 300 requests one after the other."""
    seconds = []
    for _ in range(300):
        started = time.perf_counter()
        assert client.get("/healthz").status_code == 200
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[int(len(seconds) * 0.99)]


def test_answers_others_while_ten_connections_send_endless_trailers(project: Project, attack: Record) -> None:
    parts = urlsplit(project.api_url)
    command = [sys.executable, "-m", "tests.security.endless_trailers", str(parts.hostname), str(parts.port)]
    with httpx.Client(base_url=project.api_url, timeout=240) as client:
        before = healthz_p99(client)
        with subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as attackers:
            assert attackers.stdout is not None
            assert attackers.stdout.readline() == "started\n"
            during = healthz_p99(client)
            sent_by_each, _ = attackers.communicate(timeout=240)
        after = healthz_p99(client)

    attack(
        f"1 {CONNECTIONS} endless trailers: p99 of /healthz",
        before="10 s",
        now=f"{during * 1000:.0f} ms ({before * 1000:.0f} ms without them)",
        bound="250 ms",
    )
    assert int(sent_by_each) > 0
    # 250 ms, or what a machine with other load allows. An unbounded trailer makes it seconds.
    assert during < max(0.25, 3 * max(before, after))


def status_of(project: Project, message: bytes) -> int:
    """The status of the response to a raw message; the connection is closed afterwards."""
    with connect(project.api_url) as connection:
        connection.sendall(message)
        return int(connection.makefile("rb").readline().split()[1])


REJECTED = {
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "another coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("message", REJECTED.values(), ids=REJECTED)
def test_rejects_an_ambiguous_message(project: Project, message: bytes) -> None:
    assert status_of(project, message) == 400


def test_accepts_http_1_0_without_host(project: Project) -> None:
    assert status_of(project, b"GET /healthz HTTP/1.0\r\n\r\n") == 200


def test_takes_no_header_from_a_trailer(owner: Caller) -> None:
    credential = owner.http.headers["Authorization"].encode()
    message = (
        b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b'Transfer-Encoding: chunked\r\n\r\n11\r\n{"type": "audio"}\r\n0\r\nAuthorization: '
        + credential
        + b"\r\nX-Request-Id: from-a-trailer\r\n\r\n"
    )
    with connect(owner.project.api_url) as connection:
        connection.sendall(message)
        response = connection.makefile("rb").read()

    assert response.split()[1] == b"401"
    assert b"from-a-trailer" not in response
