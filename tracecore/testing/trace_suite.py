"""The conformance suite of trace stores: lists, filters, pages and roll-ups."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final

import pytest
from msgspec.structs import replace

from tracecore.backend import Page, TraceQuery
from tracecore.errors import BackendRejected
from tracecore.records import ABSENT, Observation, Record, Span, Trace, TraceAttributes, merge
from tracecore.rollup import roll_up
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, opened, opened_with, pages_of, traces_in
from tracecore.testing.samples import (
    PROJECT,
    SECOND,
    START,
    event,
    full_generation,
    generation,
    json_of,
    span,
    span_id_of,
    trace_id_of,
)

__all__ = ["FORGED_CURSORS", "TraceSuite"]

FORGED_CURSORS: Final[tuple[str, ...]] = (
    "", "x", "é\0", "\ud800", "AAAA", "bnVsbA==", "W10=", "WyJ4IiwgWzEsICJhIl1d", "' OR 1=1 --", "9" * 5000,
)  # fmt: skip
"""Cursors that no store made: empty, no base64, no JSON, JSON of another shape."""

_CHAT: Final = TraceAttributes("chat", "u1", "s1", ("web", "beta"), json_of({"k": 1}), "r1", "v1", "production")
_OTHER: Final = TraceAttributes("other", "u2", "s2", ("web", "a,b", 'q"t', "été"), release="r2", version="v2")

_FIVE: Final[tuple[Record, ...]] = (
    span(1, within=1, trace=_CHAT, input=json_of("q"), output=json_of("a")),
    span(2, within=2, after_s=1, trace=_OTHER, status="error", duration_ns=5 * SECOND),
    span(3, within=3, after_s=2, status="running", trace=TraceAttributes(environment="staging")),
    generation(4, within=4, after_s=3, name="plain", usage_details={"input": 3}, total_cost=0.5),
    generation(5, within=5, after_s=3, trace=_CHAT, level="ERROR", total_cost=0.25, duration_ns=0),
)
"""Five traces of one observation each; the last two begin at the same time."""
_FILTERS: Final[tuple[tuple[TraceQuery, tuple[int, ...]], ...]] = (
    (TraceQuery(), (5, 4, 3, 2, 1)),
    (TraceQuery(user_id="u1"), (5, 1)),
    (TraceQuery(user_id="nobody"), ()),
    (TraceQuery(user_id=""), ()),
    (TraceQuery(session_id="s2"), (2,)),
    (TraceQuery(name="chat"), (5, 1)),
    (TraceQuery(name="plain"), (4,)),
    (TraceQuery(name="work 1"), ()),
    (TraceQuery(release="r2"), (2,)),
    (TraceQuery(version="v1"), (5, 1)),
    (TraceQuery(environment="staging"), (3,)),
    (TraceQuery(tags=("web",)), (5, 2, 1)),
    (TraceQuery(tags=("beta", "web")), (5, 1)),
    (TraceQuery(tags=("web", "nothing")), ()),
    (TraceQuery(tags=("a",)), ()),
    (TraceQuery(tags=("we",)), ()),
    (TraceQuery(tags=("a,b",)), (2,)),
    (TraceQuery(tags=('q"t', "été")), (2,)),
    (TraceQuery(tags=("",)), ()),
    (TraceQuery(since_ns=START + 2 * SECOND), (5, 4, 3)),
    (TraceQuery(until_ns=START + 2 * SECOND), (2, 1)),
    (TraceQuery(since_ns=START + SECOND, until_ns=START + SECOND + 1), (2,)),
    (TraceQuery(since_ns=START + SECOND + 1, until_ns=START + 2 * SECOND), ()),
    (TraceQuery(has_error=True), (5, 2)),
    (TraceQuery(has_error=False), (4, 3, 1)),
    (TraceQuery(running=True), (3,)),
    (TraceQuery(running=False), (5, 4, 2, 1)),
    (TraceQuery(min_duration_ns=SECOND), (4, 2, 1)),
    (TraceQuery(min_duration_ns=SECOND + 1), (2,)),
    (TraceQuery(min_duration_ns=0), (5, 4, 3, 2, 1)),
    (TraceQuery(min_cost=0.25), (5, 4)),
    (TraceQuery(min_cost=0.3), (4,)),
    (TraceQuery(min_cost=0.0), (5, 4)),
    (TraceQuery(user_id="u1", has_error=True, tags=("beta",), since_ns=START, min_cost=0.1), (5,)),
)


class TraceSuite(Contract):
    """Prove that traces are read as :class:`tracecore.backend.TraceStore` says."""

    async def test_every_filter_selects_what_it_names(self, make: MakeBackend) -> None:
        """TraceQuery: "every condition that is set must hold. Newest start first, ties by trace id descending"."""
        async with opened_with(make(), _FIVE) as backend:
            for query, numbers in _FILTERS:
                page = await traces_in(backend).find(PROJECT, query)
                same([trace.trace_id for trace in page.items], [trace_id_of(number) for number in numbers], query)
                assert page.next_cursor is None, query

    async def test_pages_join_without_gap_or_repetition(self, make: MakeBackend) -> None:
        """Page: "Hold one page of a list and the cursor of the next; next_cursor is None on the last page"."""
        async with opened_with(make(), _FIVE) as backend:
            find = traces_in(backend).find
            for query, numbers in _FILTERS:
                for limit in (1, 2, max(1, len(numbers)), 1000):
                    pages = await pages_of(find, PROJECT, replace(query, limit=limit))
                    found = [trace.trace_id for page in pages for trace in page]
                    same(found, [trace_id_of(number) for number in numbers], f"{query}, limit {limit}")
                    assert len(pages) == max(1, -(-len(numbers) // limit)), f"{query}, limit {limit}"

    async def test_pages_are_stable_while_records_are_added(self, make: MakeBackend) -> None:
        """Page: cursors "name a position by key (never by count) and stay valid while records are added"."""
        async with opened_with(make(), [span(n, within=n, after_s=n) for n in range(10, 20)]) as backend:
            find = traces_in(backend).find
            first = await find(PROJECT, TraceQuery(limit=4))
            await backend.write([span(30, within=30, after_s=30), span(1, within=1), span(14, within=55, after_s=14)])
            await backend.write([span(21, within=19, after_s=3)])
            rest = await pages_of(find, PROJECT, TraceQuery(limit=4, cursor=first.next_cursor))
        shown = [trace.trace_id for page in [first.items, *rest] for trace in page]
        # Trace 19 had been shown, and then turned out to have begun earlier: it stands where it now belongs, too.
        expected = [19, 18, 17, 16, 15, 55, 14, 13, 12, 11, 10, 19, 1]
        same(shown, [trace_id_of(number) for number in expected])

    async def test_a_forged_cursor_is_refused(self, make: MakeBackend) -> None:
        """TraceStore.find: "Raises BackendRejected for a cursor that this store did not make"."""
        async with opened_with(make(), _FIVE) as backend:
            for cursor in FORGED_CURSORS:
                with pytest.raises(BackendRejected):
                    await traces_in(backend).find(PROJECT, TraceQuery(cursor=cursor))

    async def test_a_limit_out_of_range_is_refused(self, make: MakeBackend) -> None:
        """TraceStore.find: BackendRejected "for a limit out of range": ``limit`` is 1 to 1,000."""
        async with opened_with(make(), _FIVE) as backend:
            for limit in (0, -1, 1001, 2**70):
                with pytest.raises(BackendRejected):
                    await traces_in(backend).find(PROJECT, TraceQuery(limit=limit))
            assert len((await traces_in(backend).find(PROJECT, TraceQuery(limit=1000))).items) == len(_FIVE)

    async def test_unknown_ids_are_absent(self, make: MakeBackend) -> None:
        """Backend: "An unknown id is absent (None, or missing from a page), never an error"."""
        async with opened_with(make(), _FIVE) as backend:
            traces = traces_in(backend)
            for unknown in (trace_id_of(6), "", "\0", "\ud800", "' OR 1=1", "A" * 1000):
                assert await traces.get(PROJECT, unknown) is None
                assert await traces.get(unknown, trace_id_of(1)) is None
                same(await traces.find(unknown, TraceQuery()), Page(list[Trace]()))
                same(await traces.find(PROJECT, TraceQuery(user_id=unknown or "x")), Page(list[Trace]()))

    async def test_projects_do_not_see_each_other(self, make: MakeBackend) -> None:
        """Backend: "Every read names its project": two projects with the same ids stay apart, whoever writes last."""
        mine = [span(1, name="mine", input=json_of("mine")), generation(2, total_cost=0.5)]
        theirs = [span(1, project="other", name="theirs", status="error"), span(3, project="other")]
        async with opened_with(make(), mine) as backend:
            await backend.write(theirs)
            await backend.write(mine[:1])
            for project, records in ((PROJECT, mine), ("other", theirs)):
                expected = roll_up(project, trace_id_of(1), records)
                same(await traces_in(backend).get(project, trace_id_of(1)), expected)
                page = await traces_in(backend).find(project, TraceQuery())
                same(page.items, [replace(expected, input=ABSENT, output=ABSENT)])

    async def test_lists_have_no_payloads_and_single_traces_have(self, make: MakeBackend) -> None:
        """TraceStore: find returns traces "without payloads", get one "with the input and output of its root"."""
        async with opened_with(make(), _FIVE) as backend:
            (listed,) = (await traces_in(backend).find(PROJECT, TraceQuery(name="chat", has_error=False))).items
            single = await traces_in(backend).get(PROJECT, trace_id_of(1))
        assert (listed.input, listed.output) == (ABSENT, ABSENT)
        assert single is not None
        assert (bytes(single.input), bytes(single.output)) == (b'"q"', b'"a"')
        same(replace(single, input=ABSENT, output=ABSENT), listed)

    async def test_results_are_the_callers_to_keep(self, make: MakeBackend) -> None:
        """Backend: "Results are the caller's to keep: a store never hands out what it will change later"."""
        async with opened_with(make(), [span(1)]) as backend:
            before = await traces_in(backend).get(PROJECT, trace_id_of(1))
            page = await traces_in(backend).find(PROJECT, TraceQuery())
            await backend.write([span(1, name="changed", status="error"), span(2)])
            page.items.clear()
            same(before, roll_up(PROJECT, trace_id_of(1), [span(1)]))
            assert len((await traces_in(backend).find(PROJECT, TraceQuery())).items) == 1

    async def test_roll_ups_follow_the_law_whatever_the_order(self, make: MakeBackend) -> None:
        """TraceStore: "What a trace says follows from its observations alone, whatever the order": rollup.roll_up."""
        async with opened(make()) as backend:
            for name, observations in _TRACES.items():
                expected = roll_up("", trace_id_of(1), _merged(observations))
                for number, order in enumerate(permutations(observations)):
                    project = f"{name} {number}"
                    mine = [replace(record, project=project) for record in order]
                    for batch in (mine[: number % 3], mine[number % 3 :]):
                        await backend.write(batch)
                    found = await traces_in(backend).get(project, trace_id_of(1))
                    same(found, replace(expected, project=project), f"{name}, {[record.span_id for record in order]}")

    async def test_what_is_said_again_takes_the_last_place(self, make: MakeBackend) -> None:
        """rollup: "a tag or key that is said again takes the place of the last that says it"."""
        async with opened_with(make(), _TRACES["said again"]) as backend:
            found = await traces_in(backend).get(PROJECT, trace_id_of(1))
        assert found is not None
        assert found.attributes.tags == ("c", "a", "b")
        assert bytes(found.attributes.metadata).replace(b" ", b"") == b'{"k":1,"l":1}'

    async def test_a_trace_is_rolled_up_again_when_it_changes(self, make: MakeBackend) -> None:
        """TraceStore: roll-ups are "recomputed whenever one of their observations is written"."""
        known: list[Observation] = []
        steps = (
            generation(1, status="running", trace=TraceAttributes(user_id="u")),
            generation(1, total_cost=0.5, usage_details={"input": 2, "output": 3}),
            span(2, parent_id=span_id_of(1), after_s=-5, level="ERROR", trace=TraceAttributes(user_id="v")),
            generation(1, total_cost=0.25, trace=TraceAttributes(session_id="s", tags=("late",))),
        )
        async with opened(make()) as backend:
            for step in steps:
                known.append(step)
                await backend.write([step])
                expected = roll_up(PROJECT, trace_id_of(1), _merged(known))
                same(await traces_in(backend).get(PROJECT, trace_id_of(1)), expected)
                (listed,) = (await traces_in(backend).find(PROJECT, TraceQuery())).items
                same(listed, replace(expected, input=ABSENT, output=ABSENT))

    async def test_filters_take_any_text(self, make: MakeBackend) -> None:
        """TraceQuery: a condition holds when the texts are equal, whatever they are made of; nothing is interpreted."""
        records = [
            span(n, within=n, after_s=n, trace=TraceAttributes(text, text, text, (text, "tag"), release=text))
            for n, text in enumerate(HOSTILE_TEXTS, 1)
        ]
        async with opened_with(make(), records) as backend:
            for number, text in enumerate(HOSTILE_TEXTS, 1):
                for condition in (
                    {"name": text},
                    {"user_id": text},
                    {"session_id": text},
                    {"tags": (text,)},
                    {"release": text},
                ):
                    values: dict[str, Any] = dict(condition)
                    page = await traces_in(backend).find(PROJECT, TraceQuery(**values))
                    same([trace.trace_id for trace in page.items], [trace_id_of(number)], condition)


def _merged(records: list[Observation] | tuple[Observation, ...]) -> list[Observation]:
    """Return what records say, one for each identity."""
    known: dict[str, Any] = {}
    for record in records:
        earlier = known.get(record.span_id)
        known[record.span_id] = record if earlier is None else merge(earlier, record)
    return list(known.values())


def _saying(number: int, end: float, **said: Any) -> Span:
    return span(number, after_s=end, duration_ns=0, trace=TraceAttributes(**said))


_TRACES: Final[dict[str, tuple[Observation, ...]]] = {
    "everything": (full_generation(1), span(2, status="running"), event(3, parent_id=span_id_of(1))),
    "said again": (
        _saying(1, 0, tags=("a", "b"), metadata=json_of({"k": 1, "l": 1})),
        _saying(2, 1, tags=("c", "b"), metadata=json_of({"l": 2})),
        _saying(3, 2, tags=("a", "b"), metadata=json_of({"k": 1, "l": 1})),
    ),
    "the last wins": (
        _saying(1, 3, user_id="u1", session_id="s1", public=False, metadata=json_of("no object")),
        _saying(2, 2, user_id="u2", name="n", public=True, metadata=json_of({"k": 1})),
        _saying(3, 1, user_id="u3", release="r", version="v", environment="production"),
    ),
    "ties by span id": (_saying(1, 0, user_id="a"), _saying(2, 0, user_id="b"), _saying(3, 0, user_id="")),
    "tags twice": (_saying(1, 0, tags=("x", "x", "y")), _saying(2, 0)),
    "roots": (
        span(1, parent_id="f" * 16, name="inner", output=json_of(1)),
        span(2, parent_id="f" * 16, app_root=True, after_s=1, name="later root", output=json_of(2)),
        span(3, parent_id="f" * 16, app_root=True, after_s=1, name="tied root", output=json_of(3)),
    ),
    "no root": (span(1, parent_id="f" * 16), span(2, parent_id=span_id_of(1))),
    "sums": (
        generation(1, usage_details={"input": 10, "output": 2, "cache": 1}, total_cost=0.5),
        generation(2, usage_details={"input": 1, "total": 2**60}, total_cost=0.0),
        generation(3, usage_details={"output": -7, "other": 0}),
    ),
    "unknown cost": (
        generation(1, usage_details={"input": 1}),
        generation(2, total_cost=0.25),
        span(3, status="abandoned"),
    ),
    "running, then ended": (
        span(1, status="running", name="begun", input=json_of(1), trace=TraceAttributes(user_id="u")),
        span(1, output=json_of(2), status="cancelled"),
        span(2, status="running", after_s=9, level="ERROR"),
    ),
}
"""Traces whose roll-up is easy to get wrong."""
