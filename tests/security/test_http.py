"""The service withstands hostile HTTP clients."""

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from devstack.ports import Ports
from tests.callers import Caller, Project, assert_rejected, error_of
from tests.polling import until
from tests.processes import Service

SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def raw(project: Project, request: bytes, seconds: float = 10) -> bytes:
    """Sends raw bytes and returns what the server sends until it closes the connection or pauses."""
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
            pass  # the server paused or closed the connection
        return received


@pytest.mark.parametrize("field", ["filename", "content_type"])
@pytest.mark.parametrize("evil", ["a\r\nSet-Cookie: x=1", "a\nX: y", "a\r\n\r\n<html>", "a\u2028b\r", "a\x1b[31m"])
def test_no_field_can_inject_a_response_header(owner: Caller, field: str, evil: str) -> None:
    value = f"audio/{evil}" if field == "content_type" else evil
    response = owner.http.post("/assets/upload-url", json={"type": "audio", field: value})

    assert_rejected(response, 422, "validation_error")
    assert "set-cookie" not in response.headers
    assert "x" not in response.headers


@pytest.mark.parametrize("request_id", ["a\tb", "<script>", "x" * 5000, "é", "a b", '"', "token=eyJhbGciOi"])
def test_a_request_id_is_echoed_only_when_it_is_harmless(project: Project, request_id: str) -> None:
    response = httpx.get(f"{project.api_url}/healthz", headers={b"X-Request-Id": request_id.encode("latin-1")})

    echoed = response.headers["x-request-id"]
    assert echoed == request_id or (len(echoed) == 32 and echoed.isalnum())
    assert not set(echoed) & set('<>"\t \r\n')


def test_a_request_with_an_ambiguous_length_smuggles_no_second_request(project: Project) -> None:
    """Two lengths, a length with chunks, unknown transfer codings, invalid lengths."""
    host = urlsplit(project.api_url).netloc.encode()
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
            b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: " + host + b"\r\n" + head + b"\r\n0\r\n\r\n" + SMUGGLED
        )
        received = raw(project, request)
        # A 200 would be the response to the request that the body smuggles.
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
def test_malformed_chunks_and_bare_line_feeds_smuggle_no_second_request(project: Project, head_and_body: bytes) -> None:
    host = urlsplit(project.api_url).netloc.encode()
    request = b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: " + host + b"\r\n" + head_and_body + SMUGGLED

    received = raw(project, request)

    assert b"HTTP/1.1 200" not in received, received[:300]


def test_the_size_and_number_of_request_headers_are_limited(project: Project) -> None:
    host = urlsplit(project.api_url).netloc.encode()
    for extra in (b"X: " + b"a" * 200_000 + b"\r\n", b"".join(b"X%d: y\r\n" % n for n in range(20_000))):
        received = raw(project, b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n" + extra + b"\r\n")
        assert b"HTTP/1.1 200" not in received
    assert httpx.get(f"{project.api_url}/healthz").status_code == 200


def test_slow_clients_do_not_block_others_and_are_disconnected(project: Project, service: Service) -> None:
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

        def all_disconnected() -> bool:
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

        until(all_disconnected, "the slow clients to be disconnected", 40)
    finally:
        for connection in slow:
            connection.close()


def test_responses_carry_security_headers(owner: Caller, project: Project) -> None:
    for response in (
        owner.http.get("/assets"),
        httpx.get(f"{project.api_url}/api/v1/nothing"),
        owner.http.get("/assets/x"),
    ):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "server" not in response.headers


def test_no_path_redirects_to_another_site(project: Project) -> None:
    for path in (
        "//evil.example",
        "/%2f%2fevil.example",
        "/api/v1/assets//evil.example/",
        "/\\evil.example",
        "/?next=//evil",
    ):
        response = httpx.get(project.api_url + path, follow_redirects=False)
        assert not 300 <= response.status_code < 400, path


@pytest.fixture
def strict_service(service_environment: dict[str, str]) -> Iterator[Service]:
    """A service that allows two origins."""
    origins = {"ASSETDOCK_CORS_ORIGINS": "https://app.example.com, https://other.example.com"}
    running = Service({**service_environment, **origins}, Ports.free().gateway)
    yield running
    running.stop()


def test_only_allowed_origins_can_read_responses(strict_service: Service) -> None:
    def allowed(origin: str) -> str | None:
        response = httpx.get(f"{strict_service.url}/healthz", headers={"Origin": origin})
        origin_allowed: str | None = response.headers.get("access-control-allow-origin")
        return origin_allowed

    assert allowed("https://app.example.com") == "https://app.example.com"
    for origin in ("https://evil.example", "https://app.example.com.evil.example", "null", "http://app.example.com"):
        assert allowed(origin) is None


def test_cross_origin_requests_cannot_use_cookies(project: Project) -> None:
    response = httpx.get(f"{project.api_url}/healthz", headers={"Origin": "https://app.example.com"})

    assert "access-control-allow-credentials" not in response.headers


def test_errors_reveal_no_internals(owner: Caller) -> None:
    for response in (
        owner.http.get("/assets", params={"cursor": "A" * 32}),
        owner.http.get("/assets/" + "a" * 3000),
        owner.http.post("/assets/upload-url", json={"type": {"$ne": 1}}),
    ):
        text = str(error_of(response))
        for leak in ("Traceback", "psycopg", "PGRST", "select ", "postgres", "127.0.0.1", 'File "'):
            assert leak not in text
