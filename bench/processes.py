"""CPU time and memory of processes and of the machine, from /proc (Linux, proc(5))."""

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Total CPU seconds (user and system), and resident memory in bytes."""

    cpu_seconds: float
    resident_bytes: int


def usage(pid: int) -> Usage:
    """The usage of one process, without its children."""
    fields = _stat(pid)
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Usage((int(fields[11]) + int(fields[12])) / TICKS, resident)


def tree_usage(pid: int) -> Usage:
    """The usage of a process and its descendants, including the CPU time of children that were waited for."""
    cpu, resident = 0.0, 0
    for each in (pid, *descendants(pid)):
        try:
            own, fields = usage(each), _stat(each)
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process has ended
        cpu += own.cpu_seconds + (int(fields[13]) + int(fields[14])) / TICKS
        resident += own.resident_bytes
    return Usage(cpu, resident)


def descendants(pid: int) -> list[int]:
    """Process ids of children, grandchildren and so on."""
    children_of: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children_of.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, pending = [], [pid]
    while pending:
        children = children_of.get(pending.pop(), [])
        found += children
        pending += children
    return found


class BackgroundLoad:
    """The cores that other processes kept busy during a measurement."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._busy, self._own = _machine_busy(), tree_usage(os.getpid()).cpu_seconds

    def cores(self) -> float:
        """The average since the start. It includes child processes that ended without being waited for."""
        busy = _machine_busy() - self._busy
        own = tree_usage(os.getpid()).cpu_seconds - self._own
        return max(0.0, (busy - own) / max(0.001, time.monotonic() - self._since))


def machine() -> str:
    """Cores, processor, memory and kernel, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}"


def version(*command: str) -> str:
    """The first line that a version command prints, on stdout or stderr."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def _stat(pid: int) -> list[str]:
    # The second field, the name in parentheses, can contain spaces. Index 0 is the field after it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _machine_busy() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS
