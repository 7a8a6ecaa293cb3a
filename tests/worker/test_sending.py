"""One attempt to deliver a webhook, to receivers that accept it, reject it, fail or do not respond."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assetdock_server.webhooks.sending import EXCERPT_LENGTH, MAX_READ_BYTES, Attempt, excerpt, send
from assetdock_server.webhooks.target import LookUp
from tests.certificate import localhost_certificate
from tests.receiver import Answer, Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The file of the certificate authority that signed the certificate of `tls_receiver`."""
    return localhost_certificate(tmp_path).authority


@pytest.fixture
def tls_receiver(authority: Path) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.with_name("certificate.pem"))
    with receiving(context) as running:
        yield running


def attempt(url: str, seconds: float = 10, look_up: LookUp = socket.getaddrinfo) -> Attempt:
    return asyncio.run(send(url, b'{"a":1}', {"webhook-id": "x"}, loopback=True, seconds=seconds, look_up=look_up))


def resolving_to(*addresses: str) -> LookUp:
    """A lookup that resolves every name to these addresses."""

    def look_up(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    return look_up


def test_sends_the_exact_body_to_the_path_and_host_of_the_url(receiver: Receiver) -> None:
    result = attempt(f"http://localhost:{receiver.port}/a%2Fb?c=%20d")

    assert (result.status, result.error) == (204, None)
    [request] = receiver.received
    assert request.path == "/a%2Fb?c=%20d"
    assert request.body == b'{"a":1}'
    assert request.headers["host"] == f"localhost:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["webhook-id"] == "x"
    assert "authorization" not in request.headers


@pytest.mark.parametrize("host", ["receiver.invalid", "receiver.invalid.", "ReCeiver.invalid", "empfänger.invalid"])
def test_connects_to_the_checked_address_and_resolves_the_name_only_once(receiver: Receiver, host: str) -> None:
    result = attempt(f"http://{host}:{receiver.port}/", look_up=resolving_to("127.0.0.1"))

    assert (result.status, result.error) == (204, None)
    assert len(receiver.received) == 1


def test_tries_the_next_address_if_the_first_refuses_the_connection(receiver: Receiver) -> None:
    result = attempt(f"http://receiver.invalid:{receiver.port}/", look_up=resolving_to("127.0.0.2", "127.0.0.1"))

    assert (result.status, result.error) == (204, None)


def test_tries_both_address_families(receiver: Receiver) -> None:
    addresses = "::1", "::ffff:127.0.0.2", "127.0.0.1"

    result = attempt(f"http://receiver.invalid:{receiver.port}/", look_up=resolving_to(*addresses))

    assert (result.status, result.error) == (204, None)


def test_does_not_send_again_after_the_connection_broke(receiver: Receiver) -> None:
    receiver.answer = Answer(-1)  # an invalid status line

    result = attempt(f"http://receiver.invalid:{receiver.port}/", look_up=resolving_to("127.0.0.1", "127.0.0.3"))

    assert (result.status, result.error) == (None, "The response is not HTTP.")
    assert len(receiver.received) == 1


def test_uses_no_proxy_of_the_environment(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert attempt(receiver.url).status == 204


def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver) -> None:
    with receiving() as other:
        receiver.answer = Answer(307, {"Location": other.url})

        result = attempt(receiver.url)

        assert result.status == 307
        assert result.error is not None
        assert "not followed" in result.error
        assert other.received == []


def test_an_endless_response_is_not_read_beyond_the_excerpt(receiver: Receiver) -> None:
    size = 10_000_000
    receiver.answer = Answer(500, body=b"<h1>no\n\x1b[31m\0" + b"x" * size)
    started_at = time.monotonic()

    result = attempt(receiver.url)

    assert time.monotonic() - started_at < 5
    assert result.error is not None
    assert result.error.startswith("Responded with 500. <h1>no [31m xxx")
    assert len(result.error) < EXCERPT_LENGTH + 30
    assert receiver.sent < size / 2


def test_a_compressed_response_is_not_decompressed(receiver: Receiver) -> None:
    receiver.answer = Answer(500, {"Content-Encoding": "gzip"}, b"not gzip")

    assert attempt(receiver.url).error == "Responded with 500. not gzip"


def test_does_not_wait_for_the_body_of_an_accepting_response(receiver: Receiver) -> None:
    receiver.answer = Answer(200, {"Content-Length": "1000"}, b"slow")

    result = attempt(receiver.url, seconds=3)

    assert (result.status, result.error) == (200, None)


def test_waits_one_second_for_the_body_of_a_rejecting_response(receiver: Receiver) -> None:
    receiver.answer = Answer(500, {"Content-Length": str(MAX_READ_BYTES)}, b"slow")
    receiver.hold_after_body = True
    started_at = time.monotonic()

    result = attempt(receiver.url)

    assert (result.status, result.error) == (500, "Responded with 500. slow")
    assert time.monotonic() - started_at < 5


def test_a_silent_receiver_times_out(receiver: Receiver) -> None:
    receiver.hold = True

    result = attempt(receiver.url, seconds=0.5)

    assert (result.status, result.error) == (None, "No response within 0.5 seconds.")
    assert 400 < result.duration_ms < 5000


def test_reports_a_closed_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        result = attempt(f"http://127.0.0.1:{unused.getsockname()[1]}/")

    assert (result.status, result.error) == (None, "The connection could not be opened.")


def test_reports_plain_http_where_tls_was_expected(receiver: Receiver) -> None:
    result = attempt(f"https://127.0.0.1:{receiver.port}/")

    assert (result.status, result.error) == (None, "The TLS handshake failed.")


def test_reports_a_certificate_of_an_unknown_authority(tls_receiver: Receiver) -> None:
    result = attempt(f"https://localhost:{tls_receiver.port}/")

    assert (result.status, result.error) == (None, "The TLS certificate is not valid for this host.")
    assert tls_receiver.received == []


def test_verifies_the_certificate_for_the_name_and_not_for_the_checked_address(
    tls_receiver: Receiver, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    matching = attempt(f"https://localhost:{tls_receiver.port}/", look_up=resolving_to("127.0.0.1"))
    mismatched = attempt(f"https://receiver.invalid:{tls_receiver.port}/", look_up=resolving_to("127.0.0.1"))

    assert (matching.status, matching.error) == (204, None)
    assert (mismatched.status, mismatched.error) == (None, "The TLS certificate is not valid for this host.")


def test_reports_an_unknown_host() -> None:
    result = attempt("https://nowhere.invalid/")

    assert (result.status, result.error) == (None, "The host name can't be resolved.")


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://a b/", "mailto:a@example.com", "ftp://127.0.0.1/"])
def test_reports_an_invalid_url(url: str) -> None:
    result = attempt(url)

    assert result.status is None
    assert result.error in ("The URL is not valid.", "The URL has no host.")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ""),
        (b"  a\r\n\tb \x00", "a b"),
        (b"\xff\xfeplain", "plain"),
        ("ü".encode() * 200, "ü" * (EXCERPT_LENGTH - 1) + "…"),
        ("\u202eevil".encode(), "evil"),
    ],
)
def test_an_excerpt_is_one_short_printable_line(data: bytes, expected: str) -> None:
    assert excerpt(data) == expected
