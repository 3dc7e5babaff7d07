"""Datasets, experiments and evaluations of the Langfuse Python SDK end up where it looks for them."""

from __future__ import annotations

import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_datasets", server)


def test_datasets(told: Told, server: Server) -> None:
    """A dataset with its items comes back over several pages, in any script, as it is now and as it was."""
    saw = told["datasets"]
    assert (saw["made"]["name"], saw["made"]["metadata"]) == ("folder/questions ü", {"owner": "me"})
    assert len(saw["before"]) == 8
    item = saw["before"]["item-3"]
    assert (item["input"], item["expectedOutput"], item["metadata"]) == ({"q": "世 3"}, {"a": 3}, {"number": 3})
    assert (item["datasetName"], item["status"], item["mediaReferences"]) == ("folder/questions ü", "ACTIVE", [])
    assert saw["after"]["item-0"] == {"q": "changed"}
    assert "item-1" not in saw["after"]
    assert saw["then"]["item-0"] == {"q": "世 0"}
    assert saw["then"]["item-1"] == {"q": "世 1"}
    assert (saw["source"]["sourceTraceId"], saw["source"]["sourceObservationId"]) == ("a" * 32, "b" * 16)
    assert [one["id"] for one in saw["of_source"]["data"]] == [saw["source"]["id"]]
    assert "folder/questions ü" in [one["name"] for one in saw["listed"]["data"]]
    assert saw["item"]["id"] == "item-2"
    raw = server.get("/v2/datasets/folder%2Fquestions%20%C3%BC")
    assert (raw["id"], raw["inputSchema"]) == (saw["made"]["id"], {"type": "object", "required": ["q"]})


def test_removed(told: Told) -> None:
    """An item that is deleted is gone; what is not there is not found."""
    saw = told["removed"]
    assert saw["answer"]["message"]
    assert saw["left"] == []
    assert (saw["item"]["status"], saw["dataset"]["status"]) == (404, 404)


def test_refused(told: Told) -> None:
    """What the schema of a dataset does not allow is refused, and so is an item of no dataset."""
    assert [told["refused"][name][1] for name in ("schema", "dataset")] == [400, 404]


def test_experiment(told: Told, server: Server) -> None:
    """Items of an experiment are found with their scores, the failed one as an error; and so are scores of the run."""
    saw = told["experiment"]
    project = server.get("/projects")["data"][0]["id"]
    assert saw["url"] == f"{server.url}/project/{project}/experiments/results?baseline={saw['id']}"
    assert saw["results"] == {"exam-eins": ["EINS", 2], "exam-zwei": ["ZWEI", 2]}
    names = {one["name"] for one in saw["spans"]}
    assert {"experiment-item-run", "experiment-item-task", "think"} <= names
    assert {one["environment"] for one in saw["spans"]} == {"sdk-experiment"}
    [listed] = saw["listed"]["data"]
    assert (listed["id"], listed["name"], listed["itemCount"], listed["description"]) == (
        saw["id"], "shouting 1", 3, "louder",
    )  # fmt: skip
    assert [(one["name"], one["value"]) for one in listed["scores"]] == [("mean", 1.0)]
    items = {one["experimentItemId"]: one for one in saw["items"]["data"]}
    assert set(items) == {"exam-eins", "exam-zwei", "exam-drei"}
    good, bad = items["exam-eins"], items["exam-drei"]
    assert (good["level"], bad["level"]) == ("DEFAULT", "ERROR")
    assert (good["output"], good["expectedOutput"]) in [("EINS", "EINS"), ('"EINS"', '"EINS"')]
    assert good["experimentDatasetId"] == server.get("/v2/datasets/exam")["id"]
    assert {(one["name"], one["value"]) for one in good["scores"]} == {("exact", 1.0), ("label", "good")}
    assert [(one["name"], one["subject"]["kind"], one["subject"]["id"]) for one in saw["run_scores"]] == [
        ("mean", "experiment", saw["id"])
    ]
    assert {(one["name"], one["subject"]["kind"]) for one in saw["item_scores"]} == {
        ("exact", "observation"), ("label", "observation"),
    }  # fmt: skip


def test_local_experiment(told: Told) -> None:
    """An experiment over data of the program's own is one too, without a dataset."""
    saw = told["local_experiment"]
    [listed] = saw["listed"]["data"]
    assert (saw["outputs"], listed["itemCount"], listed.get("datasetId")) == (["A", "B"], 2, None)
    assert [(one["name"], one["value"]) for one in saw["run_scores"]] == [("fine", True)]


def test_evaluated(told: Told) -> None:
    """An evaluation of what is stored sees what its filter chooses, once, and its scores are found on it."""
    saw = told["evaluated"]
    assert (saw["processed"], saw["failed"], saw["created"]) == (6, 0, 6)
    assert len(saw["judged"]) == 6
    assert sorted(one["subject"]["id"] for one in saw["scores"]) == sorted(saw["judged"])
    assert {one["subject"]["kind"] for one in saw["scores"]} == {"observation"}
    assert {one["dataType"] for one in saw["scores"]} == {"NUMERIC"}
