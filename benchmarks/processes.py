"""Processes that a suite starts beside itself: servers whose CPU is not the client's, gone when the suite has ended."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.figures import ROOT
from benchmarks.rivals.member import Failed, Process

__all__ = ["Served", "cpu_seconds", "peak_mb", "resident_mb", "served", "used_share"]

_TO_START_S: Final = 60.0
_TO_END_S: Final = 20.0
_PROCESSES: Final = Path("/proc")
_TICKS: Final = slice(11, 15)
"""Of what follows a program's name in ``/proc/PID/stat``: its own time in user and kernel mode, and that of its ended
children."""


class Served(Struct, frozen=True):
    """Say where a server listens, and which process it is."""

    url: str
    pid: int


@contextmanager
def served(module: str, *arguments: str) -> Iterator[Served]:
    """Start a module that prints its URL and serves until its standard input is closed, for the length of a block.

    Raises:
        RuntimeError: it did not start, or did not end by itself.
    """
    process = Process([sys.executable, "-m", module, *arguments], os.environ, str(ROOT))
    in_time = True
    try:
        yield Served(_first_line(process, module), process.pid)
    finally:
        in_time = process.end(_TO_END_S)
    if not in_time:
        raise RuntimeError(f"{module} did not end within {_TO_END_S:.0f} s")


def _first_line(process: Process, module: str) -> str:
    try:
        return process.heard(_TO_START_S).decode().strip()
    except Failed as failed:
        raise RuntimeError(f"{module} did not start: {failed}") from failed


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all that it has started; 0 where the system does not say."""
    folder = _PROCESSES / str(pid)
    try:
        ticks = (folder / "stat").read_text().rpartition(")")[2].split()[_TICKS]
        children = [int(child) for task in folder.glob("task/*/children") for child in task.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile: its time is that of its parent's ended children
        return 0.0
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, children))


def used_share(pid: int, seconds: float) -> float:
    """Return the share of a core that a process uses for so long."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def resident_mb(pid: int) -> float:
    """Return the MB that a process has in memory."""
    return _status_mb(pid, "VmRSS:")


def peak_mb(pid: int) -> float:
    """Return the most MB that a process has had in memory."""
    return _status_mb(pid, "VmHWM:")


def _status_mb(pid: int, field: str) -> float:
    """Return a field of ``/proc/PID/status``, which has KB of 1,024 bytes there."""
    lines = (_PROCESSES / str(pid) / "status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)
