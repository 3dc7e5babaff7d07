"""The older ingestion over random batches: never a mistake of the server, and no other result for another order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from tests.server.conftest import START_NS
from tracecore.backend import Backend, Batch, ObservationQuery
from tracecore.plugins import open_backend
from tracecore.records import Provenance, encode_record
from tracecore.server.app import Server
from tracecore.services.legacy_changes import SOURCE, Change
from tracecore.services.legacy_events import KINDS, event_of, said_by
from tracecore.services.legacy_ingestion import LegacyIngestion, TraceLocks

Event = dict[str, Any]

TEXTS = st.sampled_from(["a", "b", "", "é世", "x" * 900, "2026-01-01T00:00:00Z", "ERROR", "GENERATION", "\x00", "t-a"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    "id", "traceId", "type", "name", "startTime", "endTime", "completionStartTime", "parentObservationId", "input",
    "output", "metadata", "level", "statusMessage", "version", "environment", "model", "modelParameters", "usage",
    "usageDetails", "costDetails", "promptName", "promptVersion", "timestamp", "userId", "sessionId", "release",
    "public", "tags", "value", "dataType", "configId", "source", "comment", "observationId", "datasetRunId", "log",
]  # fmt: skip
USAGE = st.dictionaries(
    st.sampled_from(["input", "output", "total", "unit", "inputCost", "totalCost", "promptTokens", "cached"]), JSON
)
BODIES = st.dictionaries(st.sampled_from(NAMES), JSON | USAGE, max_size=8)
EVENTS = st.fixed_dictionaries(
    {"id": TEXTS | JSON, "type": st.sampled_from([*KINDS, "other"]) | JSON, "body": BODIES | JSON},
    optional={"timestamp": st.just("2026-01-01T00:00:00Z") | JSON},
)
"""Whatever may be sent for an event."""
PATHS = (
    "/v2/observations?fields=core,io,metadata,usage,model,metrics", "/v3/scores?fields=details,subject", "/v2/scores",
    "/traces", "/observations", "/sessions",
)  # fmt: skip


def memory() -> Backend:
    """Return a fresh backend."""
    return open_backend("memory:")


def result(*batches: Sequence[Event]) -> dict[str, Any]:
    """Return what is stored after some batches were sent, one after the other."""

    async def run() -> dict[str, Any]:
        backend = memory()
        await backend.open()

        async def write(batch: Batch) -> None:
            await backend.write(batch)

        ingestion = LegacyIngestion(
            backend, "p", locks=TraceLocks(), write=write, provenance=Provenance(source=SOURCE)
        )  # fmt: skip
        for batch in batches:
            said = [said_by(event_of(Raw(json.dumps(event).encode())), now_ns=START_NS) for event in batch]
            assert await ingestion.keep([cast("Change", one) for one in said]) == [None] * len(batch)
        assert backend.observations is not None
        found = await backend.observations.find("p", ObservationQuery(limit=1000, bodies=True))
        return {one.span_id: json.loads(encode_record(one)) for one in found.items}

    return asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(EVENTS | JSON, max_size=6), min_size=1, max_size=3))
def test_whatever_is_sent_is_answered_for(batches: list[list[Any]]) -> None:
    """Any JSON is 207 with an answer for each event, and can be read again; no event breaks the server."""

    async def told(http: httpx2.AsyncClient) -> None:
        for batch in batches:
            answer = await http.post("/ingestion", content=json.dumps({"batch": batch}).encode())
            assert answer.status_code == 207 or (answer.status_code == 400 and b"malformed" in answer.content), (
                answer.text
            )
            if answer.status_code == 207:
                said = answer.json()
                assert len(said["successes"]) + len(said["errors"]) == len(batch)
            answer = await http.post("/scores", content=json.dumps(batch).encode())
            assert answer.status_code in {202, 207, 400}, answer.text
        for path in PATHS:
            answer = await http.get(path)
            assert answer.status_code == 200, (path, answer.text)
            answer.json()

    async def run() -> None:
        server = Server(memory())
        await server.open()
        try:
            made = await server.state.keys.create("p", now_ns=START_NS)
            transport = httpx2.ASGITransport(server)
            auth = (made.key.public_key, made.secret)
            async with httpx2.AsyncClient(transport=transport, base_url="http://server/api/public", auth=auth) as http:
                await told(http)
        finally:
            await server.close()

    asyncio.run(run())


def at(second: int) -> str:
    """Return a moment as text."""
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000Z"


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["x", "y"]), "endTime": st.sampled_from([at(100), at(200)]), "input": st.integers(0, 3),
    "output": st.integers(0, 3), "metadata": st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), min_size=1),
    "level": st.sampled_from(["DEBUG", "ERROR"]), "statusMessage": st.sampled_from(["m", "n"]),
    "model": st.sampled_from(["gpt-4o", "nobody's"]), "version": st.sampled_from(["1", "2"]),
    "usageDetails": st.fixed_dictionaries({"input": st.integers(0, 9), "output": st.integers(0, 9)}),
    "parentObservationId": st.sampled_from(["o0", "o1", "far"]), "environment": st.sampled_from(["blue", "green"]),
    "completionStartTime": st.sampled_from([at(90), at(91)]), "promptName": st.sampled_from(["p", "q"]),
}  # fmt: skip
TRACE_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["x", "y"]), "userId": st.sampled_from(["u", "v"]), "sessionId": st.sampled_from("st"),
    "tags": st.lists(st.sampled_from("ab"), min_size=1), "input": st.integers(0, 3), "output": st.integers(0, 3),
    "metadata": st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), min_size=1), "public": st.booleans(),
}  # fmt: skip


@st.composite
def histories(draw: st.DrawFn, *, updates: int, disjoint: bool) -> list[Event]:
    """Return the events of one trace as an SDK makes them, each at its own time: made, then changed some times."""
    events: list[Event] = []
    second = 0
    for number in range(draw(st.integers(0, 1)), draw(st.integers(2, 3))):
        kind = draw(st.sampled_from(["span", "generation", "event"])) if number else "trace"
        fields = TRACE_FIELDS if kind == "trace" else FIELDS
        left = sorted(fields)
        for step in range(1 + draw(st.integers(0, updates))):
            names = draw(st.lists(st.sampled_from(left), unique=True)) if left else []
            if disjoint:
                left = [name for name in left if name not in names]
            body: Event = {name: draw(fields[name]) for name in names}
            second += 1
            if kind == "trace":
                body |= {"id": "t", "timestamp": at(second)}
            else:
                body |= {"id": f"o{number}", "traceId": "t"}
                body |= {} if step else {"startTime": at(second)}
            what = "create" if kind in {"trace", "event"} or not step else "update"
            events.append({"id": str(second), "type": f"{kind}-{what}", "timestamp": at(second), "body": body})
    return events


@settings(max_examples=60, deadline=None)
@given(histories(updates=3, disjoint=False), st.randoms(use_true_random=False))
def test_the_order_in_a_batch_does_not_matter(events: list[Event], random: Any) -> None:
    """However the events of a batch are ordered, it comes to the same."""
    shuffled = random.sample(events, len(events))
    assert result(shuffled) == result(events)


@settings(max_examples=60, deadline=None)
@given(histories(updates=1, disjoint=False), st.randoms(use_true_random=False), st.integers(1, 3))
def test_made_and_changed_in_any_order(events: list[Event], random: Any, size: int) -> None:
    """What is made and what changes it come to the same in any order, in however many requests."""
    shuffled = random.sample(events, len(events))
    assert result(*(shuffled[start : start + size] for start in range(0, len(shuffled), size))) == result(events)


@settings(max_examples=60, deadline=None)
@given(histories(updates=3, disjoint=True), st.randoms(use_true_random=False))
def test_changes_of_different_fields_in_any_order(events: list[Event], random: Any) -> None:
    """Any number of changes of different fields, each sent by itself, come to the same in any order."""
    shuffled = random.sample(events, len(events))
    assert result(*([event] for event in shuffled)) == result(events)


@settings(max_examples=60, deadline=None)
@given(histories(updates=3, disjoint=False), st.data())
def test_sent_again_it_changes_nothing(events: list[Event], data: st.DataObject) -> None:
    """A batch that is sent again, all of it or some, changes nothing, whenever it comes."""
    again = data.draw(st.lists(st.sampled_from(events), max_size=4))
    once = result(*([event] for event in events))
    assert result(*([event] for event in [*events, *again])) == once
    assert result(*([event] for event in [*events, *events])) == once
