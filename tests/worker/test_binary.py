"""The libraries that the worker preloads into the ffprobe that it found."""

import asyncio
import re
import subprocess
from pathlib import Path

from assetdock_server.media.binary import PRELOADED, find, from_npm
from assetdock_server.media.sandbox.run import Limits, run
from tests.worker.conftest import ROOT

BINDING = re.compile(r"binding file (\S+) \[\d+\] to (\S+) \[\d+\]: normal symbol `([^']*)'(?: \[([^\]]*)\])?")


def bindings(path: Path, environment: dict[str, str]) -> dict[tuple[str, str, str], str]:
    """Maps each (file, symbol, version) of a program to the library that glibc's loader binds the symbol to."""
    environment = {"LD_DEBUG": "bindings", "LD_BIND_NOW": "1"} | environment
    process = subprocess.run([path, "-version"], env=environment, capture_output=True, check=True, timeout=240)
    found = BINDING.findall(process.stderr.decode("latin-1"))
    return {(file, symbol, version): library for file, library, symbol, version in found}


def test_preloading_binds_every_symbol_to_the_same_library() -> None:
    ffprobe = asyncio.run(find(ROOT))
    assert ffprobe.environment["LD_PRELOAD"].split(":") == list(PRELOADED)

    without_preloading = bindings(ffprobe.path, {})

    assert len(without_preloading) > 10_000
    assert bindings(ffprobe.path, {"LD_PRELOAD": ffprobe.environment["LD_PRELOAD"]}) == without_preloading


def test_does_not_preload_into_a_build_with_other_libraries(tmp_path: Path) -> None:
    static = asyncio.run(find(ROOT, {"ASSETDOCK_FFPROBE": str(from_npm(ROOT))}))
    assert "LD_PRELOAD" not in static.environment

    other = tmp_path / "ffprobe"
    other.write_text('#!/bin/sh\necho "ffprobe version 7" >&2\n')
    other.chmod(0o755)
    assert "LD_PRELOAD" not in asyncio.run(find(ROOT, {"ASSETDOCK_FFPROBE": str(other)})).environment


def test_preloads_into_the_program_and_not_into_its_starters(limits: Limits) -> None:
    """The starters need other libraries. The loader writes one error in each process that has the variable."""
    environment = {"LD_PRELOAD": "absent.so"}

    result = asyncio.run(
        run(["/bin/true"], limits=limits, seconds=20, environment=environment, receive=lambda _: None, capacity=0)
    )

    assert result.errors.count(b"absent.so") == 1
