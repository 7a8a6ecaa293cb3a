"""The hot calls: what they send and take, how many there may be at once, and for how long."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import attempt
from assetdock_server.gateways.wire import BrokenError, CrowdedError, Server
from devstack.ports import Ports
from tests.certificate import localhost_certificate
from tests.polling import comes_about
from tests.service.scripted_upstream import HEADERS, SLOWLY, Upstream, answer, echoing, server, upstream

pytestmark = pytest.mark.usefixtures("either_loop")

CHUNKED = b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n'
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def test_calls_share_a_connection_and_say_what_they_must() -> None:
    answers = [answer(b'{"n":1}'), CHUNKED, answer(b"", b"204 No Content"), EARLY + answer(b"[]", b"409 Conflict")]

    async def script(served: Upstream, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            await served.request(reader)
            for byte in range(0, len(each), 5):  # however it is cut on the way
                writer.write(each[byte : byte + 5])
                await writer.drain()
                await asyncio.sleep(0)

    async def walk() -> tuple[list[tuple[int, bytes]], Upstream]:
        async with upstream(script) as served:
            ours = server(served.port)
            done = [await ours.post("rpc/f", b'{"x":"\xc3\xa9"}', HEADERS) for _ in answers]
            ours.close()
            return done, served

    done, served = asyncio.run(walk())

    assert done == [(200, b'{"n":1}'), (201, b'{"a": 1}'), (204, b""), (409, b"[]")]
    assert served.connections == 1
    assert served.requests[0] == (
        b"POST /rest/v1/rpc/f HTTP/1.1\r\nHost: localhost:%d\r\napikey: key\r\nAuthorization: Bearer token\r\n"
        b'Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"x":"\xc3\xa9"}' % served.port
    )


def test_calls_at_once_take_connections_of_their_own_and_no_more_than_there_are_places() -> None:
    async def walk() -> Upstream:
        async with upstream(SLOWLY) as served:
            ours = server(served.port, places=3)
            bodies = await asyncio.gather(*(ours.post("rpc/f", b"%d" % number, HEADERS) for number in range(9)))
            assert [body for _, body in bodies] == [b"%d" % number for number in range(9)]
            ours.close()
            return served

    assert asyncio.run(walk()).connections == 3


def test_a_call_that_finds_no_place_in_time_is_broken_off_and_takes_none() -> None:
    async def walk() -> None:
        told = asyncio.Event()
        async with upstream(echoing(told.wait)) as served:
            ours = server(served.port, places=1, connect_seconds=0.5)
            held = asyncio.create_task(ours.post("rpc/f", b"1", HEADERS))
            await comes_about(lambda: served.requests)
            with pytest.raises(CrowdedError):
                await ours.post("rpc/f", b"2", HEADERS)
            told.set()
            assert (await held)[1] == b"1"
            assert (await ours.post("rpc/f", b"3", HEADERS))[1] == b"3"
            ours.close()

    asyncio.run(walk())


@pytest.mark.parametrize(("error", "times"), [(BrokenError("x"), 2), (CrowdedError("x"), 1)])
def test_asking_again_is_for_what_broke_and_not_for_a_crowd(error: BrokenError, times: int) -> None:
    asked = 0

    async def call() -> None:
        nonlocal asked
        asked += 1
        raise error

    async def walk() -> str:
        with pytest.raises(ApiError) as refused:
            await attempt(call, server="database", operation="f", idempotent=True)
        return refused.value.code

    assert asyncio.run(walk()) == "upstream_unavailable"
    assert asked == times


async def _never(served: Upstream, _: int, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await served.request(reader)
    await reader.read()


def test_calls_are_given_up_each_in_its_own_time_also_while_others_end() -> None:
    async def walk() -> list[str]:
        given_up = []

        async def ask(ours: Server, name: str) -> None:
            with pytest.raises(TimeoutError):
                await ours.post("rpc/f", b"{}", HEADERS)
            given_up.append(name)

        async with upstream(_never) as served, asyncio.timeout(10), asyncio.TaskGroup() as calls:
            ours = server(served.port)
            for name, seconds in {"second": 0.6, "first": 0.3, "third": 0.9}.items():
                ours._seconds = seconds
                calls.create_task(ask(ours, name))
                await asyncio.sleep(0)  # its time is counted from here on
            await comes_about(lambda: len(given_up) == 2)  # by themselves
            ours.close()  # and the third has its time all the same
        return given_up

    assert asyncio.run(walk()) == ["first", "second", "third"]


def test_a_call_that_waited_for_its_place_has_no_more_time_for_it() -> None:
    async def walk() -> tuple[float, float]:
        async with upstream(SLOWLY) as served:
            ours = server(served.port, places=1, seconds=5)
            calls = [asyncio.create_task(ours.post("rpc/f", b"1", HEADERS)) for _ in range(2)]
            await asyncio.sleep(0)
            begun = asyncio.get_running_loop().time()
            await calls[0]
            await comes_about(lambda: ours._asked)  # by the other, which has the place now
            until = next(iter(ours._asked.values()))
            await calls[1]
            ours.close()
            return begun, until

    begun, until = asyncio.run(walk())

    assert until <= begun + 5


def test_a_name_is_looked_up_once_for_all_and_again_when_what_it_stood_for_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = 0
    look_up = Server._look_up

    async def counted(self: Server) -> list[Any]:
        nonlocal looked_up
        looked_up += 1
        return await look_up(self)

    monkeypatch.setattr(Server, "_look_up", counted)

    async def walk() -> None:
        async with upstream(SLOWLY) as served:
            ours = server(served.port)
            await asyncio.gather(*(ours.post("rpc/f", b"1", HEADERS) for _ in range(20)))
            ours.close()
            await ours.post("rpc/f", b"1", HEADERS)
            assert looked_up == 1
            ours.close()
        for _ in range(2):
            with pytest.raises(BrokenError):
                await ours.post("rpc/f", b"1", HEADERS)

    asyncio.run(walk())

    assert looked_up == 2


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("rpc/f", {"Authorization": "Bearer t\r\nX-Forged: yes"}),
        ("rpc/f", {"Authorization": "Bearer t\n"}),
        ("rpc/f", {"X\r\nForged": "yes"}),
        ("rpc/f", {"Authorization": "Bearer \N{SNOWMAN}"}),
        ("rpc/f HTTP/1.1\r\nX-Forged: yes", {}),
        ("rpc/f\r\n", {}),
        ("rpc/\N{SNOWMAN}", {}),
    ],
)
def test_what_would_break_the_request_is_not_sent(path: str, headers: dict[str, str]) -> None:
    async def script(*_: object) -> None:
        """Nothing comes here."""

    async def walk() -> int:
        async with upstream(script) as served:
            with pytest.raises(ValueError, match=r"request|ordinal"):
                await server(served.port).post(path, b"{}", headers)
            return served.connections

    assert asyncio.run(walk()) == 0


def test_a_server_is_believed_over_tls_only_with_its_certificate(tmp_path: Path) -> None:
    certificate = localhost_certificate(tmp_path)
    proving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    proving.load_cert_chain(certificate)

    async def walk() -> tuple[int, bytes]:
        async with upstream(SLOWLY, proving) as served:
            with pytest.raises(BrokenError):
                await server(served.port, scheme="https").post("rpc/f", b"{}", HEADERS)
            trusting = ssl.create_default_context(cafile=str(certificate))
            ours = server(served.port, scheme="https", tls=trusting)
            done = await ours.post("rpc/f", b"{}", HEADERS)
            ours.close()
            return done

    assert asyncio.run(walk()) == (200, b"{}")


def test_a_server_that_is_not_there_is_broken() -> None:
    async def walk() -> None:
        with pytest.raises(BrokenError, match="no connection"):
            await server(Ports.free().gateway).post("rpc/f", b"{}", HEADERS)

    asyncio.run(walk())
