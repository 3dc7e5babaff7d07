"""Experiments: what the observations of their items say, and the ids that make a run of a dataset one.

An experiment has no entry of its own. The observation that stands for an item says which experiment and which item it
is of (:class:`tracecore.records.Experiment`); lists, counts and times follow from these. What is deleted is hidden by
the time at which it was: items that began before it are not shown any more, their traces stay.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, Backend, ObservationQuery, Page, ScoreQuery
from tracecore.catalog import CatalogStore, Entry, Put
from tracecore.errors import ConfigError
from tracecore.records import ABSENT, Experiment, Observation, Score, Span
from tracecore.services.kinds import Kind
from tracecore.services.stores import observations_of, scores_of

__all__ = ["ExperimentQuery", "ExperimentSummary", "Experiments", "ItemQuery", "experiment_id_of", "linked"]

_LOOKED_AT: Final = 20_000
"""Items that are looked at for one page of them, at most: what meets no condition does not hold up everybody."""


_Position: TypeAlias = tuple[int, str] | None
"""When the last item of the last experiment of a page began, and its id; None before the first page."""


class ExperimentQuery(Struct, frozen=True, kw_only=True):
    """Select experiments by their items: those that began from ``since_ns`` on and before ``until_ns``."""

    since_ns: int | None = None
    until_ns: int | None = None
    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    dataset_ids: tuple[str, ...] = ()

    def meets(self, said: Experiment) -> bool:
        """Return whether an item is of a wanted experiment."""
        return (
            (not self.ids or said.id in self.ids)
            and (not self.names or (said.name or said.id) in self.names)
            and (not self.dataset_ids or said.dataset_id in self.dataset_ids)
        )


class ItemQuery(ExperimentQuery, frozen=True, kw_only=True):
    """Select items of experiments."""

    item_ids: tuple[str, ...] = ()

    def meets(self, said: Experiment) -> bool:
        """Return whether an item is wanted."""
        return super().meets(said) and (not self.item_ids or said.item_id in self.item_ids)


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
        found: dict[str, ExperimentSummary] = {}
        ids = dict.fromkeys(query.ids)
        if ids:
            for experiment_id in ids:
                await self._add(found, experiment_id, query, after)
        else:
            async for item, said in self._walk(query, after):
                if len(found) > limit and item.start_ns < min(one.latest_ns for one in found.values()):
                    break
                if said.id not in ids:
                    ids[said.id] = None
                    await self._add(found, said.id, query, after)
        ordered = sorted(found.values(), key=lambda one: (one.latest_ns, one.id), reverse=True)
        shown = ordered[:limit]
        return shown, _cursor(shown[-1]) if len(ordered) > limit else None

    async def get(self, experiment_id: str, query: ExperimentQuery | None = None) -> ExperimentSummary | None:
        """Return what the items of one experiment come to, or None where there are none."""
        query = query or ExperimentQuery()
        deleted = await self._catalog.get(self._project, _DELETED.name, experiment_id)
        since_ns = query.since_ns
        if deleted is not None:
            since_ns = max(_DELETED.of(deleted).at_ns + 1, since_ns or 0)
        return await self._summary(experiment_id, replace(query, since_ns=since_ns))

    async def items(
        self, query: ItemQuery, *, limit: int, cursor: str | None = None, bodies: bool = False
    ) -> tuple[list[Observation], str | None]:
        """Return one page of items, the newest first; a page may be shorter although there are more."""
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
                return [await self._whole(item) for item in found] if bodies else found, page.next_cursor
            asked = replace(asked, cursor=page.next_cursor, limit=min(LARGEST_PAGE, 4 * asked.limit))

    async def every_item(self, experiment_id: str) -> list[Observation]:
        """Return all items of one experiment, the newest first, without payloads."""
        query = ItemQuery(ids=(experiment_id,))
        found, cursor = await self.items(query, limit=LARGEST_PAGE)
        while cursor is not None:
            more, cursor = await self.items(query, limit=LARGEST_PAGE, cursor=cursor)
            found += more
        return found

    async def metadata(self, summary: ExperimentSummary) -> Raw:
        """Return the metadata of an experiment, as its last item says it."""
        span = await self._observations.get(self._project, *summary.latest)
        return ABSENT if span is None or span.experiment is None else span.experiment.metadata

    async def scores(self, experiment_id: str, limit: int) -> list[Score]:
        """Return scores of an experiment as a whole, the newest first."""
        return (await self._scores.find(self._project, ScoreQuery(experiment_id=experiment_id, limit=limit))).items

    async def scores_of_item(self, item: Observation, limit: int) -> list[Score]:
        """Return scores of an item, or of its trace as a whole, the newest first."""
        query = ScoreQuery(trace_id=item.trace_id, limit=LARGEST_PAGE)
        found: list[Score] = []
        while True:
            page = await self._scores.find(self._project, query)
            found += [score for score in page.items if score.observation_id in {None, item.span_id}]
            if page.next_cursor is None or len(found) >= limit:
                return found[:limit]
            query = replace(query, cursor=page.next_cursor)

    async def delete(self, experiment_id: str, *, now_ns: int) -> None:
        """Show no item any more that began until now."""
        body = _DELETED.body(_Deleted(now_ns))
        await self._catalog.commit(
            [Put(Entry(project=self._project, kind=_DELETED.name, id=experiment_id, body=body, position=now_ns))]
        )

    async def _add(
        self,
        found: dict[str, ExperimentSummary],
        experiment_id: str,
        query: ExperimentQuery,
        after: _Position,
    ) -> None:
        """Add an experiment, unless there is nothing of it, or it was on a page before."""
        summary = await self.get(experiment_id, query)
        if summary is not None and (after is None or (summary.latest_ns, summary.id) < after):
            found[experiment_id] = summary

    async def _walk(self, query: ExperimentQuery, after: _Position) -> AsyncIterator[tuple[Observation, Experiment]]:
        """Yield the items of wanted experiments, the newest first."""
        until_ns = query.until_ns
        if after is not None:
            until_ns = after[0] + 1 if until_ns is None else min(until_ns, after[0] + 1)
        asked = replace(self._asked(replace(query, until_ns=until_ns)), limit=LARGEST_PAGE)
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

    async def _summary(self, experiment_id: str, query: ExperimentQuery) -> ExperimentSummary | None:
        last: tuple[Observation, Experiment] | None = None
        start_ns = end_ns = 0
        items: set[str] = set()
        async for item, said in self._walk(replace(query, ids=(experiment_id,)), None):
            last = last or (item, said)
            start_ns, end_ns = item.start_ns, max(end_ns, item.end_ns or item.start_ns)
            items.add(said.item_id or item.span_id)
        if last is None:
            return None
        item, said = last
        return ExperimentSummary(
            id=said.id, name=said.name or said.id, description=said.description, dataset_id=said.dataset_id,
            start_ns=start_ns, end_ns=end_ns, latest_ns=item.start_ns, item_count=len(items),
            latest=(item.trace_id, item.span_id),
        )  # fmt: skip

    async def _shown(
        self, asked: ObservationQuery, query: ItemQuery, deleted: dict[str, int]
    ) -> tuple[Page[Observation], list[int]]:
        """Return a page, and the places of those on it that are wanted."""
        page = await self._observations.find(self._project, asked)
        return page, [place for place, item in enumerate(page.items) if await self._is_shown(item, query, deleted)]

    async def _is_shown(self, item: Observation, query: ItemQuery, deleted: dict[str, int]) -> bool:
        """Return whether an item is wanted, and not deleted; ``deleted`` holds until when each experiment is."""
        said = item.experiment
        if said is None or not query.meets(said):
            return False
        if said.id not in deleted:
            entry = await self._catalog.get(self._project, _DELETED.name, said.id)
            deleted[said.id] = -(2**63) if entry is None else _DELETED.of(entry).at_ns
        return deleted[said.id] < item.start_ns

    async def _whole(self, item: Observation) -> Observation:
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


def _cursor(last: ExperimentSummary) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((last.latest_ns, last.id))).decode()


def _position(cursor: str) -> tuple[int, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[int, str])
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise ConfigError("cursor", cursor, "the request", "what the page before says") from error
