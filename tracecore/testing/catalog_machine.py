"""Any catalog beside the reference one: after random commits each says the same, of what was refused and of every list.

Needs hypothesis, which tracecore does not depend on. A test file joins with one function::

    def test_random_catalogs(tmp_path: Path) -> None:
        run_catalog_machine(lambda: ..., durable=True)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final, TypeVar, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

from tracecore.backend import Backend
from tracecore.catalog import CatalogQuery, CatalogStore, Change, Delete, Entry, Put
from tracecore.errors import Conflict
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.testing.catalog_suite import catalog_in
from tracecore.testing.comparing import same
from tracecore.testing.machine import Subject
from tracecore.testing.opening import MakeBackend
from tracecore.testing.samples import json_of

__all__ = ["CatalogMachine", "run_catalog_machine"]

T = TypeVar("T")
_PROJECTS: Final = ("p", "")
_KINDS: Final = ("dataset", "item")
# Small pools, so that changes meet. Texts with lone surrogates are names only: databases put them behind all others.
_ids: Final = st.sampled_from(("1", "2", "3", "é", "a\0b", ""))
_names: Final = st.sampled_from(("n", "na", "name", "n\0", "Ж", "\ud800", "", "%"))
_refs: Final = st.lists(st.sampled_from(("r", "s", "t", "\0", "")), max_size=3).map(tuple)
_positions: Final = st.sampled_from((-(2**63), -1, 0, 1, 2, 2**63 - 1))
_times: Final = st.integers(-1, 3)
_expected: Final = st.sampled_from((None, None, None, None, None, None, 0, 1, 2))

entries: Final[SearchStrategy[Entry]] = st.builds(
    Entry,
    project=st.sampled_from((*_PROJECTS, "p", "p")),
    kind=st.sampled_from(_KINDS),
    id=_ids,
    body=st.integers(0, 9).map(json_of),
    name=st.none() | _names,
    parent=st.none() | _ids,
    refs=_refs,
    position=_positions,
    since_ns=_times,
    until_ns=st.none() | _times,
    attachment=st.binary(max_size=2),
    revision=st.sampled_from((0, 7)),
)
changes: Final[SearchStrategy[Change]] = st.builds(Put, entries, _expected) | st.builds(
    Delete, st.sampled_from(_PROJECTS), st.sampled_from(_KINDS), _ids, _expected
)


def _seldom(values: SearchStrategy[T]) -> SearchStrategy[T | None]:
    """Draw nothing more often than something: the more conditions, the fewer entries meet them."""
    return st.one_of(st.none(), st.none(), st.none(), values)


queries: Final[SearchStrategy[CatalogQuery]] = st.builds(
    CatalogQuery,
    kind=st.sampled_from(_KINDS),
    parent=_seldom(_ids),
    name=_seldom(_names),
    prefix=_seldom(_names),
    refs=_refs,
    at_ns=_seldom(_times),
    min_position=_seldom(_positions),
    max_position=_seldom(_positions),
    limit=st.integers(1, 4),
    offset=st.integers(0, 3),
    ascending=st.booleans(),
    max_bytes=st.sampled_from((1000, 1, 2, 3)),  # each body is one byte
)


class CatalogMachine(RuleBasedStateMachine):
    """Drive a catalog and the reference one side by side."""

    subject: ClassVar[Subject]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._make = self.subject.fresh()
        self._tested = self._make()
        self._reference = cast("Backend", MemoryBackend(MemoryData(), location="memory:", access="write"))
        for backend in (self._tested, self._reference):
            self._run(backend.open())

    def teardown(self) -> None:
        """Compare everything once more, and close."""
        try:
            self.look_at_everything()
        finally:
            self._run(self._tested.close())
            self._runner.close()

    @rule(made=st.lists(changes, min_size=1, max_size=6))
    def commit(self, made: list[Change]) -> None:
        """Commit changes; both make them, or both refuse them for the same reason."""
        outcomes = [self._run(_outcome(catalog_in(one), made)) for one in (self._tested, self._reference)]
        same(outcomes[0], outcomes[1], made)

    @rule(project=st.sampled_from(_PROJECTS), query=queries)
    def find(self, project: str, query: CatalogQuery) -> None:
        """Ask for a page."""
        found = [self._run(catalog_in(one).find(project, query)) for one in (self._tested, self._reference)]
        same(found[0], found[1], f"{project!r}, {query}")

    @precondition(lambda self: cast("CatalogMachine", self).subject.durable)
    @rule()
    def open_again(self) -> None:
        """Close, and open another backend for the same data."""
        self._run(self._tested.close())
        self._tested = self._make()
        self._run(self._tested.open())

    @rule()
    def look_at_everything(self) -> None:
        """Compare every list, and every entry with its attachment, by its id and by its name."""
        for project in _PROJECTS:
            for kind in _KINDS:
                self.find(project, CatalogQuery(kind=kind, limit=1000))
                page = self._run(catalog_in(self._reference).find(project, CatalogQuery(kind=kind, limit=1000)))
                for entry in page.items:
                    self._run(self._compare(entry))

    async def _compare(self, entry: Entry) -> None:
        tested, expected = catalog_in(self._tested), catalog_in(self._reference)
        key = entry.project, entry.kind
        same(await tested.get(*key, entry.id), await expected.get(*key, entry.id), f"get {key}, {entry.id!r}")
        if entry.name is not None:
            same(await tested.named(*key, entry.name), await expected.named(*key, entry.name), f"{key}, {entry.name!r}")

    def _run(self, doing: Awaitable[T]) -> T:
        return self._runner.run(_awaited(doing))


def run_catalog_machine(
    fresh: Callable[[], MakeBackend], *, durable: bool, examples: int = 30, shorten: bool = True
) -> None:
    """Run ``examples`` random programs; a failing one is shortened and printed.

    Args:
        fresh: returns a maker of backends whose data is empty; it is called once per program.
        durable: what was committed must be there after closing and opening again.
        examples: how many programs.
        shorten: whether to spend time (up to minutes) on making a failing program short.
    """
    machine = type("Machine", (CatalogMachine,), {"subject": Subject(fresh, durable)})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        report_multiple_bugs=False,
        phases=[phase for phase in Phase if shorten or phase not in {Phase.shrink, Phase.explain}],
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    run_state_machine_as_test(machine, settings=chosen)


async def _outcome(catalog: CatalogStore, made: Sequence[Change]) -> str:
    """Commit, and return what is said of a conflict."""
    try:
        await catalog.commit(made)
    except Conflict as conflict:
        return str(conflict)
    return "made"


async def _awaited(doing: Awaitable[T]) -> T:
    return await doing
