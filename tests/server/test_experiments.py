"""Experiments, their items and runs of datasets over HTTP: what the observations say, page by page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.server.conftest import START_NS, Api
from tracecore.records import ErrorInfo, Experiment, Score, Span, TraceAttributes
from tracecore.services.experiments import experiment_id_of

SECOND = 1_000_000_000
FROM = "2027-01-15T08:00:00Z"
KEYS = {"id", "name", "description", "startTime", "endTime", "itemCount", "datasetId"}
ITEM_KEYS = {
    "id", "traceId", "startTime", "endTime", "level", "environment", "experimentId", "experimentName",
    "experimentItemId",
}  # fmt: skip


def item(number: int, experiment: str = "e1", *, second: int | None = None, **said: Any) -> Span:
    """Return the observation that stands for an item, which begins at a second and takes one."""
    name = said.pop("run", f"run of {experiment}")
    linked = Experiment(
        experiment, name=name, item_id=said.pop("item_id", f"i{number}"), item_root_span_id=f"{number:016x}",
        dataset_id=said.pop("dataset", "d1"), description="why", metadata=Raw(b'{"model":"m","n":1}'),
        item_version="2027-01-15T07:00:00.000Z", item_expected_output=Raw(b'"OUT"'), item_metadata=Raw(b'{"k":[1]}'),
    )  # fmt: skip
    start_ns = START_NS + (number if second is None else second) * SECOND
    return Span(
        said.pop("project", "p"), f"{number:032x}", f"{number:016x}", "experiment-item-task", start_ns,
        duration_ns=SECOND, input=Raw(b'{"q": 1.50}'), output=Raw(b'"out"'), metadata=Raw(b'{"m":"x"}'),
        trace=TraceAttributes(environment="sdk-experiment"), experiment=linked, **said,
    )  # fmt: skip


async def write(api: Api, *records: Any) -> None:
    """Write records as clients do."""
    await api.server.state.writer.write(list(records))


async def listed(api: Api, path: str = "/experiments", **query: Any) -> list[str]:
    """Return the ids of a page."""
    return [one["id"] for one in (await api.get(path, fromStartTime=FROM, **query))["data"]]


async def test_an_experiment_is_what_its_items_say(api: Api) -> None:
    """Times, counts and names follow from the items, and the groups that are asked for come with it."""
    child = replace(item(2), span_id=f"{99:016x}", start_ns=START_NS + 50 * SECOND)
    again = item(3, item_id="i2")
    await write(api, item(1), item(2), child, again)
    await write(api, Score("p", "s1", "mean", START_NS, value=0.5, experiment_id="e1", comment="fine"))
    page = await api.get("/experiments", fromStartTime=FROM)
    assert page["meta"] == {}
    [core] = page["data"]
    assert set(core) == KEYS
    assert core == {
        "id": "e1", "name": "run of e1", "description": "why", "startTime": "2027-01-15T08:00:01.000Z",
        "endTime": "2027-01-15T08:00:04.000Z", "itemCount": 2, "datasetId": "d1",
    }  # fmt: skip
    [whole] = (await api.get("/experiments", fromStartTime=FROM, fields="core,metadata,scores"))["data"]
    assert whole["metadata"] == {"model": "m", "n": 1}
    [score] = whole["scores"]
    assert (score["name"], score["value"], score["comment"]) == ("mean", 0.5, "fine")
    assert score["subject"] == {"kind": "experiment", "id": "e1"}


async def test_an_item_is_what_its_observation_says(api: Api) -> None:
    """Every group has its keys, payloads are text as everywhere, and scores are those of the item and of its trace."""
    failed = item(2, status="error", error=ErrorInfo("ValueError", "no"))
    await write(api, item(1), failed)
    judged = {"trace_id": f"{1:032x}", "value": 1.0}
    await write(
        api, Score("p", "s1", "exact", START_NS, observation_id=f"{1:016x}", **judged),
        Score("p", "s2", "of the trace", START_NS + 1, **judged),
        Score("p", "s3", "of another span", START_NS, observation_id=f"{9:016x}", **judged),
    )  # fmt: skip
    [bad, good] = (await api.get("/experiment-items", fromStartTime=FROM))["data"]
    assert set(good) == ITEM_KEYS | {"experimentDatasetId", "experimentItemVersion"}
    assert (good["level"], bad["level"], good["environment"]) == ("DEFAULT", "ERROR", "sdk-experiment")
    assert good["experimentItemVersion"] == "2027-01-15T07:00:00.000Z"
    groups = "core,io,metadata,itemMetadata,experimentMetadata,scores"
    page = await api.get("/experiment-items", fromStartTime=FROM, fields=groups, experimentItemId="i1")
    [whole] = page["data"]
    assert (whole["input"], whole["output"], whole["expectedOutput"]) == ('{"q": 1.50}', "out", "OUT")
    assert (whole["metadata"], whole["experimentItemMetadata"]) == ({"m": "x"}, {"k": [1]})
    assert (whole["experimentMetadata"], whole["experimentDescription"]) == ({"model": "m", "n": 1}, "why")
    assert [score["name"] for score in whole["scores"]] == ["of the trace", "exact"]
    assert "experimentDatasetId" not in whole
    [few] = (await api.get(
        "/experiment-items", fromStartTime=FROM, fields="scores", scoreLimit=1, experimentItemId="i1"
    ))["data"]  # fmt: skip
    assert [score["name"] for score in few["scores"]] == ["of the trace"]


async def test_pages_of_experiments(api: Api) -> None:
    """The experiment whose last item began most recently is first; each is on one page, however they overlap."""
    spans = [item(number, f"e{number % 5}") for number in range(25)]
    spans += [item(100, "tie a", second=24), item(101, "tie b", second=24)]
    await write(api, *spans)
    every = ["tie b", "tie a", "e4", "e3", "e2", "e1", "e0"]
    assert await listed(api) == every
    for limit in (1, 2, 3, 6, 7):
        found, cursor = [], None
        for _ in range(10):
            page = await api.get(
                "/experiments", fromStartTime=FROM, limit=limit, **({"cursor": cursor} if cursor else {})
            )
            found += [one["id"] for one in page["data"]]
            cursor = page["meta"].get("cursor")
            if cursor is None:
                break
        assert found == every, limit
    named = ",".join(every)
    page = await api.get("/experiments", fromStartTime=FROM, limit=4, id=named)
    assert [one["id"] for one in page["data"]] == every[:4]
    rest = await api.get("/experiments", fromStartTime=FROM, limit=4, id=named, cursor=page["meta"]["cursor"])
    assert [one["id"] for one in rest["data"]] == every[4:]
    assert rest["meta"] == {}
    assert [one["itemCount"] for one in (page["data"] + rest["data"])] == [1, 1, 5, 5, 5, 5, 5]


async def test_pages_of_items(api: Api) -> None:
    """Each item is on one page, the newest first."""
    await write(api, *(item(number, f"e{number % 2}") for number in range(10)))
    found, cursor = [], None
    while True:
        asked = {"experimentId": "e1", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await api.get("/experiment-items", fromStartTime=FROM, **asked)
        found += [one["experimentItemId"] for one in page["data"]]
        cursor = page["meta"].get("cursor")
        if cursor is None:
            break
    assert found == ["i9", "i7", "i5", "i3", "i1"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_of_few_among_many(api: Api, limit: int) -> None:
    """Items that few conditions choose among many are on one page each, wherever a page has to be cut."""
    await write(
        api, *(item(number, f"e{number % 3}", run="odd" if number % 7 == 1 else "even") for number in range(80))
    )
    found: list[str] = []
    cursor = None
    while True:
        asked = {"experimentName": "odd", "limit": limit} | ({"cursor": cursor} if cursor else {})
        page = await api.get("/experiment-items", fromStartTime=FROM, **asked)
        assert len(page["data"]) <= limit
        found += [one["experimentItemId"] for one in page["data"]]
        cursor = page["meta"].get("cursor")
        if cursor is None:
            break
    assert found == [f"i{number}" for number in range(79, -1, -1) if number % 7 == 1]


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"id": "e1,e3"}, ["e3", "e1"]), ({"id": "nobody's"}, []), ({"name": "run of e2, run of e1"}, ["e2", "e1"]),
    ({"datasetId": "d2"}, ["e3"]), ({"datasetId": "d1", "id": "e3"}, []),
    ({"toStartTime": "2027-01-15T08:00:02Z"}, ["e1"]), ({"fromStartTime": "2027-01-15T08:00:03Z"}, ["e3"]),
    ({"filter": '[{"type":"string","column":"name","operator":"=","value":"run of e2"}]'}, ["e2"]),
    ({"filter": '[{"type":"stringOptions","column":"datasetId","operator":"any of","value":["d1"]}]'}, ["e2", "e1"]),
    ({"filter": '[{"type":"stringOptions","column":"id","operator":"any of","value":[]}]'}, []),
    ({"filter": '[{"type":"string","column":"id","operator":"=","value":"e2"}]'}, ["e2"]),
    ({"filter": '[{"type":"string","column":"id","operator":"=","value":"e2"}]', "id": "e1"}, ["e2"]),
    ({"filter": '[{"type":"string","column":"name","operator":"ends with","value":"e2"}]'}, ["e2"]),
    ({"filter": '[{"type":"string","column":"name","operator":"does not contain","value":"e2"}]'}, ["e3", "e1"]),
    ({"filter": '[{"type":"stringOptions","column":"datasetId","operator":"none of","value":["d1"]}]'}, ["e3"]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), FILTERS)
async def test_filters(api: Api, query: dict[str, Any], expected: list[str]) -> None:
    """Ids, names, datasets and times select, alone and together; a filter counts before a parameter."""
    await write(api, item(1, "e1"), item(2, "e2"), item(3, "e3", dataset="d2"))
    page = await api.get("/experiments", **({"fromStartTime": FROM} | query))
    assert [one["id"] for one in page["data"]] == expected


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("/experiments", {}), ("/experiment-items", {}), ("/experiments", {"fromStartTime": "then"}),
    *(
        (path, {"fromStartTime": FROM} | wrong)
        for path in ("/experiments", "/experiment-items")
        for wrong in (
            {"limit": 101}, {"limit": 0}, {"scoreLimit": 51}, {"fields": "io,nothing"}, {"cursor": "x"},
            {"cursor": "e30="}, {"filter": "{}"},
            {"filter": '[{"type":"string","column":"input","operator":"=","value":"x"}]'},
            {"filter": '[{"type":"string","column":"name","operator":"matches","value":"x"}]'},
            {"filter": '[{"type":"number","column":"name","operator":"=","value":1}]'},
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "query"), WRONG)
async def test_what_is_refused(api: Api, path: str, query: dict[str, Any]) -> None:
    """A query that cannot be is 400."""
    answer = await api.p.get(path, params=query)
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data")


async def test_one_project_does_not_see_the_other(api: Api) -> None:
    """Experiments, items and their scores are those of the project of the key."""
    await write(api, item(1), replace(item(2), project="q"))
    await write(api, Score("p", "s", "mean", START_NS, value=1.0, experiment_id="e1"))
    query = {"fromStartTime": FROM, "fields": "scores"}
    [theirs] = (await api.q.get("/experiments", params=query)).json()["data"]
    assert (theirs["itemCount"], theirs["scores"]) == (1, [])
    [one] = (await api.q.get("/experiment-items", params=query)).json()["data"]
    assert one["id"] == f"{2:016x}"


def test_the_id_of_a_run() -> None:
    """The id is the one that Langfuse's SDK makes: of the compact JSON array, in UTF-8."""
    # Made by hashlib over '["langfuse-experiment-v1","p","d","run ü"]'.
    assert experiment_id_of("p", "d", "run ü") == "4758c67fdd8884e5"


async def test_runs_of_older_clients(api: Api) -> None:
    """A trace that is linked to an item is an item of an experiment; runs are listed, read and deleted."""
    dataset = await api.post("/v2/datasets", {"name": "folder/d"})
    await api.post("/dataset-items", {"datasetName": "folder/d", "id": "i1", "input": 1, "expectedOutput": "OUT"})
    root = Span("p", "a" * 32, "b" * 16, "root", START_NS, duration_ns=SECOND, output=Raw(b'"out"'))
    await write(api, root)
    body = {
        "runName": "run 1",
        "runDescription": "why",
        "metadata": {"m": 1},
        "datasetItemId": "i1",
        "traceId": "a" * 32,
    }
    made = await api.post("/dataset-run-items", body)
    run_id = experiment_id_of("p", dataset["id"], "run 1")
    assert (made["datasetRunId"], made["datasetRunName"], made["datasetItemId"]) == (run_id, "run 1", "i1")
    assert (made["traceId"], made["observationId"]) == ("a" * 32, None)
    # One that has not arrived yet: what it says itself comes later.
    api.later()
    early = await api.post(
        "/dataset-run-items", body | {"traceId": "c" * 32, "observationId": "d" * 16, "runName": "run 2"}
    )
    assert early["observationId"] == "d" * 16
    await write(api, Span("p", "c" * 32, "d" * 16, "came later", START_NS + 5 * SECOND, duration_ns=1))
    [late] = (await api.get("/experiment-items", fromStartTime=FROM, experimentName="run 2", fields="io,metadata"))[
        "data"
    ]
    assert (late["startTime"], late["experimentItemId"]) == ("2027-01-15T08:00:05.000Z", "i1")

    [whole] = (await api.get("/experiment-items", fromStartTime=FROM, experimentId=run_id, fields="io,dataset"))["data"]
    assert (whole["output"], whole["expectedOutput"]) == ("out", "OUT")
    assert whole["experimentDatasetId"] == dataset["id"]
    runs = await api.get("/datasets/folder%2Fd/runs")
    assert [(run["name"], run["description"], run["metadata"]) for run in runs["data"]] == [
        ("run 2", "why", {"m": 1}), ("run 1", "why", {"m": 1}),
    ]  # fmt: skip
    assert runs["meta"] == {"page": 1, "limit": 50, "totalItems": 2, "totalPages": 1}
    run = await api.get("/datasets/folder%2Fd/runs/run%201")
    assert (run["id"], run["datasetName"], len(run["datasetRunItems"])) == (run_id, "folder/d", 1)
    items = await api.get("/dataset-run-items", datasetId=dataset["id"], runName="run 1")
    assert items["data"] == run["datasetRunItems"]
    gone = await api.p.delete("/datasets/folder%2Fd/runs/run%201")
    assert gone.json() == {"message": "Dataset run successfully deleted"}
    assert (await api.p.get("/datasets/folder%2Fd/runs/run%201")).status_code == 404
    assert (await api.p.delete("/datasets/folder%2Fd/runs/run%201")).status_code == 404
    assert await listed(api) == [experiment_id_of("p", dataset["id"], "run 2")]
    assert await listed(api, "/experiment-items", experimentId=run_id) == []
    assert (await api.server.state.backend.traces.get("p", "a" * 32)) is not None
    # A run of the same name that comes after is there again, with what is new.
    await write(api, replace(root, trace_id="e" * 32, start_ns=START_NS + 100 * SECOND))
    await api.post("/dataset-run-items", body | {"traceId": "e" * 32})
    assert len((await api.get("/datasets/folder%2Fd/runs/run%201"))["datasetRunItems"]) == 1


async def test_run_items_that_cannot_be(api: Api) -> None:
    """An item, trace or run that is not there, or another project's, is told."""
    dataset = await api.post("/v2/datasets", {"name": "d"})
    await api.post("/dataset-items", {"datasetName": "d", "id": "i1"})
    await write(api, Span("q", "a" * 32, "b" * 16, "theirs", START_NS, duration_ns=1))
    base = {"runName": "r", "datasetItemId": "i1"}
    for more, expected in [
        ({}, 400), ({"observationId": "b" * 16}, 400), ({"datasetItemId": "nobody's", "traceId": "a" * 32}, 404),
    ]:  # fmt: skip
        assert (await api.p.post("/dataset-run-items", json=base | more)).status_code == expected
    assert (await api.q.post("/dataset-run-items", json=base | {"traceId": "a" * 32})).status_code == 404
    assert (await api.p.get("/datasets/d/runs/r")).status_code == 404
    assert (await api.q.get("/datasets/d/runs")).status_code == 404
    query = {"datasetId": dataset["id"], "runName": "r"}
    assert (await api.q.get("/dataset-run-items", params=query)).status_code == 404
    assert (await api.get("/datasets/d/runs"))["data"] == []


async def test_a_trace_may_be_linked_before_it_is_sent(api: Api) -> None:
    """An older SDK links first and flushes afterwards: what stands for the trace stands for the item."""
    await api.post("/v2/datasets", {"name": "d"})
    await api.post("/dataset-items", {"datasetName": "d", "id": "i1"})
    await api.post("/dataset-run-items", {"runName": "r", "datasetItemId": "i1", "traceId": "old"})
    body = {"id": "old", "name": "sent later", "timestamp": "2027-01-15T08:00:05.000Z", "output": "out"}
    event = {"id": "e1", "type": "trace-create", "timestamp": "2027-01-15T08:00:05.000Z", "body": body}
    await api.post("/ingestion", {"batch": [event]}, 207)
    [item] = (await api.get("/experiment-items", fromStartTime=FROM, experimentName="r", fields="io"))["data"]
    assert (item["traceId"], item["experimentItemId"], item["output"]) == ("old", "i1", "out")
    assert (await api.get("/traces/old"))["name"] == "sent later"


async def test_linking_changes_nothing_else(api: Api) -> None:
    """An observation that is linked keeps everything that it said."""
    await api.post("/v2/datasets", {"name": "d"})
    await api.post("/dataset-items", {"datasetName": "d", "id": "i1"})
    failed = Span(
        "p", "a" * 32, "b" * 16, "x", START_NS, duration_ns=5, type="tool", status="error", level="WARNING",
        input=Raw(json.dumps("in").encode()), error=ErrorInfo("E"), trace=TraceAttributes(user_id="u"),
    )  # fmt: skip
    await write(api, failed)
    await api.post("/dataset-run-items", {"runName": "r", "datasetItemId": "i1", "observationId": "b" * 16})
    found = await api.backend.observations.get("p", "a" * 32, "b" * 16)
    assert found is not None
    assert found.experiment is not None
    assert replace(found, experiment=None, received_ns=None) == replace(failed, received_ns=None)
