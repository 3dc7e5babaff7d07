"""Any backend beside the reference backend: after random writes in a random order, every list says the same.

Needs hypothesis, which tracecore does not depend on. A test file joins with one function::

    def test_random_programs(tmp_path: Path) -> None:
        run_machine(lambda: ..., durable=True)

Invariants: both backends receive the same batches; whatever is asked of one is asked of the other, page by page; and
neither housekeeping nor opening again changes any answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, Final, TypeVar, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import Backend, LedgerQuery, ObservationQuery, Page, ScoreQuery, SessionQuery, TraceQuery
from tracecore.erasure import Erasable
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.records import LedgerEntry, Record
from tracecore.testing import strategies
from tracecore.testing.comparing import same
from tracecore.testing.opening import (
    MakeBackend,
    ledger_in,
    observations_in,
    pages_of,
    scores_in,
    sessions_in,
    traces_in,
)
from tracecore.testing.samples import SECOND, START

__all__ = ["BackendMachine", "Subject", "run_machine"]

Q = TypeVar("Q", TraceQuery, ObservationQuery, SessionQuery, ScoreQuery, LedgerQuery)
T = TypeVar("T")
Find = Callable[[str, Q], Awaitable[Page[T]]]
_PROJECTS: Final = ("p", "q", "nobody's")
_MOST_SLICES: Final = 1000


class Subject(Struct, frozen=True):
    """Say what is driven, and what may be asked of it."""

    fresh: Callable[[], MakeBackend]
    """Returns a maker of backends whose data is empty; each call has data of its own."""
    durable: bool
    """Whether what was written must be there after closing and opening again."""


class BackendMachine(RuleBasedStateMachine):
    """Drive a backend and the reference backend side by side."""

    subject: ClassVar[Subject]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._make = self.subject.fresh()
        self._tested = self._make()
        self._reference = cast("Backend", MemoryBackend(MemoryData(), location="memory:", access="write"))
        self.written: list[list[Record]] = []
        """Every batch so far, oldest first."""
        self._run(self._tested.open())
        self._run(self._reference.open())

    def teardown(self) -> None:
        """Compare everything once more, and close."""
        try:
            self._run(self._compare_everything())
        finally:
            self._run(self._tested.close())
            self._runner.close()

    @rule(batch=strategies.batches)
    def write(self, batch: list[Record]) -> None:
        """Write a batch."""
        self.written.append(batch)
        self._run(self._write(batch))

    @precondition(lambda self: bool(cast("BackendMachine", self).written))
    @rule(data=st.data())
    def write_again(self, data: st.DataObject) -> None:
        """Write an earlier batch again, as a pump does when it has not heard of the first time."""
        self._run(self._write(data.draw(st.sampled_from(self.written))))

    @precondition(lambda self: cast("BackendMachine", self).erases)
    @rule(
        project=strategies.projects,
        traces=st.lists(strategies.trace_ids, max_size=3),
        scores=st.lists(strategies.score_ids, max_size=2),
    )
    def erase(self, project: str, traces: list[str], scores: list[str]) -> None:
        """Erase traces and scores, whether or not they are there."""
        given = {"trace_ids": traces, "score_ids": scores}
        erased = [self._run(one.erase(project, **given)) for one in self._erasers]
        same(erased[0], erased[1], f"{project!r}, {given}")

    @precondition(lambda self: cast("BackendMachine", self).erases)
    @rule(project=strategies.projects, after_s=st.none() | st.integers(0, 6), limit=st.integers(1, 3))
    def erase_much(self, project: str, after_s: int | None, limit: int) -> None:
        """Erase what ended before a time, or all that a project has, in small steps to their end."""
        for one in self._erasers:
            for _ in range(_MOST_SLICES):
                if after_s is None:
                    more = self._run(one.erase_project(project, limit=limit))
                else:
                    more = self._run(one.erase_before(project, START + after_s * SECOND, limit=limit))
                if not more:
                    break
            else:
                raise AssertionError(f"erasing still returns True after {_MOST_SLICES} calls")

    @rule(slices=st.integers(1, 3))
    def maintain(self, slices: int) -> None:
        """Do some of the work that was put off."""
        for _ in range(slices):
            self._run(self._tested.maintain())

    @rule()
    def maintain_to_the_end(self) -> None:
        """Do all of it; it must end."""
        for _ in range(_MOST_SLICES):
            if not self._run(self._tested.maintain()):
                return
        raise AssertionError(f"maintain() still returns True after {_MOST_SLICES} calls with no write between")

    @precondition(lambda self: cast("BackendMachine", self).subject.durable)
    @rule()
    def open_again(self) -> None:
        """Close, and open another backend for the same data."""
        self._run(self._tested.close())
        self._tested = self._make()
        self._run(self._tested.open())

    @rule(project=strategies.projects, query=strategies.trace_queries)
    def find_traces(self, project: str, query: TraceQuery) -> None:
        """Ask for traces."""
        self._run(_compare(traces_in(self._tested).find, traces_in(self._reference).find, project, query))

    @rule(project=strategies.projects, query=strategies.observation_queries)
    def find_observations(self, project: str, query: ObservationQuery) -> None:
        """Ask for observations."""
        self._run(_compare(observations_in(self._tested).find, observations_in(self._reference).find, project, query))

    @rule(project=strategies.projects, query=strategies.session_queries)
    def find_sessions(self, project: str, query: SessionQuery) -> None:
        """Ask for sessions."""
        self._run(_compare(sessions_in(self._tested).find, sessions_in(self._reference).find, project, query))

    @rule(project=strategies.projects, query=strategies.score_queries)
    def find_scores(self, project: str, query: ScoreQuery) -> None:
        """Ask for scores."""
        self._run(_compare(scores_in(self._tested).find, scores_in(self._reference).find, project, query))

    @precondition(lambda self: cast("BackendMachine", self).keeps_a_ledger)
    @rule(batch=st.lists(strategies.entries, min_size=1, max_size=6), others=strategies.batches)
    def write_entries(self, batch: list[LedgerEntry], others: list[Record]) -> None:
        """Write ledger entries behind the records of a batch."""
        self.write([*others, *batch])

    @precondition(lambda self: cast("BackendMachine", self).keeps_a_ledger)
    @rule(project=strategies.projects, query=strategies.ledger_queries)
    def find_entries(self, project: str, query: LedgerQuery) -> None:
        """Ask for ledger entries, and for what they amount to."""
        self._run(self._compare_ledgers(project, query))

    @rule(data=st.data(), query=strategies.trace_queries, project=strategies.projects)
    def write_between_pages(self, data: st.DataObject, query: TraceQuery, project: str) -> None:
        """Write while somebody reads page by page: the second page begins after the first, among what is there then."""
        tested, reference = traces_in(self._tested).find, traces_in(self._reference).find
        first = self._run(tested(project, query)), self._run(reference(project, query))
        same(first[0].items, first[1].items, f"{project!r}, {query}")
        if first[0].next_cursor is None or first[1].next_cursor is None:
            same(first[0].next_cursor, first[1].next_cursor, f"{project!r}, {query}: next_cursor")
            return
        self.write(data.draw(strategies.batches))
        rest = (
            self._run(pages_of(tested, project, replace(query, cursor=first[0].next_cursor))),
            self._run(pages_of(reference, project, replace(query, cursor=first[1].next_cursor))),
        )
        same(rest[0], rest[1], f"{project!r}, after the first page of {query}")

    @rule()
    def look_at_everything(self) -> None:
        """Compare every list and every record."""
        self._run(self._compare_everything())

    @property
    def erases(self) -> bool:
        """Return whether the backend can erase."""
        return isinstance(self._tested, Erasable)

    @property
    def _erasers(self) -> tuple[Erasable, Erasable]:
        return cast("Erasable", self._tested), cast("Erasable", self._reference)

    @property
    def keeps_a_ledger(self) -> bool:
        """Return whether the backend takes ledger entries."""
        return self._tested.capabilities.ledger

    async def _write(self, batch: list[Record]) -> None:
        await self._reference.write(batch)
        await self._tested.write(batch)

    async def _compare_everything(self) -> None:
        for project in _PROJECTS:
            every = ObservationQuery(limit=2, bodies=True)
            await _compare(observations_in(self._tested).find, observations_in(self._reference).find, project, every)
            await _compare(traces_in(self._tested).find, traces_in(self._reference).find, project, TraceQuery(limit=2))
            await _compare(
                sessions_in(self._tested).find, sessions_in(self._reference).find, project, SessionQuery(limit=2)
            )
            await _compare(scores_in(self._tested).find, scores_in(self._reference).find, project, ScoreQuery(limit=2))
            await self._compare_single(project)
            if self.keeps_a_ledger:
                await self._compare_ledgers(project, LedgerQuery(limit=2))

    async def _compare_ledgers(self, project: str, query: LedgerQuery) -> None:
        """Compare what a query of the ledger finds, and what the ledger amounts to since its time."""
        tested, reference = ledger_in(self._tested), ledger_in(self._reference)
        await _compare(tested.find, reference.find, project, query)
        totals = await tested.totals(project, query.since_ns)
        same(totals, await reference.totals(project, query.since_ns), f"{project!r}, since {query.since_ns}")

    async def _compare_single(self, project: str) -> None:
        """Compare what is read one by one: traces, trees, observations, sessions and scores."""
        found = await pages_of(traces_in(self._reference).find, project, TraceQuery(limit=1000))
        for trace in (trace for page in found for trace in page):
            key = project, trace.trace_id
            same(await traces_in(self._tested).get(*key), await traces_in(self._reference).get(*key), f"get {key}")
            tree = await observations_in(self._tested).tree(*key)
            same(tree, await observations_in(self._reference).tree(*key), f"tree {key}")
            for one in tree:
                same(await observations_in(self._tested).get(*key, one.span_id), one, f"get {key}, {one.span_id}")
        listed = await pages_of(sessions_in(self._reference).find, project, SessionQuery(limit=1000))
        for session in (session for page in listed for session in page):
            found_one = await sessions_in(self._tested).get(project, session.session_id)
            same(found_one, session, f"get session {session.session_id!r}")
        judged = await pages_of(scores_in(self._reference).find, project, ScoreQuery(limit=1000))
        for score in (score for page in judged for score in page):
            same(await scores_in(self._tested).get(project, score.score_id), score, f"get score {score.score_id!r}")

    def _run(self, doing: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
        return self._runner.run(_awaited(doing))


def run_machine(
    fresh: Callable[[], MakeBackend], *, durable: bool, examples: int = 30, steps: int = 20, shorten: bool = True
) -> None:
    """Run ``examples`` random programs of at most ``steps`` steps; a failing one is shortened and printed.

    Args:
        fresh: returns a maker of backends whose data is empty; it is called once per program.
        durable: what was written must be there after closing and opening again.
        examples: how many programs.
        steps: the length of each.
        shorten: whether to spend time (up to minutes) on making a failing program short.
    """
    machine = type("Machine", (BackendMachine,), {"subject": Subject(fresh, durable)})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        report_multiple_bugs=False,
        phases=[phase for phase in Phase if shorten or phase not in {Phase.shrink, Phase.explain}],
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    run_state_machine_as_test(machine, settings=chosen)


async def _compare(tested: Any, reference: Any, project: str, query: Any) -> None:
    """Assert that both lists have the same pages."""
    same(await pages_of(tested, project, query), await pages_of(reference, project, query), f"{project!r}, {query}")


async def _awaited(doing: Awaitable[T]) -> T:
    return await doing
