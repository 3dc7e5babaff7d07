"""The suite of measures finds what it is there to find: every planted bug fails it.

Each plant is the reference backend with one mistake that somebody could make.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.test_testing_suites import failures
from tracecore.measures import MeasureQuery, MeasureRow
from tracecore.memory import MemoryBackend, MemoryMeasures
from tracecore.testing.backend_suite import MeasureSuite

DAY_NS = 86_400 * 10**9


class Planted(MemoryBackend):
    """A backend that measures otherwise."""

    measured_by: type[MemoryMeasures] = MemoryMeasures

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["measures"] = self.measured_by(self._readable)


class Asking(MemoryMeasures):
    """Something else is asked than what was."""

    def asked(self, query: MeasureQuery) -> MeasureQuery:
        """Make the mistake."""
        return query

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Ask it."""
        return await super().measure(project, self.asked(query))


class Inclusive(Asking):
    """The end of a time belongs to it."""

    def asked(self, query: MeasureQuery) -> MeasureQuery:
        """Make the mistake."""
        return replace(query, until_ns=min(query.until_ns + 1, 2**63 - 1))


class Exclusive(Asking):
    """The beginning of a time does not belong to it."""

    def asked(self, query: MeasureQuery) -> MeasureQuery:
        """Make the mistake."""
        return replace(query, since_ns=min(query.since_ns + 1, query.until_ns - 1))


class OneOfSeveral(Asking):
    """Of several conditions the last one is forgotten."""

    def asked(self, query: MeasureQuery) -> MeasureQuery:
        """Make the mistake."""
        return replace(query, where=query.where[:1], where_scores=query.where_scores[:1])


class Unsorted(Asking):
    """The order is not the one that was asked for."""

    def asked(self, query: MeasureQuery) -> MeasureQuery:
        """Make the mistake."""
        return replace(query, order=())


class Endless(Asking):
    """There are more rows than were asked for."""

    def asked(self, query: MeasureQuery) -> MeasureQuery:
        """Make the mistake."""
        return replace(query, limit=1000)


class Coarse(Asking):
    """Histograms have ten bins."""

    def asked(self, query: MeasureQuery) -> MeasureQuery:
        """Make the mistake."""
        return replace(query, bins=10)


class Answering(MemoryMeasures):
    """The answer is not the one that was found."""

    def answered(self, row: MeasureRow, query: MeasureQuery) -> MeasureRow:
        """Make the mistake."""
        return row

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Give it."""
        return [self.answered(row, query) for row in await super().measure(project, query)]


class Zeroing(Answering):
    """What is unknown is zero."""

    def answered(self, row: MeasureRow, query: MeasureQuery) -> MeasureRow:
        """Make the mistake."""
        return replace(row, values=tuple(0 if value is None else value for value in row.values))


class Sundays(Answering):
    """Weeks begin on Sunday."""

    def answered(self, row: MeasureRow, query: MeasureQuery) -> MeasureRow:
        """Make the mistake."""
        return replace(row, time_ns=row.time_ns - DAY_NS) if query.step == "week" and row.time_ns is not None else row


class Emptying(Answering):
    """What is unknown is the empty text."""

    def answered(self, row: MeasureRow, query: MeasureQuery) -> MeasureRow:
        """Make the mistake."""
        return replace(row, dimensions=tuple("" if name is None else name for name in row.dimensions))


class Floating(Answering):
    """Every number is a float."""

    def answered(self, row: MeasureRow, query: MeasureQuery) -> MeasureRow:
        """Make the mistake."""
        return replace(row, values=tuple(float(value) if isinstance(value, int) else value for value in row.values))


class Silent(MemoryMeasures):
    """Where nothing is found there is no row."""

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Make the mistake."""
        rows = await super().measure(project, query)
        return [] if rows and rows[0].values[0] == 0 else rows


class Mixing(MemoryMeasures):
    """Every project is the same."""

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Make the mistake."""
        return await super().measure("default", query)


@pytest.mark.parametrize(
    "kind",
    [
        Inclusive, Exclusive, OneOfSeveral, Unsorted, Endless, Coarse, Zeroing, Sundays, Emptying, Floating, Silent,
        Mixing,
    ],
)  # fmt: skip
def test_a_bug_of_measures_is_found(kind: type[MemoryMeasures]) -> None:
    """The part that proves measures finds by itself what is wrong with them."""

    class Measuring(Planted):
        measured_by = kind

    own = {name for name in vars(MeasureSuite) if name.startswith("test_")}
    assert own & set(failures(Measuring, MeasureSuite)), kind.__doc__


def test_what_measures_honestly_passes() -> None:
    """The suite, run the same way, finds nothing wrong with the reference."""
    assert list(failures(Planted, MeasureSuite)) == []
