"""Assets that processors upload, from the reservation to ready."""

import pytest

from tests.callers import Caller, assert_rejected
from tests.catalogue import Database

CUES = b"""1
00:00:00,000 --> 00:00:01,500
The harbour at dawn.

2
00:00:02,000 --> 00:00:07,250
The first boat leaves.
"""


@pytest.mark.usefixtures("worker")
def test_the_duration_of_a_subrip_cut_file_is_the_end_of_its_last_cue(
    owner: Caller, database: Database, wav: bytes
) -> None:
    source = owner.land(wav)
    cut = {"type": "cut_file", "content_type": "application/x-subrip", "source_asset_id": source}
    assert_rejected(owner.http.post("/assets/upload-url", json=cut), 409, "asset_type_not_uploadable")

    database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
    producer = owner.key_holder(scopes=["assets:read", "assets:write", "assets:produce"])
    asset = producer.wait_until_finished(producer.land(CUES, size_bytes=len(CUES), **cut))

    assert (asset["state"], asset["type"], asset["source_asset_id"]) == ("ready", "cut_file", source)
    assert asset["duration_seconds"] == "7.250"
    assert asset["size_bytes"] == len(CUES)
    assert [stream["codec"] for stream in asset["media"]["streams"]] == ["subrip"]
