"""What the Langfuse Python SDK scores is found again, with its type, its subject and its configuration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_scores", server)


def named(scores: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return scores by their names."""
    return {one["name"]: one for one in scores}


def test_kinds(told: Told, server: Server) -> None:
    """Each type of value comes back as that type, on the trace or on the observation."""
    saw = told["kinds"]
    typed, read = named(saw["typed"]), server.scores(traceId=saw["trace_id"])
    assert {name: (one["dataType"], one["value"]) for name, one in typed.items()} == {
        "number": ("NUMERIC", 0.75), "truth": ("BOOLEAN", True), "untruth": ("BOOLEAN", False),
        "class": ("CATEGORICAL", "好"), "inferred": ("CATEGORICAL", "a word"), "text": ("TEXT", "a sentence about it"),
        "span": ("NUMERIC", 3.0), "of the object": ("NUMERIC", -1.5),
        "output": ("CORRECTION", "what it should have said"),
    }  # fmt: skip
    assert {name: (one["dataType"], one["value"]) for name, one in read.items()} == {
        name: (one["dataType"], one["value"]) for name, one in typed.items()
    }
    number = read["number"]
    assert (number["comment"], number["metadata"], number["source"]) == ("grüßt", {"judge": "me"}, "API")
    assert number["subject"] == {"kind": "trace", "id": saw["trace_id"]}
    assert read["span"]["subject"] == {"kind": "observation", "id": saw["span"], "traceId": saw["trace_id"]}
    assert {one["environment"] for one in read.values()} == {"staging"}


def test_subjects(told: Told) -> None:
    """A session, an experiment, and a trace that never arrived can be scored."""
    saw = told["subjects"]
    kinds = {found: [(one["name"], one["subject"]["kind"]) for one in saw[found]] for found in saw}
    assert kinds == {
        "session": [("of a session", "session")], "experiment": [("of an experiment", "experiment")],
        "trace": [("of what is not there", "trace")],
    }  # fmt: skip
    assert saw["session"][0]["subject"]["id"] == "session-s"


def test_changed(told: Told) -> None:
    """The id of a score is its key: the last value counts; deleted it is gone."""
    [score] = told["changed"]["before"]
    assert (score["id"], score["value"], score["environment"]) == ("score-once", 2.0, "blue")
    assert score["timestamp"].startswith("2026-01-02T03:04:05.678")
    assert told["changed"]["after"] == []


def test_deleting_a_score_that_is_not_there(told: Told) -> None:
    """Nobody's score is not found."""
    assert told["strangers"]["status"] == 404


def test_configured(told: Told) -> None:
    """A configuration is made, read, listed, changed and archived, and its scores are found by it."""
    saw = told["configured"]
    assert (saw["number"]["minValue"], saw["number"]["maxValue"], saw["number"]["dataType"]) == (0, 10, "NUMERIC")
    assert [one["label"] for one in saw["choice"]["categories"]] == ["red", "blue"]
    assert {(one["label"], one["value"]) for one in saw["truth"]["categories"]} == {("True", 1), ("False", 0)}
    assert (saw["changed"]["description"], saw["changed"]["maxValue"]) == ("how very good", 20)
    assert saw["again"] == saw["changed"]
    assert saw["archived"]["isArchived"] is True
    assert saw["listed"]["meta"]["totalItems"] >= 3
    assert len(saw["listed"]["data"]) == 2
    typed = named(saw["typed"])
    assert (typed["quality"]["configId"], typed["quality"]["value"]) == (saw["number"]["id"], 7)
    assert (typed["colour"]["dataType"], typed["colour"]["value"]) == ("CATEGORICAL", "blue")
    assert [one["name"] for one in saw["by_config"]] == ["quality"]


def test_refused(told: Told) -> None:
    """What cannot be a score is refused with a reason, and the rest of the batch is stored."""
    answer = told["refused"]["answer"]
    assert (answer["accepted"], answer["rejected"], len(answer["errors"])) == (1, 2, 2)
    assert all(error["message"] for error in answer["errors"])
    assert [one["name"] for one in told["refused"]["typed"]] == ["good"]


def test_searched(told: Told) -> None:
    """Pages hold each score once, and bounds and lists of names choose."""
    saw = told["searched"]
    assert [len(page) for page in saw["pages"]] == [3, 3, 1]
    assert sorted(value for page in saw["pages"] for value in page) == [float(number) for number in range(7)]
    assert sorted(saw["between"]) == [2.0, 3.0, 4.0]
    assert sorted(saw["named"]) == ["other", *["series"] * 7]
    assert saw["words"] == ["x"]
