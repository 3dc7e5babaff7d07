"""Where an interrupted copy goes on: a file of its own for each pair of places, project and time.

Invariants: the file names only what the target has acknowledged; it is whole or not there, whenever the process is
killed; it holds no credentials; what cannot be read or written costs the position, never the copy.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

__all__ = ["PARTS", "CopyState", "Job", "Part", "Position", "StateFile", "state_directory"]

Part: TypeAlias = Literal["observations", "sessions", "scores", "ledger"]
PARTS: Final[tuple[Part, ...]] = ("observations", "sessions", "scores", "ledger")
"""In the order in which they are copied."""


class Job(Struct, frozen=True):
    """Say what is copied from where to where: the same job goes on where it stopped."""

    source: str
    """The location of what is read."""
    target: str
    """The location of what is written to."""
    project: str
    since: str | None = None
    """As it was typed: ``3d`` is the same job tomorrow, and goes on with the moment that it meant first."""
    until: str | None = None
    ledger: bool = True

    @property
    def digest(self) -> str:
        """Return a name for a file."""
        said = repr(astuple(self)).encode("utf-8", "backslashreplace")  # a path may be no UTF-8
        return hashlib.sha256(said).hexdigest()[:32]


class Position(Struct, frozen=True, omit_defaults=True):
    """Name the next page to be copied: of a list, or with a time of one trace of a page of traces."""

    part: Part | None = "observations"
    """None when everything has been copied."""
    cursor: str | None = None
    trace_id: str | None = None
    inner: str | None = None
    """The cursor among the observations of that trace."""


class CopyState(Struct, frozen=True, kw_only=True):
    """Hold what has been done so far, and where to go on."""

    begun_ns: int
    """When it began the first time: what was recorded later is a matter of the next copy."""
    since_ns: int | None = None
    until_ns: int | None = None
    position: Position = Position()
    copied: Mapping[str, int] = {}
    """Records that the target has, by part."""
    running: int = 0
    """Observations among them that had not ended."""
    rejected: int = 0
    named: tuple[str, ...] = ()
    """The first of what the target rejected, and why."""


class StateFile:
    """Keep the state of one job in a file, as far as the system lets us."""

    def __init__(self, directory: Path, job: Job) -> None:
        self.path: Final = directory / f"{job.digest}.json"
        self.trouble: str | None = None
        """Why the state cannot be kept; None where it can."""

    def read(self) -> CopyState | None:
        """Return what was kept; None where nothing was, or nothing that can be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=CopyState)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, ValueError) as error:
            self.trouble = f"{self.path} cannot be read ({error})"
            return None

    def keep(self, state: CopyState) -> None:
        """Put a state in the place of the one before."""
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial.write_bytes(msgspec.json.encode(state))
            partial.replace(self.path)
        except OSError as error:
            self.trouble = f"{self.path} cannot be written ({error.strerror or error})"

    def remove(self) -> None:
        """Forget the state: everything has been done, or is to be done anew."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            self.trouble = f"{self.path} cannot be removed ({error.strerror or error})"


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return where the states of copies are kept, by the rules of XDG."""
    named = environ.get("XDG_STATE_HOME", "")
    home = Path(named) if named.startswith("/") else _home() / ".local" / "state"
    return home / "tracecore" / "copy"


def _home() -> Path:
    """Return the home directory; of a user whom the system does not know, as in a container, one that is not there."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")
