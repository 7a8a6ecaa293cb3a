"""One attempt to deliver a webhook, to receivers that respond well, badly or not at all."""

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
    """The authority of the certificate of `tls_receiver`."""
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
    """A name server that knows one host."""

    def look_up(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    return look_up


def test_sends_the_exact_body_to_the_path_and_host_of_the_url(receiver: Receiver) -> None:
    done = attempt(f"http://localhost:{receiver.port}/a%2Fb?c=%20d")

    assert (done.status, done.error) == (204, None)
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
    done = attempt(f"http://{host}:{receiver.port}/", look_up=resolving_to("127.0.0.1"))

    assert (done.status, done.error) == (204, None)
    assert len(receiver.received) == 1


def test_tries_the_next_address_if_the_first_refuses_the_connection(receiver: Receiver) -> None:
    done = attempt(f"http://receiver.invalid:{receiver.port}/", look_up=resolving_to("127.0.0.2", "127.0.0.1"))

    assert (done.status, done.error) == (204, None)


def test_tries_both_address_families(receiver: Receiver) -> None:
    addresses = "::1", "::ffff:127.0.0.2", "127.0.0.1"

    done = attempt(f"http://receiver.invalid:{receiver.port}/", look_up=resolving_to(*addresses))

    assert (done.status, done.error) == (204, None)


def test_does_not_send_again_after_the_connection_broke(receiver: Receiver) -> None:
    receiver.answer = Answer(-1)  # no status line that a client can read

    done = attempt(f"http://receiver.invalid:{receiver.port}/", look_up=resolving_to("127.0.0.1", "127.0.0.3"))

    assert (done.status, done.error) == (None, "The response is not HTTP.")
    assert len(receiver.received) == 1


def test_uses_no_proxy_of_the_environment(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert attempt(receiver.url).status == 204


def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver) -> None:
    with receiving() as inner:
        receiver.answer = Answer(307, {"Location": inner.url})

        done = attempt(receiver.url)

        assert done.status == 307
        assert done.error is not None
        assert "not followed" in done.error
        assert inner.received == []


def test_an_endless_response_is_not_read_beyond_the_excerpt(receiver: Receiver) -> None:
    size = 10_000_000
    receiver.answer = Answer(500, body=b"<h1>no\n\x1b[31m\0" + b"x" * size)
    started = time.monotonic()

    done = attempt(receiver.url)

    assert time.monotonic() - started < 5
    assert done.error is not None
    assert done.error.startswith("Responded with 500. <h1>no [31m xxx")
    assert len(done.error) < EXCERPT_LENGTH + 30
    assert receiver.sent < size / 2


def test_a_compressed_response_is_not_decompressed(receiver: Receiver) -> None:
    receiver.answer = Answer(500, {"Content-Encoding": "gzip"}, b"not gzip")

    assert attempt(receiver.url).error == "Responded with 500. not gzip"


def test_the_body_of_an_accepting_response_is_not_awaited(receiver: Receiver) -> None:
    receiver.answer = Answer(200, {"Content-Length": "1000"}, b"slow")

    done = attempt(receiver.url, seconds=3)

    assert (done.status, done.error) == (200, None)


def test_the_body_of_a_rejecting_response_is_awaited_for_a_second(receiver: Receiver) -> None:
    receiver.answer = Answer(500, {"Content-Length": str(MAX_READ_BYTES)}, b"slow")
    receiver.hold_after_body = True
    started = time.monotonic()

    done = attempt(receiver.url)

    assert (done.status, done.error) == (500, "Responded with 500. slow")
    assert time.monotonic() - started < 5


def test_a_silent_receiver_times_out(receiver: Receiver) -> None:
    receiver.hold = True

    done = attempt(receiver.url, seconds=0.5)

    assert (done.status, done.error) == (None, "No response within 0.5 seconds.")
    assert 400 < done.duration_ms < 5000


def test_reports_a_closed_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        done = attempt(f"http://127.0.0.1:{unused.getsockname()[1]}/")

    assert (done.status, done.error) == (None, "The connection could not be opened.")


def test_reports_plain_http_where_tls_was_expected(receiver: Receiver) -> None:
    done = attempt(f"https://127.0.0.1:{receiver.port}/")

    assert (done.status, done.error) == (None, "The TLS handshake failed.")


def test_reports_a_certificate_of_an_unknown_authority(tls_receiver: Receiver) -> None:
    done = attempt(f"https://localhost:{tls_receiver.port}/")

    assert (done.status, done.error) == (None, "The TLS certificate is not valid for this host.")
    assert tls_receiver.received == []


def test_verifies_the_certificate_for_the_name_and_not_for_the_checked_address(
    tls_receiver: Receiver, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    right = attempt(f"https://localhost:{tls_receiver.port}/", look_up=resolving_to("127.0.0.1"))
    wrong = attempt(f"https://receiver.invalid:{tls_receiver.port}/", look_up=resolving_to("127.0.0.1"))

    assert (right.status, right.error) == (204, None)
    assert (wrong.status, wrong.error) == (None, "The TLS certificate is not valid for this host.")


def test_reports_an_unknown_host() -> None:
    done = attempt("https://nowhere.invalid/")

    assert (done.status, done.error) == (None, "The host name can't be resolved.")


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://a b/", "mailto:a@example.com", "ftp://127.0.0.1/"])
def test_reports_an_invalid_url(url: str) -> None:
    done = attempt(url)

    assert done.status is None
    assert done.error in ("The URL is not valid.", "The URL has no host.")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", ""),
        (b"  a\r\n\tb \x00", "a b"),
        (b"\xff\xfeplain", "plain"),
        ("ü".encode() * 200, "ü" * (EXCERPT_LENGTH - 1) + "…"),
        ("\u202eevil".encode(), "evil"),
    ],
)
def test_an_excerpt_is_one_short_printable_line(data: bytes, shown: str) -> None:
    assert excerpt(data) == shown
