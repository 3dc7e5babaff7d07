"""What a Langfuse server receives: its own headers, its own names, scores of its own shape."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http_server import Asked, Reply, stub
from tracecore.backend import Batch, Capabilities, Receipt
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.records import Score
from tracecore.testing.opening import opened
from tracecore.testing.samples import START, entry, full_generation, json_of, score, session, span
from tracecore_http import langfuse, open_backend
from tracecore_http.resources import own_version

BASIC = "Basic cGstbGYtMTpzay1sZi0y"
PROJECTS = "/api/public/projects"
SPANS = "/api/public/otel/v1/traces"
SCORES = "/api/public/scores"


def langfuse_server(asked: Asked) -> Reply:
    """Answer as a Langfuse server does, which is strict about what it is sent."""
    if asked.headers.get("authorization") != BASIC:
        return Reply(401, b'{"message":"Invalid credentials"}')
    if asked.path == PROJECTS:
        return Reply(200, b'{"data":[]}')
    if asked.path == SPANS:
        good = asked.headers["content-type"] == "application/x-protobuf"
        ExportTraceServiceRequest.FromString(gzip.decompress(asked.body))
        return Reply(200 if good else 400)
    if asked.path == SCORES and isinstance(json.loads(asked.body), list):
        return Reply(202, b'{"message":"Accepted"}')
    return Reply(404)


async def written(batch: Batch, answer: Any = langfuse_server) -> tuple[list[Asked], Receipt | None]:
    """Return what a server receives when a batch is written, and the receipt."""
    with stub(answer) as server:
        async with opened(open_backend(f"http+langfuse://pk-lf-1:sk-lf-2@{server.address}")) as backend:
            receipt = await backend.write(batch)
    assert server.asked[0].path == PROJECTS
    return server.asked[1:], receipt


async def test_spans_are_sent_as_its_own_sdk_does() -> None:
    """Address, keys and headers are those that the server expects; so are scope, attributes and quoted metadata."""
    (asked,), receipt = await written([full_generation(1)])
    assert receipt is None
    assert asked.path == SPANS
    assert asked.headers.items() >= {
        "authorization": BASIC, "content-type": "application/x-protobuf", "content-encoding": "gzip",
        "x-langfuse-ingestion-version": "4", "x-langfuse-public-key": "pk-lf-1", "x-langfuse-sdk-name": "tracecore",
        "x-langfuse-sdk-version": own_version(),
    }.items()  # fmt: skip
    (resource,) = ExportTraceServiceRequest.FromString(gzip.decompress(asked.body)).resource_spans
    (scope,) = resource.scope_spans
    assert scope.scope.name == "langfuse-sdk"
    assert [(pair.key, pair.value.string_value) for pair in scope.scope.attributes] == [("public_key", "pk-lf-1")]
    said = {pair.key: pair.value.string_value for pair in scope.spans[0].attributes}
    assert said["langfuse.trace.metadata.tier"] == '"gold"'
    assert said["langfuse.observation.usage_details"] == '{"input":10,"output":5,"input_cached":2}'
    assert not [key for key in said if key.startswith("gen_ai.request")]


async def test_scores_go_to_their_own_address_after_the_spans() -> None:
    """A score has Langfuse's names; what is not set is left out, and spans are there before what judges them."""
    full = Score(
        "default", "s1", "quality", START, "CATEGORICAL", None, "good", "EVAL", "t", "o", "s", "e", "why",
        json_of({"k": [1]}), "c", "staging", "author", "q", "x",
    )  # fmt: skip
    minimal = score("s2", value=0.5, trace_id="t")
    (spans, scores), receipt = await written([full, span(1), minimal, score("s3", data_type="BOOLEAN", value=1)])
    assert receipt is None
    assert (spans.path, scores.path) == (SPANS, SCORES)
    assert scores.headers["content-type"] == "application/json"
    first, second, third = json.loads(scores.body)
    assert first == {
        "id": "s1", "name": "quality", "traceId": "t", "observationId": "o", "sessionId": "s", "datasetRunId": "e",
        "comment": "why", "configId": "c", "environment": "staging", "timestamp": "2026-09-21T14:13:20.123456Z",
        "dataType": "CATEGORICAL", "value": "good", "metadata": {"k": [1]},
    }  # fmt: skip
    assert second == {
        "id": "s2", "name": "quality", "traceId": "t", "timestamp": "2026-09-21T14:13:20.123456Z",
        "dataType": "NUMERIC", "value": 0.5,
    }  # fmt: skip
    assert third["value"] == 1.0


async def test_scores_alone_are_one_request() -> None:
    """Nothing is sent where there is nothing to say."""
    (asked,), _ = await written([score("1", value=1)])
    assert asked.path == SCORES


async def test_many_scores_are_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server takes so many scores, and so many bytes of them, at once."""
    monkeypatch.setattr(langfuse, "_MOST", 3)
    monkeypatch.setattr(langfuse, "_LARGEST", 1000)
    batch = [score(f"{n}", value=n, comment="x" * (900 if n == 8 else 0)) for n in range(10)]
    asked, _ = await written(batch)
    parts = [[one["id"] for one in json.loads(part.body)] for part in asked]
    assert [name for part in parts for name in part] == [f"{n}" for n in range(10)]
    assert max(map(len, parts)) == 3
    assert ["8"] in parts


async def test_what_it_rejects_is_said() -> None:
    """207: how many scores were not kept, and why; sessions are what the server makes of observations."""
    partly = Reply(207, b'{"accepted":1,"rejected":2,"errors":[{"message":"no config"},{"message":"no trace"}]}')
    _, receipt = await written(
        [score("1"), session("s")], lambda asked: partly if asked.path == SCORES else langfuse_server(asked)
    )
    assert receipt == Receipt(3, "no config; no trace; Langfuse makes sessions of observations")
    unreadable = Reply(202, b"accepted", {"content-type": "text/plain"})
    _, receipt = await written(
        [score("1")], lambda asked: unreadable if asked.path == SCORES else langfuse_server(asked)
    )
    assert receipt is None


async def test_a_batch_is_written_again_as_a_whole() -> None:
    """Where the scores cannot be taken now, spans and scores are sent again: to the server they are the same ones."""
    away = [Reply(503, headers={"retry-after": "2"})]
    with stub(lambda asked: away.pop() if asked.path == SCORES and away else langfuse_server(asked)) as server:
        async with opened(open_backend(f"http+langfuse://pk-lf-1:sk-lf-2@{server.address}")) as backend:
            with pytest.raises(BackendUnavailable) as raised:
                await backend.write([span(1), score("1")])
            await backend.write([span(1), score("1")])
    assert raised.value.retry_after == 2
    assert [asked.path for asked in server.asked] == [PROJECTS, SPANS, SCORES, SPANS, SCORES]
    assert server.asked[1].body[10:] == server.asked[3].body[10:]


async def test_wrong_keys_are_said_once_and_nothing_is_sent() -> None:
    """Whoever has the wrong keys hears of it when the backend is opened, without the keys in the words."""
    with stub(langfuse_server) as server:
        backend = open_backend(f"http+langfuse://pk-lf-1:wrong@{server.address}")
        with pytest.raises(BackendUnavailable, match="Invalid credentials; correct the credentials") as raised:
            await backend.open()
        await backend.close()
    assert "wrong" not in str(raised.value)
    assert [asked.path for asked in server.asked] == [PROJECTS]


async def test_keys_may_be_in_a_file(tmp_path: Any) -> None:
    """Both keys, or the secret one alone, are read from where the URL says."""
    for user, held in (("", "pk-lf-1:sk-lf-2\n"), ("pk-lf-1@", "sk-lf-2\n")):
        (tmp_path / "keys").write_text(held)
        with stub(langfuse_server) as server:
            url = f"http+langfuse://{user}{server.address}?secret_file={tmp_path}/keys"
            async with opened(open_backend(url)) as backend:
                assert await backend.write([span(1)]) is None
        assert server.asked[1].headers["x-langfuse-public-key"] == "pk-lf-1"


async def test_what_it_can_do() -> None:
    """It keeps no ledger, gives nothing back, and has nothing to do when it is idle."""
    with stub(langfuse_server) as server:
        async with opened(open_backend(f"http+langfuse://pk-lf-1:sk-lf-2@{server.address}")) as backend:
            assert backend.capabilities == Capabilities(level="received")
            assert await backend.maintain() is False
            with pytest.raises(BackendRejected, match="no ledger"):
                await backend.write([span(1), entry()])
            assert await backend.write([]) is None
            assert await backend.write([span(1, status="running")]) is None
    assert len(server.asked) == 1
