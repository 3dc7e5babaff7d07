"""Two runs side by side: which figures differ by more than they vary, which way, and whether the runs can be compared.

Figures are found by their keys. What they vary by is their spread (see :mod:`benchmarks.figures`); two runs of one
program on one quiet machine should differ in next to nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from benchmarks.figures import Results, Row
from benchmarks.machine import LOAD, busyness, other_facts
from benchmarks.tables import NONE, aligned, figure

__all__ = ["OF_BYTES", "TAKEN_ONCE", "Change", "Comparison", "compared", "json_of", "text_of", "verdict_of"]

Verdict: TypeAlias = Literal["faster", "slower", "more", "less", "same"]

TAKEN_ONCE: Final = 0.1
"""The part of a measured figure that stands for its spread where it was taken only once."""
OF_BYTES: Final = 0.02
"""The same of bytes: one program fills the pages of its files, and the tables of its memory, not always alike."""
"""Load per core before a run, above which its figures are somebody else's too."""
_DIRECTIONS: Final[dict[str, tuple[Verdict, Verdict, Verdict]]] = {
    **dict.fromkeys(("ns", "µs", "ms", "s"), ("faster", "slower", "slower")),
    **dict.fromkeys(("bytes", "MB"), ("less", "more", "more")),
    **dict.fromkeys(("spans/s", "rows/s", "MB/s"), ("slower", "faster", "slower")),
    **dict.fromkeys(("x", "%"), ("less", "more", "less")),
}
"""By unit: the word for a figure that went down, for one that went up, and which of them is worse."""


class Change(Struct, frozen=True, kw_only=True):
    """Hold one figure of both runs."""

    key: str
    label: str
    unit: str
    old: float
    new: float
    ratio: float | None
    """New ÷ old; None where that says nothing, because one of them is not above zero."""
    verdict: Verdict
    worse: bool
    """It changed, and in the direction that is worse; never so for counts, of which only their suite knows."""

    def worse_above(self, percent: float) -> bool:
        """Return whether it got worse, and by more than so many percent of the old figure."""
        return self.worse and abs(self.new - self.old) * 100 > percent * abs(self.old)


class Comparison(Struct, frozen=True, kw_only=True):
    """Hold what comparing two runs says; ``warnings`` name what else was different."""

    warnings: list[str]
    figures: list[Change]
    only_old: list[str]
    only_new: list[str]

    @property
    def changed(self) -> list[Change]:
        """Return the figures that differ by more than they vary."""
        return [change for change in self.figures if change.verdict != "same"]


def verdict_of(old: Row, new: Row) -> Verdict:
    """Say how a figure of one run differs from that of another.

    It is the ``same`` where the difference is not greater than the greater of both spreads: the distance between the
    quartiles or, of few rounds, between the least and the greatest. A figure without a spread was taken once: a tenth
    of it stands for its spread (:data:`TAKEN_ONCE`), of bytes a fiftieth (:data:`OF_BYTES`); counts vary by nothing.

    Otherwise times and rates are ``faster`` or ``slower``, and everything else is ``more`` or ``less``.
    """
    assert old.value is not None
    assert new.value is not None
    if abs(new.value - old.value) <= max(_spread(old), _spread(new)):
        return "same"
    down, up, _ = _DIRECTIONS.get(old.unit, ("less", "more", "same"))
    return down if new.value < old.value else up


def _spread(row: Row) -> float:
    if row.spread is not None:
        return row.spread
    part = TAKEN_ONCE if row.unit in _DIRECTIONS else 0.0
    return abs(row.value or 0.0) * (OF_BYTES if row.unit == "bytes" else part)


def compared(old: Results, new: Results) -> Comparison:
    """Return the figures that both runs took, and the keys of those that only one of them did."""
    before, after = _taken(old), _taken(new)
    return Comparison(
        warnings=[*_other_facts(old, new), *_other_settings(old, new), *_busy(old, "old"), *_busy(new, "new")],
        figures=[_change(row, after[key]) for key, row in before.items() if key in after],
        only_old=[key for key, unit in before if (key, unit) not in after],
        only_new=[key for key, unit in after if (key, unit) not in before],
    )


def _taken(results: Results) -> dict[tuple[str, str], Row]:
    """Return the rows that have a figure, by key and unit: a figure in another unit is another figure."""
    return {(row.key, row.unit): row for table in results.tables for row in table.rows if row.value is not None}


def _change(old: Row, new: Row) -> Change:
    assert old.value is not None
    assert new.value is not None
    verdict = verdict_of(old, new)
    return Change(
        key=new.key, label=new.label, unit=new.unit, old=old.value, new=new.value,
        ratio=new.value / old.value if min(old.value, new.value) > 0 else None,
        verdict=verdict, worse=new.unit in _DIRECTIONS and verdict == _DIRECTIONS[new.unit][2],
    )  # fmt: skip


def _other_facts(old: Results, new: Results) -> list[str]:
    """Name the machine facts and versions that differ; the load before is looked at by itself."""
    return [
        f"{name}: {before} in the old run, {after} in the new one"
        for name, before, after in other_facts(old.facts, new.facts)
    ]


def _other_settings(old: Results, new: Results) -> list[str]:
    before, after = asdict(old.settings), asdict(new.settings)
    return [
        f"setting {name}: {before[name]} in the old run, {after[name]} in the new one"
        for name in before
        if before[name] != after[name]
    ]


def _busy(results: Results, which: str) -> list[str]:
    """Warn of a machine that did something else when a run began."""
    load = busyness(results.facts)
    return [f"{LOAD} the {which} run was {load}"] if load else []


def text_of(comparison: Comparison, *, everything: bool = False) -> str:
    """Return a comparison as text for a terminal: the figures that changed, or all of them."""
    shown = comparison.figures if everything else comparison.changed
    parts = ["\n".join(f"warning: {warning}" for warning in comparison.warnings)]
    if shown:
        heading = ["figure", "unit", "old", "new", "new ÷ old", "verdict", ""]
        parts.append("\n".join(aligned([heading, *map(_cells, shown)])))
    parts += [
        _listed("old", comparison.only_old, comparison.figures),
        _listed("new", comparison.only_new, comparison.figures),
        _summary(comparison),
    ]
    return "\n\n".join(part for part in parts if part)


def _cells(change: Change) -> list[str]:
    ratio = NONE if change.ratio is None else f"{figure(change.ratio)} x"
    verdict = f"{change.verdict}{' (worse)' if change.worse and change.verdict != 'slower' else ''}"
    return [change.key, change.unit, figure(change.old), figure(change.new), ratio, verdict, change.label]


def _listed(which: str, keys: list[str], in_both: list[Change]) -> str:
    """Name what only one run took; a suite of which nothing is in both is named once."""
    compared_too = {_suite(change.key) for change in in_both}
    counts = Counter(_suite(key) for key in keys)
    names = dict.fromkeys(
        key if _suite(key) in compared_too else f"all {counts[_suite(key)]} of {_suite(key)}" for key in keys
    )
    return f"only in the {which} run: {', '.join(names)}" if names else ""


def _suite(key: str) -> str:
    return key.partition(".")[0]


def _summary(comparison: Comparison) -> str:
    counts = Counter(change.verdict for change in comparison.figures)
    words = ", ".join(f"{counts[word]} {word}" for word in ("faster", "slower", "less", "more", "same") if counts[word])
    return f"{len(comparison.figures)} figures compared: {words or 'none is in both runs'}"


def json_of(comparison: Comparison, *, everything: bool = False) -> str:
    """Return a comparison as JSON: the figures that changed, or all of them."""
    shown = comparison if everything else msgspec.structs.replace(comparison, figures=comparison.changed)
    return msgspec.json.encode(shown).decode()
