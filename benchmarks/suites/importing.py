"""What ``import tracecore`` costs a program: time over bare Python, and what comes with it.

Every figure is a fresh interpreter, bytecode already compiled. Times are wall clock of the whole process, best of n: an
import reads files, so nothing below the best says anything about us.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import Rounds, interleaved, less, row_of
from benchmarks.progress import Step

__all__ = ["installation", "run"]

METHOD: Final = (
    "ms of wall clock of a fresh interpreter, less the bare interpreter of the same round; rounds interleaved; the"
    " minimum is the figure to quote. Distributions and modules are what one import really loads."
)
_ROUNDS: Final = 15
_PROGRAMS: Final = {
    "bare": ("python -c pass", "pass"),
    "asyncio": ("import asyncio", "import asyncio"),
    "tracecore": ("import tracecore", "import tracecore"),
    "first_span": (
        "import, first span, flush into memory",
        (
            "import tracecore\ntracecore.configure(backend='memory:')\nwith tracecore.span('first'): pass\n"
            "assert tracecore.flush().delivered"
        ),
    ),
}
_LOOK: Final = """
import json, sys
before = set(sys.modules)
import tracecore
print(json.dumps(sorted(set(sys.modules) - before)))
"""
_BYTES_PER_MB: Final = 1e6


def _run(code: str) -> str:
    """Run a program in a fresh interpreter that finds what this one finds, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once, not at every import
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return run.stdout


def _timed(code: str) -> float:
    """Return the ms that a program takes, interpreter included."""
    began = time.perf_counter_ns()
    _run(code)
    return (time.perf_counter_ns() - began) / 1e6


def _loaded() -> list[str]:
    """Return the modules that ``import tracecore`` loads."""
    modules: list[str] = json.loads(_run(_LOOK))
    return modules


def _distributions(modules: list[str]) -> list[str]:
    """Return the distributions that modules come from; the standard library is none."""
    owners = metadata.packages_distributions()
    top = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    return sorted({(owners.get(name) or [name])[0] for name in top})


def _needed(name: str, found: set[str]) -> set[str]:
    """Return a distribution and what it needs installed, extras left out."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - may be missing

    if name not in found:
        found.add(name)
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                _needed(requirement.name, found)
    return found


def _size(name: str, root: Path) -> int:
    """Return the bytes of a distribution's files; of our own, which may be installed in place, those of its folders."""
    if name == "tracecore":
        folders = (root / "tracecore", root / "backends")
        files = [path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts]
    else:
        files = [Path(str(entry.locate())) for entry in metadata.files(name) or () if entry.suffix != ".pyc"]
    return sum(path.stat().st_size for path in files if path.is_file())


def installation() -> dict[str, int]:
    """Return the distributions that ``pip install tracecore`` brings, without extras, and the bytes of each.

    Raises:
        ImportError: ``packaging`` is not installed.
    """
    return {name: _size(name, Path(__file__).parents[2]) for name in sorted(_needed("tracecore", set()))}


def _installed_rows() -> list[Row]:
    key, label = "import.installed", "distributions that an installation needs, itself included"
    try:
        found = installation()
    except ImportError:
        return [Row(key=key, label=label, unit="", value=None, note="packaging is not installed")]
    size = sum(found.values()) / _BYTES_PER_MB
    return [
        Row(key=key, label=label, unit="", value=len(found), note=", ".join(found)),
        Row(key="import.size", label="their files", unit="MB", value=size, note="without bytecode"),
    ]


def _rows(taken: Rounds) -> list[Row]:
    rows: list[Row] = []
    for name, (label, _) in _PROGRAMS.items():
        figures = taken[name] if name == "bare" else less(taken[name], taken["bare"])
        note = "the whole process" if name == "bare" else ""
        best = min(taken[name]) - (0 if name == "bare" else min(taken["bare"]))
        rows.append(replace(row_of(f"import.{name}", label, "ms", figures, note=note), minimum=best))
    return rows


def run(settings: Settings, step: Step) -> Table:
    """Start interpreters in turn, then look at what one import loads."""
    candidates: dict[str, Callable[[], float]] = {name: partial(_timed, code) for name, (_, code) in _PROGRAMS.items()}
    taken = interleaved(candidates, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)
    modules = _loaded()
    own = [module for module in modules if module.partition(".")[0] == "tracecore"]
    found = _distributions(modules)
    note = f"{len(own)} of them ours"
    rows = _rows(taken)
    rows.append(Row(key="import.modules", label="modules loaded", unit="", value=len(modules), note=note))
    rows.append(
        Row(key="import.distributions", label="distributions loaded", unit="", value=len(found), note=", ".join(found))
    )
    return Table(suite="import", title="import tracecore", method=METHOD, rows=rows + _installed_rows())
