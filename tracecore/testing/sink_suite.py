"""The conformance suite of sinks: opening, writing batches, housekeeping, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count, permutations
from typing import Any, Final, cast

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tracecore.backend import Backend, Batch
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable
from tracecore.records import ErrorInfo, Generation, Span, Trace, TraceAttributes, merge
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.faults import FailNth, FaultyBackend, Moment
from tracecore.testing.opening import MakeBackend, opened, opened_with
from tracecore.testing.samples import (
    PROJECT,
    SECOND,
    START,
    event,
    full_generation,
    generation,
    json_of,
    session,
    span,
    trace_id_of,
)

__all__ = ["DurableSuite", "SinkSuite"]

_MANY: Final = 10_000
_MOST_SLICES: Final = 10_000
_CANCELLED: Final = 12
"""How many writes are cancelled, each one turn of the loop later than the one before."""
_RACES: Final = 20
_PATIENCE: Final = 100
_HUGE: Final = 2**70
_MOMENTS: Final[tuple[Moment, ...]] = ("before", "after")


class SinkSuite(Contract):
    """Prove that a sink keeps records as :class:`tracecore.backend.Sink` says."""

    async def test_opening_an_open_sink_does_nothing(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.open: "Opening an open sink does nothing"."""
        async with opened_with(make(), [span(1)]) as backend:
            await backend.open()
            await backend.write([span(2)])
            same(await self.stored(make_reader), [span(1), span(2)])

    async def test_closing_twice_or_before_opening_does_nothing(self, make: MakeBackend) -> None:
        """Sink.close: "Closing twice, or before opening, does nothing"."""
        backend = make()
        await backend.close()
        await backend.open()
        await backend.write([span(1)])
        await backend.close()
        await backend.close()

    async def test_a_closed_sink_refuses_to_write(self, make: MakeBackend) -> None:
        """Sink.write: "Raises BackendUnavailable or BackendRejected, nothing else", also before opening or closed."""
        unopened = make()
        with pytest.raises(BackendError):
            await unopened.write([span(1)])
        async with opened_with(make(), [span(2)]) as backend:
            await backend.close()
            with pytest.raises(BackendError):
                await backend.write([span(3)])
            await backend.open()
            await backend.write([span(3)])

    async def test_what_is_written_is_kept_in_every_field(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "Keep every record of the batch": every field of every kind comes back as it was given."""
        records = [full_generation(1), span(2), event(3, input=json_of(1)), generation(4), span(5, within=2)]
        async with opened_with(make(), records):
            same(await self.stored(make_reader), records)

    async def test_the_answer_is_none_when_all_was_kept(self, make: MakeBackend) -> None:
        """Sink.write: "Returns None when all of it was kept": nothing else, not even how many there were."""
        async with opened(make()) as backend:
            for batch in ([], [span(1)], [span(1), event(2)]):
                assert cast("Any", await backend.write(batch)) is None

    async def test_a_cancelled_write_is_over_when_the_next_one_is(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Sink.write: what a cancelled write still does "must happen neither beside the next one nor after it"."""
        earlier = [span(number, name="earlier") for number in range(1, 30)]
        later = [replace(record, name="later") for record in earlier]
        async with opened(make()) as backend:
            for turns in range(_CANCELLED):
                project = f"cancelled after {turns} turns of the loop"
                begun = asyncio.ensure_future(backend.write([replace(record, project=project) for record in earlier]))
                for _ in range(turns):
                    await asyncio.sleep(0)
                begun.cancel()
                await asyncio.wait([begun])
                await _again(partial(backend.write, [replace(record, project=project) for record in later]))
        for turns in range(_CANCELLED):
            project = f"cancelled after {turns} turns of the loop"
            same(await self.stored(make_reader, project), [replace(one, project=project) for one in later], project)

    async def test_writing_twice_equals_writing_once(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "Idempotent by identity: writing a record twice equals writing it once"."""
        records = [full_generation(1), span(2, status="running"), event(3)]
        async with opened_with(make(), [*records, *records]) as backend:
            await backend.write(records)
            await backend.write(list(reversed(records)))
            same(await self.stored(make_reader), records)

    async def test_an_empty_batch_changes_nothing(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "Keep every record of the batch", also when there is none."""
        async with opened_with(make(), []) as backend:
            await backend.write([span(1)])
            await backend.write([])
            same(await self.stored(make_reader), [span(1)])

    async def test_a_batch_is_any_sequence(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Batch: "records in the order in which they were drained" in any Sequence; a sink does not change it."""
        batch: Any = (span(1), span(2))
        async with opened(make()) as backend:
            await backend.write(batch)
            same(await self.stored(make_reader), list(batch))

    async def test_a_later_record_wins_where_it_sets_a_field(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "A later record wins field by field, only where it sets the field"."""
        async with opened(make()) as backend:
            for number, (earlier, later) in enumerate(_rewritten()):
                for at_once in (True, False):
                    project = f"pair {number}, at once: {at_once}"
                    both = [replace(record, project=project) for record in (earlier, later)]
                    for batch in [both] if at_once else [both[:1], both[1:]]:
                        await backend.write(batch)
                    same(await self.stored(make_reader, project), [merge(both[0], both[1])], project)

    async def test_nothing_is_left_of_a_replaced_value(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "A later record wins field by field": an error is one value, and goes with its stack."""
        async with opened_with(make(), [span(1, error=ErrorInfo("A", "b", "stack"))]) as backend:
            await backend.write([span(1, error=ErrorInfo("B"))])
            same(await self.stored(make_reader), [span(1, error=ErrorInfo("B"))])

    async def test_running_never_overrides_ended(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "A record with status running never overrides an ended one; it only fills what that one left"."""
        began = span(1, status="running", input=json_of("in"), name="begun", level="DEBUG")
        ended = span(1, status="error", output=json_of("out"), name="done", after_s=1)
        expected = replace(ended, input=began.input, level="DEBUG")
        async with opened(make()) as backend:
            for number, order in enumerate(permutations((began, ended, began))):
                project = f"order {number}"
                for record in order:
                    await backend.write([replace(record, project=project)])
                same(await self.stored(make_reader, project), [replace(expected, project=project)])

    async def test_the_order_of_different_records_does_not_matter(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Sink.write: what is kept follows from the records, in whatever order and batches they come."""
        records = [span(1), generation(2), span(1, within=2, status="running"), event(3)]
        async with opened(make()) as backend:
            for number, order in enumerate(permutations(records)):
                mine = [replace(record, project=f"order {number}") for record in order]
                await backend.write(mine[: number % 4])
                await backend.write(mine[number % 4 :])
                expected = sorted(mine, key=lambda record: (record.trace_id, record.span_id))
                same(await self.stored(make_reader, f"order {number}"), expected)

    async def test_a_batch_with_something_else_in_it_is_refused_whole(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Sink.write: "Keep every record of the batch, or none of it": what is no record is BackendRejected."""
        strangers: tuple[Any, ...] = (None, "text", {"span_id": "1"}, Trace(PROJECT, trace_id_of(1)), object())
        async with opened_with(make(), [span(1)]) as backend:
            for stranger in strangers:
                for batch in ([stranger, span(2)], [span(2), session("s"), stranger], [stranger]):
                    with pytest.raises(BackendRejected):
                        await backend.write(cast("Batch", batch))
            same(await self.stored(make_reader), [span(1)])
            await backend.write([span(2)])
            same(await self.stored(make_reader), [span(1), span(2)])

    async def test_a_value_that_cannot_be_kept_is_refused_whole_or_kept_exactly(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Sink.write: "BackendRejected, nothing else" and "or none of it", for a time that no clock shows."""
        odd = span(2, start_ns=_HUGE)
        async with opened_with(make(), [span(1)]) as backend:
            try:
                await backend.write([span(3), odd])
                expected = [span(1), odd, span(3)]
            except BackendRejected:
                expected = [span(1)]
            same(await self.stored(make_reader), expected)

    async def test_a_batch_may_be_written_again_after_a_failure(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Sink.write: "May be called again with the same batch after it failed": fail call 1, 2, 3, … of a scenario."""
        for moment in _MOMENTS:
            for nth in count(1):
                plan = FailNth(nth, calls={"open", "write", "maintain"}, moment=moment)
                project = f"{moment} {nth}"
                await _insistent(FaultyBackend(make(), plan), project)
                same(await self.stored(make_reader, project), [replace(span(n), project=project) for n in (1, 2, 3)])
                if not plan.happened:
                    break

    async def test_housekeeping_ends_and_changes_nothing(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.maintain: "Do one bounded slice of deferred work; return whether more remains"."""
        records = [span(number, input=json_of(f"word{number}")) for number in range(1, 500)]
        async with opened_with(make(), records) as backend:
            for _ in range(_MOST_SLICES):
                more = await backend.maintain()
                assert more is True or more is False, "maintain() returns a bool"
                if not more:
                    break
            assert not await backend.maintain(), "nothing was written, and yet there is more to do"
            same(await self.stored(make_reader), records)

    async def test_texts_of_any_kind_come_back(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "Keep every record": NUL, lone surrogates and every script, in every text."""
        records = [_spoken(number, text) for number, text in enumerate(HOSTILE_TEXTS, 1)]
        async with opened_with(make(), records) as backend:
            await backend.write(records)
            same(await self.stored(make_reader), records)

    async def test_payloads_come_back_byte_by_byte(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Records: "A payload is JSON that has been encoded once": no byte of it changes, not even white space."""
        texts = (
            b"null",
            b'{"a" : 1,\n "a": 2}',
            b'"\\ud800\\u0000"',
            b'"\xed\xa0\x80"',
            b"1e400",
            b'{"\\ud800":[1.0]}',
        )
        records = [_paid(number, Raw(text)) for number, text in enumerate(texts, 1)]
        async with opened_with(make(), records) as backend:
            await backend.write(records)
            same(await self.stored(make_reader), records)

    async def test_numbers_come_back_exactly(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Records: "Times are integers: nanoseconds", "usage is integer units per bucket", of any size."""
        usage = {"input": _HUGE, "output": 2**63, "negative": -5, "zero": 0}
        records = [
            generation(1, usage_details=usage, provided_usage_details=usage, total_cost=0.1, cost_details={"x": 1e-12}),
            generation(2, usage_details={}, cost_details={}, total_cost=0.0),
            span(3, start_ns=START + 1, duration_ns=1, completion_start_ns=START + 2, received_ns=2**62),
            span(4, start_ns=0, duration_ns=0),
        ]
        async with opened_with(make(), records) as backend:
            await backend.write(records)
            same(await self.stored(make_reader), records)

    async def test_ten_thousand_records_are_one_batch(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "Keep every record of the batch", whatever its size."""
        records = [span(number, within=1 + number % 100) for number in range(_MANY)]
        async with opened(make()) as backend:
            await backend.write(records)
            expected = sorted(records, key=lambda record: (record.trace_id, record.span_id))
            same(await self.stored(make_reader), expected)

    async def test_nothing_written_to_one_project_reaches_another(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Records: "identity … is (project, trace_id, span_id)": the same ids in another project are others."""
        mine, theirs = span(1, output=json_of("mine")), span(1, project="other", level="ERROR", input=json_of("theirs"))
        async with opened_with(make(), [mine, theirs]) as backend:
            await backend.write([theirs])
            await backend.write([mine])
            same(await self.stored(make_reader), [mine])
            same(await self.stored(make_reader, "other"), [theirs])
            same(await self.stored(make_reader, "third"), [])


class DurableSuite(Contract):
    """Prove ``Capabilities.durable``: "What was written is still there after the process died"."""

    async def test_what_was_written_is_there_after_opening_again(self, make: MakeBackend) -> None:
        """Capabilities.durable: another backend for the same data, opened later, finds every record and adds to it."""
        async with opened_with(make(), [full_generation(1), span(2, status="running")]):
            pass
        async with opened_with(make(), [span(2)]):
            same(await self.stored(make), [full_generation(1), span(2)])

    async def test_a_write_that_returned_is_visible_from_outside(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Sink.write: "Returns after the data is durable …, and is then visible to reads", without closing first."""
        async with opened(make()) as backend:
            for number in range(1, 4):
                await backend.write([span(number)])
                same(await self.stored(make_reader), [span(n) for n in range(1, number + 1)])

    async def test_two_writers_lose_nothing_of_each_other(self, make: MakeBackend) -> None:
        """Sink.write: "Pumps of other processes may write to the same data meanwhile", the same record, too.

        A database that takes one writer at a time says so when it is opened.
        """
        async with opened(make()) as one:
            other = make()
            try:
                await other.open()
            except BackendUnavailable:
                return
            try:
                for number in range(1, _RACES):
                    ours, theirs = [span(number, input=json_of("ours"))], [span(number, output=json_of("theirs"))]
                    await asyncio.gather(_patiently(one.write, ours), _patiently(other.write, theirs))
            finally:
                await other.close()
        expected = [span(n, input=json_of("ours"), output=json_of("theirs")) for n in range(1, _RACES)]
        same(await self.stored(make), expected)

    async def test_housekeeping_goes_on_after_opening_again(self, make: MakeBackend) -> None:
        """Sink.maintain: work that was put off is not lost with the process that put it off."""
        records = [span(number, input=json_of(f"word{number}")) for number in range(1, 500)]
        async with opened_with(make(), records):
            pass
        async with opened(make()) as backend:
            for _ in range(_MOST_SLICES):
                if not await backend.maintain():
                    break
            assert not await backend.maintain()
            same(await self.stored(make), records)


async def _insistent(backend: Backend, project: str) -> None:
    """Write three records in two batches, each step again until it succeeds, as a pump does."""
    batches = ([span(1), span(2, status="running")], [span(2), span(3)])
    await _again(backend.open)
    for batch in batches:
        mine = [replace(record, project=project) for record in batch]
        await _again(partial(backend.write, mine))
        await _again(backend.maintain)
    await backend.close()


async def _again(step: Callable[[], Awaitable[object]]) -> None:
    """Take a step once more when it failed for now."""
    try:
        await step()
    except BackendUnavailable:
        await step()


async def _patiently(write: Callable[[Batch], Awaitable[object]], batch: Batch) -> None:
    """Write until it succeeds: whoever writes beside somebody may be told to come again."""
    for _ in range(_PATIENCE):
        try:
            await write(batch)
        except BackendUnavailable:
            continue
        return
    await write(batch)


def _rewritten() -> list[tuple[Span, Span]]:
    """Return pairs of records of one identity, the second of which says something else."""
    first, second = TraceAttributes("a", "u1", tags=("x",)), TraceAttributes(session_id="s", tags=("y",), public=False)
    return [
        (full_generation(1), span(1, name="again")),
        (span(1, trace=first, input=json_of(1)), span(1, trace=second, input=json_of(2), output=json_of(3))),
        (span(1, input=json_of({"a": 1}), metadata=json_of(1)), span(1, input=json_of({"b": 2}))),
        (span(1, level="ERROR", status="error"), span(1, level="DEFAULT", status="ok")),
        (span(1, error=ErrorInfo("A", "b", "c"), input=json_of(1)), span(1, error=ErrorInfo("D"))),
        (span(1), event(1, name="turned out to be an event")),
        (event(1, input=json_of(1)), generation(1, model="m", usage_details={"input": 1})),
        (generation(1, usage_details={"a": 1, "b": 2}, total_cost=1.0), generation(1, usage_details={"a": 3})),
        (generation(1, total_cost=1.0), generation(1, total_cost=0.0)),
        (span(1, start_ns=START), span(1, start_ns=START - SECOND, duration_ns=3)),
    ]


def _spoken(number: int, text: str) -> Generation:
    """Return a record with one text everywhere."""
    said = TraceAttributes(text, text, text, (text, "tag"), json_of({text: text}), text, text, text)
    return generation(
        number, name=text, status_message=text, input=json_of(text), output=json_of({text: [text]}), trace=said,
        error=ErrorInfo(text, text, text), version=text, tool_calls=json_of({text: text}), tool_call_names=(text, "t"),
        model=text, pricing_tier=text, prompt_name=text, usage_details={text: 1}, cost_details={text: 0.5},
        experiment=replace(cast("Any", full_generation().experiment), id=text, metadata=json_of({text: 1})),
        provenance=replace(cast("Any", full_generation().provenance), source=text),
    )  # fmt: skip


def _paid(number: int, payload: Raw) -> Generation:
    """Return a record with one payload everywhere."""
    experiment = replace(
        cast("Any", full_generation().experiment), metadata=payload, item_expected_output=payload, item_metadata=payload
    )
    return generation(
        number, input=payload, output=payload, metadata=payload, tool_definitions=payload, tool_calls=payload,
        model_parameters=payload, experiment=experiment, trace=TraceAttributes(metadata=payload),
    )  # fmt: skip
