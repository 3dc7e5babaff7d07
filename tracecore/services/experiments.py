"""Experiments: what the observations of their items say, and the ids that make a run of a dataset one.

An experiment has no entry of its own. The observation that stands for an item says which experiment and which item it
is of (:class:`tracecore.records.Experiment`); lists, counts and times follow from these. What is deleted is hidden by
the time at which it was: items that began before it are not shown any more, their traces stay.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, Backend, ObservationQuery, Page, ScoreQuery
from tracecore.catalog import CatalogStore, Entry, Put
from tracecore.errors import ConfigError
from tracecore.kinds import Kind
from tracecore.records import ABSENT, Experiment, Observation, Score, Span
from tracecore.services.stores import observations_of, scores_of, walked
from tracecore.services.text_conditions import TextCondition

__all__ = ["COLUMNS", "ExperimentQuery", "ExperimentSummary", "Experiments", "experiment_id_of", "linked"]

_NEVER_NS: Final = -(2**63)
_FOR_EVER_NS: Final = 2**63 - 1
_LOOKED_AT: Final = 20_000
"""Items that are looked at for one page of them, at most: what meets no condition does not hold up everybody."""


_Position: TypeAlias = tuple[int, str] | None
"""When the last item of the last experiment of a page began, and its id; None before the first page."""


class ExperimentQuery(Struct, frozen=True, kw_only=True):
    """Select experiments by their items: those that began from ``since_ns`` on and before ``until_ns``.

    A tuple that is not empty names what it must be one of; every condition in ``where`` must hold.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    dataset_ids: tuple[str, ...] = ()
    item_ids: tuple[str, ...] = ()
    where: tuple[TextCondition, ...] = ()
    """On the columns of ``COLUMNS``."""

    def meets(self, said: Experiment) -> bool:
        """Return whether an item is wanted."""
        return (
            (not self.ids or said.id in self.ids)
            and (not self.names or (said.name or said.id) in self.names)
            and (not self.dataset_ids or said.dataset_id in self.dataset_ids)
            and (not self.item_ids or said.item_id in self.item_ids)
            and all(condition.meets(COLUMNS[condition.column](said)) for condition in self.where)
        )


COLUMNS: Final[dict[str, Callable[[Experiment], str | None]]] = {
    "id": lambda said: said.id,
    "name": lambda said: said.name or said.id,
    "dataset_id": lambda said: said.dataset_id,
    "item_id": lambda said: said.item_id,
}
"""What conditions may be on, and what an item says there."""


class ExperimentSummary(Struct, frozen=True, kw_only=True):
    """Say what the items of an experiment come to; what they say differently is as the last one says it."""

    id: str
    name: str
    description: str | None
    dataset_id: str | None
    start_ns: int
    end_ns: int
    latest_ns: int
    """When the last item began."""
    item_count: int
    """Different items; one that was run twice counts once."""
    latest: tuple[str, str]
    """Trace and span of the last item."""


class _Tally:
    """Add up the items of one experiment, newest first; adding one again changes nothing."""

    def __init__(self, item: Observation, said: Experiment, hidden_ns: int) -> None:
        self.item = item
        self.said = said
        self.hidden_ns = hidden_ns
        """Until when what began is not shown."""
        self._start_ns = item.start_ns
        self._end_ns = item.start_ns
        self._items: set[str] = set()

    def add(self, item: Observation, said: Experiment) -> None:
        """Add an item."""
        self._start_ns = min(self._start_ns, item.start_ns)
        self._end_ns = max(self._end_ns, item.end_ns or item.start_ns)
        self._items.add(said.item_id or item.span_id)

    @property
    def key(self) -> tuple[int, str]:
        """Return the place of the experiment in lists, greatest first."""
        return self.item.start_ns, self.said.id

    def summary(self) -> ExperimentSummary:
        """Return what the items come to."""
        return ExperimentSummary(
            id=self.said.id, name=self.said.name or self.said.id, description=self.said.description,
            dataset_id=self.said.dataset_id, start_ns=self._start_ns, end_ns=self._end_ns,
            latest_ns=self.item.start_ns, item_count=len(self._items), latest=(self.item.trace_id, self.item.span_id),
        )  # fmt: skip


class _Deleted(Struct, frozen=True):
    at_ns: int


_DELETED: Final = Kind("deleted-experiment", _Deleted)


def experiment_id_of(project: str, dataset_id: str, run_name: str) -> str:
    """Return the id of the run of a name over a dataset: the rule that Langfuse's SDKs and its server agree on."""
    said = msgspec.json.encode(["langfuse-experiment-v1", project, dataset_id, run_name])
    return hashlib.sha256(said).hexdigest()[:16]


class Experiments:
    """Read the experiments of one project."""

    def __init__(self, backend: Backend, catalog: CatalogStore, project: str) -> None:
        self._observations = observations_of(backend)
        self._scores = scores_of(backend)
        self._catalog = catalog
        self._project = project

    async def find(
        self, query: ExperimentQuery, *, limit: int, cursor: str | None = None
    ) -> tuple[list[ExperimentSummary], str | None]:
        """Return one page of experiments, the one whose last item began most recently first, ties by id descending.

        Raises:
            ConfigError: the cursor is none.
        """
        after = None if cursor is None else _position(cursor)
        if query.ids:
            return await self._named(query, limit, after)
        tallies, behind_ns = await self._walked(query, limit, after)
        shown = sorted(tallies.values(), key=lambda tally: tally.key, reverse=True)[:limit]
        if behind_ns is not None:
            for tally in shown:
                await self._add_older(tally, replace(query, until_ns=behind_ns + 1))
        found = [tally.summary() for tally in shown]
        return found, _cursor(found[-1]) if len(tallies) > limit else None

    async def get(self, experiment_id: str, query: ExperimentQuery | None = None) -> ExperimentSummary | None:
        """Return what the items of one experiment come to, or None where there are none."""
        query = replace(query or ExperimentQuery(), ids=(experiment_id,))
        hidden = await self._hidden_until(experiment_id, query, None)
        tally: _Tally | None = None
        async for item, said in self._walk(query):
            if item.start_ns <= hidden:
                break
            tally = tally or _Tally(item, said, hidden)
            tally.add(item, said)
        return None if tally is None else tally.summary()

    async def items(
        self, query: ExperimentQuery, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Observation], str | None]:
        """Return one page of items without payloads, the newest first; it may be shorter although there are more."""
        found: list[Observation] = []
        deleted: dict[str, int] = {}
        asked, left = replace(self._asked(query, cursor), limit=limit), _LOOKED_AT
        while True:
            room = limit - len(found)
            page, wanted = await self._shown(asked, query, deleted)
            while len(wanted) > room:  # a cursor names the end of a page: it has to end with the last one that is shown
                page, wanted = await self._shown(replace(asked, limit=wanted[room - 1] + 1), query, deleted)
            found += [page.items[place] for place in wanted]
            left -= len(page.items)
            if page.next_cursor is None or len(found) >= limit or left <= 0:
                return found, page.next_cursor
            asked = replace(asked, cursor=page.next_cursor, limit=min(LARGEST_PAGE, 4 * asked.limit))

    async def every_item(self, experiment_id: str) -> list[Observation]:
        """Return all items of one experiment, the newest first, without payloads."""
        query = ExperimentQuery(ids=(experiment_id,))
        found, cursor = await self.items(query, limit=LARGEST_PAGE)
        while cursor is not None:
            more, cursor = await self.items(query, limit=LARGEST_PAGE, cursor=cursor)
            found += more
        return found

    async def metadata(self, summary: ExperimentSummary) -> Raw:
        """Return the metadata of an experiment, as its last item says it."""
        span = await self._observations.get(self._project, *summary.latest)
        return ABSENT if span is None or span.experiment is None else span.experiment.metadata

    def scores(self, experiment_id: str) -> AsyncIterator[Score]:
        """Yield scores of an experiment as a whole, the newest first."""
        return walked(self._scores.find, self._project, ScoreQuery(experiment_id=experiment_id))

    async def scores_of_item(self, item: Observation) -> AsyncIterator[Score]:
        """Yield scores of an item, or of its trace as a whole, the newest first."""
        query = ScoreQuery(trace_id=item.trace_id, limit=LARGEST_PAGE)
        async for score in walked(self._scores.find, self._project, query):
            if score.observation_id in {None, item.span_id}:
                yield score

    async def delete(self, experiment_id: str, *, now_ns: int) -> None:
        """Show no item any more that began until now."""
        body = _DELETED.body(_Deleted(now_ns))
        await self._catalog.commit(
            [Put(Entry(project=self._project, kind=_DELETED.name, id=experiment_id, body=body, position=now_ns))]
        )

    async def _walked(
        self, query: ExperimentQuery, limit: int, after: _Position
    ) -> tuple[dict[str, _Tally], int | None]:
        """Return the first experiments behind a place, more than ``limit`` where there are more, and how far it went.

        It stops where no other one can come before those that it has; None says that it came to the end.
        """
        tallies: dict[str, _Tally] = {}
        hidden: dict[str, int] = {}
        async for item, said in self._walk(_behind(query, after)):
            if len(tallies) > limit and item.start_ns < min(tally.item.start_ns for tally in tallies.values()):
                return tallies, item.start_ns
            if said.id not in hidden:
                hidden[said.id] = await self._hidden_until(said.id, query, after)
            if item.start_ns > hidden[said.id]:
                if said.id not in tallies:
                    tallies[said.id] = _Tally(item, said, hidden[said.id])
                tallies[said.id].add(item, said)
        return tallies, None

    async def _named(
        self, query: ExperimentQuery, limit: int, after: _Position
    ) -> tuple[list[ExperimentSummary], str | None]:
        """Return one page of the experiments of some ids, each looked up by itself."""
        every = [await self.get(experiment_id, query) for experiment_id in dict.fromkeys(query.ids)]
        found = [one for one in every if one is not None and (after is None or (one.latest_ns, one.id) < after)]
        found.sort(key=lambda one: (one.latest_ns, one.id), reverse=True)
        return found[:limit], _cursor(found[limit - 1]) if len(found) > limit else None

    async def _hidden_until(self, experiment_id: str, query: ExperimentQuery, after: _Position) -> int:
        """Return until when items of an experiment are not shown: for ever, where a page before showed it."""
        entry = await self._catalog.get(self._project, _DELETED.name, experiment_id)
        hidden = _NEVER_NS if entry is None else _DELETED.of(entry).at_ns
        if after is None:
            return hidden
        newer = ObservationQuery(
            experiment_items=True, experiment_id=experiment_id, since_ns=max(after[0], query.since_ns or after[0]),
            until_ns=query.until_ns, limit=1,
        )  # fmt: skip
        last = (await self._observations.find(self._project, newer)).items
        if last and last[0].start_ns > hidden and (last[0].start_ns, experiment_id) >= after:
            return _FOR_EVER_NS
        return hidden

    async def _add_older(self, tally: _Tally, query: ExperimentQuery) -> None:
        """Add the items of an experiment that a walk has not come to."""
        async for item, said in self._walk(replace(query, ids=(tally.said.id,))):
            if item.start_ns <= tally.hidden_ns:
                return
            tally.add(item, said)

    async def _walk(self, query: ExperimentQuery) -> AsyncIterator[tuple[Observation, Experiment]]:
        """Yield the items of wanted experiments, the newest first."""
        asked = replace(self._asked(query), limit=LARGEST_PAGE)
        while True:
            page = await self._observations.find(self._project, asked)
            for item in page.items:
                if item.experiment is not None and query.meets(item.experiment):
                    yield item, item.experiment
            if page.next_cursor is None:
                return
            asked = replace(asked, cursor=page.next_cursor)

    def _asked(self, query: ExperimentQuery, cursor: str | None = None) -> ObservationQuery:
        return ObservationQuery(
            experiment_items=True, experiment_id=query.ids[0] if len(query.ids) == 1 else None,
            since_ns=query.since_ns, until_ns=query.until_ns, cursor=cursor,
        )  # fmt: skip

    async def _shown(
        self, asked: ObservationQuery, query: ExperimentQuery, deleted: dict[str, int]
    ) -> tuple[Page[Observation], list[int]]:
        """Return a page, and the places of those on it that are wanted."""
        page = await self._observations.find(self._project, asked)
        return page, [place for place, item in enumerate(page.items) if await self._is_shown(item, query, deleted)]

    async def _is_shown(self, item: Observation, query: ExperimentQuery, deleted: dict[str, int]) -> bool:
        """Return whether an item is wanted, and not deleted; ``deleted`` holds until when each experiment is."""
        said = item.experiment
        if said is None or not query.meets(said):
            return False
        if said.id not in deleted:
            entry = await self._catalog.get(self._project, _DELETED.name, said.id)
            deleted[said.id] = _NEVER_NS if entry is None else _DELETED.of(entry).at_ns
        return deleted[said.id] < item.start_ns

    async def whole(self, item: Observation) -> Observation:
        """Return an item with its payloads."""
        return await self._observations.get(self._project, item.trace_id, item.span_id) or item


def linked(
    known: Observation | None, *, project: str, trace_id: str, span_id: str, now_ns: int, to: Experiment
) -> Span:
    """Return what makes an observation stand for an item; one that has not arrived yet is filled up when it does.

    It says nothing but that: whatever else is written of the observation meanwhile stays.
    """
    said = replace(to, item_root_span_id=span_id)
    if known is None:
        return Span(project, trace_id, span_id, "experiment item", now_ns, status="running", experiment=said)
    return Span(project, trace_id, span_id, known.name, known.start_ns, status=known.status, experiment=said)


def _behind(query: ExperimentQuery, after: _Position) -> ExperimentQuery:
    """Return a query for what comes after a page; of one moment some may have been on it."""
    if after is None:
        return query
    return replace(query, until_ns=after[0] + 1 if query.until_ns is None else min(query.until_ns, after[0] + 1))


def _cursor(last: ExperimentSummary) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((last.latest_ns, last.id))).decode()


def _position(cursor: str) -> tuple[int, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[int, str])
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise ConfigError("cursor", cursor, "the request", "what the page before says") from error
