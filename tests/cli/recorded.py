"""Records with small numbers for ids, and what a command that was run left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tracecore.records import Generation, Span

SECOND = 10**9
START = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return the answer as the program that reads it would."""
        return msgspec.json.decode(self.out)


Runner = Callable[..., "subprocess.CompletedProcess[str]"]
Cli = Callable[..., Result]
Store = Callable[..., str]


def span(number: int, *, trace: int = 1, parent: int | None = None, after_s: float = 0.0, **fields: Any) -> Span:
    """Return a span of one second; ``number`` and ``trace`` make its ids."""
    return Span(**_fields(number, trace, parent, after_s=after_s, **fields))


def generation(
    number: int, *, trace: int = 1, parent: int | None = None, after_s: float = 0.0, **fields: Any
) -> Generation:
    """Return a generation of one second."""
    return Generation(**{"type": "generation", **_fields(number, trace, parent, after_s=after_s, **fields)})


def _fields(number: int, trace: int, parent: int | None, *, after_s: float, **fields: Any) -> dict[str, Any]:
    if "about" in fields:
        fields["trace"] = fields.pop("about")
    payloads = {key: raw(fields.pop(key)) for key in ("input", "output", "metadata") if key in fields}
    return {
        "project": "default",
        "name": f"step {number}",
        "trace_id": f"{trace:032x}",
        "span_id": f"{number:016x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "start_ns": START + round(after_s * SECOND),
        "duration_ns": SECOND,
        **fields,
        **payloads,
    }


def raw(value: Any) -> msgspec.Raw:
    """Return a payload."""
    return msgspec.Raw(msgspec.json.encode(value))


def runner(folder: Path, project_root: Path, *prefix: str) -> Runner:
    """Return a function that runs Python in ``folder`` with ``prefix`` before the arguments, as if installed."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(project_root), str(project_root / "backends"), str(folder / "installed")])
        return subprocess.run(
            [sys.executable, *prefix, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )

    installed = folder / "installed" / "tracecore-0.dist-info"
    installed.mkdir(parents=True, exist_ok=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tracecore\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(
        "[tracecore.backends]\nmemory = tracecore.memory:open_backend\nsqlite = tracecore_sqlite:open_backend\n"
        "jsonl = tracecore_jsonl:open_backend\n"
    )
    return run


def write(path: Path, code: str) -> str:
    """Write a program and return its name relative to the working directory of the runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code))
    return path.name
