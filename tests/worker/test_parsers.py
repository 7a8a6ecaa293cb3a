"""The parsers of ffprobe's output return a result or raise their documented errors, whatever the output is."""

import contextlib
import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from assetdock_server.media.diagnosis import header_pass_failure, packet_pass_failure
from assetdock_server.media.header import ENTRIES, MalformedReportError, error_code, read
from assetdock_server.media.packets import Span
from assetdock_server.media.report import TransientError
from assetdock_server.media.sandbox.run import ProcessResult
from assetdock_server.media.verdict import judge

KEYS = [
    *("format", "streams", "error", "code", "tags", "disposition", "side_data_list", "rotation", "rotate"),
    *("index", "codec_type", "codec_name", "format_name", "start_time", "duration", "size", "major_brand"),
    *(
        "width",
        "height",
        "avg_frame_rate",
        "r_frame_rate",
        "channels",
        "sample_rate",
        "bit_rate",
        "nb_frames",
        "channel_layout",
        "color_transfer",
        "language",
        "attached_pic",
    ),
]
TEXTS = st.text() | st.sampled_from(
    [
        "mov,mp4,m4a,3gp,3g2,mj2",
        "matroska,webm",
        "mp3",
        "srt",
        "video",
        "audio",
        "0/0",
        "30000/1001",
        "1/0",
        "qt",
    ]
)
NUMBERS = st.integers() | st.integers().map(str) | st.decimals().map(str) | st.floats(allow_nan=False)
LEAVES = st.none() | st.booleans() | TEXTS | NUMBERS
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=9),
    max_leaves=40,
)
STREAM = st.fixed_dictionaries(
    {"index": st.integers(0, 9), "codec_type": st.sampled_from(["video", "audio", "subtitle", "data"])},
    optional={key: LEAVES | ANYTHING for key in KEYS if key not in ("index", "codec_type")},
)
REPORT = st.fixed_dictionaries(
    {
        "format": st.fixed_dictionaries(
            {"format_name": TEXTS},
            optional={"tags": ANYTHING, "start_time": LEAVES, "duration": LEAVES, "size": LEAVES},
        ),
        "streams": st.lists(STREAM, max_size=4) | ANYTHING,
    }
)


@given(REPORT | ANYTHING)
def test_parses_or_rejects_any_report(report: object) -> None:
    document = json.dumps(report).encode()

    try:
        header = read(document)
    except MalformedReportError:
        return

    for duration in (header.claimed, header.start):
        media = header.media.with_duration(duration)
        assert media.duration is None or media.duration >= 0
        json.dumps(media.as_json(), allow_nan=False)
        for asset_type in ("audio", "video", "cut_file"):
            judge(asset_type, media, media.content_type)


@given(st.binary())
def test_parses_or_rejects_any_bytes(document: bytes) -> None:
    assert error_code(document) is None
    try:
        read(document)
    except MalformedReportError:
        return


def test_rejects_a_deeply_nested_report() -> None:
    deep = b'{"format":' + b"[" * 100_000
    assert error_code(deep) is None
    try:
        read(deep)
    except MalformedReportError:
        return
    raise AssertionError("read() accepted the report")


PACKETS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.decimals(0, 10**6, places=6),
        st.decimals(0, 100, places=6),
        st.integers(0, 10**7),
        st.integers(1, 10**12) | st.just("N/A"),
    ),
    min_size=1,
)
Packet = tuple[int, Decimal, Decimal, int, int | str]  # stream, start, duration, size, offset


def _end_and_largest(packets: list[Packet]) -> tuple[int, int]:
    """The largest end offset and the largest size of the packets with a known offset."""
    known = [(offset + size, size) for *_, size, offset in packets if isinstance(offset, int)]
    return max((end for end, _ in known), default=0), max((size for _, size in known), default=0)


@given(PACKETS, st.integers(1, 7))
def test_packets_do_not_depend_on_chunk_borders(packets: list[Packet], chunk_size: int) -> None:
    lines = [
        f"{index},{start},N/A,{duration},{size},{offset},K_\n\n" for index, start, duration, size, offset in packets
    ]
    text = "".join(lines).encode()
    intervals = [(start, start + duration) for index, start, duration, *_ in packets if index in (0, 1)]

    span = Span({0, 1})
    for begin in range(0, len(text), chunk_size):
        span.feed(text[begin : begin + chunk_size])

    assert span.first == min((start for start, _ in intervals), default=None)
    assert span.end == max((end for _, end in intervals), default=None)
    assert (span.end_offset, span.largest) == _end_and_largest(packets)


def test_a_packet_that_an_edit_list_hides_has_no_time() -> None:
    span = Span({0})
    span.feed(b"0,0.0,0.0,1.0,10,100,K_\n0,1.0,1.0,1.0,10,110,_D_\n")

    assert (span.first, span.end) == (Decimal(0), Decimal(1))
    assert (span.end_offset, span.frames) == (120, {0: 1})


@given(ANYTHING | st.fixed_dictionaries({"packets": ANYTHING | st.lists(ANYTHING)}))
def test_reads_packets_from_any_report_without_raising(report: object) -> None:
    Span.of_report(json.dumps(report).encode(), {0})


@given(PACKETS)
def test_reads_the_same_packets_from_csv_and_json(packets: list[Packet]) -> None:
    documents = [
        {
            "stream_index": index,
            "dts_time": str(start),
            "duration_time": str(duration),
            "size": str(size),
            "pos": str(offset),
            "flags": "K_",
        }
        for index, start, duration, size, offset in packets
    ]
    from_csv, from_json = Span({0, 1}), Span.of_report(json.dumps({"packets": documents}).encode(), {0, 1})
    for index, start, duration, size, offset in packets:
        from_csv.feed(f"{index},N/A,{start},{duration},{size},{offset},K_\n".encode())

    assert (from_json.first, from_json.end) == (from_csv.first, from_csv.end)
    assert (from_json.end_offset, from_json.largest) == _end_and_largest(packets)
    assert (from_csv.end_offset, from_csv.largest) == _end_and_largest(packets)


@given(st.lists(st.binary()))
def test_a_packet_line_neither_raises_nor_accumulates(chunks: list[bytes]) -> None:
    span = Span({0})
    for chunk in chunks:
        span.feed(chunk)
    span.feed(b"0," + b"9" * 1_000_000)
    assert len(span._rest) <= 512
    span.feed(b"\n0,1.000000,1.000000,0.500000,1,N/A,K_\n")
    assert span.end is not None


@given(
    st.sampled_from(["exited", "timed_out", "overflowed"]),
    st.integers(-64, 255),
    st.binary() | st.sampled_from([b"[http @ 0x1] HTTP error 503 Nope\n", b"[mov @ 0x1] odd\n"]),
    st.integers().map(lambda code: json.dumps({"error": {"code": code}}).encode()) | st.binary(),
)
def test_diagnoses_every_result(how: str, status: int, errors: bytes, document: bytes) -> None:
    result = ProcessResult(how, status, errors)  # type: ignore[arg-type]
    with contextlib.suppress(TransientError):
        header_pass_failure(result, document)
    with contextlib.suppress(TransientError):
        packet_pass_failure(result)


def test_requests_only_short_entries() -> None:
    assert "format_tags=major_brand" in ENTRIES
    assert "stream_tags=rotate" in ENTRIES
