"""One attempt, against receivers that answer well, badly or not at all."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from assetdock_server.webhooks.sending import EXCERPT, Attempt, excerpt, send
from tests.receiver import Answer, Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def attempt(url: str, seconds: float = 10) -> Attempt:
    return asyncio.run(send(url, b'{"a":1}', {"webhook-id": "x"}, loopback=True, seconds=seconds))


def test_the_body_arrives_byte_for_byte_at_the_path_and_host_of_the_url(receiver: Receiver) -> None:
    done = attempt(f"http://localhost:{receiver.port}/a%2Fb?c=%20d")

    assert (done.status, done.error) == (204, None)
    [request] = receiver.received
    assert request.path == "/a%2Fb?c=%20d"
    assert request.body == b'{"a":1}'
    assert request.headers["host"] == f"localhost:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "x"
    assert "authorization" not in request.headers


def test_a_proxy_in_the_environment_is_not_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_endless_answer_is_cut_off_and_only_a_line_of_it_is_kept(receiver: Receiver) -> None:
    size = 10_000_000
    receiver.answer = Answer(500, body=b"<h1>no\n\x1b[31m\0" + b"x" * size)
    started = time.monotonic()

    done = attempt(receiver.url)

    assert time.monotonic() - started < 5
    assert done.error is not None
    assert done.error.startswith("Answered 500. <h1>no [31m xxx")
    assert len(done.error) < EXCERPT + 20
    assert receiver.sent < size / 2


def test_the_body_of_an_answer_that_accepts_is_not_waited_for(receiver: Receiver) -> None:
    receiver.answer = Answer(200, {"Content-Length": "1000"}, b"slow")

    done = attempt(receiver.url, seconds=3)

    assert (done.status, done.error) == (200, None)


def test_a_receiver_that_hangs_is_a_timeout(receiver: Receiver) -> None:
    receiver.hold = True

    done = attempt(receiver.url, seconds=0.5)

    assert (done.status, done.error) == (None, "No answer within 0.5 seconds.")
    assert 400 < done.duration_ms < 5000


def test_a_port_where_nobody_listens_is_said_to_be_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        done = attempt(f"http://127.0.0.1:{unused.getsockname()[1]}/")

    assert (done.status, done.error) == (None, "The connection could not be opened.")


def test_plain_http_where_tls_was_expected_is_said_to_be_so(receiver: Receiver) -> None:
    done = attempt(f"https://127.0.0.1:{receiver.port}/")

    assert (done.status, done.error) == (None, "TLS could not be agreed on.")


def test_a_name_that_leads_nowhere_is_said_to_be_so() -> None:
    done = attempt("https://nowhere.invalid/")

    assert (done.status, done.error) == (None, "The host name can't be resolved.")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", ""),
        (b"  a\r\n\tb \x00", "a b"),
        (b"\xff\xfeplain", "plain"),
        ("ü".encode() * 200, "ü" * (EXCERPT - 1) + "…"),
        ("\u202eevil".encode(), "evil"),
    ],
)
def test_an_excerpt_is_one_short_printable_line(data: bytes, shown: str) -> None:
    assert excerpt(data) == shown
