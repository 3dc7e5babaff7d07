"""The conformance suite of observation stores: lists, filters, pages, trees."""

from __future__ import annotations

from itertools import permutations
from typing import Final, cast

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE_BYTES, ObservationQuery, Page, TraceQuery
from tracecore.conditions import Condition
from tracecore.errors import BackendRejected
from tracecore.records import ABSENT, ErrorInfo, Generation, Observation, TraceAttributes
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS
from tracecore.testing.filter_suite import FilterSuite
from tracecore.testing.opening import MakeBackend, observations_in, opened_with, pages_of, traces_in
from tracecore.testing.samples import (
    PROJECT,
    SECOND,
    START,
    event,
    full_generation,
    generation,
    json_of,
    long_text,
    span,
    span_id_of,
    trace_id_of,
)
from tracecore.testing.trace_suite import FORGED_CURSORS

__all__ = ["ObservationSuite"]

_SIX: Final[tuple[Observation, ...]] = (
    span(1, within=1, name="answer", trace=TraceAttributes(user_id="u1", session_id="s1")),
    generation(2, within=1, after_s=1, model="gpt-x", status="error", trace=TraceAttributes(user_id="u2")),
    event(3, within=2, after_s=2, trace=TraceAttributes(user_id="u1")),
    span(4, within=2, after_s=3, type="tool", status="running"),
    span(5, within=3, after_s=4, level="ERROR", duration_ns=5 * SECOND),
    generation(6, within=3, after_s=4, model="gpt-y", type="embedding", status="abandoned"),
)
"""Six observations of three traces; the last two begin at the same time."""
_FILTERS: Final[tuple[tuple[ObservationQuery, tuple[int, ...]], ...]] = (
    (ObservationQuery(), (6, 5, 4, 3, 2, 1)),
    (ObservationQuery(trace_id=trace_id_of(2)), (4, 3)),
    (ObservationQuery(name="answer"), (1,)),
    (ObservationQuery(type="generation"), (2,)),
    (ObservationQuery(type="event"), (3,)),
    (ObservationQuery(type="tool"), (4,)),
    (ObservationQuery(type="embedding"), (6,)),
    (ObservationQuery(type="guardrail"), ()),
    (ObservationQuery(model="gpt-x"), (2,)),
    (ObservationQuery(user_id="u1"), (3, 1)),
    (ObservationQuery(session_id="s1"), (1,)),
    (ObservationQuery(since_ns=START + 3 * SECOND), (6, 5, 4)),
    (ObservationQuery(until_ns=START + 3 * SECOND), (3, 2, 1)),
    (ObservationQuery(since_ns=START + 1, until_ns=START + SECOND), ()),
    (ObservationQuery(has_error=True), (6, 5, 2)),
    (ObservationQuery(has_error=False), (4, 3, 1)),
    (ObservationQuery(running=True), (4,)),
    (ObservationQuery(running=False), (6, 5, 3, 2, 1)),
    (ObservationQuery(min_duration_ns=1), (6, 5, 2, 1)),
    (ObservationQuery(min_duration_ns=5 * SECOND), (5,)),
    (ObservationQuery(min_duration_ns=0), (6, 5, 4, 3, 2, 1)),
    (ObservationQuery(trace_id=trace_id_of(1), has_error=True, user_id="u2", model="gpt-x"), (2,)),
    (ObservationQuery(trace_id=trace_id_of(1), user_id="u1", has_error=True), ()),
)


class ObservationSuite(FilterSuite):
    """Prove that observations are read as :class:`tracecore.backend.ObservationStore` says."""

    async def test_every_filter_selects_the_observations_it_names(self, make: MakeBackend) -> None:
        """ObservationQuery: "every condition that is set must hold. Newest start first, ties by span id descending"."""
        async with opened_with(make(), _SIX) as backend:
            for query, numbers in _FILTERS:
                page = await observations_in(backend).find(PROJECT, query)
                same([one.span_id for one in page.items], [span_id_of(number) for number in numbers], query)
                assert page.next_cursor is None, query

    async def test_pages_of_observations_join(self, make: MakeBackend) -> None:
        """Page: "Hold one page of a list and the cursor of the next; next_cursor is None on the last page"."""
        async with opened_with(make(), _SIX) as backend:
            for query, numbers in _FILTERS:
                for limit in (1, 2, max(1, len(numbers)), 1000):
                    pages = await pages_of(observations_in(backend).find, PROJECT, replace(query, limit=limit))
                    found = [one.span_id for page in pages for one in page]
                    same(found, [span_id_of(number) for number in numbers], f"{query}, limit {limit}")
                    assert len(pages) == max(1, -(-len(numbers) // limit)), f"{query}, limit {limit}"

    async def test_a_page_with_payloads_ends_where_they_are_long(self, make: MakeBackend) -> None:
        """Page: "it ends before the item with which it would be longer than LARGEST_PAGE_BYTES", whatever is asked."""
        long, longest = json_of(long_text(LARGEST_PAGE_BYTES // 3)), json_of(long_text(LARGEST_PAGE_BYTES + 5))
        bodies = [long, long, longest, long, json_of(1), json_of(2)]
        records = [
            span(number, after_s=9 - number, input=body, trace=TraceAttributes(user_id="u"))
            for number, body in enumerate(bodies, 1)
        ]
        async with opened_with(make(), records) as backend:
            find = observations_in(backend).find
            for query in (
                ObservationQuery(bodies=True),
                ObservationQuery(bodies=True, trace_id=trace_id_of(1)),
                ObservationQuery(bodies=True, user_id="u"),
                ObservationQuery(bodies=True, where=(Condition("input", "is not null"),)),
            ):
                pages = await pages_of(find, PROJECT, query)
                found = [[bodies.index(one.input) for one in page] for page in pages]
                same(found, [[0, 0], [2], [0, 4, 5]], query)
            same([len(page) for page in await pages_of(find, PROJECT, ObservationQuery())], [6])

    async def test_pages_pass_through_equal_spans_of_many_traces(self, make: MakeBackend) -> None:
        """Page: a cursor names "a position by key": observations with one start and one span id all pass."""
        records = [span(1, within=number) for number in range(1, 8)]
        async with opened_with(make(), records) as backend:
            for limit in (1, 2, 3):
                pages = await pages_of(observations_in(backend).find, PROJECT, ObservationQuery(limit=limit))
                found = [one.trace_id for page in pages for one in page]
                same(sorted(found), [trace_id_of(number) for number in range(1, 8)], f"limit {limit}")

    async def test_pages_of_observations_are_stable(self, make: MakeBackend) -> None:
        """Page: cursors "stay valid while records are added"."""
        async with opened_with(make(), [span(n, after_s=n) for n in range(10, 20)]) as backend:
            find = observations_in(backend).find
            first = await find(PROJECT, ObservationQuery(limit=4))
            await backend.write([span(30, after_s=30), span(1), span(55, after_s=14)])
            rest = await pages_of(find, PROJECT, ObservationQuery(limit=4, cursor=first.next_cursor))
        shown = [one.span_id for page in [first.items, *rest] for one in page]
        same(shown, [span_id_of(number) for number in (19, 18, 17, 16, 15, 55, 14, 13, 12, 11, 10, 1)])

    async def test_forged_cursors_and_limits_are_refused(self, make: MakeBackend) -> None:
        """ObservationStore.find: "Raises as TraceStore.find does", also for the cursor of another list."""
        async with opened_with(make(), _SIX) as backend:
            find = observations_in(backend).find
            of_traces = (await traces_in(backend).find(PROJECT, TraceQuery(limit=1))).next_cursor
            for cursor in (*FORGED_CURSORS, of_traces):
                with pytest.raises(BackendRejected):
                    await find(PROJECT, ObservationQuery(cursor=cursor))
            for limit in (0, -1, 1001, 2**70):
                with pytest.raises(BackendRejected):
                    await find(PROJECT, ObservationQuery(limit=limit))

    async def test_unknown_observations_are_absent(self, make: MakeBackend) -> None:
        """Backend: "An unknown id is absent (None, or missing from a page), never an error"."""
        async with opened_with(make(), _SIX) as backend:
            store = observations_in(backend)
            for unknown in ("", "\0", "\ud800", "' OR 1=1", "A" * 1000):
                assert await store.get(PROJECT, trace_id_of(1), unknown) is None
                assert await store.get(PROJECT, unknown, span_id_of(1)) is None
                assert await store.get(unknown, trace_id_of(1), span_id_of(1)) is None
                assert await store.tree(PROJECT, unknown) == []
                assert await store.tree(unknown, trace_id_of(1)) == []
                same(await store.find(PROJECT, ObservationQuery(trace_id=unknown)), Page(list[Observation]()))
            assert await store.get(PROJECT, trace_id_of(1), span_id_of(3)) is None, "it is in another trace"

    async def test_observations_of_projects_stay_apart(self, make: MakeBackend) -> None:
        """Backend: "Every read names its project": the same ids of another project are somebody else's."""
        mine, theirs = span(1, name="mine"), span(1, project="other", name="theirs")
        async with opened_with(make(), [mine, theirs]) as backend:
            store = observations_in(backend)
            for project, expected in ((PROJECT, mine), ("other", theirs)):
                same(await store.get(project, trace_id_of(1), span_id_of(1)), expected)
                same(await store.tree(project, trace_id_of(1)), [expected])
                same((await store.find(project, ObservationQuery())).items, [expected])

    async def test_lists_leave_payloads_out_unless_asked(self, make: MakeBackend) -> None:
        """ObservationQuery.bodies: without it payloads "are ABSENT, an error's stack is empty"; all else is there."""
        whole = full_generation(1)
        async with opened_with(make(), [whole]) as backend:
            store = observations_in(backend)
            same((await store.find(PROJECT, ObservationQuery())).items, [_without_payloads(whole)])
            same((await store.find(PROJECT, ObservationQuery(bodies=True))).items, [whole])
            same(await store.get(PROJECT, whole.trace_id, whole.span_id), whole)
            same(await store.tree(PROJECT, whole.trace_id), [whole])

    async def test_an_absent_payload_is_falsy_and_null_is_not(self, make: MakeBackend) -> None:
        """Records: "No payload is ABSENT, which is falsy; the JSON null is a payload like any other"."""
        async with opened_with(make(), [span(1, input=Raw(b"null"))]) as backend:
            found = await observations_in(backend).get(PROJECT, trace_id_of(1), span_id_of(1))
        assert found is not None
        assert bytes(found.input) == b"null"
        assert not found.output

    async def test_a_tree_is_ordered_by_start_then_span_id(self, make: MakeBackend) -> None:
        """ObservationStore.tree: "every observation of a trace with payloads, by start then span id"."""
        ordered = [span(9, after_s=-1), span(2, input=json_of(2)), full_generation(3), event(4, after_s=1)]
        for number, order in enumerate(permutations(ordered)):
            async with opened_with(make(), [replace(record, project=str(number)) for record in order]) as backend:
                tree = await observations_in(backend).tree(str(number), trace_id_of(1))
                same(tree, [replace(record, project=str(number)) for record in ordered])

    async def test_observations_are_the_callers_to_keep(self, make: MakeBackend) -> None:
        """Backend: "a store never hands out what it will change later", nor keeps what the caller may change."""
        usage, costs = {"input": 1}, {"input": 0.5}
        given = generation(1, usage_details=usage, cost_details=costs)
        async with opened_with(make(), [given]) as backend:
            usage["input"], costs["input"] = 99, 99.0
            store = observations_in(backend)
            expected = generation(1, usage_details={"input": 1}, cost_details={"input": 0.5})
            listed = (await store.find(PROJECT, ObservationQuery())).items[0]
            for found in (await store.get(PROJECT, trace_id_of(1), span_id_of(1)), listed):
                same(found, expected)
                cast("dict[str, int]", cast("Generation", found).usage_details)["input"] = 7
            same(await store.tree(PROJECT, trace_id_of(1)), [expected])

    async def test_filters_of_observations_take_any_text(self, make: MakeBackend) -> None:
        """ObservationQuery: a condition holds when the texts are equal, whatever they are made of."""
        records = [
            generation(n, after_s=n, name=text, model=text, trace=TraceAttributes(user_id=text, session_id=text))
            for n, text in enumerate(HOSTILE_TEXTS, 1)
        ]
        async with opened_with(make(), records) as backend:
            for number, text in enumerate(HOSTILE_TEXTS, 1):
                for query in (
                    ObservationQuery(name=text),
                    ObservationQuery(model=text),
                    ObservationQuery(user_id=text),
                    ObservationQuery(session_id=text),
                ):
                    page = await observations_in(backend).find(PROJECT, query)
                    same([one.span_id for one in page.items], [span_id_of(number)], query)


def _without_payloads(whole: Generation) -> Generation:
    """Return what a list shows of a generation that has everything."""
    error, experiment = whole.error, whole.experiment
    assert error is not None
    assert experiment is not None
    return replace(
        whole, input=ABSENT, output=ABSENT, metadata=ABSENT, tool_definitions=ABSENT, tool_calls=ABSENT,
        model_parameters=ABSENT, error=ErrorInfo(error.type, error.message),
        experiment=replace(experiment, metadata=ABSENT, item_expected_output=ABSENT, item_metadata=ABSENT),
    )  # fmt: skip
