"""What ``run --report`` keeps in the tree, and where: a whole run, or some suites of one instead of their tables.

A part is kept only beside a whole run that was made on the same machine with the same versions, so that one document
says one thing. Each of its tables says when it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from benchmarks import kept
from benchmarks.catalogue import SUITES
from benchmarks.figures import Results, Settings, write_results
from benchmarks.machine import LOAD, other_facts

__all__ = ["Place", "merged", "place_of"]

_RIVALS: Final = "rivals"
_WHOLE: Final = "python -m benchmarks run --report"


class Place(Struct, frozen=True):
    """Say which file keeps a run: instead of everything in it, or instead of the tables of the same suites."""

    path: Path
    is_part: bool = False

    def check(self, facts: Mapping[str, str]) -> None:
        """Raise where a run on this machine, with these versions, cannot be kept.

        Raises:
            ValueError: it is a part, and there is no whole run that it belongs to; the message says why.
        """
        if self.is_part:
            _whole_with(self.path, facts)

    def keep(self, results: Results) -> None:
        """Write a run into the file.

        Raises:
            ValueError: it is a part, and does not belong to the run that is there.
            OSError: the file cannot be written.
        """
        write_results(merged(_whole_with(self.path, results.facts), results) if self.is_part else results, self.path)


def place_of(asked: Sequence[str], settings: Settings, *, rivals: bool) -> Place:
    """Return where a run is kept of the suites that were asked for, or of all.

    Raises:
        ValueError: it is not to be kept; the message says why.
    """
    if list(asked) == ["read"] and not rivals and settings == Settings(rows=kept.LARGE_ROWS):
        return Place(kept.LARGE)
    if settings != Settings():
        raise ValueError("--report keeps what usual settings measure: leave out everything that changes what suites do")
    if rivals or any(name.partition("/")[0] == _RIVALS for name in asked):
        if asked:
            raise ValueError("--report keeps all rivals or none: say --rivals, and leave out suites")
        return Place(kept.RIVALS)
    for name in asked:
        if name in SUITES and SUITES[name].only_asked:
            raise ValueError(f"--report: {name} is no part of a whole run, and is not kept; --save FILE keeps it")
    return Place(kept.LATEST, is_part=bool(asked))


def merged(whole: Results, part: Results) -> Results:
    """Return a whole run with the tables of a part in place of its own of the same suites, in the catalogue's order."""
    when, load = ("", "") if part.when == whole.when else (part.when, part.facts.get(LOAD, ""))
    newer = {table.suite: replace(table, when=when, load=load) for table in part.tables}
    tables = {table.suite: table for table in whole.tables} | newer
    places = {name: place for place, name in enumerate(SUITES)}
    return replace(whole, tables=sorted(tables.values(), key=lambda table: places.get(table.suite, len(places))))


def _whole_with(path: Path, facts: Mapping[str, str]) -> Results:
    if not path.exists():
        raise ValueError(f"--report: no whole run is kept that suites could be a part of; take one: {_WHOLE}")
    whole = kept.run_of(str(path))
    for name, then, now in other_facts(whole.facts, facts):
        raise ValueError(
            f"--report: {name} is {now}, and {then} in the run of {whole.when} that is kept: figures of both do not"
            f" belong into one document; take a whole run: {_WHOLE}"
        )
    return whole
