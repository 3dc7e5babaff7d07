"""Whatever else the typed client of the Langfuse Python SDK can manage and ask is answered as it expects."""

from __future__ import annotations

import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_management", server)


def test_models(told: Told) -> None:
    """A model of the project prices its calls; one that comes with the server is listed and cannot be removed."""
    saw = told["models"]
    assert (saw["made"]["modelName"], saw["made"]["isLangfuseManaged"]) == ("house-model", False)
    assert saw["got"] == saw["made"]
    assert (saw["flat"]["inputPrice"], saw["flat"]["outputPrice"]) == (0.5, 1.5)
    [call] = saw["priced"]
    assert call["totalCost"] == pytest.approx(1000 * 1e-6 + 500 * 2e-6)
    assert len(saw["listed"]) == len({one["id"] for one in saw["listed"]}) == saw["meta"]["totalItems"]
    assert [one["modelName"] for one in saw["listed"] if not one["isLangfuseManaged"]] == ["flat", "house-model"]
    assert sum(one["isLangfuseManaged"] for one in saw["listed"]) > 100
    assert saw["gone"]["status"] == 404
    assert 400 <= saw["builtin"]["status"] < 500


def test_comments(told: Told) -> None:
    """Comments are on what they were made on; nothing can be said of what is not there."""
    saw = told["comments"]
    assert (saw["one"]["content"], saw["one"]["authorUserId"]) == ("**schön** 世", "u1")
    assert [(one["id"], one["objectId"]) for one in saw["of_trace"]["data"]] == [(saw["one"]["id"], saw["trace_id"])]
    assert saw["all"]["meta"]["totalItems"] == 2
    assert saw["nothing"]["status"] == 404


def test_queues(told: Told) -> None:
    """What is in a queue is pending until it is completed, and can be taken out."""
    saw = told["queues"]
    assert saw["got"] == saw["queue"]
    assert saw["queue"]["scoreConfigIds"] == [saw["config"]]
    assert [one["id"] for one in saw["listed"]["data"]] == [saw["queue"]["id"]]
    assert (saw["item"]["status"], saw["item"]["objectId"], saw["item"]["queueId"]) == (
        "PENDING", saw["trace_id"], saw["queue"]["id"],
    )  # fmt: skip
    assert saw["done"]["status"] == "COMPLETED"
    assert saw["done"]["completedAt"]
    assert [one["objectType"] for one in saw["pending"]["data"]] == ["OBSERVATION"]
    assert saw["removed"]["success"] is True
    assert [one["id"] for one in saw["left"]["data"]] == [saw["item"]["id"]] == [saw["again"]["id"]]


def test_metrics(told: Told) -> None:
    """Counts, sums, maxima and percentiles by model and in time are those of what was sent."""
    saw = told["metrics"]
    models = {row["providedModelName"]: row for row in saw["by_model"]}
    assert {
        name: (int(row["count_count"]), float(row["sum_totalCost"]), int(row["max_outputTokens"]))
        for name, row in models.items()
    } == {"metered-0": (2, 1.5, 2), "metered-1": (2, 1.5, 3)}
    assert all(float(row["p95_latency"]) >= 0 for row in models.values())
    assert sum(int(row["count_count"]) for row in saw["in_time"]) == 4
    assert saw["spread"] == [{"histogram_outputTokens": [[0.0, 1.0, 1], [1.0, 2.0, 1], [2.0, 3.0, 2]]}]
    assert saw["refused"] == ["Error", 400, True]
    [score] = saw["scores"]
    assert (score["name"], float(score["avg_value"])) == ("metered score", 1.5)


def test_filters(told: Told) -> None:
    """Each kind of filter finds what it says and nothing else."""
    everything = ["found call", "found root", "other"]
    assert told["filters"] == {
        "name": ["found call", "found root"], "tags": everything, "metadata": everything, "tokens": ["found call"],
        "level": ["other"], "input": ["found root"], "root": ["found root"], "no model": ["found root", "other"],
    }  # fmt: skip


def test_keys(told: Told, server: Server) -> None:
    """The keys of a project are listed, and nothing of their secrets but a hint."""
    [key] = told["keys"]["keys"]["apiKeys"]
    assert key["publicKey"] == server.public_key
    assert server.secret_key not in str(told["keys"])
    assert told["keys"]["project"]["organization"]["name"]


def test_unknown(told: Told) -> None:
    """An id that nobody has is not found, and the client knows the error as its own."""
    answers = {name: tuple(answer[:2]) for name, answer in told["unknown"].items()}
    assert answers == dict.fromkeys(
        ("model", "comment", "queue", "config", "prompt", "dataset", "item", "media"), ("NotFoundError", 404)
    )
