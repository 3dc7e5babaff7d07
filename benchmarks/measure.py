"""How figures are taken: interleaved rounds, and what is said about them.

Candidates that are to be compared take turns: every round runs each of them once, in an order that is shuffled anew
from a fixed seed, so that a machine that slows down for a while slows all of them down. One round before the first is
thrown away. What is subtracted (the bare call) is subtracted round by round.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

from benchmarks.figures import Row
from benchmarks.progress import Step

__all__ = ["Rounds", "interleaved", "less", "percentile", "ratio", "row_of", "spread_of"]

Figure = TypeVar("Figure")
Rounds: TypeAlias = dict[str, list[float]]
"""One figure per round, by the name of the candidate."""
_ENOUGH_FOR_QUARTILES: Final = 4


def interleaved(
    candidates: Mapping[str, Callable[[], Figure]], *, rounds: int, seed: int, step: Step
) -> dict[str, list[Figure]]:
    """Run every candidate once per round, in changing order, and return what they said; the first round is dropped."""
    chance = random.Random(seed)
    order = list(candidates)
    taken: dict[str, list[Figure]] = {name: [] for name in order}
    for number in range(rounds + 1):
        step(f"round {number} of {rounds}" if number else "warm-up", number / (rounds + 1))
        chance.shuffle(order)
        for name in order:
            figure = candidates[name]()
            if number:
                taken[name].append(figure)
    return taken


def less(figures: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return each figure less that of the base in the same round."""
    return [figure - other for figure, other in zip(figures, base, strict=True)]


def spread_of(figures: Sequence[float]) -> float | None:
    """Return the distance between the quartiles; of few figures, between the least and the greatest; of one, None."""
    if len(figures) == 1:
        return None
    if len(figures) < _ENOUGH_FOR_QUARTILES:
        return max(figures) - min(figures)
    first, _, third = statistics.quantiles(figures, n=4)
    return third - first


def percentile(figures: Sequence[float], percent: int) -> float:
    """Return the least figure that at least so many percent of all figures do not exceed."""
    ordered = sorted(figures)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def ratio(figure: float, base: float) -> float:
    """Return ``figure / base``; 0 where the base is nothing."""
    return figure / base if base else 0.0


def row_of(
    key: str,
    label: str,
    unit: str,
    figures: Sequence[float],
    *,
    ratios: Mapping[str, float] | None = None,
    note: str = "",
) -> Row:
    """Return the row of a candidate: median, minimum and spread over its rounds."""
    return Row(
        key=key, label=label, unit=unit, value=statistics.median(figures), minimum=min(figures),
        spread=spread_of(figures), ratios=dict(ratios or {}), note=note,
    )  # fmt: skip
