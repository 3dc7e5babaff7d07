"""One run of a case with a tracer: what its program is given, and what is found to be otherwise than it must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias, TypeVar

from msgspec import Struct

from tracecore.testing.tracers.adapter import Finished, Tracer
from tracecore.testing.tracers.trees import Agreement, Tree, by_name, drawn, grown, left_over

__all__ = ["Difference", "Facet", "Raised", "Trial"]

Function = TypeVar("Function", bound=Callable[..., Any])

Facet: TypeAlias = Literal["program", "current", "tree", "status", "result", "quiet"]
"""What differs.

* ``program``: what the program sees: results, exceptions, what ``inspect`` says, whether it ends.
* ``current``: the current span, at a place where the program knows which it is in.
* ``tree``: names, parents and traces, each span ended once.
* ``status``: how a span says that it ended.
* ``result``: what is recorded of what a function returned.
* ``quiet``: an exception that nobody could catch, or a warning, which the program would not cause by itself.
"""


class Difference(Struct, frozen=True):
    """Say what is not as it must be."""

    facet: Facet
    text: str


class Trial:
    """Give a program the tracer, and take note of what it says about itself. Usable from every thread."""

    def __init__(self, tracer: Tracer, expected: tuple[tuple[Tree, ...], ...] = ()) -> None:
        self.differences: list[Difference] = []
        self._tracer = tracer
        self._expected = expected
        self._places: list[tuple[str | None, str | None]] = []
        self._results: list[tuple[str, Any]] = []
        self._kept: list[object] = []

    # -- what a program uses -----------------------------------------------------------------------------------------

    def observed(self, function: Function, /) -> Function:
        """Return the function with a span around each call, named for the function."""
        return self._tracer.observed(function)

    def span(self, name: str) -> AbstractContextManager[object]:
        """Open a span around a block."""
        return self._tracer.span(name)

    def executor(self, workers: int) -> Executor:
        """Return a pool that carries the current span into its threads."""
        return self._tracer.executor(workers)

    def here(self, name: str | None) -> None:
        """Say which span the program is in at this place; None outside of all."""
        self._places.append((name, self._tracer.current()))

    def equal(self, what: str, found: object, expected: object) -> None:
        """Say what something must be equal to."""
        if found != expected:
            self.differ("program", f"{what}: {found!r}, expected {expected!r}")

    def same(self, what: str, found: object, expected: object) -> None:
        """Say which object something must be, and no copy of it."""
        if found is not expected:
            self.differ("program", f"{what}: {found!r} is not the very {expected!r}")

    def raises(self, expected: BaseException) -> Raised:
        """Expect that very exception to come out of a block, and take whatever comes."""
        return Raised(self, expected)

    def expect(self, trees: Iterable[Tree]) -> None:
        """Say what must come out, where that is known only now."""
        self._expected = (tuple(trees),)

    def keep(self, what: object) -> None:
        """Keep something until after the program and its loop have ended."""
        self._kept.append(what)

    def returned(self, name: str, result: object) -> None:
        """Say what must be recorded as the result of the one span of that name."""
        self._results.append((name, result))

    # -- what comes of it --------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Let go of what was kept."""
        self._kept.clear()

    def differ(self, facet: Facet, text: str) -> None:
        """Note a difference; the same one only once."""
        difference = Difference(facet, text)
        if difference not in self.differences:
            self.differences.append(difference)

    def compare(self, finished: Sequence[Finished]) -> list[str]:
        """Note what is different in the spans that ended; return what is worth a remark and no mistake."""
        self._compare_places({span.span_id: span.name for span in finished})
        self._compare_results(finished)
        found = grown(finished)
        for text in found.wrong:
            self.differ("tree", text)
        if not self._expected:
            return []  # the program ended before it could say
        nearest = self._nearest(found.trees)
        if not self._agree("tree", nearest, found.trees, by_name):
            return []
        agree = _statuses_as_offered if "cancelled" in self._tracer.offers else _statuses_without_cancelled
        if not self._agree("status", nearest, found.trees, agree):
            return []
        return [f"stopped work is called {status}" for status in sorted(_instead(nearest, found.trees))]

    def _nearest(self, found: tuple[Tree, ...]) -> tuple[Tree, ...]:
        """Return what was expected; where several trees may come out, the one that did, or the first."""
        fitting = (trees for trees in self._expected if left_over(trees, found, by_name) == ((), ()))
        return next(fitting, self._expected[0])

    def _agree(self, facet: Facet, expected: tuple[Tree, ...], found: tuple[Tree, ...], agree: Agreement) -> bool:
        missing, surplus = left_over(expected, found, agree)
        if missing or surplus:
            self.differ(facet, f"expected {drawn(missing)}, found {drawn(surplus)}")
        return not missing and not surplus

    def _compare_places(self, names: dict[str, str]) -> None:
        for expected, current in self._places:
            found = None if current is None else names.get(current, "one that has not ended")
            if found != expected:
                self.differ("current", f"in {expected or 'no span'}: the current span is {found or 'none'}")

    def _compare_results(self, finished: Sequence[Finished]) -> None:
        for name, expected in self._results:
            found = [span.result for span in finished if span.name == name]
            if found != [expected]:
                self.differ("result", f"of {name}: {found!r}, expected {[expected]!r}")


class Raised:
    """Look at what comes out of a block, and take it."""

    def __init__(self, trial: Trial, expected: BaseException) -> None:
        self._trial = trial
        self._expected = expected

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Compare the exception with the expected one."""
        self._trial.same("what was raised", error, self._expected)
        return True


def _instead(expected: Iterable[Tree], found: Iterable[Tree]) -> set[str]:
    """Return the statuses that there are more of than expected: those given in the place of ``cancelled``."""
    wanted = Counter(status for tree in expected for status in tree.statuses)
    given = Counter(status for tree in found for status in tree.statuses)
    return set(given - wanted) if wanted["cancelled"] and not wanted["any"] else set()


def _statuses_as_offered(expected: Tree, found: Tree) -> bool:
    return by_name(expected, found) and expected.status in {"any", found.status}


def _statuses_without_cancelled(expected: Tree, found: Tree) -> bool:
    """Let a tracer call stopped work what it will when it has no word for it."""
    return by_name(expected, found) and expected.status in {"any", "cancelled", found.status}
