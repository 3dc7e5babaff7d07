"""Backends that fail when, and as, a test wants: for what you do about it.

A :class:`FaultyBackend` stands before any other backend and asks a plan around each call::

    plan = FailNth(1, calls={"write"})
    recorder = Recorder(config, backend=FaultyBackend(open_backend("memory:"), plan))

A call is named after what is called: ``open``, ``write``, ``maintain``, ``close``, ``traces.find``, ``sql.query``, …,
and where the backend has them ``schema``, ``facts``, ``catalog.commit``, …, ``erase``, …. Plans need nothing but anyio,
and none of them reads a clock or a random number that the test did not give it. The loop that ends: run a scenario with
``FailNth(1)``, ``FailNth(2)``, … until one of them has not ``happened``.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import wraps
from typing import Any, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast

import anyio

from tracecore.backend import (
    Backend,
    Batch,
    Capabilities,
    Inspectable,
    LedgerStore,
    Migratable,
    ObservationStore,
    QueryConsole,
    Receipt,
    Repeatable,
    SchemaStatus,
    ScoreStore,
    SessionStore,
    TraceStore,
)
from tracecore.catalog import CatalogStore, Catalogued
from tracecore.erasure import Erasable, Erased
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.records import Record

__all__ = ["Disconnecting", "FailNth", "FaultyBackend", "Flaky", "Moment", "Plan", "Rejecting", "Slow"]

P = ParamSpec("P")
T = TypeVar("T")
Moment: TypeAlias = Literal["before", "after"]
"""Before a call nothing has been done; after it everything has, and only the answer is lost."""


class Plan(Protocol):
    """Decide what goes wrong."""

    async def __call__(self, call: str, moment: Moment, /) -> None:
        """Return to let a call pass, wait to delay it, raise to make it fail."""
        ...


def _unavailable() -> Exception:
    return BackendUnavailable("the backend is away", "try again")


class FailNth:
    """Fail the ``nth`` call (from 1) of those that are named, and no other; ``happened`` says whether it came to that.

    With ``moment="after"`` the call is done and its answer lost: whoever tries again repeats what has been done.
    """

    def __init__(
        self,
        nth: int,
        *,
        calls: Collection[str] = ("write",),
        moment: Moment = "before",
        error: Callable[[], BaseException] = _unavailable,
    ) -> None:
        self._left = nth
        self._calls = calls
        self._moment = moment
        self._error = error
        self.happened = False

    async def __call__(self, call: str, moment: Moment) -> None:
        """Count the calls down, and fail the last."""
        if call not in self._calls or moment != self._moment:
            return
        self._left -= 1
        if self._left == 0:
            self.happened = True
            raise self._error()


class Slow:
    """Let every call that is named take longer by so many seconds."""

    def __init__(self, seconds: float, *, calls: Collection[str] = ("write",)) -> None:
        self._seconds = seconds
        self._calls = calls

    async def __call__(self, call: str, moment: Moment) -> None:
        """Wait before the call."""
        if call in self._calls and moment == "before":
            await anyio.sleep(self._seconds)


class Flaky:
    """Fail a share of the calls that are named, before or after they are done; the same ones for the same seed."""

    def __init__(
        self,
        share: float,
        *,
        seed: int,
        calls: Collection[str] = ("write",),
        error: Callable[[], BaseException] = _unavailable,
    ) -> None:
        self._share = share
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._calls = calls
        self._error = error
        self.failures = 0

    async def __call__(self, call: str, _moment: Moment) -> None:
        """Draw before and after each call: either fails with half of the share."""
        if call in self._calls and self._chance.random() < self._share / 2:
            self.failures += 1
            raise self._error()


class Disconnecting:
    """Lose the connection after so many calls: every later one fails until the backend is opened again.

    ``times`` is how often that happens; afterwards the connection holds.
    """

    def __init__(self, after: int, *, times: int = 1, error: Callable[[], BaseException] = _unavailable) -> None:
        self._after = after
        self._times = times
        self._error = error
        self._calls = 0
        self.disconnected = False

    async def __call__(self, call: str, moment: Moment) -> None:
        """Count the calls; opening and closing always succeed."""
        if moment == "after":
            return
        if call == "open":
            self._calls, self.disconnected = 0, False
        if call in {"open", "close"}:
            return
        if self._calls == self._after and self._times > 0:
            self._times -= 1
            self.disconnected = True
        self._calls += 1
        if self.disconnected:
            raise self._error()


class Rejecting:
    """Refuse the records that ``which`` says yes to; ``refused`` counts them, each as often as it came.

    A batch that holds one is refused as a whole, or, with ``receipt=True``, kept without it, as by somebody who takes
    it record by record.
    """

    def __init__(self, which: Callable[[Record], bool], *, receipt: bool = False) -> None:
        self._which = which
        self._receipt = receipt
        self.refused = 0

    async def __call__(self, call: str, moment: Moment) -> None:
        """Let every call pass: what is refused depends on what is written."""

    def sift(self, batch: Batch) -> tuple[Batch, Receipt | None]:
        """Return what of a batch may be written, and what is said about the rest.

        Raises:
            BackendRejected: the batch is refused.
        """
        kept = [record for record in batch if not self._which(record)]
        refused = len(batch) - len(kept)
        self.refused += refused
        if not refused:
            return batch, None
        if not self._receipt:
            raise BackendRejected(f"{refused} of {len(batch)} records are refused", "write the others")
        return kept, Receipt(refused, "made to be refused")


class FaultyBackend:
    """Stand before another backend, whose every call goes as a plan says.

    What that is besides (:class:`~tracecore.backend.Repeatable`, ``Migratable``, ``Inspectable``, ``Catalogued``,
    ``Erasable``), this is too.
    """

    another: Callable[[], FaultyBackend]
    schema: Callable[[], Awaitable[SchemaStatus]]
    facts: Callable[[], Awaitable[Mapping[str, str]]]
    catalog: CatalogStore
    erase: Callable[..., Awaitable[Erased]]
    erase_before: Callable[..., Awaitable[bool]]
    erase_project: Callable[..., Awaitable[bool]]

    def __init__(self, inner: Backend, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan
        # Attributes that are there or not: whoever asks what a backend is besides looks for them.
        if isinstance(inner, Repeatable):
            self.another = lambda: FaultyBackend(inner.another(), plan)
        if isinstance(inner, Migratable):
            self.schema = _as_planned("schema", inner.schema, plan)
        if isinstance(inner, Inspectable):
            self.facts = _as_planned("facts", inner.facts, plan)
        if isinstance(inner, Catalogued):
            self.catalog = cast("CatalogStore", _PlannedStore("catalog", inner.catalog, plan))
        if isinstance(inner, Erasable):
            self.erase = _as_planned("erase", inner.erase, plan)
            self.erase_before = _as_planned("erase_before", inner.erase_before, plan)
            self.erase_project = _as_planned("erase_project", inner.erase_project, plan)

    @property
    def capabilities(self) -> Capabilities:
        """Return what the backend behind can do."""
        return self._inner.capabilities

    @property
    def location(self) -> str:
        """Return where the backend behind keeps its data."""
        return self._inner.location

    @property
    def traces(self) -> TraceStore | None:
        """Return the trace store, as the plan lets it work."""
        return _planned("traces", self._inner.traces, self._plan)

    @property
    def observations(self) -> ObservationStore | None:
        """Return the observation store, as the plan lets it work."""
        return _planned("observations", self._inner.observations, self._plan)

    @property
    def sessions(self) -> SessionStore | None:
        """Return the session store, as the plan lets it work."""
        return _planned("sessions", self._inner.sessions, self._plan)

    @property
    def scores(self) -> ScoreStore | None:
        """Return the score store, as the plan lets it work."""
        return _planned("scores", self._inner.scores, self._plan)

    @property
    def ledger(self) -> LedgerStore | None:
        """Return the ledger, as the plan lets it work."""
        return _planned("ledger", self._inner.ledger, self._plan)

    @property
    def sql(self) -> QueryConsole | None:
        """Return the SQL console, as the plan lets it work."""
        return _planned("sql", self._inner.sql, self._plan)

    async def open(self) -> None:
        """Open, as the plan says."""
        await _as_planned("open", self._inner.open, self._plan)()

    async def write(self, batch: Batch) -> Receipt | None:
        """Write, as the plan says; the answer is that of the backend behind, unless records were refused here."""
        receipt: Receipt | None = None
        if isinstance(self._plan, Rejecting):
            batch, receipt = self._plan.sift(batch)
        answer = await _as_planned("write", self._inner.write, self._plan)(batch)
        return receipt or answer

    async def maintain(self) -> bool:
        """Maintain, as the plan says."""
        return await _as_planned("maintain", self._inner.maintain, self._plan)()

    async def close(self) -> None:
        """Close, as the plan says."""
        await _as_planned("close", self._inner.close, self._plan)()


class _PlannedStore:
    """Pass every method of a store on, as a plan says."""

    def __init__(self, name: str, store: Any, plan: Plan) -> None:
        self._name = name
        self._store = store
        self._plan = plan

    def __getattr__(self, method: str) -> Any:
        return _as_planned(f"{self._name}.{method}", getattr(self._store, method), self._plan)


def _planned(name: str, store: T | None, plan: Plan) -> T | None:
    return None if store is None else cast("T", _PlannedStore(name, store, plan))


def _as_planned(call: str, method: Callable[P, Awaitable[T]], plan: Plan) -> Callable[P, Awaitable[T]]:
    @wraps(method)
    async def planned(*args: P.args, **kwargs: P.kwargs) -> T:
        await plan(call, "before")
        answer = await method(*args, **kwargs)
        await plan(call, "after")
        return answer

    return planned
