"""Metrics of prompts over HTTP: what the native endpoint answers, and that Langfuse's metrics say the same."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.prompt_uses import EXPECTED, NAME, keep_uses
from tests.server.conftest import Api
from tracecore.server.prompt_metrics_native import PromptMetrics
from tracecore.testing.comparing import same
from tracecore.testing.samples import SECOND, START
from tracecore.wire import BASE, decode

URL: Final = f"http://server{BASE}/prompts/metrics"


@pytest.fixture
async def _used(api: Api) -> None:
    await keep_uses(api.backend, "p")


@pytest.mark.usefixtures("_used")
async def test_every_version(api: Api) -> None:
    """The answer holds every version, the newest first, as it was worked out by hand."""
    answer = await api.p.get(URL, params={"name": NAME})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    same(decode(answer.content, PromptMetrics), PromptMetrics(NAME, EXPECTED))
    first = answer.json()["versions"][-1]
    assert (first["version"], first["error_rate"], first["unknown_costs"]) == (1, 0.5, 1)


@pytest.mark.usefixtures("_used")
async def test_within_a_time(api: Api) -> None:
    """``since_ns`` belongs to the time, ``until_ns`` does not."""
    asked = {"name": NAME, "since_ns": START, "until_ns": START + 2 * SECOND}
    versions = (await api.p.get(URL, params=asked)).json()["versions"]
    assert {one["version"]: one["generations"] for one in versions} == {1: 2, 2: 0, 3: 0, 4: 0}


@pytest.mark.usefixtures("_used")
@pytest.mark.parametrize(
    ("asked", "status", "title", "said"),
    [
        ({}, 400, "ConfigError", "missing required field `name`"),
        ({"name": NAME, "since_ns": "yesterday"}, 400, "ConfigError", "$.since_ns"),
        ({"name": NAME, "sinse_ns": "1"}, 400, "ConfigError", "unknown field `sinse_ns`"),
        ({"name": NAME, "since_ns": 2, "until_ns": 1}, 400, "ConfigError", "later than the beginning, 2"),
        ({"name": NAME, "until_ns": 2**63}, 400, "ConfigError", "64 bits"),
        ({"name": "support/answr"}, 404, "NotFound", NAME),
    ],
)
async def test_what_cannot_be_answered(api: Api, asked: dict[str, Any], status: int, title: str, said: str) -> None:
    """It is a problem that says what is wrong with the request, or what is nearby."""
    answer = await api.p.get(URL, params=asked)
    problem = answer.json()
    assert (answer.status_code, problem["title"]) == (status, title), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in problem["detail"]


@pytest.mark.usefixtures("_used")
async def test_who_may_ask(api: Api) -> None:
    """Whoever may read the project; another project has nothing of it, whatever the request names."""
    for scope, status in (("read", 200), ("member", 200), ("ingest", 403), ("scores", 403)):
        async with await api.client("p", scope) as client:
            assert (await client.get(URL, params={"name": NAME})).status_code == status, scope
    assert (await api.q.get(URL, params={"name": NAME, "project": "p"})).status_code == 404
    assert (await api.p.get(URL, params={"name": NAME}, auth=None)).status_code == 401
    assert (await api.p.post(URL, json={})).status_code == 405


async def _rows(api: Api, view: str, dimension: str, name: str, *metrics: str) -> dict[int, dict[str, Any]]:
    """Return what Langfuse's metrics say of a prompt, by version."""
    column, version = dimension, dimension.replace("Name", "Version")
    query = {
        "view": view, "dimensions": [{"field": version}], "config": {"row_limit": 100},
        "metrics": [{"measure": one.partition("_")[2], "aggregation": one.partition("_")[0]} for one in metrics],
        "filters": [{"column": column, "operator": "=", "value": name, "type": "string"}],
        "fromTimestamp": "2026-09-21T00:00:00Z", "toTimestamp": "2026-09-22T00:00:00Z",
    }  # fmt: skip
    rows = (await api.get("/v2/metrics", query=json.dumps(query)))["data"]
    return {row[version]: row for row in rows if row[version] is not None}


@pytest.mark.usefixtures("_used")
async def test_langfuse_says_the_same(api: Api) -> None:
    """``/v2/metrics`` by the version of a prompt has the same counts, percentiles, sums and means."""
    versions = (await api.p.get(URL, params={"name": NAME})).json()["versions"]
    asked = {
        "generations": "count_count", "latency_count": "count_latency", "latency_p50_ms": "p50_latency",
        "latency_p95_ms": "p95_latency", "first_token_p50_ms": "p50_timeToFirstToken",
        "first_token_p95_ms": "p95_timeToFirstToken", "input_tokens": "sum_inputTokens",
        "output_tokens": "sum_outputTokens", "total_tokens": "sum_totalTokens", "cost_count": "count_totalCost",
        "total_cost": "sum_totalCost",
    }  # fmt: skip
    rows = await _rows(api, "observations", "promptName", NAME, *asked.values())
    assert set(rows) == {one["version"] for one in versions if one["generations"]} == {1, 2, 3, 9}
    for one in (one for one in versions if one["generations"]):
        ours = {name: one[name] for name in asked}
        theirs = {name: rows[one["version"]][metric] for name, metric in asked.items()}
        tokens = {name: theirs[name] or 0 for name in ("input_tokens", "output_tokens", "total_tokens")}
        assert ours == theirs | tokens, one["version"]
    assert {number: row["errors"] for number, row in (await _errors(api)).items()} == {
        one["version"]: one["errors"] for one in versions if one["errors"]
    }
    numeric = await _rows(api, "scores-numeric", "observationPromptName", NAME, "count_count", "sum_value")
    for one in versions:
        scores = [score for score in one["scores"] if score["data_type"] in {"NUMERIC", "BOOLEAN"}]
        row = numeric.get(one["version"], {"count_count": 0, "sum_value": 0})
        assert sum(score["count"] for score in scores) == row["count_count"]
        assert sum(score["count"] * score["mean"] for score in scores) == pytest.approx(row["sum_value"])
    categorical = await _rows(api, "scores-categorical", "observationPromptName", NAME, "count_count")
    assert {number: row["count_count"] for number, row in categorical.items()} == {1: 3}


async def _errors(api: Api) -> dict[int, dict[str, int]]:
    """Return how many generations of each version have failed, from the list of them."""
    found: dict[int, dict[str, int]] = {}
    conditions = [{"column": "promptName", "operator": "=", "value": NAME, "type": "string"}]
    listed = await api.get("/v2/observations", filter=json.dumps(conditions), limit=100, fields="core,basic,prompt")
    for one in listed["data"]:
        version = one.get("promptVersion")
        if version is not None and (one["level"] == "ERROR" or one["id"] in FAILED):
            counts = found.setdefault(version, {"errors": 0})
            counts["errors"] += 1
    return found


FAILED: Final = {f"{4:016x}"}
"""What has a status that Langfuse does not know, but for its level."""
