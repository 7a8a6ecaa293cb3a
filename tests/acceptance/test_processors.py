"""What processors make of an asset, through the whole of it."""

from typing import Any

import psycopg
import pytest

from tests.callers import Caller, refused

CUES = b"""1
00:00:00,000 --> 00:00:01,500
The harbour at dawn.

2
00:00:02,000 --> 00:00:07,250
The first boat leaves.
"""


@pytest.mark.usefixtures("worker")
def test_a_cut_file_of_an_asset_is_probed_as_subrip_and_lasts_until_its_last_cue_ends(
    owner: Caller, database: psycopg.Connection[Any], wav: bytes
) -> None:
    source = owner.land(wav)
    cut = {"type": "cut_file", "content_type": "application/x-subrip", "source_asset_id": source}
    refused(owner.http.post("/assets/upload-url", json=cut), 409, "asset_type_not_uploadable")

    database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
    producer = owner.key_holder(scopes=["assets:read", "assets:write", "assets:produce"])
    asset = producer.finished(producer.land(CUES, size_bytes=len(CUES), **cut))

    assert (asset["state"], asset["type"], asset["source_asset_id"]) == ("ready", "cut_file", source)
    assert asset["duration_seconds"] == "7.250"
    assert asset["size_bytes"] == len(CUES)
    assert [stream["codec"] for stream in asset["media"]["streams"]] == ["subrip"]
