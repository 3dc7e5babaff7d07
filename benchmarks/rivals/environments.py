"""An environment of its own for each rival, made on demand: ``.rivals/NAME`` in the project.

``TRACECORE_BENCHMARK_RIVALS`` names another folder for all of them. A marker in the environment says what it was made
of, so that a changed pin, or another interpreter, makes it anew. Why an installation failed is kept beside it and is
what the tables show; the next command tries again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.figures import RIVALS_FOLDER, ROOT
from benchmarks.rivals.adapter import Rival

__all__ = ["Distribution", "Environment", "Refused", "folder", "install", "installed", "remove", "run"]

_USUAL: Final = ROOT / ".rivals"
"""Hidden, beside `.venv`: what walks the tree for sources must not meet those of others."""
_MARKER: Final = "tracecore-benchmark.json"
_PIP: Final = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
_INSTALL: Final = (*_PIP, "install", "--retries", "1", "--prefer-binary")
_NOT_ASKED: Final = "not installed: python -m benchmarks rivals install"
_NEEDS: Final = """
import json, sys
from importlib import metadata
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name
rival, without, found = Requirement(sys.argv[1]), {canonicalize_name(name) for name in sys.argv[2:]}, []
for line in metadata.requires(rival.name) or ():
    needed = Requirement(line)
    wanted = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *rival.extras})
    if wanted and canonicalize_name(needed.name) not in without:
        needed.marker = None
        found.append(str(needed))
print(json.dumps(found))
"""
"""Print what a rival needs here, less what it is not to have."""
_INVENTORY: Final = """
import json
from importlib import metadata
found = {}
for distribution in metadata.distributions():
    files = [file.locate() for file in distribution.files or () if file.suffix != ".pyc"]
    size = sum(path.stat().st_size for path in files if path.is_file())
    found[distribution.name] = {"version": distribution.version, "bytes": size}
found.pop("pip", None)
print(json.dumps(found))
"""
"""Print every distribution but pip with its version and the size of its files."""


class Distribution(Struct, frozen=True):
    """Say what is installed under a name."""

    version: str
    bytes: int


class _Marker(Struct, frozen=True):
    """Hold what an environment was made of, and what is in it."""

    of: str
    distributions: dict[str, Distribution]


class Environment(Struct, frozen=True):
    """Say where a rival runs, or why it cannot."""

    name: str
    python: Path | None = None
    distributions: dict[str, Distribution] = {}
    reason: str = ""


class Refused(Exception):
    """An environment could not be made; the message is the reason that the tables show."""


def folder() -> Path:
    """Return where the environments are."""
    return Path(os.environ.get(RIVALS_FOLDER) or _USUAL)


def installed(name: str, rival: Rival) -> Environment:
    """Return where a rival runs, as things are; one that requires nothing is run by this interpreter."""
    if not rival.requirements:
        return Environment(name, Path(sys.executable))
    marker = _marker(name)
    # The interpreter that it was made with may have been removed since.
    if marker is not None and marker.of == _recipe(rival) and _python(name).exists():
        return Environment(name, _python(name), marker.distributions)
    failure = _failure(name)
    return Environment(name, reason=failure.read_text().strip() if failure.exists() else _NOT_ASKED)


def install(name: str, rival: Rival, say: Callable[[str], object] = lambda _: None) -> Environment:
    """Make a rival's environment unless it is there as it should be; a failure is kept as the reason."""
    there = installed(name, rival)
    if there.python is not None:
        return there
    try:
        remove(name)
        marker = _made(name, rival, say)
    except Refused as refused:
        with contextlib.suppress(Refused):
            remove(name)
        _failure(name).write_text(f"{refused}\n")
    else:
        (folder() / name / _MARKER).write_bytes(msgspec.json.encode(marker))
    return installed(name, rival)


def remove(name: str) -> bool:
    """Remove a rival's environment and what was kept of a failure; say whether there was an environment.

    Raises:
        Refused: what has its name is no environment, and so not ours to remove; or it cannot be removed.
    """
    place = folder() / name
    found = place.exists()
    if found and not _is_environment(place):
        raise Refused(f"{place} is no environment and is left alone: name another folder with --folder")
    shutil.rmtree(place, ignore_errors=True)
    if place.exists():
        raise Refused(f"{place} cannot be removed")
    _failure(name).unlink(missing_ok=True)
    return found


def _is_environment(place: Path) -> bool:
    """Return whether a place is an environment, or what is left of one that was begun: nothing."""
    if not place.is_dir():
        return False
    return any((place / sign).exists() for sign in ("pyvenv.cfg", _MARKER)) or not any(place.iterdir())


def _made(name: str, rival: Rival, say: Callable[[str], object]) -> _Marker:
    """Make an environment and return what is in it.

    Raises:
        Refused: it cannot be made, or holds what it must not.
    """
    place, python = folder() / name, str(_python(name))
    place.parent.mkdir(parents=True, exist_ok=True)
    say("making an environment")
    run([sys.executable, "-m", "venv", str(place)])
    # What comes with the interpreter is not the rival's; if it needs it, it comes again.
    run([python, *_PIP, "uninstall", "--yes", "setuptools"])
    say(f"installing {rival.requirements[0]}")
    if rival.without:
        first, *others = rival.requirements
        run([python, *_INSTALL, "--no-deps", first])
        needed = json.loads(run([python, "-c", _NEEDS, first, *rival.without]))
        run([python, *_INSTALL, *others, *needed])
    else:
        run([python, *_INSTALL, *rival.requirements])
    distributions = msgspec.json.decode(run([python, "-c", _INVENTORY]), type=dict[str, Distribution])
    unwanted = {_plain(other) for other in rival.without} & {_plain(other) for other in distributions}
    if unwanted:
        raise Refused(f"{', '.join(sorted(unwanted))} came all the same, because something else requires it")
    return _Marker(_recipe(rival), distributions)


def run(command: Sequence[str]) -> str:
    """Run a command and return what it printed.

    Raises:
        Refused: it failed; the message is the last line of its complaint.
    """
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    # What a command that is killed cannot take away goes with the folder.
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-", ignore_cleanup_errors=True) as temporary:
        outcome = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env=environment | {"TMPDIR": temporary},
        )  # fmt: skip
    if outcome.returncode:
        lines = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        raise Refused((errors or lines or [f"exit code {outcome.returncode}"])[-1].removeprefix("ERROR: "))
    return outcome.stdout


def _marker(name: str) -> _Marker | None:
    """Return what an environment says of itself; None where there is none, or none that was finished."""
    try:
        return msgspec.json.decode((folder() / name / _MARKER).read_bytes(), type=_Marker)
    except (OSError, msgspec.DecodeError):
        return None


def _recipe(rival: Rival) -> str:
    """Return a digest of what an environment is made of: requirements, what is left out, and the interpreter."""
    parts = [*rival.requirements, "without", *rival.without, sys.version, sys.base_prefix]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _failure(name: str) -> Path:
    return folder() / f"{name}.failed"


def _python(name: str) -> Path:
    inside = Path("Scripts", "python.exe") if sys.platform == "win32" else Path("bin", "python")
    return folder() / name / inside


def _plain(name: str) -> str:
    """Return the name of a distribution as all of its spellings have it."""
    return re.sub(r"[-_.]+", "-", name).lower()
