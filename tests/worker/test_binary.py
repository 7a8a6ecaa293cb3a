"""What the worker asks of the program it found, and in which order its libraries are searched."""

import asyncio
import re
import subprocess
from pathlib import Path

from assetdock_server.media.binary import PRELOADED, find, from_npm
from assetdock_server.media.sandbox.run import Limits, run
from tests.worker.conftest import ROOT

BINDING = re.compile(r"binding file (\S+) \[\d+\] to (\S+) \[\d+\]: normal symbol `([^']*)'(?: \[([^\]]*)\])?")


def bindings(path: Path, environment: dict[str, str]) -> dict[tuple[str, str, str], str]:
    """(who asks, name, version) → the library that glibc's loader leads it to, for all names there are."""
    debug = {"LD_DEBUG": "bindings", "LD_BIND_NOW": "1"}
    done = subprocess.run([path, "-version"], env=debug | environment, capture_output=True, check=True, timeout=60)
    found = BINDING.findall(done.stderr.decode("latin-1"))
    return {(file, name, version): target for file, target, name, version in found}


def test_every_name_leads_to_the_same_library_after_a_shorter_search() -> None:
    ffprobe = asyncio.run(find(ROOT))
    assert ffprobe.environment["LD_PRELOAD"].split(":") == list(PRELOADED)

    searched_in_order = bindings(ffprobe.path, {})

    assert len(searched_in_order) > 10_000
    assert bindings(ffprobe.path, {"LD_PRELOAD": ffprobe.environment["LD_PRELOAD"]}) == searched_in_order


def test_a_build_that_needs_other_libraries_is_left_as_it_is(tmp_path: Path) -> None:
    static = asyncio.run(find(ROOT, {"ASSETDOCK_FFPROBE": str(from_npm(ROOT))}))
    assert "LD_PRELOAD" not in static.environment

    other = tmp_path / "ffprobe"
    other.write_text('#!/bin/sh\necho "ffprobe version 7" >&2\n')
    other.chmod(0o755)
    assert "LD_PRELOAD" not in asyncio.run(find(ROOT, {"ASSETDOCK_FFPROBE": str(other)})).environment


def test_what_is_searched_first_is_for_the_program_alone(limits: Limits) -> None:
    """Those that start it on the way have libraries of their own, and a complaint of each would look like its own."""
    environment = {"LD_PRELOAD": "absent.so"}

    ending = asyncio.run(
        run(["/bin/true"], limits=limits, seconds=20, environment=environment, receive=lambda _: None, capacity=0)
    )

    assert ending.errors.count(b"absent.so") == 1
