"""Runs one untrusted program within limits of time, memory and output, and leaves nothing of it behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Literal

from assetdock_server.media.sandbox.confinement import Bounds, confined

CHUNK = 64 * 1024
NICE = 10  # after the service's own work


@dataclass(frozen=True)
class Limits:
    """What one hostile file may cost. Seconds are wall-clock unless they say CPU; sizes are bytes."""

    seconds: float = 60
    measure_seconds: float = 600  # the pass over all packets reads the whole file
    stall_seconds: float = 15  # Storage sends nothing for so long
    cpu_seconds: int = 120
    memory_bytes: int = 1024 * 1024 * 1024  # of address space: 300 MB of it are the libraries of Debian's build
    open_files: int = 32
    output_bytes: int = 1024 * 1024
    packet_bytes: int = 1024 * 1024 * 1024  # of packet lines, which are read as they come and never kept
    error_bytes: int = 64 * 1024


@dataclass(frozen=True)
class Ending:
    """How a contained program ended. `status` is its exit status, or minus the signal that killed it."""

    how: Literal["exited", "timed_out", "overflowed"]
    status: int
    errors: bytes


async def run(
    command: Sequence[str],
    *,
    limits: Limits,
    seconds: float,
    environment: Mapping[str, str],
    receive: Callable[[bytes], None],
    capacity: int,
) -> Ending:
    """Runs `command` (its program an absolute path), handing its stdout piece by piece to `receive`, which
    must not raise.

    It gets `environment` and nothing of ours, an empty stdin, and a session of its own. After `seconds`, past
    `capacity` bytes of stdout, or when the caller is cancelled, its whole process group is killed. Also when
    it ends by itself: what it left running dies with it. Returns, or passes the cancellation on, only once
    the process is reaped.
    """
    errors = bytearray()
    how: Literal["exited", "timed_out", "overflowed"] = "exited"
    process = _start(command, limits, environment)

    def overflow() -> None:
        nonlocal how
        how = "overflowed"
        _kill(process)

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as readers:
            readers.create_task(_drain(process.stdout, receive, capacity, overflow))
            readers.create_task(_drain(process.stderr, errors.extend, limits.error_bytes, overflow))
            await _end_of(process)
            _kill(process)  # a child it left behind would hold the pipes open
    except TimeoutError:
        how = "timed_out"
    finally:
        _kill(process)
        try:
            await _end_of(process)
        finally:
            process.wait()  # blocks only after a second cancellation, and not long: SIGKILL can't be caught
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
    return Ending(how, process.returncode, bytes(errors))


def _start(command: Sequence[str], limits: Limits, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts what becomes `command`. asyncio's own subprocesses are not used because they reap the leader as soon
    as it ends: from then on its number may be another process's, and killing the group would be a gamble."""
    bounds = Bounds(limits.cpu_seconds, limits.memory_bytes, limits.open_files)
    arguments, variables = confined(command, bounds, environment)
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=variables,
        cwd="/",
        start_new_session=True,
        bufsize=0,
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, NICE)  # not reaped yet, so it is there
    return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills the process group. The leader isn't reaped yet, so its number still names this group and no
    other."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM when only a zombie is left
        os.killpg(process.pid, signal.SIGKILL)


async def _end_of(process: subprocess.Popen[bytes]) -> None:
    """Returns when the process has ended, and leaves it unreaped where the system can tell us without reaping
    (Linux)."""
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # macOS, or an old kernel, or already reaped
        while process.poll() is None:  # noqa: ASYNC110 - nothing sets an event here
            await asyncio.sleep(0.02)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def _drain(
    pipe: IO[bytes] | None, receive: Callable[[bytes], None], capacity: int, overflow: Callable[[], None]
) -> None:
    """Hands on what comes through the pipe until its end, or until it is more than `capacity` bytes. Leaves the pipe
    open: a transport would close it, and uvloop's does so twice."""
    if pipe is None:
        return
    loop = asyncio.get_running_loop()
    descriptor, ended = pipe.fileno(), asyncio.Event()
    os.set_blocking(descriptor, False)

    def read() -> None:
        nonlocal capacity
        try:
            piece = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return
        capacity -= len(piece)
        if piece and capacity >= 0:
            receive(piece)
            return
        if piece:
            overflow()
        loop.remove_reader(descriptor)
        ended.set()

    loop.add_reader(descriptor, read)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
