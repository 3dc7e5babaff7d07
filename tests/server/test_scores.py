"""Scores: what can be one, what a batch answers, what takes whose place, and how they go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.conftest import Api
from tracecore.backend import ScoreQuery
from tracecore.errors import BackendUnavailable
from tracecore.records import Score
from tracecore.server.api.times import iso

TRACE = "a" * 32


async def kept(api: Api, project: str = "p") -> list[Score]:
    """Return every score that is stored, the newest first."""
    assert api.backend.scores is not None
    return (await api.backend.scores.find(project, ScoreQuery())).items


async def only(api: Api, **fields: Any) -> Score:
    """Return the one score that is stored after it was given."""
    body = {"id": "s", "name": "n", "value": 1, "traceId": TRACE, **fields}
    assert (await api.p.post("/scores", json=[body])).status_code == 202
    [score] = await kept(api)
    return score


@pytest.mark.parametrize(
    ("given", "data_type", "value", "text"),
    [
        ({"value": 0.25}, "NUMERIC", 0.25, None),
        ({"value": 12345678901234567890}, "NUMERIC", 12345678901234567890.0, None),
        ({"value": "good"}, "CATEGORICAL", None, "good"),
        ({"value": True}, "BOOLEAN", 1.0, None),
        ({"value": 0, "dataType": "BOOLEAN"}, "BOOLEAN", 0.0, None),
        ({"value": 1.0, "dataType": "BOOLEAN"}, "BOOLEAN", 1.0, None),
        ({"value": "x" * 500, "dataType": "TEXT"}, "TEXT", None, "x" * 500),
        ({"value": "", "dataType": "CATEGORICAL"}, "CATEGORICAL", None, ""),
        ({"value": "y" * 5000, "dataType": "CORRECTION"}, "CORRECTION", None, "y" * 5000),
        ({"value": 3, "dataType": None}, "NUMERIC", 3.0, None),
    ],
)
async def test_types(
    api: Api, given: dict[str, Any], data_type: str, value: float | None, text: str | None
) -> None:  # fmt: skip
    """A value is what its type says, else what it looks like."""
    score = await only(api, **given)
    assert (score.data_type, score.value, score.string_value) == (data_type, value, text)


async def test_everything_that_is_said(api: Api) -> None:
    """Each member of the wire is in the record, and what is not said has its usual value."""
    score = await only(
        api, observationId="o", comment="c", metadata={"a": [1, "世"]}, environment="blue", queueId="q",
        timestamp="2026-01-02T03:04:05.678+01:00", source="API", executionTraceId="e", unknown=1,
    )  # fmt: skip
    assert (score.project, score.score_id, score.name, score.trace_id, score.observation_id) == (
        "p", "s", "n", TRACE, "o",
    )  # fmt: skip
    assert (score.comment, score.environment, score.queue_id, score.source) == ("c", "blue", "q", "API")
    assert (json.loads(bytes(score.metadata)), score.execution_trace_id) == ({"a": [1, "世"]}, "e")
    assert iso(score.timestamp_ns) == "2026-01-02T02:04:05.678Z"
    api.later()
    plain = await api.post("/scores", {"name": "m", "value": 1, "sessionId": "x", "metadata": None, "comment": None})
    [found] = [one for one in await kept(api) if one.score_id == plain["id"]]
    assert (found.timestamp_ns, found.environment, found.session_id) == (api.now_ns, "default", "x")
    assert (bool(found.metadata), found.comment, found.trace_id) == (False, None, None)


@pytest.mark.parametrize("environment", ["langfuse-x", "Upper", "a b", "x" * 41, ""])
async def test_environments_that_cannot_be(api: Api, environment: str) -> None:
    """An environment that cannot be one is the default one, as everywhere."""
    assert (await only(api, environment=environment)).environment == "default"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"value": None}, "value"),
        ({"value": [1]}, "value"),
        ({"value": "1", "dataType": "NUMERIC"}, "value"),
        ({"value": True, "dataType": "NUMERIC"}, "value"),
        ({"value": 2, "dataType": "BOOLEAN"}, "0 or 1"),
        ({"value": 1, "dataType": "CATEGORICAL"}, "a text"),
        ({"value": "", "dataType": "TEXT"}, "500"),
        ({"value": "x" * 501, "dataType": "TEXT"}, "500"),
        ({"value": "x" * 10_001}, "10000"),
        ({"dataType": "OTHER"}, "OTHER"),
        ({"name": ""}, "name"),
        ({"name": "n" * 501}, "name"),
        ({"name": 1}, "name"),
        ({"traceId": None}, "exactly one"),
        ({"sessionId": "x"}, "exactly one"),
        ({"datasetRunId": "x"}, "exactly one"),
        ({"traceId": None, "sessionId": "x", "observationId": "o"}, "observationId"),
        ({"traceId": None, "sessionId": "x", "value": "y", "dataType": "CORRECTION"}, "correction"),
        ({"source": "EVAL"}, "source"),
        ({"source": "ANNOTATION"}, "configId"),
        ({"id": "x" * 801}, "id"),
        ({"traceId": "é" * 401}, "traceId"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"configId": "nobody's"}, "score config"),
    ],
)
async def test_what_cannot_be_one(api: Api, given: dict[str, Any], named: str) -> None:
    """One alone is refused with a reason; in a batch it costs no other."""
    bad = {"name": "n", "value": 1, "traceId": TRACE, **given}
    alone = await api.p.post("/scores", json=bad)
    assert alone.status_code == (404 if named == "score config" else 400)
    assert named in alone.text
    good = {"name": "good", "value": 1, "traceId": TRACE}
    answer = await api.p.post("/scores", json=[bad, good])
    assert answer.status_code == 207
    assert set(answer.json()) == {"accepted", "rejected", "errors"}
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)
    [error] = answer.json()["errors"]
    assert set(error) == {"message"}
    assert named in error["message"]
    assert [one.name for one in await kept(api)] == ["good"]


async def test_corrections(api: Api) -> None:
    """A correction is always named output, and needs no config to be one of a person."""
    score = await only(api, name="whatever", value="better", dataType="CORRECTION", source="ANNOTATION")
    assert (score.name, score.source) == ("output", "ANNOTATION")


async def test_answers_of_batches(api: Api) -> None:
    """All kept is 202 with one word, one alone its id, none at all is nothing to refuse."""
    one = {"name": "n", "value": 1, "traceId": TRACE}
    assert await api.post("/scores", [one, one], 202) == {"message": "Accepted"}
    assert await api.post("/scores", [], 202) == {"message": "Accepted"}
    assert await api.post("/scores", {**one, "id": "mine"}) == {"id": "mine"}
    made = await api.post("/scores", one)
    assert set(made) == {"id"}
    assert made["id"] in {score.score_id for score in await kept(api)}
    assert len({score.score_id for score in await kept(api)}) == 4


@pytest.mark.parametrize("body", [b"", b"1", b'"x"', b"null", b"[1,", b"[" * 100_000, b'{"name":"n"}', b"\xff"])
async def test_what_is_no_batch(api: Api, body: bytes) -> None:
    """Garbage is 400, never a mistake of the server."""
    answer = await api.p.post("/scores", content=body)
    assert answer.status_code == 400, answer.text
    assert await kept(api) == []


@pytest.mark.parametrize("item", [1, None, "x", [], {}, {"name": {}}, [[]]])
async def test_what_is_no_score_in_a_batch(api: Api, item: Any) -> None:
    """Whatever stands in the array, it is answered for."""
    answer = await api.p.post("/scores", json=[item, item])
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (207, 0, 2)


async def test_too_many_at_once(api: Api) -> None:
    """A batch of more scores than an answer has room for is refused as a whole."""
    assert (await api.p.post("/scores", json=[0] * 10_001)).status_code == 400


async def test_configs(api: Api) -> None:
    """A score that names a config is of its type, has its name and is within its range or categories."""
    numbers = await api.post("/score-configs", {"name": "n", "dataType": "NUMERIC", "minValue": 0, "maxValue": 1})
    truths = await api.post("/score-configs", {"name": "t", "dataType": "BOOLEAN"})
    colours = await api.post(
        "/score-configs", {"name": "c", "dataType": "CATEGORICAL", "categories": [{"label": "red", "value": 7}]}
    )
    texts = await api.post("/score-configs", {"name": "x", "dataType": "TEXT"})
    good: list[tuple[dict[str, Any], str, Any, str]] = [
        (numbers, "n", 0.5, "NUMERIC"), (numbers, "n", 0, "NUMERIC"), (truths, "t", 1, "BOOLEAN"),
        (colours, "c", "red", "CATEGORICAL"), (texts, "x", "words", "TEXT"),
    ]  # fmt: skip
    for number, (config, name, value, data_type) in enumerate(good):
        body = {"id": str(number), "name": name, "value": value, "traceId": TRACE, "configId": config["id"]}
        await api.post("/scores", {**body, "source": "ANNOTATION"})
        [score] = [one for one in await kept(api) if one.score_id == str(number)]
        assert (score.data_type, score.config_id, score.source) == (data_type, config["id"], "ANNOTATION")
    bad: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (numbers, {"name": "n", "value": 1.01}, "at most 1"), (numbers, {"name": "n", "value": -1}, "at least 0"),
        (numbers, {"name": "m", "value": 1}, "name"), (numbers, {"name": "n", "value": "x"}, "a number"),
        (numbers, {"name": "n", "value": 1, "dataType": "BOOLEAN"}, "dataType"),
        (truths, {"name": "t", "value": 2}, "0 or 1"), (colours, {"name": "c", "value": "green"}, "red"),
        (colours, {"name": "c", "value": 7}, "a text"), (texts, {"name": "x", "value": ""}, "500"),
    ]  # fmt: skip
    for config, given, named in bad:
        answer = await api.p.post("/scores", json={"traceId": TRACE, "configId": config["id"], **given})
        assert answer.status_code == 400, given
        assert named in answer.text
    await api.p.patch(f"/score-configs/{numbers['id']}", json={"isArchived": True})
    body = {"name": "n", "value": 1, "traceId": TRACE, "configId": numbers["id"]}
    assert "archived" in (await api.p.post("/scores", json=body)).text
    theirs = await api.q.post("/scores", json={**body, "configId": truths["id"], "name": "t"})
    assert theirs.status_code == 404, "a config of another project is not there"


async def test_the_id_is_the_key(api: Api) -> None:
    """Given again a score is changed in what is said; sent again as it was it stays."""
    first = await only(api, value=1, comment="first", metadata={"a": 1}, environment="blue")
    api.later()
    again = await only(api, value=2)
    assert (again.value, again.comment, bytes(again.metadata)) == (2.0, "first", b'{"a":1}')
    assert (again.timestamp_ns, again.environment) == (first.timestamp_ns, "blue"), "unless it is said anew"
    assert await only(api, value=2) == again
    moved = await only(api, value=2, timestamp="2026-01-02T03:04:05Z", environment="green")
    assert (iso(moved.timestamp_ns), moved.environment) == ("2026-01-02T03:04:05.000Z", "green")


async def test_another_type(api: Api) -> None:
    """A score that is given again with a value of another type takes the place of the one that there was."""
    await only(api, value="good", comment="a word")
    number = await only(api, value=0.5)
    assert (number.data_type, number.value, number.string_value, number.comment) == ("NUMERIC", 0.5, None, None)
    word = await only(api, value="fine")
    assert (word.data_type, word.value, word.string_value) == ("CATEGORICAL", None, "fine")
    both = [{"id": "s", "name": "n", "traceId": TRACE, "value": value} for value in ("one", 2)]
    await api.post("/scores", both, 202)
    [last] = await kept(api)
    assert (last.data_type, last.value, last.string_value) == ("NUMERIC", 2.0, None)


async def test_projects_do_not_meet(api: Api) -> None:
    """The same id in two projects is two scores; nobody erases or reads another's."""
    await only(api, value=1)
    assert (await api.q.post("/scores", json=[{"id": "s", "name": "n", "value": "x", "traceId": TRACE}])).is_success
    [mine], [theirs] = await kept(api), await kept(api, "q")
    assert (mine.value, theirs.string_value) == (1.0, "x")
    await api.post("/scores", {"id": "only mine", "name": "n", "value": 1, "traceId": TRACE})
    foreign, unknown = await api.q.delete("/scores/only mine"), await api.q.delete("/scores/nobody's")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["message"].replace("only mine", "nobody's") == unknown.json()["message"]
    assert (await api.q.get("/v3/scores", params={"id": "only mine"})).json()["data"] == []
    assert (await api.q.get("/v2/scores/only mine")).status_code == 404


async def test_erased(api: Api) -> None:
    """A score is gone when the answer comes, whatever its id looks like; then it is not found."""
    strange = "a/b?c#d é"
    await api.post("/scores", {"id": strange, "name": "n", "value": 1, "traceId": TRACE})
    answer = await api.p.delete("/scores/a%2Fb%3Fc%23d%20%C3%A9")
    assert (answer.status_code, set(answer.json())) == (202, {"message"})
    assert await kept(api) == []
    assert (await api.p.delete("/scores/a%2Fb%3Fc%23d%20%C3%A9")).status_code == 404


async def test_a_key_for_scores_alone(api: Api) -> None:
    """It gives scores and reads nothing."""
    async with await api.client("p", "scores") as http:
        assert (await http.post("/scores", json={"name": "n", "value": 1, "traceId": TRACE})).status_code == 200
        assert (await http.get("/v3/scores")).status_code == 403
    async with await api.client("p", "read") as http:
        assert (await http.post("/scores", json={"name": "n", "value": 1, "traceId": TRACE})).status_code == 403
        assert len((await http.get("/v3/scores")).json()["data"]) == 1


async def test_nothing_is_said_to_be_kept_that_is_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the backend cannot write, the answer is that it may be sent again."""

    async def fail(_: object) -> None:
        raise BackendUnavailable("the disk is away")

    with monkeypatch.context() as broken:
        broken.setattr(api.backend, "write", fail)
        answer = await api.p.post("/scores", json=[{"name": "n", "value": 1, "traceId": TRACE}])
        assert answer.status_code == 503, answer.text
    assert await kept(api) == []
