"""The list of containers, and the files that are generated from it."""

from assetdock_server.media.content_types import UNSPECIFIC
from devstack.stack import Stack
from scripts import formats
from tests.catalogue import Database
from tests.processes import PROJECT


def test_the_generated_files_match_the_database(stack: Stack) -> None:
    containers = formats.read_containers(stack.db_url)

    for path, render in (
        (formats.PYTHON, formats.python),
        (formats.TYPESCRIPT, formats.typescript),
        (formats.GUIDE, formats.guide),
    ):
        assert path.read_text() == render(containers), f"{path.relative_to(PROJECT)} is out of date: run make formats"


def test_every_name_on_the_list_is_in_lower_case_and_without_parameters(database: Database) -> None:
    names = database.execute(
        "select n from assetdock_private.containers c,"
        " unnest(c.aliases || c.media_type || c.extensions || c.video_extensions || c.demuxers) n"
    ).fetchall()

    assert len(names) > 200
    assert [name for (name,) in names if name != name.lower().strip() or not name or ";" in name] == []


def test_an_extension_suggests_one_media_type(database: Database) -> None:
    repeated = database.execute(
        "select e from assetdock_private.containers c, unnest(c.extensions || c.video_extensions) e"
        " group by e having count(*) > 1"
    ).fetchall()

    assert repeated == []


def test_every_media_type_on_the_list_is_accepted_for_its_kind_only(database: Database) -> None:
    accepted = database.execute(
        "select distinct n, t, assetdock_private.is_listed_media_type(t, n) ="
        " bool_or((c.kind = 'subtitles') = (t = 'cut_file')) over (partition by n, t)"
        " from assetdock_private.containers c, unnest(c.aliases || c.media_type || c.video_media_type) n,"
        " unnest(assetdock_private.asset_types()) t where n is not null"
    ).fetchall()

    assert len(accepted) > 500
    assert [(name, asset_type) for name, asset_type, right in accepted if not right] == []


def test_worker_and_database_know_the_same_unspecific_types(database: Database) -> None:
    row = database.execute("select assetdock_private.unspecific_media_types()").fetchone()

    assert row is not None
    assert {*row[0], ""} == UNSPECIFIC


def test_the_bucket_restricts_no_media_types(database: Database) -> None:
    """Storage compares them exactly, so parameters would be refused."""
    row = database.execute(
        "select allowed_mime_types from storage.buckets where id = assetdock_private.bucket()"
    ).fetchone()

    assert row == (None,)
