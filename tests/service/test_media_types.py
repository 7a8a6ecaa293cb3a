"""Which content types a reservation accepts, and how it compares them."""

import pytest

from tests.callers import BOTH_ENDPOINTS, Caller, assert_rejected
from tests.catalogue import Database

# As browsers, phones, operating systems and SDKs send them.
SENT = (
    *("video/webm;codecs=vp8,opus", "video/mp4;codecs=avc1.42E01E,mp4a.40.2", "video/x-matroska;codecs=avc1,opus"),
    *("audio/webm;codecs=opus", "audio/ogg; codecs=opus", "audio/wav; codecs=audio/pcm; samplerate=16000"),
    *("audio/mpeg;", " audio/mpeg", "audio/mpeg \t", "AUDIO/MPEG", 'video/mp4; codecs="avc1.42E01E, mp4a.40.2"'),
    *("binary/octet-stream", "application/octet-stream", "application/ogg", "application/mp4"),
    *("application/x-matroska", "application/x-flac", "application/flac", "audio/x-flac"),
    *("audio/x-m4a", "audio/m4a", "audio/mp4a-latm", "audio/x-wav", "audio/vnd.wave", "audio/wave", "audio/mp3"),
    *("audio/x-caf", "audio/x-aiff", "audio/aacp", "audio/vnd.dlna.adts", "audio/x-ms-wma", "audio/basic"),
    *("audio/amr", "audio/AMR-WB", "audio/3gpp", "audio/3gpp2", "video/3gpp", "video/3gpp2", "audio/opus"),
    *("video/x-m4v", "video/quicktime", "video/avi", "video/vnd.avi", "video/mp2t", "video/vnd.dlna.mpeg-tts"),
    *("video/x-ms-wmv", "application/vnd.ms-asf", "video/x-flv", "video/mpeg", "video/ogg", "audio/x-vorbis+ogg"),
)
# No media, playlists that name other files, documents that browsers run, and containers that the worker does not read.
REFUSED = (
    *("text/html", "image/png", "image/svg+xml", "video/svg+xml", "audio/html", "video/xml", "audio/x+xml"),
    *("audio/mpegurl", "audio/x-mpegurl", "video/vnd.mpegurl", "audio/x-scpls", "audio/midi", "video/x-anything"),
    *("application/mxf", "audio/x-wavpack", "audio/x-tta", "application/pdf", "application/x-subrip", "text/plain"),
)


@pytest.mark.parametrize("asset_type", ["audio", "video"])
def test_accepts_the_types_that_browsers_phones_and_systems_send(owner: Caller, asset_type: str) -> None:
    for sent in SENT:
        asset = owner.reserve(type=asset_type, content_type=sent)["asset"]

        assert asset["content_type"] == asset["declared_content_type"] == sent.strip(" \t;")


@BOTH_ENDPOINTS
def test_refuses_a_type_that_is_not_on_the_list_and_names_it(owner: Caller, upload_url: str) -> None:
    for sent in REFUSED:
        response = owner.http.post(upload_url, json={"type": "video", "content_type": f"{sent.upper()}; a=b"})

        [field] = assert_rejected(response, 422, "validation_error")["fields"]
        assert field["field"] == "body.content_type"
        assert field["message"].startswith(f"{sent} is not a type of audio or video")


@pytest.mark.parametrize("sent", ["", " ", ";", " ; codecs=opus"])
def test_a_content_type_that_says_nothing_counts_as_not_sent(owner: Caller, wav: bytes, sent: str) -> None:
    reservation = owner.reserve(content_type=sent)

    assert (reservation["asset"]["content_type"], reservation["upload"]["headers"]) == (None, {})
    assert owner.upload(reservation, wav).status_code == 200


def test_cut_files_have_a_type_of_subrip(owner: Caller, database: Database) -> None:
    database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
    producer = owner.key_holder(scopes=["assets:write", "assets:produce"])
    for sent in ("application/x-subrip", "text/plain; charset=utf-8", "application/octet-stream", ""):
        producer.reserve(type="cut_file", content_type=sent)

    refused = producer.http.post(producer.upload_url, json={"type": "cut_file", "content_type": "video/mp4"})

    [field] = assert_rejected(refused, 422, "validation_error")["fields"]
    assert field["message"].startswith("video/mp4 is not a type of SubRip")


def test_a_repeated_request_may_write_the_type_in_another_way(owner: Caller) -> None:
    def reserve(content_type: str) -> str:
        response = owner.http.post(
            owner.upload_url,
            json={"type": "audio", "content_type": content_type},
            headers={"Idempotency-Key": "the-same-take"},
        )
        asset_id: str = response.json()["asset"]["id"]
        return asset_id

    assert reserve("audio/mpeg") == reserve(" audio/mpeg;")
