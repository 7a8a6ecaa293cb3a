"""Reads from Storage: error responses, broken connections, and requests that a file must not cause."""

import asyncio
import ssl
import sys
from pathlib import Path

import pytest

from assetdock_server.media.binary import Ffprobe, UnusableFfprobeError, find
from assetdock_server.media.ffprobe import probe
from assetdock_server.media.report import Media, ReadFailure, Report, TransientError
from assetdock_server.media.sandbox.run import Limits
from assetdock_server.media.verdict import Failed, judge
from tests.certificate import localhost_certificate
from tests.media import SECONDS, make, silence, with_long_subtitles
from tests.worker.storage import Storage, serving


def probe_file(name: str, ffprobe: Ffprobe, storage: Storage, limits: Limits) -> Report:
    return asyncio.run(probe(storage.url(name), ffprobe=ffprobe, limits=limits))


@pytest.mark.parametrize("status", [400, 404, 410])
def test_reports_a_missing_object(status: int, ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    storage.statuses["gone"] = [status]

    assert probe_file("gone", ffprobe, storage, limits) == ReadFailure("missing")


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 544])
def test_a_storage_error_is_transient(status: int, ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    storage.statuses["any"] = [status]

    with pytest.raises(TransientError) as raised:
        probe_file("any", ffprobe, storage, limits)

    assert "s3cret" not in str(raised.value)


def test_a_refused_connection_is_transient(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    with serving(storage.folder) as closed:
        url = closed.url("any")

    with pytest.raises(TransientError):
        asyncio.run(probe(url, ffprobe=ffprobe, limits=limits))


def test_an_unknown_host_is_transient(ffprobe: Ffprobe, limits: Limits) -> None:
    with pytest.raises(TransientError):
        asyncio.run(probe("http://storage.invalid/x?token=s3cret", ffprobe=ffprobe, limits=limits))


def test_resolves_a_host_name_and_sends_it_to_storage(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    make("sound.flac", storage.folder)

    report = asyncio.run(probe(storage.url("sound.flac", host="localhost"), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    assert {host for _, host in storage.requests} == {f"localhost:{storage.port}"}


def test_does_not_follow_redirects_if_ffprobe_supports_the_option(
    ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    """npm's ffprobe has no -max_redirects. It follows up to eight redirects, over http and to IP addresses only."""
    storage.statuses["moved"] = [302]

    if ffprobe.counts_redirects:
        with pytest.raises(TransientError):
            probe_file("moved", ffprobe, storage, limits)
        assert len(storage.requests) == 1
    else:
        assert isinstance(probe_file("moved", ffprobe, storage, limits), ReadFailure)
        assert len(storage.requests) > 1


@pytest.mark.parametrize("fault", ["truncate", "reset"])
@pytest.mark.parametrize("name", ["sound.aac", "constant.mp3", "recorded.webm"])
def test_resumes_after_a_broken_connection(
    name: str, fault: str, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    make(name, storage.folder)
    whole = probe_file(name, ffprobe, storage, limits)
    storage.requests.clear()
    storage.faults[name] = {1: fault, 2: fault, 3: fault}  # type: ignore[dict-item]

    assert probe_file(name, ffprobe, storage, limits) == whole


@pytest.mark.parametrize("request_number", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["sound.aac", "constant.mp3", "recorded.webm", "moov-last.mp4"])
def test_a_storage_failure_during_a_read_does_not_shorten_a_recording(
    name: str, request_number: int, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    make(name, storage.folder)
    whole = probe_file(name, ffprobe, storage, limits)
    storage.requests.clear()
    storage.faults[name] = {request_number: "reset"}
    storage.statuses[name] = [0] * request_number + [503]

    try:
        report = probe_file(name, ffprobe, storage, limits)
    except TransientError:
        return
    assert report == whole  # ffprobe needed no more bytes


@pytest.mark.parametrize("status", [302, 401, 503])
@pytest.mark.parametrize("name", ["long-subtitles.mp4", "film.mkv", "variable.mp3", "sound.flac", "sound.aiff"])
def test_rejected_requests_do_not_make_a_whole_file_truncated(
    name: str, status: int, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    """Breaks each request half-way in turn, and rejects all requests after it.

    The header of long-subtitles.mp4 claims more than the duration of the video, so the worker reads all its packets.
    """
    if name == "long-subtitles.mp4":
        with_long_subtitles(storage.folder, name)
    else:
        make(name, storage.folder)
    probe_file(name, ffprobe, storage, limits)
    for broken_request in range(1, len(storage.requests) + 1):
        storage.requests.clear()
        storage.faults[name] = {broken_request: "truncate"}
        storage.statuses[name] = [*([0] * broken_request), status]
        try:
            report = probe_file(name, ffprobe, storage, limits)
        except TransientError:
            continue
        assert report != ReadFailure("truncated"), broken_request
        if isinstance(report, Media):
            assert float(report.duration or 0) == pytest.approx(SECONDS, abs=0.25), broken_request


@pytest.mark.parametrize("served", [2, 3, 4])  # the first pass makes two requests for this file
@pytest.mark.parametrize("status", [302, 401])  # ffprobe does not log these two statuses
def test_a_rejected_later_pass_fails_no_asset(
    served: int, status: int, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    make("sound.aac", storage.folder)
    whole = probe_file("sound.aac", ffprobe, storage, limits)
    storage.statuses["sound.aac"] = [0] * served + [status]

    try:
        report = probe_file("sound.aac", ffprobe, storage, limits)
    except TransientError:
        return
    assert report == whole


def test_a_silent_storage_is_transient(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    async def probe_silent_server() -> Report:
        async def never_respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(never_respond, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            short_stall = Limits(seconds=20, stall_seconds=0.5)
            return await probe(f"http://127.0.0.1:{port}/x", ffprobe=ffprobe, limits=short_stall)

    with pytest.raises(TransientError):
        asyncio.run(probe_silent_server())


def test_does_not_download_a_large_file(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    sound = silence(storage.folder / "long.wav", seconds=600, rate=48000)
    film = make("moov-last.mp4", storage.folder).read_bytes()
    index = film.rindex(b"moov") - 4
    padding = 64 * 1024 * 1024  # bytes of a `free` box between the samples and their index
    free = padding.to_bytes(4, "big") + b"free" + bytes(padding - 8)
    (storage.folder / "big.mp4").write_bytes(film[:index] + free + film[index:])

    for path in (sound, storage.folder / "big.mp4"):
        storage.requests.clear()
        storage.sent = 0
        report = probe_file(path.name, ffprobe, storage, limits)

        assert isinstance(report, Media)
        assert report.duration
        assert storage.sent < path.stat().st_size / 3
        assert len(storage.requests) <= 12


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n",
    "HLS master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}\n",
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "DASH": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT10S"><Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ),
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    "ASX": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
}


@pytest.mark.parametrize("target", ["http", "file"])
@pytest.mark.parametrize("playlist", PLAYLISTS.values(), ids=PLAYLISTS)
def test_does_not_open_urls_that_a_file_contains(
    playlist: str, target: str, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    secret = make("moov-first.mp4", storage.folder)
    with serving(storage.folder) as elsewhere:
        url = elsewhere.url("moov-first.mp4") if target == "http" else secret.as_uri()
        (storage.folder / "playlist").write_text(playlist.format(url=url, port=elsewhere.port))

        report = probe_file("playlist", ffprobe, storage, limits)

        assert elsewhere.requests == []
    verdict = judge("video", report)
    assert isinstance(verdict, Failed)
    assert verdict.code == "unreadable_media"


def test_reads_https_only_with_a_valid_certificate(
    ffprobe: Ffprobe, media: Path, tmp_path: Path, limits: Limits
) -> None:
    make("sound.flac", media)
    certificate = localhost_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain)
    trusting = asyncio.run(
        find(media, {"ASSETDOCK_FFPROBE": str(ffprobe.path), "SSL_CERT_FILE": str(certificate.authority)})
    )
    with serving(media, tls=context) as storage:
        url = storage.url("sound.flac", host="localhost")
        if ffprobe.static:
            with pytest.raises(UnusableFfprobeError, match="apt-get install ffmpeg"):
                trusting.accept(url)
            return

        report = asyncio.run(probe(url, ffprobe=trusting, limits=limits))
        with pytest.raises(TransientError):
            asyncio.run(probe(url, ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "concat:a|b", "-version", "http://", "http://h:x/", "http://[", "ftp://h/x", ""],
)
def test_rejects_urls_that_are_not_http(url: str, ffprobe: Ffprobe, limits: Limits) -> None:
    with pytest.raises(UnusableFfprobeError):
        asyncio.run(probe(url, ffprobe=ffprobe, limits=limits))


def test_rejects_a_program_that_is_not_ffprobe(tmp_path: Path) -> None:
    for environ in (
        {"ASSETDOCK_FFPROBE": str(tmp_path / "absent")},
        {"ASSETDOCK_FFPROBE": sys.executable},
        {"PATH": str(tmp_path)},  # without node_modules
    ):
        with pytest.raises(UnusableFfprobeError, match="apt-get install ffmpeg"):
            asyncio.run(find(tmp_path, environ))
