"""Every row of the table, read by both ffprobes over HTTP."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assetdock_server.media.binary import Ffprobe
from assetdock_server.media.ffprobe import probe
from assetdock_server.media.sandbox.run import Limits
from assetdock_server.media.verdict import Failed, Ready, judge
from tests.media.making import decoded_seconds
from tests.media.rows import DECODED, PAGE, ROWS, Row, page
from tests.worker.conftest import ffprobe
from tests.worker.storage import serving

__all__ = ["ffprobe"]
AT_ONCE = 3
Results = dict[str, Ready | Failed]


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every input."""
    folder = tmp_path_factory.mktemp("table")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda row: row.make(folder / row.name), ROWS))
    return folder


@pytest.fixture(scope="session")
def right(inputs: Path) -> dict[str, float | str]:
    """What is right for every input."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        known = pool.map(
            lambda row: decoded_seconds(inputs / row.name) if row.known == DECODED else row.right,
            ROWS,
        )
        return dict(zip((row.name for row in ROWS), known, strict=True))


@pytest.fixture(scope="session")
def results(ffprobe: Ffprobe, inputs: Path) -> Results:
    """What the media package says of every input."""
    with serving(inputs) as storage:

        async def judged() -> list[Ready | Failed]:
            slots = asyncio.Semaphore(AT_ONCE)

            async def one(row: Row) -> Ready | Failed:
                async with slots:
                    report = await probe(storage.url(row.name), ffprobe=ffprobe, limits=Limits())
                    return judge(row.asset_type, report)  # type: ignore[arg-type]

            return await asyncio.gather(*(one(row) for row in ROWS))

        return dict(zip((row.name for row in ROWS), asyncio.run(judged()), strict=True))


def _is_right(row: Row, result: Ready | Failed, right: float | str) -> bool:
    if isinstance(result, Failed):
        return result.code == right
    is_exact = not isinstance(right, str) and abs(float(result.duration) - right) <= row.within + 0.001
    return is_exact and (row.check is None or row.check(result.media))


def test_every_input_is_exact_within_a_frame(
    results: Results,
    right: dict[str, float | str],
) -> None:
    wrong = [
        f"{row.name}: {getattr(results[row.name], 'duration', results[row.name])}, right is {right[row.name]}"
        for row in ROWS
        if not _is_right(row, results[row.name], right[row.name])
    ]
    print(f"{len(ROWS) - len(wrong)} of {len(ROWS)} inputs are exact within a frame")

    assert not wrong, "\n".join(wrong)


def test_the_table_has_enough_rows_and_references() -> None:
    assert len(ROWS) >= 120
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert sum(row.known == DECODED for row in ROWS) * 2 >= len(ROWS)


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text() == page(), "Run python -m tests.media.rows"
