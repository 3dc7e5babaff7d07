"""The results that are kept in the tree: one whole run, one of the rivals, and one of reading from a large file.

All are measured by ``run --report`` (:mod:`benchmarks.keeping`). What the documents and their charts say is a function
of these files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.figures import ROOT, Results, read_results

__all__ = ["LARGE", "LARGE_ROWS", "LATEST", "RIVALS", "Kept", "read_kept", "run_of"]

LATEST: Final = ROOT / "benchmarks" / "results" / "latest.json"
RIVALS: Final = LATEST.with_name("rivals.json")
LARGE: Final = LATEST.with_name("large.json")
LARGE_ROWS: Final = 10_000_000


class Kept(Struct, frozen=True, kw_only=True):
    """Hold what was measured last: everything but the rivals, the rivals, and reading from a large file."""

    whole: Results | None = None
    rivals: Results | None = None
    large: Results | None = None

    def run_with(self, key: str) -> Results | None:
        """Return the run that took the figure of this key, the large file's left out, or None when neither did."""
        return next((run for run in (self.whole, self.rivals) if run is not None and run.row(key) is not None), None)


def read_kept(whole: Path, rivals: Path) -> Kept:
    """Return what two files hold. A file of the tree that is not there means that nothing was measured.

    Raises:
        ValueError: a file holds no results, or is not there and is none of the tree's; the message says which.
    """
    large = _read_if_there(LARGE, LARGE)
    return Kept(whole=_read_if_there(whole, LATEST), rivals=_read_if_there(rivals, RIVALS), large=large)


def run_of(name: str) -> Results:
    """Return the run that a word means: ``latest``, ``rivals``, ``large``, or the path of a results file.

    Raises:
        ValueError: the file holds no results, or cannot be read; the message says which.
    """
    return _read({"latest": LATEST, "rivals": RIVALS, "large": LARGE}.get(name, Path(name)))


def _read_if_there(path: Path, usual: Path) -> Results | None:
    return _read(path) if path.exists() or path != usual else None


def _read(path: Path) -> Results:
    try:
        return read_results(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} holds no results: {error}") from error
