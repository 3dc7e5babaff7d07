"""Annotation queues over HTTP: what waits to be judged, and by whom."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from tests.server.conftest import Api
from tracecore.services.annotation_queues import AnnotationQueues

QUEUE = {"id", "name", "description", "scoreConfigIds", "createdAt", "updatedAt"}
ITEM = {"id", "queueId", "objectId", "objectType", "status", "completedAt", "createdAt", "updatedAt"}


async def config(api: Api) -> str:
    """Make a score config; return its id."""
    return (await api.post("/score-configs", {"name": "judged", "dataType": "BOOLEAN"}))["id"]


async def queue(api: Api, name: str = "to look at") -> dict[str, Any]:
    """Make a queue."""
    body = {"name": name, "description": "soon", "scoreConfigIds": [await config(api)]}
    return await api.post("/annotation-queues", body)


async def item(api: Api, queue_id: str, object_id: str = "t1", **more: Any) -> dict[str, Any]:
    """Put a trace into a queue."""
    return await api.post(
        f"/annotation-queues/{queue_id}/items", {"objectId": object_id, "objectType": "TRACE", **more}
    )


async def test_a_queue_is_made_and_found(api: Api) -> None:
    """What was made is read again by its id and in the list, the newest first."""
    first = await queue(api)
    assert first.keys() == QUEUE
    assert await api.get(f"/annotation-queues/{first['id']}") == first
    api.later()
    second = await queue(api, "another")
    listed = await api.get("/annotation-queues", limit=1)
    assert (listed["data"], listed["meta"]["totalItems"]) == ([second], 2)


async def test_what_cannot_be_a_queue(api: Api) -> None:
    """A name is unique, and what is judged by are score configs of the project."""
    made = await queue(api)
    configs = made["scoreConfigIds"]
    for body, status in (
        ({"name": "to look at", "scoreConfigIds": configs}, 409), ({"name": "x", "scoreConfigIds": []}, 400),
        ({"name": "x", "scoreConfigIds": ["nope"]}, 400), ({"name": "", "scoreConfigIds": configs}, 400),
        ({"name": "x"}, 400),
    ):  # fmt: skip
        assert (await api.p.post("/annotation-queues", json=body)).status_code == status
    assert (await api.q.post("/annotation-queues", json={"name": "x", "scoreConfigIds": configs})).status_code == 400
    assert (await api.get("/annotation-queues"))["meta"]["totalItems"] == 1


async def test_what_waits_is_completed_and_waits_again(api: Api) -> None:
    """Completed, an item says since when; lists are by status; taken out, it is gone."""
    there = (await queue(api))["id"]
    path = f"/annotation-queues/{there}/items"
    one, other = await item(api, there), await item(api, there, "t2", status="COMPLETED")
    assert one.keys() == ITEM
    assert (one["status"], one["completedAt"], one["queueId"]) == ("PENDING", None, there)
    assert other["completedAt"] == other["createdAt"]
    api.later()
    done = (await api.p.patch(f"{path}/{one['id']}", json={"status": "COMPLETED"})).json()
    assert (done["status"], done["completedAt"]) == ("COMPLETED", "2027-01-15T08:00:01.000Z")
    assert (await api.get(path, status="PENDING"))["data"] == []
    api.later()
    again = (await api.p.patch(f"{path}/{one['id']}", json={"status": "COMPLETED"})).json()
    assert (again, (await api.p.patch(f"{path}/{one['id']}", json={})).json()) == (done, done)
    waits = (await api.p.patch(f"{path}/{one['id']}", json={"status": "PENDING"})).json()
    assert (waits["completedAt"], waits["updatedAt"]) == (None, "2027-01-15T08:00:02.000Z")
    assert (await api.get(path, status="PENDING"))["data"] == [waits] == [await api.get(f"{path}/{one['id']}")]
    removed = await api.p.delete(f"{path}/{one['id']}")
    assert (removed.status_code, removed.json()["success"]) == (200, True)
    assert (await api.p.delete(f"{path}/{one['id']}")).status_code == 404
    assert (await api.get(path))["data"] == [other]


async def test_somebody_judges(api: Api) -> None:
    """An assignment is made and taken back, again without an error."""
    there = (await queue(api))["id"]
    path = f"/annotation-queues/{there}/assignments"
    for user in ("u1", "u1", "u2"):
        assert await api.post(path, {"userId": user}) == {"userId": user, "queueId": there, "projectId": "p"}
    queues = AnnotationQueues(api.backend.catalog, "p")
    assert sorted(await queues.assigned(there)) == ["u1", "u2"]
    for _ in range(2):
        assert (await api.p.request("DELETE", path, json={"userId": "u1"})).json() == {"success": True}
    assert await queues.assigned(there) == ["u2"]
    assert (await api.p.post(path, json={"userId": ""})).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None), ("GET", "/items", None), ("POST", "/items", {"objectId": "t", "objectType": "TRACE"}),
        ("GET", "/items/ITEM", None), ("PATCH", "/items/ITEM", {"status": "COMPLETED"}),
        ("DELETE", "/items/ITEM", None), ("POST", "/assignments", {"userId": "u"}),
        ("DELETE", "/assignments", {"userId": "u"}),
    ],
)  # fmt: skip
async def test_projects_do_not_reach_each_others_queues(api: Api, method: str, path: str, body: Any) -> None:
    """To another project a queue and what is in it are unknown; and an item is in its own queue only."""
    mine = (await queue(api))["id"]
    waiting = (await item(api, mine))["id"]
    path = path.replace("ITEM", waiting)
    foreign = await api.q.request(method, f"/annotation-queues/{mine}{path}", json=body)
    unknown = await api.q.request(method, f"/annotation-queues/unknown{path}", json=body)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.text.replace(mine, "unknown") == unknown.text
    if waiting in path:
        other = (await queue(api, "other"))["id"]
        assert (await api.p.request(method, f"/annotation-queues/{other}{path}", json=body)).status_code == 404
    assert (await api.get(f"/annotation-queues/{mine}/items/{waiting}"))["status"] == "PENDING"


async def test_changes_at_once_lose_nothing(api: Api) -> None:
    """Of many who change, complete and take out at once, each is answered, and what is left agrees with the answers."""
    there = (await queue(api))["id"]
    path = f"/annotation-queues/{there}/items"
    waiting = [(await item(api, there, f"t{number}"))["id"] for number in range(10)]
    statuses: list[int] = []

    async def ask(method: str, item_id: str, body: Any = None) -> None:
        statuses.append((await api.p.request(method, f"{path}/{item_id}", json=body)).status_code)

    async with anyio.create_task_group() as group:
        for item_id in waiting:
            group.start_soon(ask, "PATCH", item_id, {"status": "COMPLETED"})
            group.start_soon(ask, "PATCH", item_id, {"status": "COMPLETED"})
        for item_id in waiting[:5]:
            group.start_soon(ask, "DELETE", item_id)
            group.start_soon(ask, "DELETE", item_id)
    left = (await api.get(path))["data"]
    assert {one["id"] for one in left} == set(waiting[5:])
    assert {one["status"] for one in left} == {"COMPLETED"}
    counted = Counter(statuses)
    assert counted.keys() <= {200, 404}
    assert counted[404] >= 5
