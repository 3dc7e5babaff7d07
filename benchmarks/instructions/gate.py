"""The gate: instructions per call beside those that were kept, and an error where one has grown.

The kept counts are in ``benchmarks/results/instructions.json``. They hold for the environment that they name, and for
no other: elsewhere the gate says so and passes nothing off as checked.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.figures import ROOT
from benchmarks.instructions.counted import RUNGS
from benchmarks.instructions.counting import CannotCount, CountFailed, Environment, count, this_environment

__all__ = ["BASELINE", "TOLERANCE", "Baseline", "Change", "changes", "guard"]

BASELINE: Final = ROOT / "benchmarks" / "results" / "instructions.json"
TOLERANCE: Final = 0.01
"""Of a count: ten runs of one tree differed by up to 0.4 % on rungs that record, with the machine otherwise busy."""
_AT_LEAST: Final = 60
"""Instructions that even the smallest counts may differ by: the bare call's own differ by 20."""
_AGAIN: Final = 2
"""How often what has grown is counted anew."""


class Baseline(Struct, frozen=True):
    """Hold kept counts by rung, and where they were taken."""

    environment: Environment
    counts: dict[str, int]


class Change(Struct, frozen=True):
    """Compare one rung's count with the kept one."""

    rung: str
    kept: int | None
    now: int

    @property
    def verdict(self) -> str:
        """Return ``same``, ``more``, ``less`` or, without a kept count, ``new``."""
        if self.kept is None:
            return "new"
        difference = self.now - self.kept
        if abs(difference) <= max(_AT_LEAST, TOLERANCE * self.kept):
            return "same"
        return "more" if difference > 0 else "less"

    @property
    def line(self) -> str:
        """Return the comparison as a line of a table."""
        kept = "-" if self.kept is None else f"{self.kept:,}"
        growth = f"{self.now / self.kept - 1:+7.2%}" if self.kept else " " * 7
        return f"{self.rung:<20} {kept:>10} {self.now:>10,}  {growth}  {self.verdict}"


def changes(kept: Baseline | None, now: dict[str, int]) -> list[Change]:
    """Return every rung beside its kept count."""
    before = {} if kept is None else kept.counts
    return [Change(rung, before.get(rung), number) for rung, number in now.items()]


def guard(rungs: Sequence[str] = (), *, update: bool = False, as_json: bool = False) -> int:
    """Count, compare, say so: 0 where nothing has grown or can be compared, 1 where a count has, 2 on failure."""
    unknown = [rung for rung in rungs if rung not in RUNGS]
    if unknown:
        return _refused(f"no rung is called {unknown[0]!r}: there are {', '.join(RUNGS)}")
    try:
        kept = None if update and not rungs else _kept(BASELINE)
        here = this_environment()
        if kept is not None and kept.environment != here:
            return _elsewhere(kept.environment, here, update=update, as_json=as_json)
        now = _counted(kept, rungs or RUNGS)
    except CannotCount as reason:
        return _skipped(str(reason), as_json=as_json)
    except CountFailed as failed:
        return _refused(f"nothing was counted: {failed}")
    found = changes(kept, now)
    _show(found, as_json=as_json)
    if update:
        _keep(BASELINE, here, now if kept is None else kept.counts | {rung: now[rung] for rung in rungs})
        return 0
    grown = [change.rung for change in found if change.verdict == "more"]
    if grown:
        print(
            f"error: more instructions per call than before: {', '.join(grown)}. Take out what was added, or keep the"
            " new counts with --update and say in the commit what they buy",
            file=sys.stderr,
        )
    fewer = [change.rung for change in found if change.verdict == "less"]
    if fewer:  # or else as much may come back unseen
        print(f"fewer than before: {', '.join(fewer)}. Keep the new counts with --update", file=sys.stderr)
    return 1 if grown else 0


def _counted(kept: Baseline | None, rungs: Sequence[str]) -> dict[str, int]:
    """Count, and count anew what seems to have grown: beside other work a call now and then takes some more.

    What has grown in truth takes more each time; of the others the least counts.
    """
    now = count(rungs)
    for _ in range(_AGAIN):
        grown = [change.rung for change in changes(kept, now) if change.verdict == "more"]
        if not grown:
            break
        now |= {rung: min(now[rung], again) for rung, again in count(grown).items()}
    return now


def _elsewhere(there: Environment, here: Environment, *, update: bool, as_json: bool) -> int:
    """Say that the kept counts hold for another interpreter."""
    if update:
        return _refused(f"the others' counts are of {there}, this is {here}: leave out the rungs")
    return _skipped(f"the kept counts are of {there}; this is {here}", as_json=as_json)


def _refused(why: str) -> int:
    print(f"error: {why}", file=sys.stderr)
    return 2


def _kept(path: Path) -> Baseline | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline) if path.exists() else None
    except ValueError as error:
        raise CountFailed(f"{path.name} cannot be read ({error}): count anew with --update") from error


def _keep(path: Path, here: Environment, counts: dict[str, int]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(Baseline(here, counts)), indent=1) + b"\n")


def _show(found: list[Change], *, as_json: bool) -> None:
    if as_json:
        rows = [{"rung": one.rung, "kept": one.kept, "now": one.now, "verdict": one.verdict} for one in found]
        print(msgspec.json.encode({"rungs": rows, "tolerance": TOLERANCE}).decode())
        return
    print(f"{'instructions a call':<20} {'kept':>10} {'now':>10}")
    for change in found:
        print(change.line)


def _skipped(reason: str, *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode({"skipped": reason}).decode())
    print(f"skipped, nothing was compared: {reason}", file=sys.stderr)
    return 0
