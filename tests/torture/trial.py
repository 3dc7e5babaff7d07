"""The rounds of one torture test: each with its own chance and its own folder, which is kept where the round fails.

::

    @torture("T01", "killed while it writes", rounds=6, full=200)
    def test_killed(trial: Trial) -> None:
        for case in trial.cases():
            with case:
                ...  # case.chance draws, case.folder holds the files of this round

With all rounds a failing case does not end the test: it is counted, and the next one runs. A case draws the same
numbers whenever the seed is the same, also when it is run alone.
"""

from __future__ import annotations

import random
import re
import shutil
import stat
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from tests.torture.declaring import MODE

__all__ = ["Case", "Trial", "keep"]

MOST_VIOLATIONS: Final = 5
"""After so many a test ends: the others will hardly tell more."""


class Trial:
    """Run the rounds of a test, and count those that ran and those that failed."""

    def __init__(self, name: str, rounds: int, folder: Path, kept: Path) -> None:
        self.name = name
        self.rounds = rounds
        self.folder = folder
        self.kept = kept
        self.ran = 0
        self.violations: list[str] = []
        self._over = False
        self.figures: list[str] = []
        """What was measured on the way, to be read beside the counts."""

    def cases(self) -> Iterator[Case]:
        """Yield one case per round; fail at the end if any of them did."""
        for number in range(self.rounds) if MODE.only is None else [MODE.only]:
            self.ran += 1
            yield Case(self, number)
            if self._over:
                break
        if self.violations:
            lines = [f"{len(self.violations)} of {self.ran} rounds failed", *self.violations]
            pytest.fail("\n".join(lines), pytrace=False)

    def stop(self) -> None:
        """Make this case the last one: there is nothing more to find out."""
        self._over = True

    def place(self, case: int | None = None) -> Path:
        """Return where the files of this test, or of one of its cases, are kept when it fails."""
        name = re.sub(r"[^\w.]+", "-", self.name.rpartition("/")[2]).strip("-")
        return self.kept / "-".join([name, str(MODE.seed), *([] if case is None else [str(case)])])

    def violated(self, case: Case, error: BaseException) -> bool:
        """Count a failed case and keep its files; return whether the next one shall run."""
        what = "".join(traceback.format_exception(error))
        place = keep(self.folder, self.place(case.number), what)  # with what outlives a round
        case.remove()
        self.violations.append(f"case {case.number}, kept in {place}: {error!r}")
        return MODE.full and len(self.violations) < MOST_VIOLATIONS


class Case:
    """One round; an error inside its block is a violation."""

    def __init__(self, trial: Trial, number: int) -> None:
        self.number = number
        self.chance = random.Random(f"{MODE.seed}:{trial.name}:{number}")  # noqa: S311 - a seed makes it repeatable
        self._trial = trial
        self._place = trial.folder / f"case-{number}"

    @property
    def folder(self) -> Path:
        """Return the folder of this round, made when it is first asked for."""
        self._place.mkdir(exist_ok=True)
        return self._place

    def remove(self) -> None:
        """Remove the folder, if there is one."""
        if self._place.exists():
            shutil.rmtree(self._place)

    def __enter__(self) -> Self:
        """Begin the round."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Remove the folder, or keep what is in it and go on where all rounds are run."""
        if error is None:
            self.remove()
            return False
        failed = isinstance(error, Exception | pytest.fail.Exception)
        return failed and self._trial.violated(self, error)


def keep(folder: Path | None, place: Path, what: str) -> Path:
    """Copy the regular files of a failed case, and what went wrong; return where to."""
    shutil.rmtree(place, ignore_errors=True)
    if folder is not None and folder.is_dir():
        shutil.copytree(folder, place, ignore=_irregular, symlinks=True)
    place.mkdir(parents=True, exist_ok=True)
    (place / "what-failed.txt").write_text(what)
    return place


def _irregular(folder: str, names: list[str]) -> list[str]:
    modes = {name: (Path(folder) / name).lstat().st_mode for name in names}
    return [name for name, mode in modes.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))]
