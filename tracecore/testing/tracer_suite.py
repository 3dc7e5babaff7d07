"""The async conformance suite of tracers, for pytest: a test for each case of :mod:`tracecore.testing.tracers`.

Join it by saying where the adapter is and what it offers::

    class TestMine(TracerSuite):
        adapter = "my_package.conformance:MyTracer"
        offers = frozenset({"generators", "async generators"})

Cases run in processes of their own, with a time limit: a tracer that hangs fails, and the next case begins afresh. The
first test of a group of cases runs all of them, and leaves no process behind. Needs pytest.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import pytest

from tracecore.testing.tracers.adapter import Feature
from tracecore.testing.tracers.case import Loop
from tracecore.testing.tracers.cases import CASES
from tracecore.testing.tracers.running import Outcome
from tracecore.testing.tracers.workers import Worker

__all__ = ["TracerSuite"]


class TracerSuite:
    """Prove that a tracer makes of every program what its users expect."""

    adapter: ClassVar[str]
    """``package.module:name`` or ``path/to/file.py:name`` of a callable that makes the adapter."""
    offers: ClassVar[frozenset[Feature]]
    """What the tracer sets out to do: said by the test file, so that no case is left out in silence."""
    loops: ClassVar[tuple[Loop, ...]] = ("asyncio",)
    """The event loops that it is to be tried in."""
    timeout: ClassVar[float] = 20.0
    """Longest time for a case, in seconds."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make a test of each case that the tracer offers what is needed for, in each loop that can run it."""
        if "case" in metafunc.fixturenames:
            cases = [case for case in CASES.values() if case.needs <= self.offers]
            orders = [(case.name, loop) for case in cases for loop in self.loops if case.runs_in(loop)]
            metafunc.parametrize(("case", "loop"), orders, ids=[f"{loop}-{name}" for name, loop in orders])

    def test_offers_what_is_expected(self) -> None:
        """What the adapter says that it offers is what its tests expect."""
        with Worker(self.adapter) as worker:
            assert worker.about().offers == self.offers

    def test_case(self, case: str, loop: Loop) -> None:
        """What comes out of the program is what must come out."""
        outcome = _outcomes(self.adapter, CASES[case].group, loop, self.timeout)[case]
        said = "".join(f"\n  {one.facet}: {one.text}" for one in outcome.differences)
        assert outcome.verdict == "passed", f"{CASES[case].summary}{said}"


@cache
def _outcomes(adapter: str, group: str, loop: Loop, timeout: float) -> dict[str, Outcome]:
    """Run the cases of a group, once."""
    with Worker(adapter, timeout=timeout) as worker:
        report = worker.report((case for case in CASES.values() if case.group == group), loop)
    return {outcome.case: outcome for outcome in report.outcomes}
