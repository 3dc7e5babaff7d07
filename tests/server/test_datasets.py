"""Datasets and items over HTTP: upserts, versions, schemas, pages, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.from_thread
import pytest

from tests.server.conftest import Api
from tracecore.errors import ConfigError
from tracecore.services import datasets
from tracecore.services.datasets import DatasetChange, Datasets, ItemChange
from tracecore.services.schemas import check_schema, problems_of
from tracecore_sqlite import open_backend

DATASET_KEYS = {
    "id", "projectId", "name", "description", "metadata", "inputSchema", "expectedOutputSchema", "createdAt",
    "updatedAt",
}  # fmt: skip
ITEM_KEYS = {
    "id", "status", "input", "expectedOutput", "metadata", "sourceTraceId", "sourceObservationId", "datasetId",
    "datasetName", "createdAt", "updatedAt", "version", "mediaReferences",
}  # fmt: skip
STRICT = {"type": "object", "required": ["q"], "properties": {"q": {"type": "string", "pattern": "^(a+)+$"}}}


async def make(api: Api, name: str = "d", **more: Any) -> Any:
    """Make a dataset."""
    return await api.post("/v2/datasets", {"name": name, **more})


async def put(api: Api, **item: Any) -> Any:
    """Make an item or change it."""
    return await api.post("/dataset-items", {"datasetName": "d", **item})


async def listed(api: Api, **query: Any) -> list[str]:
    """Return the ids of a page of items."""
    return [item["id"] for item in (await api.get("/dataset-items", **query))["data"]]


async def test_a_dataset_comes_back(api: Api) -> None:
    """Every key of the contract is there; what is absent stays when it is changed, ``null`` takes a schema away."""
    made = await make(api, "folder/fragen ü 世", description="some", metadata={"b": 1, "a": [None]}, inputSchema=STRICT)
    assert set(made) == DATASET_KEYS
    assert (made["projectId"], made["expectedOutputSchema"], made["inputSchema"]) == ("p", None, STRICT)
    assert await api.get("/v2/datasets/" + quote("folder/fragen ü 世", safe="")) == made
    api.later()
    changed = await make(api, "folder/fragen ü 世", description="other")
    assert changed == {**made, "description": "other", "updatedAt": "2027-01-15T08:00:01.000Z"}
    gone = await make(api, "folder/fragen ü 世", inputSchema=None, description=None)
    assert (gone["inputSchema"], gone["description"], gone["id"]) == (None, "other", made["id"])


async def test_datasets_are_listed(api: Api) -> None:
    """The newest is first, in pages."""
    for number in range(3):
        await make(api, f"d{number}")
        api.later()
    page = await api.get("/v2/datasets", limit=2)
    assert [one["name"] for one in page["data"]] == ["d2", "d1"]
    assert page["meta"] == {"page": 1, "limit": 2, "totalItems": 3, "totalPages": 2}
    assert [one["name"] for one in (await api.get("/v2/datasets", limit=2, page=2))["data"]] == ["d0"]


async def test_an_item_comes_back(api: Api) -> None:
    """Payloads are those that came, number for number; what is absent is null; an id is made where none is given."""
    dataset = await make(api)
    body = b'{"datasetName":"d","id":"i/1","input":{"b": 1.50, "a": 12345678901234567890123},"metadata":"m"}'
    answer = await api.p.post("/dataset-items", content=body)
    made = answer.json()
    assert set(made) == ITEM_KEYS
    assert b'"input":{"b": 1.50, "a": 12345678901234567890123}' in answer.content
    assert (made["expectedOutput"], made["metadata"], made["mediaReferences"]) == (None, "m", [])
    assert (made["datasetId"], made["datasetName"], made["status"]) == (dataset["id"], "d", "ACTIVE")
    assert made["version"] == made["updatedAt"] == made["createdAt"] == "2027-01-15T08:00:00.000Z"
    assert await api.get("/dataset-items/i%2F1") == made
    other = await put(api, input=None, sourceTraceId="a" * 32, sourceObservationId="b" * 16)
    assert len(other["id"]) == 36
    assert (other["input"], other["sourceTraceId"], other["sourceObservationId"]) == (None, "a" * 32, "b" * 16)


async def test_a_change_keeps_what_it_does_not_name(api: Api) -> None:
    """Archiving an item names nothing but its status; a list has the active ones only, a look-up all."""
    await make(api)
    await put(api, id="i", input={"q": 1}, expectedOutput=2, metadata={"m": 3}, sourceTraceId="t")
    api.later()
    archived = await put(api, id="i", status="ARCHIVED", input=None)
    assert (archived["input"], archived["expectedOutput"], archived["metadata"]) == ({"q": 1}, 2, {"m": 3})
    assert (archived["status"], archived["sourceTraceId"]) == ("ARCHIVED", "t")
    assert await listed(api, datasetName="d") == await listed(api, sourceTraceId="t") == await listed(api) == []
    assert (await api.get("/dataset-items/i"))["status"] == "ARCHIVED"
    await put(api, id="i", status="ACTIVE")
    assert await listed(api, datasetName="d") == ["i"]


async def test_a_dataset_as_it_was(api: Api) -> None:
    """A list of a time has what was active then, as it was, whatever was changed, archived or deleted since."""
    await make(api)
    first = await put(api, id="a", input=1)
    api.later()
    await put(api, id="b", input=1)
    api.later()
    second = await put(api, id="a", input=2)
    await put(api, id="a", input=3)  # in the same millisecond
    api.later()
    await put(api, id="b", status="ARCHIVED")
    assert (await api.p.delete("/dataset-items/a")).json() == {"message": "Dataset item successfully deleted"}

    async def then(version: str) -> dict[str, Any]:
        page = await api.get("/dataset-items", datasetName="d", version=version)
        assert page["meta"]["totalItems"] == len(page["data"])
        return {item["id"]: item["input"] for item in page["data"]}

    assert await then("2027-01-15T07:59:59.999Z") == {}
    assert await then(first["version"]) == {"a": 1}
    assert await then("2027-01-15T08:00:01Z") == {"a": 1, "b": 1}
    assert await then(second["version"]) == {"a": 2, "b": 1}
    assert await then("2027-01-15T08:00:02.001Z") == {"a": 3, "b": 1}
    assert await then("2027-01-15T09:00:03+01:00") == {}
    assert await listed(api, datasetName="d") == []
    assert (await api.p.get("/dataset-items/a")).status_code == 404
    assert (await api.p.delete("/dataset-items/a")).status_code == 404
    again = await put(api, id="a", input=4)
    assert again["createdAt"] == "2027-01-15T08:00:03.000Z"
    assert await then(first["version"]) == {"a": 1}
    old = quote(f"a\x1f{1_800_000_000_000_000_000:020d}", safe="")
    assert (await api.p.get(f"/dataset-items/{old}")).status_code == 404  # a state is no item
    assert (await api.p.delete(f"/dataset-items/{old}")).status_code == 404


async def test_all_in_one_moment(api: Api) -> None:
    """What is made, deleted and made again within a millisecond has one state at each of its times."""
    await make(api)
    await make(api, "other")
    for number in range(3):
        made = await put(api, id="a", input=number)
        assert (await api.p.delete("/dataset-items/a")).status_code == 200
    last = await api.post("/dataset-items", {"datasetName": "other", "id": "a", "input": "moved"})
    assert last["version"] > made["version"]
    assert last["createdAt"] == "2027-01-15T08:00:00.000Z"
    seen: list[Any] = []
    for ms in range(10):
        version = f"2027-01-15T08:00:00.{ms:03d}Z"
        states = (await api.get("/dataset-items", datasetName="d", version=version))["data"]
        seen.append([item["input"] for item in states])
    assert seen == [[0], [], [1], [], [2], [], [], [], [], []]
    assert await listed(api, datasetName="d") == []
    assert await listed(api, datasetName="other") == ["a"]


async def test_pages_of_items(api: Api) -> None:
    """Every item is on one page, the newest first, also of those made in one moment."""
    await make(api)
    for number in range(7):
        await put(api, id=f"i{number}", input=number)
    await make(api, "other")
    await api.post("/dataset-items", {"datasetName": "other", "id": "elsewhere", "sourceTraceId": "t"})
    pages = [await api.get("/dataset-items", datasetName="d", limit=3, page=page) for page in (1, 2, 3, 4)]
    assert [item["id"] for page in pages for item in page["data"]] == [f"i{number}" for number in range(6, -1, -1)]
    assert pages[3]["meta"] == {"page": 4, "limit": 3, "totalItems": 7, "totalPages": 3}
    assert (await api.get("/dataset-items", sourceTraceId="t"))["data"][0]["datasetName"] == "other"
    assert await listed(api, sourceTraceId="t", datasetName="d") == []
    assert len(await listed(api)) == 8


async def test_schemas_hold_for_what_comes(api: Api) -> None:
    """An item that a schema does not allow is refused, as it will be after its change."""
    await make(api, inputSchema=STRICT, expectedOutputSchema={"type": ["integer", "null"]})
    await put(api, id="good", input={"q": "aaa"})
    for wrong in ({"input": {"q": "b"}}, {"input": None}, {"id": "good", "expectedOutput": "x"}):
        answer = await api.p.post("/dataset-items", json={"datasetName": "d", **wrong})
        assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data")
    assert await listed(api) == ["good"]
    assert "does not match" in (await api.p.post("/dataset-items", json={"datasetName": "d", "input": {"q": "b"}})).text


async def test_schemas_hold_for_what_is_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that an active item does not meet is refused, wherever the item is; archived ones do not matter."""
    monkeypatch.setattr(datasets, "_AT_ONCE", 2)
    await make(api)
    for number in range(5):
        await put(api, id=f"i{number}", input={"q": "a"} if number else "no object")
    answer = await api.p.post("/v2/datasets", json={"name": "d", "inputSchema": STRICT, "description": "not kept"})
    assert answer.status_code == 400
    assert "i0" in answer.text
    assert (await api.get("/v2/datasets/d"))["description"] is None
    await put(api, id="i0", status="ARCHIVED")
    assert (await make(api, inputSchema=STRICT))["inputSchema"] == STRICT
    back = await api.p.post("/dataset-items", json={"datasetName": "d", "id": "i0", "status": "ACTIVE"})
    assert back.status_code == 400


MULTIPLYING = {
    "$ref": "#/$defs/a0",
    "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": {}},
}
NO_SCHEMAS: dict[str, Any] = {
    "no object": [], "a type that is none": {"type": "nothing"}, "a pattern that is none": {"pattern": "("},
    "another host": {"$ref": "http://127.0.0.1:9/schema"}, "a file": {"$ref": "file:///etc/passwd"},
    "an address inside": {"$defs": {"a": {"$id": "http://127.0.0.1:9/"}}}, "nowhere": {"$ref": "#/$defs/a"},
    "a draft that is none": {"$schema": "http://127.0.0.1:9/draft"}, "multiplying": MULTIPLYING,
    "long": {"title": "x" * (1 << 18)}, "a huge pattern": {"pattern": "(a{1000}){1000}"},
}  # fmt: skip


@pytest.mark.parametrize("schema", NO_SCHEMAS.values(), ids=NO_SCHEMAS)
async def test_what_is_no_schema_is_refused(api: Api, schema: Any) -> None:
    """What is no schema, or would be fetched, or would never end, is refused at once."""
    answer = await api.p.post("/v2/datasets", json={"name": "d", "inputSchema": schema})
    assert answer.status_code == 400
    assert "inputSchema" in answer.text
    assert (await api.p.get("/v2/datasets/d")).status_code == 404


def test_a_schema_may_refer_to_itself() -> None:
    """A tree of trees is checked to its leaves; what is too deep to look at is a problem, no crash."""
    tree = json.dumps({"type": "object", "additionalProperties": {"$ref": "#"}}).encode()
    check_schema("s", datasets.Raw(tree))
    assert problems_of("s", datasets.Raw(tree), datasets.Raw(b'{"a":{"b":{}}}')) == []
    assert problems_of("s", datasets.Raw(tree), datasets.Raw(b'{"a":{"b":1}}'))
    assert problems_of("s", datasets.Raw(tree), datasets.Raw(b'{"a":' * 5000 + b"1" + b"}" * 5000))
    with pytest.raises(ConfigError, match="leads nowhere"):
        check_schema("s", datasets.Raw(b'{"$ref":"#/items/7","items":[]}'))


async def test_what_cannot_be_is_refused(api: Api) -> None:
    """Names, ids and statuses that cannot be are 400; datasets that are not there 404."""
    await make(api)
    await make(api, "other")
    await put(api, id="taken")
    for name in ("", "/a", "a/", "a//b", "a\nb", " a", "a" * 256):
        assert (await api.p.post("/v2/datasets", json={"name": name})).status_code == 400
    for wrong in ({"id": "a" * 256}, {"id": "a\x1fb"}, {"status": "GONE"}, {"datasetName": 1}):
        assert (await api.p.post("/dataset-items", json={"datasetName": "d", **wrong})).status_code == 400
    stolen = await api.p.post("/dataset-items", json={"datasetName": "other", "id": "taken", "input": 2})
    assert stolen.status_code == 400
    assert (await api.p.post("/dataset-items", json={"datasetName": "nobody's"})).status_code == 404
    assert (await api.p.get("/dataset-items", params={"datasetName": "nobody's"})).status_code == 404
    assert (await api.p.get("/dataset-items/nobody's")).json()["error"] == "LangfuseNotFoundError"
    assert (await api.p.get("/dataset-items", params={"version": "then"})).status_code == 400


async def test_one_project_does_not_see_the_other(api: Api) -> None:
    """The same names and ids are others' in another project, and what it has not is not found."""
    await make(api)
    await put(api, id="i", input="ours", sourceTraceId="t")
    for method, path in [("GET", "/v2/datasets/d"), ("GET", "/dataset-items/i"), ("DELETE", "/dataset-items/i")]:
        assert (await api.q.request(method, path)).status_code == 404
    assert (await api.q.get("/dataset-items", params={"sourceTraceId": "t"})).json()["data"] == []
    assert (await api.q.get("/v2/datasets")).json()["data"] == []
    await api.q.post("/v2/datasets", json={"name": "d"})
    theirs = await api.q.post("/dataset-items", json={"datasetName": "d", "id": "i", "input": "theirs"})
    assert theirs.status_code == 200
    assert (await api.get("/dataset-items/i"))["input"] == "ours"


async def test_hostile_texts_come_back(api: Api) -> None:
    """SQL, NULs and any script are texts like any other, in names, ids and payloads."""
    name = "'); DROP TABLE tc_catalog; -- \U0001f600"
    await make(api, name, metadata={"\0": "\u2028"})
    item = await api.post(
        "/dataset-items", {"datasetName": name, "id": '%_"\\', "input": "\0'\"", "sourceTraceId": "%"}
    )
    assert (await api.get("/dataset-items", datasetName=name))["data"] == [item]
    assert await listed(api, sourceTraceId="_") == []


async def test_media_in_an_item(api: Api) -> None:
    """References to media that are here are resolved, wherever in the item; others, and another project's, are left."""
    await make(api)
    data = b"an image"
    digest = hashlib.sha256(data).digest()
    announced = {
        "contentType": "image/png", "contentLength": len(data), "sha256Hash": base64.b64encode(digest).decode(),
        "field": "input", "traceId": "a" * 32,
    }  # fmt: skip
    said = await api.post("/media", announced, 201)
    where = said["uploadUrl"]
    headers = {"content-type": "image/png", "x-amz-checksum-sha256": announced["sha256Hash"]}
    assert (await api.p.put(where, content=data, headers=headers)).status_code < 300
    here = f"@@@langfuseMedia:type=image/png|id={said['mediaId']}|source=bytes@@@"
    gone = here.replace(said["mediaId"], "x" * 22)
    item = await put(
        api, id="i", input={"it's": [0, f"see {here}{gone}"]}, metadata=here, expectedOutput="@@@langfuseMedia:"
    )
    one, other = item["mediaReferences"]
    assert (one["field"], one["jsonPath"], one["referenceString"]) == ("input", "$['it\\'s'][1]", here)
    assert (other["field"], other["jsonPath"]) == ("metadata", "$")
    assert (one["media"]["mediaId"], one["media"]["contentLength"]) == (said["mediaId"], len(data))
    assert (await api.p.get(one["media"]["url"])).content == data
    assert one["media"]["urlExpiry"]
    assert len((await api.get("/dataset-items", datasetName="d"))["data"][0]["mediaReferences"]) == 2
    await api.q.post("/v2/datasets", json={"name": "d"})
    theirs = await api.q.post("/dataset-items", json={"datasetName": "d", "input": here})
    assert theirs.json()["mediaReferences"] == []


async def test_a_long_item(api: Api) -> None:
    """Ten megabytes are kept, checked by a schema, listed, and kept again as an older version."""
    await make(api, inputSchema={"type": "array"})
    text = ["ä" * 1000] * 5000
    await put(api, id="long", input=text)
    await put(api, id="long", metadata=1)
    [item] = (await api.get("/dataset-items", datasetName="d"))["data"]
    assert item["input"] == text


async def test_no_item_gets_past_a_schema_behind_one_that_is_deleted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that is deleted while all are compared with a new schema hides none behind it."""
    await make(api)
    for number, value in enumerate(({"q": 0}, {"q": "a"}, {"q": "aa"})):
        api.later(1)
        await put(api, id=f"i{number}", input=value)
    monkeypatch.setattr(datasets, "_AT_ONCE", 2)
    keeper = Datasets(api.backend.catalog, "p")
    compared = datasets._first_problem

    def compare(dataset: Any, items: Any) -> Any:
        if items[0][0] == "i2":  # the newest is the first: the others move up
            anyio.from_thread.run(partial(keeper.delete_item, "i2", now_ns=api.now_ns))
        return compared(dataset, items)

    monkeypatch.setattr(datasets, "_first_problem", compare)
    answer = await api.p.post("/v2/datasets", json={"name": "d", "inputSchema": STRICT})
    assert answer.status_code == 400
    assert "i0" in answer.text, answer.text


async def test_all_write_at_once(tmp_path: Path) -> None:
    """Writers of two openings lose nothing of one another, and no item gets past a schema that is being set."""
    backends = [open_backend(f"sqlite:///{tmp_path}/a.db", access="write") for _ in range(2)]
    for backend in backends:
        await backend.open()
    keepers = [Datasets(backend.catalog, "p") for backend in backends]
    made = await asyncio.gather(*(keeper.put(DatasetChange(name="d"), now_ns=1) for keeper in keepers))
    assert len({one.id for one in made}) == 1
    refused = 0

    async def write(number: int) -> None:
        nonlocal refused
        value = datasets.Raw(b'{"q":"a"}' if number % 2 else b"0")
        try:
            await keepers[number % 2].put_item(
                ItemChange(dataset_name="d", id=f"i{number % 30}", input=value), now_ns=number
            )
        except ConfigError:
            refused += 1

    async def set_schema() -> bool:
        schema = datasets.Raw(json.dumps(STRICT).encode())
        try:
            await keepers[0].put(DatasetChange(name="d", input_schema=schema), now_ns=1)
        except ConfigError:
            return False
        return True

    await asyncio.gather(*map(write, range(4)), set_schema(), *map(write, range(4, 40)), set_schema())
    found, total = await keepers[1].find_items(await keepers[1].get("d"), limit=100, offset=0)
    is_set = (await keepers[1].get("d")).input_schema != datasets.NULL
    assert total == len(found)
    if is_set:
        assert all(bytes(one.item.input) == b'{"q":"a"}' for one in found)
    else:
        assert (refused, total) == (0, 30)
    for backend in backends:
        await backend.close()


async def test_many_items(api: Api) -> None:
    """A page of ten thousand items, with as many older states, is found in the time of a page."""
    keeper = Datasets(api.backend.catalog, "p")
    dataset = await keeper.put(DatasetChange(name="d"), now_ns=0)
    entries: list[Any] = []
    for number in range(10_000):
        item = datasets.DatasetItem(dataset_id=dataset.id, input=datasets.Raw(b'"x"'), created_ns=number * 10**6)
        first = keeper._item(f"i{number}", item, number * 10**6)
        entries += keeper._states(f"i{number}", None, item, number * 10**6)
        known = datasets.replace(first, revision=1)
        entries += keeper._states(f"i{number}", known, item, (number + 1) * 10**6)
    for begin in range(0, len(entries), 999):
        await keeper._catalog.commit(entries[begin : begin + 999])
    began = time.process_time()
    pages = 5
    for page in range(pages):
        found, total = await keeper.find_items(dataset, limit=50, offset=50 * 40 * page)
        assert (len(found), total) == (50, 10_000)
    took = (time.process_time() - began) / pages
    assert took < 2.0  # seconds: a guard against a scan that never ends, not a measurement
    print(f"a page took {took * 1e3:.1f} ms of CPU")  # noqa: T201 - what `pytest -s` shows


async def test_the_older_path_makes_datasets_too(api: Api) -> None:
    """What an older SDK makes where it always did is the dataset that the newer ones find."""
    made = await api.post("/datasets", {"name": "folder/old", "metadata": {"a": 1}})
    assert await api.get("/v2/datasets/folder%2Fold") == made
    assert (await api.q.get("/v2/datasets/folder%2Fold")).status_code == 404
