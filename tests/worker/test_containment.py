"""The limits of a sandboxed program, and the cleanup of its processes."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assetdock_server.media.binary import Ffprobe
from assetdock_server.media.ffprobe import probe
from assetdock_server.media.report import ReadFailure, Report, TransientError
from assetdock_server.media.sandbox.run import Limits, ProcessResult, run
from tests.bomb import MIB, bomb
from tests.worker.conftest import ROOT
from tests.worker.storage import Storage

QUICK = Limits(seconds=20, measure_seconds=20, memory_bytes=512 * 1024 * 1024)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Writes an executable program from Python source."""

    def write(source: str) -> Path:
        path, script = tmp_path / "program", tmp_path / "program.py"
        script.write_text(source)
        # The path of the interpreter may contain spaces, which a `#!` line cannot quote.
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(str(script))} "$@"\n')
        path.chmod(0o755)
        return path

    return write


def contain(path: Path, *arguments: str, limits: Limits = QUICK) -> tuple[ProcessResult, bytes]:
    """Runs a program until it ends. Returns its result and its standard output."""
    output = bytearray()
    result = asyncio.run(
        run(
            [str(path), *arguments],
            limits=limits,
            seconds=limits.seconds,
            environment={"KEPT": "yes"},
            receive=output.extend,
            capacity=limits.output_bytes,
        )
    )
    return result, bytes(output)


def is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int, within: float = 10) -> bool:
    """Whether the process ends within the given seconds."""
    deadline = time.monotonic() + within
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def probed_by(path: Path, storage: Storage, limits: Limits = QUICK) -> Report:
    """The report of a probe that runs `path` as ffprobe."""
    return asyncio.run(probe(storage.url("any"), ffprobe=Ffprobe(path), limits=limits))


def test_the_program_inherits_no_variables_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_WORKER_TOKEN", "secret")

    _, output = contain(Path("/usr/bin/env"))

    assert output == b"KEPT=yes\n"


def test_limits_are_set_before_the_program_starts(program: Callable[[str], Path]) -> None:
    source = (
        "import os, resource\n"
        "for name in ('CORE', 'FSIZE', 'NOFILE', 'CPU', 'AS'):\n"
        "    print(resource.getrlimit(getattr(resource, 'RLIMIT_' + name)))\n"
        "print(os.getsid(0) == os.getpid(), os.nice(0) >= 10, os.getcwd(), os.read(0, 1))\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('NoNewPrivs')])\n"
        "print(sorted(os.listdir('/proc/self/fd')))\n"
    )

    _, output = contain(program(source))

    assert output.decode().splitlines() == [
        "(0, 0)",
        "(0, 0)",
        "(32, 32)",
        "(120, 121)",
        f"({QUICK.memory_bytes}, {QUICK.memory_bytes})",
        "True True / b''",
        "['1']",
        "['0', '1', '2', '3']",  # listdir itself opens 3
    ]


def test_keeps_a_lower_inherited_limit(program: Callable[[str], Path]) -> None:
    source = (
        "import asyncio, resource, sys\n"
        "from assetdock_server.media.sandbox.run import Limits, run\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (40, 40))\n"
        "result = asyncio.run(run([sys.argv[1]], limits=Limits(), seconds=60, environment={},"
        " receive=lambda piece: print(piece.decode(), end=''), capacity=100))\n"
        "print(result)\n"
    )
    limits = program("import resource\nprint(resource.getrlimit(resource.RLIMIT_CPU))\n")

    process = subprocess.run(
        [sys.executable, "-c", source, str(limits)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=240
    )

    assert process.stdout.splitlines()[0] == "(40, 40)", process.stdout


def test_passes_variables_and_arguments_unchanged(program: Callable[[str], Path]) -> None:
    arguments = ["--", "a b", "$(id)", "'\"", "", "A=1", "-c"]

    result, output = contain(program("import os, sys\nprint(sys.argv[1:], os.environ['KEPT'])\n"), *arguments)

    assert output.decode() == f"{arguments} yes\n"
    assert result.status == 0


def test_kills_a_program_that_hangs(program: Callable[[str], Path], storage: Storage) -> None:
    hanging = program("import time\ntime.sleep(600)\n")
    started_at = time.monotonic()

    report = probed_by(hanging, storage, replace(QUICK, seconds=0.5))

    assert report == ReadFailure("timed_out")
    assert time.monotonic() - started_at < 5


def test_kills_a_program_that_exceeds_its_cpu_limit(program: Callable[[str], Path], storage: Storage) -> None:
    report = probed_by(program("while True: pass\n"), storage, replace(QUICK, cpu_seconds=1))

    assert report == ReadFailure("timed_out")


@pytest.mark.parametrize("stream", [1, 2])
def test_kills_a_program_that_prints_endlessly(stream: int, program: Callable[[str], Path], storage: Storage) -> None:
    report = probed_by(program(f"import os\nwhile True: os.write({stream}, b'x' * 4096)\n"), storage)

    assert report == ReadFailure("unreadable")


def test_limits_the_memory_of_a_program(program: Callable[[str], Path], storage: Storage) -> None:
    report = probed_by(program("blocks = []\nwhile True: blocks.append(bytearray(1 << 24))\n"), storage)

    assert report == ReadFailure("crashed")


# Runs in a new process, because RUSAGE_CHILDREN reports the maximum over all earlier children.
MEASURE = """
import asyncio, resource, sys
from pathlib import Path
from assetdock_server.media.binary import Ffprobe
from assetdock_server.media.sandbox.run import Limits
from assetdock_server.media.ffprobe import probe
program, url, memory = sys.argv[1:]
report = asyncio.run(probe(url, ffprobe=Ffprobe(Path(program)), limits=Limits(memory_bytes=int(memory))))
print(report.reason, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def test_limits_the_memory_of_a_decompression_bomb(ffprobe: Ffprobe, storage: Storage, media: Path) -> None:
    (media / "bomb.mov").write_bytes(bomb(unpacked=640, claimed=640 * MIB))
    limit = 448 * MIB  # the libraries of Debian's ffprobe use 300 MB of address space

    process = subprocess.run(
        [sys.executable, "-c", MEASURE, str(ffprobe.path), storage.url("bomb.mov"), str(limit)],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip

    reason, used = process.stdout.split()
    assert reason == "crashed"
    assert int(used) < limit


def test_reports_a_segfault_as_a_crash(program: Callable[[str], Path], storage: Storage) -> None:
    report = probed_by(program("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"), storage)

    assert report == ReadFailure("crashed")


def test_reports_a_missing_report_as_a_crash(program: Callable[[str], Path], storage: Storage) -> None:
    assert probed_by(program("print('hello')\n"), storage) == ReadFailure("crashed")


def test_a_program_that_cannot_start_is_a_transient_error(tmp_path: Path, storage: Storage) -> None:
    with pytest.raises(TransientError):
        probed_by(tmp_path / "absent", storage)


def test_a_program_cannot_write_files(program: Callable[[str], Path], tmp_path: Path) -> None:
    contain(program(f"open({str(tmp_path / 'written')!r}, 'w').write('x' * 100)\n"))

    assert (tmp_path / "written").read_bytes() == b""


PRINT_PID_AND_HANG = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"
FORKING = (
    "import os, sys, time\n"
    "child = os.fork()\n"
    "if child == 0: time.sleep(600)\n"
    "print(child, flush=True)\n"
    "if len(sys.argv) > 1: time.sleep(600)\n"
)


@pytest.mark.parametrize("pidfd", [True, False])
def test_kills_children_when_the_program_exits(
    pidfd: bool, program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not pidfd:  # as on macOS
        monkeypatch.delattr(os, "pidfd_open")

    result, output = contain(program(FORKING))

    assert result.how == "exited"
    assert ends(int(output))


def test_kills_children_when_the_program_times_out(program: Callable[[str], Path]) -> None:
    result, output = contain(program(FORKING), "wait", limits=replace(QUICK, seconds=1))

    assert result.how == "timed_out"
    assert ends(int(output))


def test_cancellation_kills_and_reaps_the_program(program: Callable[[str], Path]) -> None:
    path = program(PRINT_PID_AND_HANG)

    async def start_and_cancel() -> int:
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(
            run(
                [str(path)],
                limits=QUICK,
                seconds=60,
                environment={},
                receive=lambda piece: started.set_result(int(piece)),
                capacity=100,
            )
        )
        pid = await started
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return pid

    pid = asyncio.run(start_and_cancel())

    with pytest.raises(ProcessLookupError):  # not even a zombie
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can kill a process when its parent ends")
def test_a_killed_worker_leaves_no_process(program: Callable[[str], Path], tmp_path: Path) -> None:
    path = program(PRINT_PID_AND_HANG)
    worker = (
        "import asyncio\n"
        "from assetdock_server.media.sandbox.run import Limits, run\n"
        f"asyncio.run(run([{str(path)!r}], limits=Limits(), seconds=60, environment={{}},"
        " receive=lambda piece: print(piece.decode(), flush=True), capacity=100))\n"
    )
    command = [sys.executable, "-c", worker]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert is_alive(pid)

        process.send_signal(signal.SIGKILL)

        assert ends(pid)


def test_leaves_no_file_descriptor_open() -> None:
    contain(Path("/usr/bin/env"))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the count is needed

    for _ in range(5):
        contain(Path("/usr/bin/env"))

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
