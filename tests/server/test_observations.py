"""Observations over HTTP: what each group shows, what finds them, pages, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.server.conftest import Api
from tracecore.backend import LARGEST_PAGE_BYTES
from tracecore.records import Observation, TraceAttributes
from tracecore.server.api.shapes import GROUPS
from tracecore.testing.samples import (
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

ALWAYS = {
    "id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type", "modelId", "inputPrice",
    "outputPrice", "totalPrice",
}  # fmt: skip
OF_GROUP = {
    "basic": {"name", "level", "statusMessage", "version", "environment", "bookmarked", "public", "userId", "sessionId",
              "isRootObservation"},
    "time": {"completionStartTime", "createdAt", "updatedAt"},
    "io": {"input", "output"},
    "metadata": {"metadata"},
    "model": {"model", "providedModelName", "internalModelId", "modelParameters"},
    "usage": {"usageDetails", "costDetails", "totalCost", "inputUsage", "outputUsage", "totalUsage", "inputCost",
              "outputCost", "usagePricingTierName"},
    "prompt": {"promptId", "promptName", "promptVersion"},
    "metrics": {"latency", "timeToFirstToken"},
    "trace_context": {"tags", "release", "traceName"},
}  # fmt: skip
EVERYTHING = ",".join(sorted(GROUPS))


async def keep(api: Api, *records: Observation, project: str = "p") -> None:
    """Write observations into a project."""
    await api.server.state.writer.write([replace(record, project=project) for record in records])


async def ids(api: Api, **query: Any) -> list[str]:
    """Return the ids that a query finds, in order."""
    return [one["id"] for one in (await api.get("/v2/observations", **query))["data"]]


@pytest.mark.parametrize("group", OF_GROUP)
async def test_each_group_shows_its_members(api: Api, group: str) -> None:
    """Every member of a group is there, whatever the observation, and no member of another."""
    await keep(api, span(1), event(2), full_generation(3))
    for one in (await api.get("/v2/observations", fields=f"{group}, nonsense"))["data"]:
        assert one.keys() == ALWAYS | OF_GROUP[group]


async def test_the_default_groups(api: Api) -> None:
    """Without ``fields`` there is core and basic; a span that says nothing has every default."""
    await keep(api, span(1))
    [one] = (await api.get("/v2/observations"))["data"]
    assert one == {
        "id": span_id_of(1), "traceId": trace_id_of(1), "startTime": "2026-09-21T14:13:20.123Z",
        "endTime": "2026-09-21T14:13:21.123Z", "projectId": "p", "parentObservationId": None, "type": "SPAN",
        "name": "work 1", "level": "DEFAULT", "statusMessage": None, "version": None, "environment": "default",
        "bookmarked": False, "public": False, "userId": None, "sessionId": None, "isRootObservation": True,
        "modelId": None, "inputPrice": None, "outputPrice": None, "totalPrice": None,
    }  # fmt: skip


async def test_everything_of_a_generation(api: Api) -> None:
    """Each member is what was recorded: costs in USD, latency in seconds, units with their sum."""
    await keep(api, full_generation(2))
    [one] = (await api.get("/v2/observations", fields=EVERYTHING))["data"]
    expected = {
        "type": "EMBEDDING", "level": "ERROR", "statusMessage": "half of it", "version": "1.2", "public": True,
        "userId": "user-1", "sessionId": "session-1", "environment": "staging", "isRootObservation": True,
        "completionStartTime": "2026-09-21T14:13:20.373Z", "model": "gpt-x", "internalModelId": "m1", "modelId": "m1",
        "modelParameters": {"temperature": 0.5}, "costDetails": {"input": 0.25, "output": 0.5, "total": 0.75},
        "usageDetails": {"input": 10, "output": 5, "input_cached": 2, "total": 17}, "inputUsage": 12, "outputUsage": 5,
        "totalUsage": 17, "inputCost": 0.25, "outputCost": 0.5, "totalCost": 0.75, "usagePricingTierName": "batch",
        "promptId": "p1", "promptName": "greet", "promptVersion": 3, "latency": 1.0, "tags": ["web", "beta"],
        "release": "r1", "traceName": "chat", "input": '{"question": "why?"}', "output": '["because"]',
        "metadata": {"k": None, "tier": "gold"},
    }  # fmt: skip
    assert {name: one[name] for name in expected} == expected
    assert one["timeToFirstToken"] == pytest.approx(0.25)


async def test_what_runs_has_no_end(api: Api) -> None:
    """An observation that has not ended has neither an end nor a latency."""
    await keep(api, span(1, status="running", duration_ns=None))
    [one] = (await api.get("/v2/observations", fields="core,metrics"))["data"]
    assert (one["endTime"], one["latency"]) == (None, None)


async def test_an_error_is_one(api: Api) -> None:
    """What ended in an exception is an error with that message, whatever its level says."""
    failed = replace(full_generation(1), level="DEFAULT", status_message=None)
    await keep(api, failed)
    [one] = (await api.get("/v2/observations"))["data"]
    assert (one["level"], one["statusMessage"]) == ("ERROR", "no such city")


PAYLOADS = {
    "text": (json_of("Grüße 世 \x00"), "Grüße 世 \x00"),
    "number as text": (json_of("123"), "123"),
    "number": (Raw(b"12345678901234567890123"), "12345678901234567890123"),
    "object": (Raw(b'{"b":1.0,"a":[1e5]}'), '{"b":1.0,"a":[1e5]}'),
    "null": (Raw(b"null"), None),
    "empty text": (json_of(""), ""),
    "looks like JSON of an empty payload": (json_of('x":,"y":}'), 'x":,"y":}'),
    "half a surrogate, escaped": (Raw(b'"\\ud83d"'), "\ud83d"),
    "half a surrogate, raw": (Raw('"\ud83d"'.encode("utf-8", "surrogatepass")), "\ud83d"),
    "in an object": (Raw('["\ud83d"]'.encode("utf-8", "surrogatepass")), '["\\ud83d"]'),
}


@pytest.mark.parametrize("kind", PAYLOADS)
async def test_payloads_are_texts(api: Api, kind: str) -> None:
    """A text is itself and everything else its JSON, to the digit."""
    payload, shown = PAYLOADS[kind]
    await keep(api, span(1, input=payload, output=payload))
    answer = await api.p.get("/v2/observations", params={"fields": "io"})
    [one] = json.loads(answer.content)["data"]
    assert (one["input"], one["output"]) == (shown, shown)


async def test_metadata_is_merged_and_cut(api: Api) -> None:
    """The trace's metadata lies over the observation's; values are texts of 200 characters, unless expanded."""
    long = "é" * 300
    own = json_of({"text": long, "list": [1] * 300, "n": 7, "both": "own", "short": "s"})
    attributes = TraceAttributes(metadata=json_of({"both": "trace", "null": None}))
    await keep(api, span(1, metadata=own, trace=attributes), span(2, metadata=json_of(["no", "object"])))
    first, second = (await api.get("/v2/observations", fields="metadata"))["data"]
    assert first["metadata"] == {"metadata": '["no", "object"]'}
    cut = second["metadata"]
    assert (cut["text"], len(cut["list"]), cut["n"], cut["both"], cut["null"]) == ("é" * 200, 200, "7", "trace", None)
    expanded = (await api.get("/v2/observations", fields="metadata", expandMetadata="text, list"))["data"][1][
        "metadata"
    ]
    assert (expanded["text"], json.loads(expanded["list"]), expanded["short"]) == (long, [1] * 300, "s")


QUERIES: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [4, 3, 2, 1]),
    ({"name": "work 2"}, [2]),
    ({"type": "GENERATION"}, [3]),
    ({"type": "EVENT"}, [4]),
    ({"level": "WARNING"}, [2]),
    ({"userId": "u"}, [2]),
    ({"sessionId": "s"}, [3]),
    ({"traceId": trace_id_of(1)}, [3, 2, 1]),
    ({"parentObservationId": span_id_of(1)}, [3, 2]),
    ({"parentObservationId": ""}, [4, 1]),
    ({"isRootObservation": "true"}, [4, 3, 1]),
    ({"isRootObservation": "false"}, [2]),
    ({"environment": "default"}, [4, 3, 1]),
    ({"environment": ["blue", "red"]}, [2]),
    ({"version": "v1"}, [1]),
    ({"fromStartTime": "2026-09-21T14:13:22Z"}, [4, 3]),
    ({"toStartTime": "2026-09-21T14:13:22Z"}, [2, 1]),
    ({"toStartTime": "9999-12-31T00:00:00Z"}, [4, 3, 2, 1]),
    ({"fromStartTime": "2026-09-21T16:13:22+02:00", "traceId": trace_id_of(1)}, [3]),
    ({"filter": '[{"type":"string","column":"name","operator":"=","value":"work 1"}]', "name": "work 2"}, [1]),
    ({"filter": '[{"type":"number","column":"totalTokens","operator":">","value":5}]', "sessionId": "s"}, [3]),
    ({"name": "'; DROP TABLE tc_observations; --"}, []),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
async def test_each_parameter_selects(api: Api, query: dict[str, Any], expected: list[int]) -> None:
    """A parameter finds what it says, newest start first; ``filter`` takes the place of one on its column."""
    parent = span_id_of(1)
    blue = TraceAttributes(user_id="u", environment="blue")
    await keep(
        api, span(1, version="v1"), span(2, parent_id=parent, after_s=1, level="WARNING", trace=blue),
        generation(3, parent_id=parent, after_s=2, app_root=True, trace=TraceAttributes(session_id="s"),
                   usage_details={"input": 6}),
        event(4, within=2, after_s=3),
    )  # fmt: skip
    await keep(api, span(1), project="q")
    assert await ids(api, **query) == [span_id_of(number) for number in expected]


async def test_pages_follow_each_other(api: Api) -> None:
    """Cursors lead through all, each once, with payloads or without; the last page has none."""
    await keep(api, *(span(n, after_s=n // 3, input=json_of("x" * n)) for n in range(1, 60)))
    for fields in ("core", "io"):
        found: list[str] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await api.get("/v2/observations", limit=7, fields=fields, **cursor)
            found += [one["id"] for one in page["data"]]
            if "cursor" not in page["meta"]:
                break
            assert len(page["data"]) == 7
            cursor = {"cursor": page["meta"]["cursor"]}
        assert sorted(found) == [span_id_of(n) for n in range(1, 60)]


async def test_a_page_of_long_payloads_ends_early(api: Api) -> None:
    """An answer is bounded in bytes: the page is shorter than asked for, and its cursor leads on."""
    await keep(api, *(span(n, after_s=n, input=json_of("x" * 900_000)) for n in range(50)))
    found: list[str] = []
    cursor: dict[str, Any] = {}
    sizes: list[int] = []
    while len(found) < 50:
        answer = await api.p.get("/v2/observations", params={"limit": 1000, "fields": "io", **cursor})
        sizes.append(len(answer.content))
        page = answer.json()
        found += [one["id"] for one in page["data"]]
        cursor = page["meta"]
    assert found == [span_id_of(n) for n in reversed(range(50))]
    assert max(sizes) < LARGEST_PAGE_BYTES * 1.1
    assert len(await ids(api, limit=1000)) == 50


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"limit": "x"}, "limit"), ({"cursor": "x"}, "cursor"),
        ({"parseIoAsJson": "true"}, "parseIoAsJson"), ({"type": "span"}, "type"), ({"level": "FATAL"}, "level"),
        ({"fromStartTime": "yesterday"}, "fromStartTime"), ({"filter": "{}"}, "filter"),
        ({"isRootObservation": "perhaps"}, "isRootObservation"),
        ({"filter": '[{"type":"string","column":"input","operator":"contains","value":"x"}]'}, "matches"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked(api: Api, query: dict[str, Any], said: str) -> None:
    """A parameter that makes no sense is 400 and named; nothing of it is passed over."""
    answer = await api.p.get("/v2/observations", params=query)
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data")
    assert said in answer.json()["error"][0]["message"]


async def test_projects_do_not_see_each_other(api: Api) -> None:
    """What a key of another project asks for is as if it were not there: lists, filters and ids."""
    await keep(api, span(1, name="secret"))
    assert (await api.q.get("/v2/observations")).json() == {"data": [], "meta": {}}
    assert (await api.q.get("/v2/observations", params={"traceId": trace_id_of(1)})).json()["data"] == []
    cursor = {"cursor": (await api.get("/v2/observations", limit=1))["meta"].get("cursor", "")}
    assert (await api.q.get("/v2/observations", params=cursor)).json()["data"] == []
    foreign = await api.q.get(f"/observations/{span_id_of(1)}")
    unknown = await api.q.get(f"/observations/{span_id_of(2)}")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.text.replace(span_id_of(1), span_id_of(2)) == unknown.text


LEGACY = {
    "id", "projectId", "traceId", "parentObservationId", "name", "type", "environment", "startTime", "endTime",
    "version", "createdAt", "updatedAt", "input", "output", "metadata", "level", "statusMessage", "model",
    "modelParameters", "completionStartTime", "promptId", "promptName", "promptVersion", "usageDetails", "costDetails",
    "usage", "unit", "promptTokens", "completionTokens", "totalTokens", "usagePricingTierName", "usagePricingTierId",
    "modelId", "inputPrice", "outputPrice", "totalPrice", "calculatedInputCost", "calculatedOutputCost",
    "calculatedTotalCost", "latency", "timeToFirstToken",
}  # fmt: skip


async def test_one_observation_as_it_was(api: Api) -> None:
    """The older operation shows everything, payloads as JSON values, units and costs also in their older places."""
    await keep(api, span(1), full_generation(2))
    assert (await api.get(f"/observations/{span_id_of(1)}")).keys() == LEGACY
    one = await api.get(f"/observations/{span_id_of(2)}")
    assert one.keys() == LEGACY
    assert (one["input"], one["output"], one["metadata"]) == (
        {"question": "why?"}, ["because"], {"k": None, "tier": "gold"},
    )  # fmt: skip
    assert one["usage"] == {"input": 12, "output": 5, "total": 17, "unit": "TOKENS"}
    assert (one["promptTokens"], one["completionTokens"], one["calculatedTotalCost"]) == (12, 5, 0.75)


async def test_numbered_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older list has numbered pages, whose total is exact as far as it looks, and never too small to go on."""
    await keep(api, *(span(n, after_s=n) for n in range(25)))
    page = await api.get("/observations", page=2, limit=10)
    assert [one["id"] for one in page["data"]] == [span_id_of(n) for n in range(14, 4, -1)]
    assert page["meta"] == {"page": 2, "limit": 10, "totalItems": 25, "totalPages": 3}
    assert (await api.get("/observations", page=4, limit=10))["meta"]["totalItems"] == 25
    assert (await api.get("/observations", page=40, limit=10))["data"] == []
    assert (await api.get("/observations", name="work 3"))["meta"]["totalItems"] == 1
    monkeypatch.setattr("tracecore.server.api.numbered.HORIZON", 3)
    found: list[str] = []
    number, last = 1, 1
    while number <= last:
        page = await api.get("/observations", page=number, limit=4)
        found += [one["id"] for one in page["data"]]
        number, last = number + 1, page["meta"]["totalPages"]
    assert found == [span_id_of(n) for n in reversed(range(25))]
    assert (await api.p.get("/observations", params={"page": 100_000})).status_code == 400
    assert (await api.p.get("/observations", params={"page": 0})).status_code == 400


async def test_what_stands_for_a_trace_is_no_observation_there(api: Api) -> None:
    """The span of a trace that was an object of its own is left out of what is older; below it is the top."""
    root = replace(span(1), span_id="t-" + trace_id_of(1))
    await keep(api, root, span(2, parent_id=root.span_id, after_s=1))
    [one] = (await api.get("/observations"))["data"]
    assert (one["id"], one["parentObservationId"]) == (span_id_of(2), None)
    assert (await api.p.get(f"/observations/{root.span_id}")).status_code == 404
    assert await ids(api) == [span_id_of(2), root.span_id]


async def test_lists_read_no_payload_unasked(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only groups of payloads have the store read them."""
    asked: list[bool] = []
    store = api.backend.observations
    assert store is not None
    find = store.find

    async def noting(project: str, query: Any) -> Any:
        asked.append(query.bodies)
        return await find(project, query)

    monkeypatch.setattr(store, "find", noting)
    for group in sorted(OF_GROUP):
        await api.get("/v2/observations", fields=group)
    assert [group for group, bodies in zip(sorted(OF_GROUP), asked, strict=True) if bodies] == [
        "io",
        "metadata",
        "model",
    ]


async def test_prices_are_those_that_made_the_cost(api: Api) -> None:
    """A generation shows what a unit cost, as long as the definition is the one that priced it."""
    price = {"modelName": "house", "matchPattern": "^house$", "inputPrice": 0.0000025, "outputPrice": 0.00001}
    made = await api.post("/models", {**price, "unit": "TOKENS"})
    records = [replace(generation(1, model="house", usage_details={"input": 4}), project="p")]
    await api.server.state.writer.write(await api.server.state.prepare(records))
    [one] = (await api.get("/v2/observations", fields="model,usage"))["data"]
    assert (one["inputPrice"], one["outputPrice"], one["totalPrice"]) == ("0.0000025", "0.00001", None)
    assert one["totalCost"] == pytest.approx(0.00001)
    assert (await api.get(f"/models/{one['modelId']}"))["id"] == made["id"]
    assert (await api.get(f"/observations/{span_id_of(1)}"))["inputPrice"] == 0.0000025
    [bare] = (await api.get("/v2/observations", fields="usage"))["data"]
    assert bare["inputPrice"] is None
    changed = await api.p.put(f"/models/{made['id']}", json={**price, "unit": "TOKENS", "inputPrice": 1})
    assert changed.status_code == 200
    [one] = (await api.get("/v2/observations", fields="model,usage"))["data"]
    assert (one["inputPrice"], one["totalCost"]) == (None, pytest.approx(0.00001))


def test_the_clock_of_the_samples() -> None:
    """The times that these tests name are those of the samples."""
    assert START // SECOND == 1_790_000_000
