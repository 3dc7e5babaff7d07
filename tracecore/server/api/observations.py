"""Observations: ``/v2/observations`` as Langfuse has it now, and the two operations that it had before.

A list is newest start first. Its page ends early, with a cursor, where the payloads of one answer would be too long.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from tracecore.backend import ObservationQuery, Page
from tracecore.conditions import Column, Condition
from tracecore.errors import BackendRejected, NotFound
from tracecore.records import Observation
from tracecore.selection import length_of_observation
from tracecore.server.api.filters import conditions_of
from tracecore.server.api.numbered import numbered
from tracecore.server.api.paging import PageLimit, PageMeta, PageNumber, Paging
from tracecore.server.api.payloads import size_of
from tracecore.server.api.shapes import (
    DEFAULT_GROUPS,
    GROUPS,
    READ_PAYLOADS,
    Group,
    LegacyObservation,
    ObservationAnswer,
    shape,
    whole,
)
from tracecore.server.api.times import ns_of
from tracecore.server.api.unit_prices import show_prices, show_prices_as_text
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.stores import observation_of, observations_of
from tracecore.services.synthetic import is_synthetic, synthetic_id

__all__ = ["operations"]

operations = Operations()

Type: TypeAlias = Literal[
    "SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"
]
LevelName: TypeAlias = Literal["DEBUG", "DEFAULT", "WARNING", "ERROR"]


class _Selection(Struct, frozen=True, kw_only=True, rename="camel"):
    """Select observations, by what both generations of the list know."""

    name: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    type: Type | None = None
    trace_id: str | None = None
    level: LevelName | None = None
    parent_observation_id: tuple[str, ...] = ()
    """An empty one stands for none: what is the topmost of its trace."""
    is_root_observation: bool | None = None
    environment: tuple[str, ...] = ()
    from_start_time: datetime | None = None
    to_start_time: datetime | None = None
    version: str | None = None
    filter: str | None = None


class ObservationsQuery(_Selection, frozen=True, kw_only=True, rename="camel"):
    """Select observations, and say what of them is shown."""

    fields: str | None = None
    """Groups, separated by commas; unknown ones are passed over."""
    expand_metadata: str | None = None
    """Keys of metadata that are shown whole, separated by commas."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None
    parse_io_as_json: bool = False


class Cursor(Struct, rename="camel"):
    """Say where the next page begins; without a cursor there is none."""

    cursor: str | UnsetType = UNSET


class ObservationsAnswer(Struct):
    """Hold a page of observations."""

    data: list[ObservationAnswer]
    meta: Cursor


@operations.get("/v2/observations", permission="project:read")
async def list_observations(call: Call, query: ObservationsQuery) -> ObservationsAnswer:
    """Return observations, the newest start first."""
    if query.parse_io_as_json:
        raise InvalidRequest("parseIoAsJson=true is not supported: input and output are texts; leave it out")
    groups = _groups(query.fields)
    asked = replace(_asked(query), limit=query.limit, cursor=query.cursor)
    try:
        page = await _found(call, replace(asked, bodies=bool(groups & READ_PAYLOADS)))
    except BackendRejected as error:
        if query.cursor is None:
            raise
        raise InvalidRequest(f"cursor: {error}") from error
    expanded = frozenset(_listed(query.expand_metadata))
    shown = [shape(observation, groups, expanded) for observation in page.items]
    if "model" in groups:
        await show_prices_as_text(call, page.items, shown)
    return ObservationsAnswer(shown, Cursor(UNSET if page.next_cursor is None else page.next_cursor))


def _groups(fields: str | None) -> frozenset[Group]:
    return frozenset(group for group in GROUPS if group in _listed(fields)) if fields else DEFAULT_GROUPS


def _listed(text: str | None) -> list[str]:
    return [stripped for part in (text or "").split(",") if (stripped := part.strip())]


async def _found(call: Call, asked: ObservationQuery) -> Page[Observation]:
    page = await observations_of(call.backend).find(call.project, asked)
    call.hold(sum(length_of_observation(one) + size_of(one.trace.metadata) for one in page.items))
    return page


def _asked(query: _Selection) -> ObservationQuery:
    """Return what is asked of the store; a condition in ``filter`` takes the place of a parameter on its column."""
    conditions = conditions_of(query.filter) if query.filter else ()
    named = {condition.column for condition in conditions}
    given = [condition for condition in _given(query) if condition.column not in named]
    return _hoisted(ObservationQuery(where=(*given, *conditions)))


def _given(query: _Selection) -> list[Condition]:
    """Return the parameters as conditions."""
    texts: dict[Column, str | None] = {
        "trace_id": query.trace_id, "name": query.name, "user_id": query.user_id, "session_id": query.session_id,
        "level": query.level, "version": query.version, "type": query.type and query.type.lower(),
    }  # fmt: skip
    found = [Condition(column, "=", value) for column, value in texts.items() if value is not None]
    if query.environment:
        found.append(Condition("environment", "any of", query.environment))
    if query.from_start_time is not None:
        found.append(Condition("start_time", ">=", ns_of(query.from_start_time)))
    if query.to_start_time is not None:
        found.append(Condition("start_time", "<", ns_of(query.to_start_time)))
    if query.is_root_observation is not None:
        found.append(Condition("is_root", "=", query.is_root_observation))
    if "" in query.parent_observation_id:
        found.append(Condition("parent_id", "is null"))
    elif query.parent_observation_id:
        found.append(Condition("parent_id", "any of", query.parent_observation_id))
    return found


_FIELDS: Final[dict[Column, str]] = {
    "trace_id": "trace_id", "name": "name", "user_id": "user_id", "session_id": "session_id",
}  # fmt: skip
"""Columns that a query has a field for: a store knows better how to find by these."""


def _hoisted(asked: ObservationQuery) -> ObservationQuery:
    """Return the same query with conditions said by fields, where there is one."""
    fields: dict[str, str] = {}
    left: list[Condition] = []
    for condition in asked.where:
        field, value = _FIELDS.get(condition.column), condition.value
        if field is None or field in fields or condition.operator != "=" or not isinstance(value, str) or not value:
            left.append(condition)
        else:
            fields[field] = value
    return replace(asked, where=tuple(left), **fields)


class LegacyObservationsQuery(_Selection, frozen=True, kw_only=True, rename="camel"):
    """Select a numbered page of observations."""

    page: PageNumber = 1
    limit: PageLimit = 50


class LegacyObservationsAnswer(Struct):
    """Hold a numbered page of observations."""

    data: list[LegacyObservation]
    meta: PageMeta


@operations.get("/observations", permission="project:read", deprecated=True)
async def list_legacy_observations(call: Call, query: LegacyObservationsQuery) -> LegacyObservationsAnswer:
    """Return a numbered page of observations; ``/v2/observations`` does not count them, and is faster."""
    asked, store = _asked(query), observations_of(call.backend)
    if query.trace_id:  # else it is left out of the page that it comes to be on, and counted
        asked = replace(asked, where=(*asked.where, Condition("id", "none of", (synthetic_id(query.trace_id),))))

    async def bare(limit: int, cursor: str | None) -> Page[Observation]:
        return await store.find(call.project, replace(asked, limit=limit, cursor=cursor))

    async def shown(limit: int, cursor: str | None) -> Page[Observation]:
        return await _found(call, replace(asked, bodies=True, limit=limit, cursor=cursor))

    items, meta = await numbered(bare, shown, Paging(page=query.page, limit=query.limit))
    real = [one for one in items if not is_synthetic(one)]
    answers = [whole(one) for one in real]
    await show_prices(call, real, answers)
    return LegacyObservationsAnswer(answers, meta)


@operations.get("/observations/{observation_id:path}", permission="project:read", deprecated=True)
async def get_legacy_observation(call: Call, observation_id: str) -> LegacyObservation:
    """Return one observation with its payloads."""
    found = await observation_of(call.backend, call.project, observation_id, bodies=True)
    if found is None or is_synthetic(found):
        raise NotFound("observation", observation_id, "it is not in the project of the key")
    call.hold(length_of_observation(found))
    answer = whole(found)
    await show_prices(call, [found], [answer])
    return answer
