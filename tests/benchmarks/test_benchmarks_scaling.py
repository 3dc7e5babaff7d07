"""What the longer suites stand on: bounded driving, payloads of exact sizes, reading back, the account of a soak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from benchmarks import reader
from benchmarks.child import run_in_child
from benchmarks.figures import Settings
from benchmarks.flow import AT_ONCE, MOST_WAITING, buffer_for, drive, drive_warm, wait_for_room, whole_spans
from benchmarks.reader import QUESTIONS, times_of_reading
from benchmarks.request_mix import SPANS, Texts, traced_service
from benchmarks.retained import retained_by_opentelemetry, retained_by_recorder
from benchmarks.stored import Stored, maintained
from benchmarks.suites.scaling_payload import SIZES, Payloads
from benchmarks.suites.soak import Look, Soak
from tracecore import Recorder, observe
from tracecore.backend import TraceQuery
from tracecore.plugins import open_backend

TEXTS = Texts(1, prompts=8)
REQUESTS = range(30)


def silent(*_: object) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def file_of_requests() -> Iterator[Stored]:
    """Yield a file that holds :data:`REQUESTS`, indexed, whose recorder has ended."""
    with Stored() as stored:
        asyncio.run(drive(traced_service(TEXTS, stored.recorder), REQUESTS, stored.recorder))
        stored.recorder.shutdown()
        asyncio.run(maintained(open_backend(stored.url)))
        yield stored


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (3, 3), (500, 10)])
async def test_so_many_requests_are_answered_at_once(at_once: int, most: int) -> None:
    """Each request is answered once, and no more of them are under way than was asked for."""
    answered: list[int] = []
    under_way: set[int] = set()
    seen = 0

    async def handle(number: int) -> None:
        nonlocal seen
        under_way.add(number)
        seen = max(seen, len(under_way))
        await asyncio.sleep(0)
        under_way.remove(number)
        answered.append(number)

    spent = await drive_warm(handle, range(11), at_once=at_once)
    assert sorted(answered) == list(range(11))
    assert (seen, spent.requests) == (most, 10)


async def test_the_producer_waits_for_room() -> None:
    """As long as more is in the buffer than may be, nothing goes on; not a moment longer."""
    depths = [MOST_WAITING + 2, MOST_WAITING + 1, MOST_WAITING, 0]
    recorder = SimpleNamespace(health=lambda: SimpleNamespace(buffer_depth=depths.pop(0)))
    await wait_for_room(cast("Recorder", recorder))
    assert depths == [0]


def test_the_buffer_has_room_for_what_comes_at_once() -> None:
    """However many requests are under way, their spans fit beside those that may wait."""
    assert buffer_for(1)["buffer_items"] == 65_536
    assert buffer_for(100_000)["buffer_items"] >= MOST_WAITING + 100_000 * SPANS
    assert buffer_for(100_000)["buffer_bytes"] > buffer_for(AT_ONCE)["buffer_bytes"]


def test_the_newest_are_compared_beside_older_ones(file_of_requests: Stored) -> None:
    """A part of a file can be read back, the part that was stored last; whatever else it holds fails the whole."""
    newest = REQUESTS[-4:]
    assert asyncio.run(file_of_requests.read_back(TEXTS, newest, newest=True)) == 4 * SPANS
    assert asyncio.run(file_of_requests.read_back(TEXTS, REQUESTS)) == len(REQUESTS) * SPANS
    with pytest.raises(RuntimeError, match="30 of 4 requests are stored"):
        asyncio.run(file_of_requests.read_back(TEXTS, newest))
    with pytest.raises(RuntimeError, match="missing"):
        asyncio.run(file_of_requests.read_back(TEXTS, REQUESTS[:4], newest=True))


async def test_all_pages_are_read(file_of_requests: Stored) -> None:
    """Page by page come the same spans as at once, the newest first, and no more than are wanted."""
    backend = open_backend(file_of_requests.url, access="read")
    await backend.open()
    try:
        whole = [span.span_id async for span in whole_spans(backend)]
        assert [span.span_id async for span in whole_spans(backend, page=7)] == whole
        assert [span.span_id async for span in whole_spans(backend, most=10, page=7)] == whole[:10]
        assert len(set(whole)) == len(REQUESTS) * SPANS
        assert [span async for span in whole_spans(backend, "another")] == []
    finally:
        await backend.close()


async def test_every_question_is_asked_as_often(file_of_requests: Stored) -> None:
    """Each question has its times, the first one left out; an answer that lacks something ends it."""
    times = await times_of_reading(file_of_requests.url, TEXTS, len(REQUESTS), seed=1, times=3)
    assert {name: len(each) for name, each in times.items()} == dict.fromkeys(QUESTIONS, 3)
    with pytest.raises(RuntimeError, match="not what was stored"):
        await times_of_reading(file_of_requests.url, TEXTS, len(REQUESTS) + 10, seed=1, times=3)


async def test_a_list_that_does_not_go_on_is_found_out(
    file_of_requests: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever forgets the cursor gets the first page again and again, which is no right answer."""
    monkeypatch.setattr(reader, "_PAGE", 10)
    await times_of_reading(file_of_requests.url, TEXTS, len(REQUESTS), seed=1, times=3)
    monkeypatch.setattr(reader, "TraceQuery", lambda **asked: TraceQuery(**asked | {"cursor": None}))
    with pytest.raises(RuntimeError, match="page after page: the answer is not what was stored"):
        await times_of_reading(file_of_requests.url, TEXTS, len(REQUESTS), seed=1, times=3)


@pytest.mark.parametrize("size", SIZES)
def test_a_payload_has_its_size_and_comes_back_whole(size: int) -> None:
    """Argument and result are as many bytes as the table says, stored uncut with the limits that hold by default."""
    payloads, requests = Payloads(1, size), range(2)
    with Stored() as stored:
        handle = payloads.service(observe, observe(recorder=stored.recorder))
        asyncio.run(drive(handle, requests, stored.recorder))
        stored.recorder.shutdown()
        asyncio.run(payloads.check(stored.url, requests))
        with pytest.raises(RuntimeError, match="10 of 15 spans are stored"):
            asyncio.run(payloads.check(stored.url, range(3)))
        with pytest.raises(RuntimeError, match=f"{size} bytes is stored as"):
            asyncio.run(Payloads(2, size).check(stored.url, requests))
    given = [payloads.given(number) for number in range(40)]
    assert len(set(given)) == 40
    assert {len(f'{{"text":"{text}"}}') + len(f'"{text[1:]}"') for text in given} == {size}


def test_a_payload_that_was_cut_does_not_pass() -> None:
    """A recorder that keeps less than was given is found out."""
    payloads = Payloads(1, 10_240)
    with Stored(max_string_chars=1_000) as stored:
        handle = payloads.service(observe, observe(recorder=stored.recorder))
        asyncio.run(drive(handle, range(1), stored.recorder))
        stored.recorder.shutdown()
        with pytest.raises(RuntimeError, match=r"10240 bytes is stored as .*truncated"):
            asyncio.run(payloads.check(stored.url, range(1)))


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({}, 0),
        ({"stored": 89}, 1),
        ({"delivered": 89}, 2),
        ({"emitted": 99}, 2),
        ({"lost": {}}, 10),
        ({"lost": {"ring_full": 20}, "delivered": 80, "stored": 80}, 0),
    ],
)
def test_the_account_of_a_soak_finds_what_is_missing(changed: dict[str, Any], missing: int) -> None:
    """What is neither stored nor counted, or both, is missing and an error; what is lost and counted is not."""
    soak = Soak(looks=[], made=100, emitted=100, delivered=90, lost={"ring_full": 10}, stored=90, size=0)
    account = replace(soak, **changed)
    assert account.missing == missing
    error = pytest.raises(RuntimeError, match=f"{missing} spans are unaccounted for")
    with error if missing else nullcontext():
        account.check()


def test_the_rate_of_a_tenth_is_its_own() -> None:
    """First and last tenth are between the first two looks and the last two."""
    looks = [Look(delivered, at, 0, 0, 0) for delivered, at in ((10, 0.0), (110, 1.0), (300, 2.0), (320, 4.0))]
    soak = Soak(looks=looks, made=0, emitted=0, delivered=0, lost={}, stored=0, size=0)
    assert (soak.rate(0), soak.rate(-1)) == (100, 10)


def test_a_second_of_soaking_is_accounted_for() -> None:
    """All spans of it are in the file, and no descriptor or thread is left over from one tenth to the end."""
    table = run_in_child("soak", Settings(seconds=1), silent)
    found = {row.key.removeprefix("soak."): row.value or 0.0 for row in table.rows}
    assert found["made"] == found["stored"] > 0
    assert (found["lost"], found["missing"]) == (0, 0)
    assert found["descriptors.end"] == found["descriptors.tenth"]
    assert found["threads.end"] == found["threads.tenth"]
    assert min(found["memory.start"], found["rate.first"], found["rate.last"], found["size"]) > 0


@pytest.mark.parametrize(("rows", "spans"), [(1, "5 spans"), (307, "310 spans")])
def test_reading_takes_as_many_rows_as_are_asked_for(rows: int, spans: str) -> None:
    """A file of a few requests answers every question, and of many no fewer than were asked for."""
    table = run_in_child("read", Settings(rows=rows, quick=True), silent)
    assert {row.key for row in table.rows} == {f"read.{name}" for name in (*QUESTIONS, "plans", "size")}
    assert table.rows[-1].note == spans


def test_what_waits_is_weighed() -> None:
    """A waiting span weighs at least its payloads, about the same however many there are, and less than the rival's."""
    few, many = retained_by_recorder(500), retained_by_recorder(2_000)
    assert 200 < many < 2_000
    assert few == pytest.approx(many, rel=0.3)
    assert retained_by_opentelemetry(500) > many
