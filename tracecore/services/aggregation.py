"""Groups of numbers, and what each group amounts to: sums, means, extremes, percentiles, histograms.

Numbers that are not known are left out: a mean is over those that are, a sum of none is 0, anything else of none is not
known either. Percentiles are interpolated between the two nearest numbers.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal, TypeAlias, get_args

from msgspec import Struct

from tracecore.errors import ConfigError

__all__ = ["AGGREGATIONS", "MOST_GROUPS", "Aggregation", "Groups", "Metric"]

Aggregation: TypeAlias = Literal["sum", "avg", "count", "max", "min", "p50", "p75", "p90", "p95", "p99", "histogram"]
AGGREGATIONS: Final[tuple[Aggregation, ...]] = get_args(Aggregation)
MOST_GROUPS: Final = 50_000
"""Groups of one answer before it is cut to the rows that were asked for."""
_PARTS: Final[dict[Aggregation, float]] = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_NEEDS_ALL: Final[frozenset[Aggregation]] = frozenset((*_PARTS, "histogram"))


class Metric(Struct, frozen=True):
    """Say which numbers are gathered, and what is made of them."""

    measure: str
    aggregation: Aggregation

    @property
    def alias(self) -> str:
        """Return the name of the result."""
        return f"{self.aggregation}_{self.measure}"


class _Numbers:
    """Hold the numbers of one measure in one group, all of them only where they are needed."""

    def __init__(self, *, keep: bool) -> None:
        self._all = array("d") if keep else None
        self.count = 0
        self.sum: float = 0
        self.least: float | None = None
        self.greatest: float | None = None

    def add(self, number: float) -> None:
        self.count += 1
        self.sum += number
        if self.least is None or number < self.least:
            self.least = number
        if self.greatest is None or number > self.greatest:
            self.greatest = number
        if self._all is not None:
            self._all.append(number)

    def result(self, aggregation: Aggregation, bins: int) -> Any:
        """Return what the numbers amount to."""
        if aggregation == "histogram":
            return _histogram(self._sorted(), bins)
        if aggregation in _PARTS:
            return _percentile(self._sorted(), _PARTS[aggregation])
        mean = self.sum / self.count if self.count else None
        return {"count": self.count, "sum": self.sum, "avg": mean, "min": self.least, "max": self.greatest}[aggregation]

    def _sorted(self) -> list[float]:
        return sorted(self._all or ())


class Groups:
    """Gather numbers in groups, by the values of dimensions."""

    def __init__(self, dimensions: Sequence[str], metrics: Sequence[Metric], bins: int = 10) -> None:
        self._dimensions = tuple(dimensions)
        self._metrics = tuple(metrics)
        self._bins = bins
        needed = {metric.measure: False for metric in metrics}
        for metric in metrics:
            needed[metric.measure] |= metric.aggregation in _NEEDS_ALL
        self.measures: Final = tuple(needed)
        self._keep = tuple(needed.values())
        self._groups: dict[tuple[Any, ...], list[_Numbers]] = {}

    def add(self, key: tuple[Any, ...], numbers: Sequence[float | None]) -> None:
        """Add one number of each measure, in their order, to the group of a key.

        Raises:
            ConfigError: there are too many groups.
        """
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MOST_GROUPS:
                expected = f"fewer than {MOST_GROUPS} groups: name fewer dimensions, or a coarser granularity"
                raise ConfigError("dimensions", list(self._dimensions), "the request", expected)
            group = self._groups[key] = [_Numbers(keep=keep) for keep in self._keep]
        for gathered, number in zip(group, numbers, strict=True):
            if number is not None:
                gathered.add(number)

    def rows(self, order: Sequence[tuple[str, bool]], limit: int) -> list[dict[str, Any]]:
        """Return what the groups amount to, in an order of fields, each with whether its greatest value comes first."""
        found = [self._row(key, group) for key, group in self._groups.items()]
        for field, descending in reversed(order):
            # Sorting is stable: what has no value comes last in either direction.
            known = [row for row in found if row[field] is not None]
            known.sort(key=partial(_sortable, field), reverse=descending)
            found = known + [row for row in found if row[field] is None]
        return found[:limit]

    def _row(self, key: tuple[Any, ...], group: list[_Numbers]) -> dict[str, Any]:
        numbers = dict(zip(self.measures, group, strict=True))
        row = dict(zip(self._dimensions, key, strict=True))
        for metric in self._metrics:
            row[metric.alias] = numbers[metric.measure].result(metric.aggregation, self._bins)
        return row


def _sortable(field: str, row: dict[str, Any]) -> tuple[bool, Any]:
    """Return a key by which rows sort whose field is a number, a text, or a histogram (which does not)."""
    value = row[field]
    return (True, value) if isinstance(value, str) else (False, value if isinstance(value, int | float) else 0)


def _percentile(numbers: list[float], part: float) -> float | None:
    if not numbers:
        return None
    place = (len(numbers) - 1) * part
    below = math.floor(place)
    above = min(below + 1, len(numbers) - 1)
    return numbers[below] + (numbers[above] - numbers[below]) * (place - below)


def _histogram(numbers: list[float], bins: int) -> list[tuple[float, float, int]]:
    """Return bins of one width, each as its lower and upper end and how many numbers are in it."""
    if not numbers:
        return []
    low, high = numbers[0], numbers[-1]
    width = (high - low) / bins
    if width <= 0 or not math.isfinite(width):
        return [(low, high, len(numbers))]
    heights = [0] * bins
    for number in numbers:
        heights[min(int((number - low) / width), bins - 1)] += 1
    return [(low + width * place, low + width * (place + 1), height) for place, height in enumerate(heights)]
