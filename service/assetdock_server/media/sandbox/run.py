"""Runs one untrusted program with limits on time, memory and output, and leaves no process behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Literal

from assetdock_server.media.sandbox.starter import ResourceLimits, limited_command

CHUNK = 64 * 1024
NICE = 10  # lower priority than the service's own work


@dataclass(frozen=True)
class Limits:
    """The budget of one file. Seconds are wall-clock time unless the name says CPU; sizes are bytes."""

    seconds: float = 60
    measure_seconds: float = 600  # for a pass over all packets, which reads the whole file
    stall_seconds: float = 15  # without a byte from Storage
    cpu_seconds: int = 120
    memory_bytes: int = 1024 * 1024 * 1024  # of address space; the libraries of Debian's build take 300 MB
    open_files: int = 32
    output_bytes: int = 1024 * 1024
    packet_bytes: int = 1024 * 1024 * 1024  # of packet lines, which are parsed as they arrive and never stored
    error_bytes: int = 64 * 1024


@dataclass(frozen=True)
class ProcessResult:
    """How a program ended. `status` is its exit status, or the negative number of the signal that killed it."""

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
) -> ProcessResult:
    """Runs `command` (an absolute path and its arguments) and passes its stdout in pieces to `receive`, which must not
    raise.

    The program gets only `environment`, an empty stdin and its own session. Its process group is killed after
    `seconds`, after `capacity` bytes of stdout, when the caller is cancelled, and when the program exits. Returns, or
    re-raises the cancellation, only after the process is reaped.
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
            await _wait_for_exit(process)
            _kill(process)  # a remaining child would keep the pipes open
    except TimeoutError:
        how = "timed_out"
    finally:
        _kill(process)
        try:
            await _wait_for_exit(process)
        finally:
            process.wait()  # blocks only after a second cancellation, and briefly, because SIGKILL cannot be caught
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
    return ProcessResult(how, process.returncode, bytes(errors))


def _start(command: Sequence[str], limits: Limits, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts `command` under its limits. asyncio's subprocesses reap the leader as soon as it exits; its process id
    may then belong to another process, and killing the group would be unsafe."""
    resources = ResourceLimits(limits.cpu_seconds, limits.memory_bytes, limits.open_files)
    process = subprocess.Popen(
        limited_command(command, resources, environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
        start_new_session=True,
        bufsize=0,
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, NICE)  # not reaped yet, so the process id is valid
    return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills the process group. The leader is not reaped yet, so its id still names this group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM when only a zombie is left
        os.killpg(process.pid, signal.SIGKILL)


async def _wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    """Waits until the process exits. On Linux the process stays unreaped."""
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # macOS, an old kernel, or already reaped
        while process.poll() is None:  # noqa: ASYNC110 - no event exists to wait for
            await asyncio.sleep(0.02)
        return
    loop = asyncio.get_running_loop()
    exited = asyncio.Event()
    loop.add_reader(handle, exited.set)
    try:
        await exited.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def _drain(
    pipe: IO[bytes] | None, receive: Callable[[bytes], None], capacity: int, overflow: Callable[[], None]
) -> None:
    """Passes the pipe's output to `receive` until the pipe ends or has sent more than `capacity` bytes. The pipe stays
    open: an asyncio transport would close it, and uvloop's closes it twice."""
    if pipe is None:
        return
    loop = asyncio.get_running_loop()
    descriptor, finished = pipe.fileno(), asyncio.Event()
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
        finished.set()

    loop.add_reader(descriptor, read)
    try:
        await finished.wait()
    finally:
        loop.remove_reader(descriptor)
