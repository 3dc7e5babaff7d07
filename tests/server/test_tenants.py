"""T45, T46: what one project has made does not exist for another, whatever operation is asked, and is never changed."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, Final

import httpx2

from tests.server.conftest import Api
from tracecore.server.app import every_operation

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
SPAN: Final = "b7ad6b7169203331"
IMAGE: Final = b"\x89PNG of a test"
NOWHERE: Final = "not-of-this-installation"
TOGETHER: Final = {"trace_id": TRACE, "observation_id": SPAN, "session_id": "s-1"}
ANYBODY: Final = {"/api/public/media/{media_id}/upload", "/api/public/media/{media_id}/download"}
"""Their URL is the credential: without its token nobody gets anything, whoever it is."""


MAKING: Final = {"upsert_model"}
"""Operations that make what is not there, under an id of the client's choice."""


async def fill(api: Api, who: httpx2.AsyncClient, project: str, text: str) -> dict[str, str]:
    """Have a project make one of everything; return the ids by the names that paths have for them."""
    made: dict[str, str] = dict(TOGETHER)

    async def post(path: str, body: Any) -> Any:
        answer = await who.post(path, json=body)
        assert answer.status_code < 300, (path, answer.text)
        return answer.json() if answer.content else None

    span = {
        "traceId": TRACE, "spanId": SPAN, "name": text, "startTimeUnixNano": str(api.now_ns),
        "endTimeUnixNano": str(api.now_ns + 5), "attributes": [
            {"key": "session.id", "value": {"stringValue": "s-1"}}, {"key": "input", "value": {"stringValue": text}},
        ],
    }  # fmt: skip
    await post("/otel/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    await post("/scores", [{"id": "score-1", "traceId": TRACE, "name": "tone", "value": 1.0, "comment": text}])
    made["score_id"] = "score-1"
    made["config_id"] = (await post("/score-configs", {"name": text, "dataType": "NUMERIC"}))["id"]
    await post("/v2/datasets", {"name": "data", "description": text})
    made["dataset_name"] = "data"
    made["item_id"] = (await post("/dataset-items", {"datasetName": "data", "id": f"item-{text}", "input": text}))["id"]
    await post("/v2/prompts", {"name": "greet", "prompt": text, "labels": ["production"]})
    made |= {"name": "greet", "prompt_name": "greet", "version": "1"}
    made["model_id"] = (await post("/models", {"modelName": text, "matchPattern": f"^{text}$", "inputPrice": 1.0}))[
        "id"
    ]
    comment = {"objectType": "TRACE", "objectId": TRACE, "content": text, "projectId": project}
    made["comment_id"] = (await post("/comments", comment))["id"]
    queue = {"name": text, "description": text, "scoreConfigIds": [made["config_id"]]}
    made["queue_id"] = (await post("/annotation-queues", queue))["id"]
    item = {"objectId": TRACE, "objectType": "TRACE"}
    made["queue_item_id"] = (await post(f"/annotation-queues/{made['queue_id']}/items", item))["id"]
    digest = hashlib.sha256(IMAGE + text.encode()).digest()
    announced = {
        "traceId": TRACE, "observationId": SPAN, "contentType": "image/png", "contentLength": len(IMAGE) + len(text),
        "sha256Hash": base64.b64encode(digest).decode(), "field": "input",
    }  # fmt: skip
    media = await post("/media", announced)
    made["media_id"] = media["mediaId"]
    upload = await who.put(media["uploadUrl"], content=IMAGE + text.encode(), headers={"content-type": "image/png"})
    assert upload.status_code < 300, upload.text
    return made


def filled(path: str, ids: dict[str, str]) -> str:
    """Return a path with ids in its places."""
    found = dict(ids)
    if "annotation-queues" in path:
        found["item_id"] = ids["queue_item_id"]
    return re.sub(r"{(\w+)(:path)?}", lambda match: found.get(match[1], NOWHERE), path)


async def everything(who: httpx2.AsyncClient, ids: dict[str, str]) -> dict[str, str]:
    """Return what every read answers to a project, but for what the server says of itself and signed URLs."""
    found: dict[str, str] = {}
    for operation in every_operation():
        if operation.method == "GET" and operation.path.startswith("/api/public") and operation.path not in ANYBODY:
            answer = await who.get(filled(operation.path, ids).removeprefix("/api/public"), params=QUERY)
            text = re.sub(r"token=[^\"&]+|\"(urlExpiry|lastUsedAt)\":\"[^\"]*\"", "", answer.text)
            found[operation.path] = f"{answer.status_code} {text}"
    return found


QUERY: Final = {"datasetName": "data", "fields": "core,basic,io,metadata", "fromStartTime": "2020-01-01T00:00:00Z"}
BODIES: Final[dict[str, Any]] = {
    "LabelsBody": {"newLabels": ["taken"]},
    "Uploaded": {"uploadedAt": "2026-01-01T00:00:00Z", "uploadHttpStatus": 200},
    "ScoreConfigChanges": {"isArchived": True},
    "TraceIds": {"traceIds": [TRACE]},
    "NewItem": {"objectId": TRACE, "objectType": "TRACE"},
    "ItemChange": {"status": "COMPLETED"},
    "Assignment": {"userId": "u"},
    "ModelBody": {"modelName": "stolen", "matchPattern": "^stolen$", "inputPrice": 1.0},
}


async def test_what_is_another_projects_is_not_there(api: Api) -> None:
    """Each operation with the ids of another project answers as for ids that nobody has, and never with a success."""
    await fill(api, api.q, "q", "theirs")
    ids = await fill(api, api.p, "p", "ours")
    own = {"trace_id", "observation_id", "session_id", "score_id", "dataset_name", "name", "prompt_name", "version"}
    foreign = {name: value for name, value in ids.items() if name not in own}  # the others both of them have
    unknown = dict.fromkeys(ids, NOWHERE)
    asked = 0
    for operation in every_operation():
        places = set(re.findall(r"{(\w+)", operation.path))
        if (
            not places
            or operation.path in ANYBODY
            or operation.name in MAKING
            or (places & own and not places & foreign.keys())
        ):
            continue
        body = BODIES.get(getattr(operation.body, "__name__", ""))
        assert operation.body is None or body is not None, f"this test needs a body for {operation.name}"
        answers = [
            await api.q.request(operation.method, filled(operation.path, names).removeprefix("/api/public"), json=body)
            for names in (ids, unknown)
        ]
        longest_first = sorted({*ids.values(), NOWHERE}, key=len, reverse=True)  # "1" is within others
        theirs, nobodys = (
            (answer.status_code, re.sub("|".join(map(re.escape, longest_first)), "ID", answer.text))
            for answer in answers
        )
        assert theirs == nobodys, operation.name
        assert theirs[0] in {403, 404}, (operation.name, theirs)
        asked += 1
    assert asked >= 15


async def test_no_operation_changes_what_is_another_projects(api: Api) -> None:
    """Everything that is asked for in one project, deletions too, leaves every answer to the other one as it was."""
    ids = await fill(api, api.p, "p", "ours")
    other = await fill(api, api.q, "q", "theirs")
    before = await everything(api.p, ids)
    assert sum(answer.startswith("200") for answer in before.values()) > 20
    assert not [path for path, answer in before.items() if "theirs" in answer]
    for names in (other, ids):
        for operation in every_operation():
            if operation.method != "GET" and operation.path.startswith("/api/public"):
                body = BODIES.get(getattr(operation.body, "__name__", ""))
                await api.q.request(
                    operation.method, filled(operation.path, names).removeprefix("/api/public"), json=body
                )
    await api.q.request("DELETE", "/traces", json={"traceIds": [TRACE]})
    assert await everything(api.p, ids) == before
