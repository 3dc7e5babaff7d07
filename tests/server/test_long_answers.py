"""Answers that are long: how much of what is stored is read for one, and how many there are at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from starlette.types import Message

from tests.server.conftest import Api
from tracecore.records import Record, TraceAttributes
from tracecore.server import answers, operations
from tracecore.server.answers import LARGE, LongAnswer
from tracecore.server.api import traces
from tracecore.server.bodies import ANSWERS_IN_HAND, Room
from tracecore.server.problems import Refusal, response_to
from tracecore.testing.samples import json_of, score, span, span_id_of, trace_id_of

_MB: Final = 1 << 20


async def keep(api: Api, *records: Record) -> None:
    """Write records of project p."""
    for record in records:
        await api.backend.write([record])


def long_span(number: int, megabytes: float = 6, **fields: Any) -> Any:
    """Return an observation of project p, by default with six megabytes."""
    return span(number, project="p", after_s=number, input=json_of("x" * round(megabytes * _MB)), **fields)


async def test_a_page_that_would_lose_items_is_refused(api: Api) -> None:
    """Items of a dataset that are too long together are 400 with the limit that fits; one by one they all come."""
    await api.post("/v2/datasets", {"name": "d"})
    for number in range(3):
        api.later()
        await api.post("/dataset-items", {"datasetName": "d", "id": str(number), "input": "x" * (12 * _MB)})
    for asked in ({"datasetName": "d"}, {}, {"limit": 3}):
        answer = await api.p.get("/dataset-items", params=asked)
        assert answer.status_code == 400
        assert "expected 2 at most here: the 3 items of this page" in answer.text
    found = [await api.get("/dataset-items", limit=1, page=page) for page in (1, 2, 3)]
    assert [[item["id"] for item in page["data"]] for page in found] == [["2"], ["1"], ["0"]]
    assert {page["meta"]["totalItems"] for page in found} == {3}


async def test_a_numbered_page_of_observations_loses_none(api: Api) -> None:
    """What the payloads cut off would be on no page: it is 400 with a limit, by which all are found."""
    await keep(api, *(long_span(number) for number in range(1, 5)))
    answer = await api.p.get("/observations", params={"limit": 4})
    assert (answer.status_code, "ask for limit=2" in answer.text) == (400, True)
    pages = [await api.get("/observations", limit=2, page=page) for page in (1, 2)]
    assert [one["id"] for page in pages for one in page["data"]] == [span_id_of(number) for number in (4, 3, 2, 1)]


async def test_what_is_read_for_one_answer_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Payloads that a list gathers one by one are 400 once they are too long, with what to ask for instead."""
    monkeypatch.setattr(operations, "LARGEST_ANSWER", 2 * _MB)
    for number in (1, 2, 3):
        await keep(api, long_span(number, 0.9, within=number, trace=TraceAttributes(session_id="s")))
    assert "fields without io" in (await api.p.get("/traces")).text
    assert len((await api.get("/traces", fields="core"))["data"]) == 3
    assert len((await api.get("/traces", limit=2))["data"]) == 2
    assert "/traces?sessionId=" in (await api.p.get("/sessions/s")).text


async def test_a_trace_is_read_no_further_than_it_may_be_long(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long trace is 422, a short one with long scores 400; both say how to read them otherwise."""
    await keep(api, *(long_span(number, 0.9) for number in (1, 2, 3)))
    path = f"/traces/{trace_id_of(1)}"
    assert len((await api.get(path))["observations"]) == 3
    for number in range(3):
        await keep(api, score(str(number), project="p", trace_id=trace_id_of(1), comment="x" * (12 * _MB)))
    answer = await api.p.get(path)
    assert (answer.status_code, "/v3/scores?traceId=" in answer.text) == (400, True)
    monkeypatch.setattr(traces, "LARGEST_ANSWER", 2 * _MB)
    answer = await api.p.get(path)
    assert (answer.status_code, "/v2/observations?traceId=" in answer.text) == (422, True)


@pytest.mark.parametrize("path", ["/v2/observations?fields=io", "/observations?limit=2", f"/traces/{trace_id_of(1)}"])
async def test_what_other_answers_have_in_hand_counts(api: Api, path: str) -> None:
    """Where answers take up all room a long one is 503, to come again; short ones and writes go on; room comes back."""
    room = api.server.state.allowance.answers
    await keep(api, long_span(1, 1))
    with room.share() as take:
        take(ANSWERS_IN_HAND)
        answer = await api.p.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        await api.get("/v2/observations", fields="core")
        await api.post("/scores", {"traceId": "t", "name": "n", "value": 1})
    assert (await api.p.get(path)).status_code == 200
    assert room.used == 0


async def _sent(answer: LongAnswer, seen: Callable[[Message], None]) -> list[Message]:
    found: list[Message] = []

    async def send(message: Message) -> None:
        seen(message)
        found.append(message)

    async def receive() -> Message:
        raise AssertionError("an answer asks for nothing")

    await answer({"type": "http"}, receive, send)
    return found


async def test_a_long_answer_is_sent_piece_by_piece() -> None:
    """Every byte goes out in its order, with its length before it, and is counted until the last one is sent."""
    body = bytes(range(256)) * (5 * LARGE // 512)
    room = Room(len(body), "sent")
    used: list[int] = []
    start, *pieces = await _sent(LongAnswer(body, room, response_to), lambda _: used.append(room.used))
    assert b"".join(piece["body"] for piece in pieces) == body
    assert (b"content-length", b"%d" % len(body)) in start["headers"]
    assert max(len(piece["body"]) for piece in pieces) == answers.LARGE
    assert (set(used), room.used) == ({len(body)}, 0)


async def test_an_answer_without_room_is_refused_before_it_begins() -> None:
    """Nothing of it was sent: the client gets a whole refusal, and what is in hand stays as it is."""
    room = Room(LARGE, "sent")
    with room.share() as take:
        take(1)
        start, *_ = await _sent(LongAnswer(bytes(LARGE + 1), room, response_to), lambda _: None)
        assert start["status"] == 503
        start, *_ = await _sent(LongAnswer(bytes(LARGE), room, response_to), lambda _: None)
        assert start["status"] == 200
        with pytest.raises(Refusal), room.share() as other:
            other(LARGE)
        assert room.used == 1
    start, *_ = await _sent(LongAnswer(bytes(LARGE * 9), room, response_to), lambda _: None)
    assert start["status"] == 200, "whoever is alone is always answered"
