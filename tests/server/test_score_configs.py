"""Score configs: their shape, what cannot be one, and changes that happen at once."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import anyio
import pytest

from tests.server.conftest import START_NS, Api
from tracecore.server.api.times import iso
from tracecore.testing.contract import HOSTILE_TEXTS

COLOURS = [{"label": "red", "value": 0}, {"label": "blue", "value": 1}]
HALF = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair is made visible: test_surrogates.py."""
KEYS = {
    "id", "name", "projectId", "dataType", "isArchived", "minValue", "maxValue", "categories", "description",
    "createdAt", "updatedAt",
}  # fmt: skip


async def test_each_type(api: Api) -> None:
    """A config of each type has every member of the wire; those of BOOLEAN have their two categories by themselves."""
    number = await api.post(
        "/score-configs", {"name": "n", "dataType": "NUMERIC", "minValue": 0, "maxValue": 1.5, "description": "d"}
    )
    assert set(number) == KEYS
    assert (number["projectId"], number["minValue"], number["maxValue"], number["categories"]) == ("p", 0, 1.5, None)
    assert (number["createdAt"], number["updatedAt"], number["isArchived"]) == (iso(START_NS), iso(START_NS), False)
    truth = await api.post("/score-configs", {"name": "b", "dataType": "BOOLEAN"})
    assert truth["categories"] == [{"label": "True", "value": 1}, {"label": "False", "value": 0}]
    choice = await api.post("/score-configs", {"name": "c", "dataType": "CATEGORICAL", "categories": COLOURS})
    assert choice["categories"] == COLOURS
    text = await api.post("/score-configs", {"name": "t", "dataType": "TEXT"})
    for one in (number, truth, choice, text):
        assert await api.get(f"/score-configs/{one['id']}") == one


async def test_pages(api: Api) -> None:
    """The list is numbered, the newest first, and says how many there are."""
    for number in range(5):
        api.later()
        await api.post("/score-configs", {"name": f"n{number}", "dataType": "NUMERIC"})
    page = await api.get("/score-configs", page=2, limit=2)
    assert [one["name"] for one in page["data"]] == ["n2", "n1"]
    assert page["meta"] == {"page": 2, "limit": 2, "totalItems": 5, "totalPages": 3}
    assert (await api.get("/score-configs", page=9, limit=2))["data"] == []
    for query in ({"limit": 101}, {"limit": 0}, {"page": 0}, {"page": "x"}):
        assert (await api.p.get("/score-configs", params=query)).status_code == 400, query


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"name": "", "dataType": "NUMERIC"}, "name"),
        ({"name": "n" * 201, "dataType": "NUMERIC"}, "name"),
        ({"dataType": "NUMERIC"}, "name"),
        ({"name": "n", "dataType": "CORRECTION"}, "CORRECTION"),
        ({"name": "n", "dataType": "NUMERIC", "minValue": 2, "maxValue": 2}, "maxValue"),
        ({"name": "n", "dataType": "NUMERIC", "categories": COLOURS}, "categories"),
        ({"name": "n", "dataType": "BOOLEAN", "categories": COLOURS}, "categories"),
        ({"name": "n", "dataType": "TEXT", "minValue": 1}, "minValue"),
        ({"name": "n", "dataType": "CATEGORICAL", "categories": COLOURS, "maxValue": 1}, "maxValue"),
        ({"name": "n", "dataType": "CATEGORICAL"}, "categories"),
        ({"name": "n", "dataType": "CATEGORICAL", "categories": []}, "categories"),
        ({"name": "n", "dataType": "CATEGORICAL", "categories": [*COLOURS, {"label": "red", "value": 2}]}, "label"),
        ({"name": "n", "dataType": "CATEGORICAL", "categories": [*COLOURS, {"label": "x", "value": 1}]}, "value"),
        ({"name": "n", "dataType": "CATEGORICAL", "categories": [{"label": "", "value": 1}]}, "label"),
    ],
)
async def test_what_cannot_be_one(api: Api, body: dict[str, Any], named: str) -> None:
    """400 names what is wrong, and nothing is kept."""
    answer = await api.p.post("/score-configs", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Invalid request data"
    assert named in answer.json()["error"][0]["message"]
    assert (await api.get("/score-configs"))["meta"]["totalItems"] == 0


async def test_changes(api: Api) -> None:
    """Only what is named changes; null takes a bound away, and the result has to be a config."""
    made = await api.post("/score-configs", {"name": "n", "dataType": "NUMERIC", "minValue": 0, "maxValue": 1})
    api.later()
    path = f"/score-configs/{made['id']}"
    changed = (await api.p.patch(path, json={"maxValue": 5, "description": "x"})).json()
    assert changed == {**made, "maxValue": 5, "description": "x", "updatedAt": iso(api.now_ns)}
    assert (await api.p.patch(path, json={"minValue": None})).json()["minValue"] is None
    assert (await api.p.patch(path, json={"isArchived": True})).json()["isArchived"] is True
    for body in ({}, {"dataType": "TEXT"}, {"minValue": 9}, {"name": ""}, {"name": None}, {"categories": COLOURS}):
        answer = await api.p.patch(path, json=body)
        assert answer.status_code == 400, body
    assert (await api.get(path))["maxValue"] == 5


async def test_another_projects(api: Api) -> None:
    """A config of another project is not there: the same answer as for an id that nobody has."""
    made = await api.post("/score-configs", {"name": "n", "dataType": "NUMERIC"})
    for method, body in (("GET", None), ("PATCH", {"name": "stolen"})):
        theirs = await api.q.request(method, f"/score-configs/{made['id']}", json=body)
        nobodys = await api.q.request(method, "/score-configs/0", json=body)
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.json()["error"] == nobodys.json()["error"] == "LangfuseNotFoundError"
        assert theirs.json()["message"].replace(made["id"], "0") == nobodys.json()["message"]
    assert (await api.q.get("/score-configs")).json()["data"] == []
    assert (await api.get(f"/score-configs/{made['id']}"))["name"] == "n"


async def test_changes_at_once(api: Api) -> None:
    """Of changes of different fields that come at the same moment none is lost."""
    made = await api.post("/score-configs", {"name": "n", "dataType": "NUMERIC"})
    path = f"/score-configs/{made['id']}"
    changes: list[dict[str, Any]] = [
        {"name": "m"}, {"minValue": 1}, {"maxValue": 2}, {"description": "d"}, {"isArchived": True},
    ]  # fmt: skip
    async with anyio.create_task_group() as group:
        for change in changes:
            group.start_soon(partial(api.p.patch, path, json=change))
    found = await api.get(path)
    assert {name: found[name] for change in changes for name in change} == {
        name: value for change in changes for name, value in change.items()
    }


@pytest.mark.parametrize("text", [text for text in HOSTILE_TEXTS if 0 < len(text) <= 200 and not HALF.search(text)])
async def test_hostile_texts(api: Api, text: str) -> None:
    """Names, labels and descriptions of any text come back as they were."""
    body = {
        "name": text, "dataType": "CATEGORICAL", "description": text, "categories": [{"label": text, "value": 1}],
    }  # fmt: skip
    made = await api.post("/score-configs", body)
    found = await api.get(f"/score-configs/{made['id']}")
    assert (found["name"], found["description"], found["categories"][0]["label"]) == (text, text, text)
