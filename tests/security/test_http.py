"""What a hostile HTTP client tries on the service itself."""

import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.callers import Caller, Project, error_of, refused
from tests.polling import until
from tests.processes import Service

SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def raw(project: Project, request: bytes, seconds: float = 10) -> bytes:
    """Bytes as they are, and what comes back until the server closes or falls silent."""
    address = urlsplit(project.api_url)
    assert address.hostname
    with socket.create_connection((address.hostname, address.port or 80), timeout=seconds) as connection:
        received = b""
        try:
            connection.sendall(request)
            while chunk := connection.recv(65536):
                received += chunk
                if b"\r\n\r\n" in received and received.count(b"HTTP/1.1") >= 1 and len(chunk) < 65536:
                    connection.settimeout(0.5)
        except (TimeoutError, ConnectionError):
            pass  # fallen silent, or hung up on us
        return received


@pytest.mark.parametrize("field", ["filename", "content_type"])
@pytest.mark.parametrize("evil", ["a\r\nSet-Cookie: x=1", "a\nX: y", "a\r\n\r\n<html>", "a\u2028b\r", "a\x1b[31m"])
def test_no_header_can_be_injected_through_a_field(owner: Caller, field: str, evil: str) -> None:
    value = f"audio/{evil}" if field == "content_type" else evil
    answer = owner.http.post("/assets/upload-url", json={"type": "audio", field: value})

    refused(answer, 422, "validation_error")
    assert "set-cookie" not in answer.headers
    assert "x" not in answer.headers


@pytest.mark.parametrize("request_id", ["a\tb", "<script>", "x" * 5000, "é", "a b", '"', "token=eyJhbGciOi"])
def test_a_request_id_is_echoed_only_when_it_is_harmless(project: Project, request_id: str) -> None:
    answer = httpx.get(f"{project.api_url}/healthz", headers={b"X-Request-Id": request_id.encode("latin-1")})

    echoed = answer.headers["x-request-id"]
    assert echoed == request_id or (len(echoed) == 32 and echoed.isalnum())
    assert not set(echoed) & set('<>"\t \r\n')


def test_ambiguous_framing_is_refused_or_closes_the_connection(project: Project) -> None:
    """The basics of request smuggling: two lengths, a length and chunks, lengths that are none."""
    host = urlsplit(project.api_url).netloc.encode()
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for head in (
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length : 5\r\n",
    ):
        request = (
            b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: " + host + b"\r\n" + head + b"\r\n0\r\n\r\n" + smuggled
        )
        received = raw(project, request)
        # Whatever was made of it: the bytes of the body were never answered as a request of their own with 200.
        assert received.count(b"HTTP/1.1 200") == 0, (head, received[:300])


@pytest.mark.parametrize(
    "head_and_body",
    [
        *(b"Transfer-Encoding: chunked\r\n\r\n" + chunk
          for chunk in (b"zz\r\n", b"5;\nabcde\r\n0\r\n\r\n", b"-1\r\n\r\n", b"0x0\r\n\r\n", b"f" * 18 + b"\r\n")),
        b"X: y\nContent-Length: 40\r\nContent-Length: 0\r\n\r\n",
        b"X: y\rContent-Length: 40\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 0\nTransfer-Encoding: chunked\n\n",
    ],
)  # fmt: skip
def test_malformed_chunks_and_bare_line_feeds_smuggle_nothing(project: Project, head_and_body: bytes) -> None:
    host = urlsplit(project.api_url).netloc.encode()
    request = b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: " + host + b"\r\n" + head_and_body + SMUGGLED

    received = raw(project, request)

    assert b"HTTP/1.1 200" not in received, received[:300]


def test_headers_are_bounded(project: Project) -> None:
    host = urlsplit(project.api_url).netloc.encode()
    for extra in (b"X: " + b"a" * 200_000 + b"\r\n", b"".join(b"X%d: y\r\n" % n for n in range(20_000))):
        received = raw(project, b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n" + extra + b"\r\n")
        assert b"HTTP/1.1 200" not in received
    assert httpx.get(f"{project.api_url}/healthz").status_code == 200


def test_slow_clients_do_not_keep_others_out_and_are_let_go(project: Project, service: Service) -> None:
    address = urlsplit(project.api_url)
    assert address.hostname
    slow = []
    try:
        for _ in range(200):
            connection = socket.create_connection((address.hostname, address.port or 80), timeout=5)
            connection.sendall(b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            slow.append(connection)
        started = time.monotonic()
        assert httpx.get(f"{project.api_url}/healthz").status_code == 200
        assert time.monotonic() - started < 5

        def let_go() -> bool:
            closed = 0
            for connection in slow:
                connection.setblocking(False)
                try:
                    closed += connection.recv(1024) == b"" or True
                except BlockingIOError:
                    pass
                except OSError:
                    closed += 1
            return closed == len(slow)

        until(let_go, "the slow clients to be let go", 40)
    finally:
        for connection in slow:
            connection.close()


def test_answers_carry_headers_that_keep_browsers_from_guessing(owner: Caller, project: Project) -> None:
    for answer in (
        owner.http.get("/assets"),
        httpx.get(f"{project.api_url}/api/v1/nothing"),
        owner.http.get("/assets/x"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers


def test_there_is_no_open_redirect(project: Project) -> None:
    for path in (
        "//evil.example",
        "/%2f%2fevil.example",
        "/api/v1/assets//evil.example/",
        "/\\evil.example",
        "/?next=//evil",
    ):
        answer = httpx.get(project.api_url + path, follow_redirects=False)
        assert not 300 <= answer.status_code < 400, path


@pytest.fixture
def strict_service(service_environment: dict[str, str]) -> Any:
    from devstack.ports import Ports  # noqa: PLC0415

    origins = {"ASSETDOCK_CORS_ORIGINS": "https://app.example.com, https://other.example.com"}
    running = Service({**service_environment, **origins}, Ports.free().gateway)
    yield running
    running.stop()


def test_only_allowed_origins_may_read_answers(strict_service: Service) -> None:
    def allowed(origin: str) -> Any:
        answer = httpx.get(f"{strict_service.url}/healthz", headers={"Origin": origin})
        return answer.headers.get("access-control-allow-origin")

    assert allowed("https://app.example.com") == "https://app.example.com"
    for origin in ("https://evil.example", "https://app.example.com.evil.example", "null", "http://app.example.com"):
        assert allowed(origin) is None


def test_no_credential_is_ever_allowed_through_cookies(project: Project) -> None:
    answer = httpx.get(f"{project.api_url}/healthz", headers={"Origin": "https://app.example.com"})

    assert "access-control-allow-credentials" not in answer.headers


def test_an_error_inside_shows_nothing_of_the_inside(owner: Caller) -> None:
    for answer in (
        owner.http.get("/assets", params={"cursor": "A" * 32}),
        owner.http.get("/assets/" + "a" * 3000),
        owner.http.post("/assets/upload-url", json={"type": {"$ne": 1}}),
    ):
        text = str(error_of(answer))
        for leak in ("Traceback", "psycopg", "PGRST", "select ", "postgres", "127.0.0.1", 'File "'):
            assert leak not in text
