"""Prompts over HTTP: versions, labels, tags, composition, lists, and what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import Raw

from tests.server.conftest import Api
from tracecore import composition
from tracecore.catalog_prompts import CatalogPrompts
from tracecore.prompts import LabelMove, NewPrompt
from tracecore_sqlite import open_backend

KEYS = {
    "id", "projectId", "name", "version", "type", "prompt", "config", "labels", "tags", "commitMessage", "createdBy",
    "createdAt", "updatedAt", "resolutionGraph", "variables", "shares",
}  # fmt: skip
CHAT = [
    {"role": "system", "content": "You are {{what}}", "more": 1},
    {"type": "placeholder", "name": "history"},
    {"role": "user", "content": "世界? \U0001f600"},
]


async def publish(api: Api, name: str, prompt: Any = "x", **more: Any) -> Any:
    """Publish a version."""
    return await api.post("/v2/prompts", {"name": name, "prompt": prompt, **more}, 201)


async def status(api: Api, path: str, **query: Any) -> int:
    """Return the status of a read of project p."""
    return (await api.p.get(path, params=query)).status_code


async def test_a_version_comes_back_as_it_was_published(api: Api) -> None:
    """Every key of the contract is there, the payloads exactly as they came, folders and any script in the name."""
    made = await publish(
        api, "folder/grüße 世", "Hi {{name}}", labels=["production", "blue"], tags=["t"], commitMessage="why",
        config={"b": 1, "a": 12345678901234567890123},
    )  # fmt: skip
    assert set(made) == KEYS
    assert (made["version"], made["type"], made["labels"]) == (1, "text", ["production", "blue", "latest"])
    assert (made["projectId"], made["commitMessage"], made["resolutionGraph"]) == ("p", "why", None)
    assert made["createdAt"] == made["updatedAt"] == "2027-01-15T08:00:00.000Z"
    path = "/v2/prompts/" + quote("folder/grüße 世", safe="")
    assert await api.get(path) == made
    assert b'"config":{"b":1,"a":12345678901234567890123}' in (await api.p.get(path)).content


async def test_versions_count_up_and_labels_move(api: Api) -> None:
    """A label is on one version; ``latest`` is always on the newest; tags are those of the name."""
    await publish(api, "n", "one", labels=["production", "blue"], tags=["a"])
    api.later()
    second = await publish(api, "n", "two", labels=["blue", "blue", "latest"], tags=[])
    assert (second["version"], second["labels"], second["tags"]) == (2, ["blue", "latest"], ["a"])
    assert (await api.get("/v2/prompts/n"))["prompt"] == "one"
    assert (await api.get("/v2/prompts/n", label="latest"))["prompt"] == "two"
    assert (await api.get("/v2/prompts/n", version=1))["labels"] == ["production"]
    api.later()
    moved = await api.p.patch("/v2/prompts/n/versions/2", json={"newLabels": ["production"]})
    assert sorted(moved.json()["labels"]) == ["blue", "latest", "production"]
    assert moved.json()["updatedAt"] == "2027-01-15T08:00:02.000Z"
    assert (await api.get("/v2/prompts/n", version=1))["labels"] == []
    back = await api.p.patch("/v2/prompts/n/versions/1", json={"newLabels": ["production"]})
    assert back.json()["labels"] == ["production"]
    assert (await api.get("/v2/prompts/n", version=2))["labels"] == ["blue", "latest"]
    await publish(api, "n", "three", tags=["b"])
    assert (await api.get("/v2/prompts/n", version=1))["tags"] == ["b"]


async def test_a_chat_keeps_its_messages(api: Api) -> None:
    """Messages, placeholders and members that nobody knows come back byte for byte."""
    made = await publish(api, "chat", CHAT, type="chat")
    assert (made["type"], made["prompt"]) == ("chat", CHAT)


WRONG: dict[str, dict[str, Any]] = {
    "another type": {"name": "text", "prompt": CHAT, "type": "chat"},
    "a list without a type": {"name": "n", "prompt": CHAT},
    "a text as a chat": {"name": "n", "prompt": "x", "type": "chat"},
    "a type that is none": {"name": "n", "prompt": "x", "type": "html"},
    "a message without a role": {"name": "n", "prompt": [{"content": "x"}], "type": "chat"},
    "a placeholder without a name": {"name": "n", "prompt": [{"type": "placeholder"}], "type": "chat"},
    "a variable named as a placeholder": {
        "name": "n", "type": "chat",
        "prompt": [{"role": "user", "content": "{{ a }}"}, {"type": "placeholder", "name": "a"}],
    },
    "a label in capitals": {"name": "n", "prompt": "x", "labels": ["Blue"]},
    "a label that is long": {"name": "n", "prompt": "x", "labels": ["b" * 37]},
    "a name with a bar": {"name": "a|b", "prompt": "x"},
    "a name that begins with a slash": {"name": "/a", "prompt": "x"},
    "a name with two slashes": {"name": "a//b", "prompt": "x"},
    "a name with a NUL": {"name": "a\0b", "prompt": "x"},
    "a name that is long": {"name": "a" * 256, "prompt": "x"},
    "a name that is reserved": {"name": "new", "prompt": "x"},
    "a name that is a path of versions": {"name": "a/versions/1", "prompt": "x"},
    "an empty tag": {"name": "n", "prompt": "x", "tags": [""]},
    "a long message": {"name": "n", "prompt": "x", "commitMessage": "m" * 501},
    "no prompt": {"name": "n"},
    "a part that is not there": {"name": "n", "prompt": "@@@langfusePrompt:name=nobody|version=1@@@"},
}  # fmt: skip


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
async def test_what_cannot_be_is_refused(api: Api, body: dict[str, Any]) -> None:
    """A prompt that cannot be is 400, in the words of Langfuse's errors, and nothing is kept of it."""
    await publish(api, "text")
    answer = await api.p.post("/v2/prompts", json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data")
    assert answer.json()["error"][0]["message"]
    assert (await api.get("/v2/prompts"))["meta"]["totalItems"] == 1


async def test_labels_that_cannot_be_moved(api: Api) -> None:
    """``latest`` cannot be set, a label must be one, and a version must be there."""
    await publish(api, "n")
    for version, labels, expected in [(1, ["latest"], 400), (1, ["A"], 400), (2, ["a"], 404), ("x", ["a"], 404)]:
        answer = await api.p.patch(f"/v2/prompts/n/versions/{version}", json={"newLabels": labels})
        assert answer.status_code == expected
    assert (await api.p.patch("/v2/prompts/other/versions/1", json={"newLabels": ["a"]})).status_code == 404
    answer = await api.p.patch("/v2/prompts/n/versions/one", json={"newLabels": ["a"]})
    assert answer.json()["message"] == "no prompt 'n version one'; a version is a whole number from 1"


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    """A name, a version and a label that nobody made are 404; both at once are 400."""
    await publish(api, "n", labels=["blue"])
    assert await status(api, "/v2/prompts/n") == 404  # nothing is in production
    assert await status(api, "/v2/prompts/n", version=2) == 404
    assert await status(api, "/v2/prompts/n", version=0) == 404
    assert await status(api, "/v2/prompts/n", label="red") == 404
    assert await status(api, "/v2/prompts/m") == 404
    assert await status(api, "/v2/prompts/n", version=1, label="blue") == 400
    answer = await api.p.get("/v2/prompts/m")
    assert answer.json() == {
        "message": "no prompt 'm'; no name is like it: list those that there are, or publish it",
        "error": "LangfuseNotFoundError",
    }


async def test_one_project_does_not_see_the_other(api: Api) -> None:
    """The same name is another prompt in another project; what it has not is not found, whatever is asked."""
    await publish(api, "n", labels=["production"])
    unknown = await api.q.get("/v2/prompts/unknown")
    for method, path, body in [
        ("GET", "/v2/prompts/n", None), ("PATCH", "/v2/prompts/n/versions/1", {"newLabels": ["a"]}),
        ("DELETE", "/v2/prompts/n", None),
    ]:  # fmt: skip
        assert (await api.q.request(method, path, json=body)).status_code == unknown.status_code == 404
    assert (await api.q.get("/v2/prompts")).json()["data"] == []
    made = await api.q.post("/v2/prompts", json={"name": "n", "prompt": "@@@langfusePrompt:name=n|version=1@@@"})
    assert made.status_code == 400
    assert (await api.q.post("/v2/prompts", json={"name": "n", "prompt": "theirs"})).json()["version"] == 1
    assert (await api.get("/v2/prompts/n"))["prompt"] == "x"


async def test_a_key_does_what_it_is_for(api: Api) -> None:
    """A key for reading reads, and publishes nothing; one for recording does neither."""
    await publish(api, "n", labels=["production"])
    async with await api.client("p", "read") as reader, await api.client("p", "ingest") as recorder:
        assert (await reader.get("/v2/prompts/n")).status_code == 200
        assert (await reader.post("/v2/prompts", json={"name": "n", "prompt": "y"})).status_code == 403
        assert (await recorder.get("/v2/prompts/n")).status_code == 403


async def test_deleting(api: Api) -> None:
    """One version goes by number or label, all go without; ``latest`` moves, and numbers are not used again."""
    for text, label in [("one", "a"), ("two", "b"), ("three", "c")]:
        await publish(api, "n", text, labels=[label], config={"of": text})
    assert (await api.p.delete("/v2/prompts/n", params={"version": 3})).status_code == 204
    assert (await api.get("/v2/prompts/n", label="latest"))["prompt"] == "two"
    [listed] = (await api.get("/v2/prompts"))["data"]
    assert (listed["versions"], listed["labels"], listed["lastConfig"]) == ([1, 2], ["a", "b", "latest"], {"of": "two"})
    assert (await publish(api, "n", "four"))["version"] == 4
    assert (await api.p.delete("/v2/prompts/n", params={"label": "a"})).status_code == 204
    assert await status(api, "/v2/prompts/n", version=1) == 404
    assert (await api.p.delete("/v2/prompts/n", params={"label": "a"})).status_code == 404
    assert (await api.p.delete("/v2/prompts/n", params={"version": 4, "label": "b"})).status_code == 400
    assert (await api.p.delete("/v2/prompts/n")).status_code == 204
    assert (await api.p.delete("/v2/prompts/n")).status_code == 404
    assert await status(api, "/v2/prompts/n", version=4) == 404
    assert (await publish(api, "n", CHAT, type="chat"))["version"] == 1


async def test_lists(api: Api) -> None:
    """Names are listed in pages, the one that changed last first, by name, label, tag and time of the last change."""
    for number in range(5):
        await publish(api, f"listed/{number}", labels=["even"] if number % 2 == 0 else [], tags=[f"t{number}", "all"])
        api.later()
    await publish(api, "listed/0", "again", config={"newest": True})
    every = await api.get("/v2/prompts")
    assert [one["name"][-1] for one in every["data"]] == ["0", "4", "3", "2", "1"]
    assert every["data"][0] == {
        "name": "listed/0", "type": "text", "versions": [1, 2], "labels": ["even", "latest"], "tags": ["t0", "all"],
        "lastUpdatedAt": "2027-01-15T08:00:05.000Z", "lastConfig": {"newest": True},
    }  # fmt: skip
    page = await api.get("/v2/prompts", page=2, limit=2)
    assert [one["name"][-1] for one in page["data"]] == ["3", "2"]
    assert page["meta"] == {"page": 2, "limit": 2, "totalItems": 5, "totalPages": 3}
    found = await api.get("/v2/prompts", label="even")
    assert [(one["name"][-1], one["versions"], one["labels"]) for one in found["data"]] == [
        ("0", [1], ["even"]), ("4", [1], ["even", "latest"]), ("2", [1], ["even", "latest"]),
    ]  # fmt: skip
    assert found["data"][0]["lastConfig"] == {}
    assert [one["name"] for one in (await api.get("/v2/prompts", tag="t3"))["data"]] == ["listed/3"]
    assert (await api.get("/v2/prompts", tag="t3", label="even"))["data"] == []
    assert len((await api.get("/v2/prompts", name="listed/3"))["data"]) == 1
    times = {"fromUpdatedAt": "2027-01-15T08:00:03Z", "toUpdatedAt": "2027-01-15T08:00:05Z"}
    assert [one["name"][-1] for one in (await api.get("/v2/prompts", **times))["data"]] == ["4", "3"]
    for wrong in ({"limit": 101}, {"limit": 0}, {"page": 0}, {"fromUpdatedAt": "yesterday"}):
        assert await status(api, "/v2/prompts", **wrong) == 400


def _condition(kind: str, column: str, operator: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, "column": column, "operator": operator, "value": value, **more}


FILTERS: dict[str, tuple[list[dict[str, Any]], dict[str, list[int]]]] = {
    "nothing": ([], {"b": [1], "a": [1, 2]}),
    "name": ([_condition("string", "name", "=", "a")], {"a": [1, 2]}),
    "part of a name": ([_condition("string", "name", "does not contain", "a")], {"b": [1]}),
    "type": ([_condition("stringOptions", "type", "any of", ["chat"])], {"b": [1]}),
    "version": ([_condition("number", "version", ">", 1)], {"a": [2]}),
    "labels": ([_condition("arrayOptions", "labels", "any of", ["production"])], {"a": [1]}),
    "no label": ([_condition("arrayOptions", "labels", "none of", ["production"])], {"b": [1], "a": [2]}),
    "tags": ([_condition("arrayOptions", "tags", "all of", ["t", "u"])], {"a": [1, 2]}),
    "config": ([_condition("stringObject", "config", "starts with", "gpt", key="model")], {"a": [2]}),
    "a number in a config": ([_condition("stringObject", "config", "=", "1.50", key="t")], {"a": [2]}),
    "created": ([_condition("datetime", "createdAt", ">=", "2027-01-15T08:00:01Z")], {"b": [1], "a": [2]}),
    "two": ([_condition("number", "version", "<=", 1), _condition("string", "name", "ends with", "b")], {"b": [1]}),
    "both that exclude": ([_condition("string", "name", "=", "a"), _condition("string", "type", "=", "chat")], {}),
}


@pytest.mark.parametrize(("conditions", "expected"), FILTERS.values(), ids=FILTERS)
async def test_filters(api: Api, conditions: list[dict[str, Any]], expected: dict[str, list[int]]) -> None:
    """A filter selects versions; a name is listed with those of it that meet all conditions."""
    await publish(api, "a", labels=["production"], tags=["t", "u"])
    api.later()
    body = b'{"name":"a","prompt":"x","config":{"model":"gpt-x","t":1.50}}'
    assert (await api.p.post("/v2/prompts", content=body)).status_code == 201
    api.later()
    await publish(api, "b", CHAT, type="chat", tags=["t"])
    page = await api.get("/v2/prompts", filter=json.dumps(conditions))
    assert {one["name"]: one["versions"] for one in page["data"]} == expected
    assert [one["name"] for one in page["data"]] == list(expected)
    assert page["meta"]["totalItems"] == len(expected)
    more = await api.get("/v2/prompts", filter=json.dumps(conditions), name="a", limit=1)
    assert [one["name"] for one in more["data"]] == [name for name in expected if name == "a"]


async def test_filters_that_are_none(api: Api) -> None:
    """What is no filter is 400, and says why."""
    for wrong in (
        "x", "{}", json.dumps([_condition("string", "prompt", "=", "x")]),
        json.dumps([_condition("number", "name", "=", 1)]), json.dumps([_condition("string", "name", ">", "x")]),
        json.dumps([_condition("stringObject", "config", "=", "x")]),
        json.dumps([_condition("datetime", "createdAt", ">", "then")]),
        json.dumps([_condition("string", "name", "=", "x")] * 51),
    ):  # fmt: skip
        answer = await api.p.get("/v2/prompts", params={"filter": wrong})
        assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data")


async def test_one_prompt_inside_another(api: Api) -> None:
    """Tags stand for texts, by label and version, in texts and in messages, escaped as JSON wants it."""
    await publish(api, "deep", 'a "quoted" $1 \\ line\n世')
    await publish(api, "part", "[@@@langfusePrompt:name=deep|version=1@@@]", labels=["production"])
    tag = "@@@langfusePrompt:name=part|label=production@@@"
    whole = await publish(api, "whole", [{"role": "user", "content": f"{tag} and {tag}"}], type="chat")
    got = await api.get("/v2/prompts/whole", version=1)
    inside = '[a "quoted" $1 \\ line\n世]'
    assert got["prompt"] == [{"role": "user", "content": f"{inside} and {inside}"}]
    graph = got["resolutionGraph"]
    assert graph["root"] == {"name": "whole", "version": 1, "id": whole["id"]}
    [part] = graph["dependencies"][whole["id"]]
    assert [one["name"] for one in graph["dependencies"][part["id"]]] == ["deep"]
    raw = await api.get("/v2/prompts/whole", version=1, resolve="false")
    assert (raw["prompt"][0]["content"], raw["resolutionGraph"]) == (f"{tag} and {tag}", None)
    await publish(api, "part", "new", labels=["production"])
    assert (await api.get("/v2/prompts/whole", version=1))["prompt"][0]["content"] == "new and new"


async def test_what_only_looks_like_a_tag_is_text(api: Api) -> None:
    """Half a tag, a tag without a name and one with other words stay as they are."""
    text = "@@@langfusePrompt:name=a@@@ @@@langfusePrompt:version=1|name=a@@@ @@@langfusePrompt:name=a|label=X@@@"
    await publish(api, "n", text)
    got = await api.get("/v2/prompts/n", version=1)
    assert (got["prompt"], got["resolutionGraph"]) == (text, None)


async def test_what_cannot_be_inserted(api: Api) -> None:
    """A chat, a prompt inside itself, and a sixth prompt inside five are refused, also by moving a label."""
    await publish(api, "chat", CHAT, type="chat", labels=["production"])
    chat = {"name": "n", "prompt": "@@@langfusePrompt:name=chat|label=production@@@"}
    refused = await api.p.post("/v2/prompts", json=chat)
    said = "expected 'chat label production', which 'n' inserts, to be a text, not a chat"
    assert (refused.status_code, said in refused.json()["error"][0]["message"]) == (400, True)
    await publish(api, "1", "end")
    for number in range(2, 6):
        await publish(api, str(number), f"@@@langfusePrompt:name={number - 1}|version=1@@@")
    assert (await api.get("/v2/prompts/5", version=1))["prompt"] == "end"
    sixth = {"name": "6", "prompt": "@@@langfusePrompt:name=5|version=1@@@"}
    assert (await api.p.post("/v2/prompts", json=sixth)).status_code == 400
    # Known from another way, where it is less deep.
    both = "@@@langfusePrompt:name=4|version=1@@@@@@langfusePrompt:name=5|version=1@@@"
    assert (await api.p.post("/v2/prompts", json={"name": "6", "prompt": both})).status_code == 400

    await publish(api, "b", "leaf", labels=["l"])
    await publish(api, "a", "@@@langfusePrompt:name=b|label=l@@@")
    circle = {"name": "b", "prompt": "@@@langfusePrompt:name=a|version=1@@@", "labels": []}
    assert (await api.p.post("/v2/prompts", json=circle)).status_code == 400
    own = {"name": "a", "prompt": "@@@langfusePrompt:name=a|version=1@@@"}
    assert (await api.p.post("/v2/prompts", json=own)).status_code == 400


async def test_a_label_does_not_move_into_a_circle(api: Api) -> None:
    """What is no circle by versions may become one by a label: that move is refused, and nothing has changed."""
    await publish(api, "a", "leaf", labels=["l"])
    await publish(api, "b", "@@@langfusePrompt:name=a|label=l@@@", labels=["l"])
    # The second version of a inserts c, which goes on to b only by a label that moves later.
    await publish(api, "c", "leaf", labels=["l"])
    await publish(api, "a", "@@@langfusePrompt:name=c|label=l@@@")
    answer = await api.p.post(
        "/v2/prompts", json={"name": "c", "prompt": "@@@langfusePrompt:name=b|label=l@@@", "labels": ["other"]}
    )
    assert answer.status_code == 201
    assert (await api.p.patch("/v2/prompts/a/versions/2", json={"newLabels": ["l"]})).status_code == 200
    refused = await api.p.patch("/v2/prompts/c/versions/2", json={"newLabels": ["l"]})
    assert refused.status_code == 400
    assert (await api.get("/v2/prompts/c", label="l"))["version"] == 1
    assert (await api.get("/v2/prompts/b", label="l"))["prompt"] == "leaf"


async def test_a_text_without_end_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags that double the text at each step are refused before the text is made."""
    monkeypatch.setattr(composition, "LONGEST_RESOLVED", 2000)
    await publish(api, "1", "x" * 100)
    await publish(api, "2", "@@@langfusePrompt:name=1|version=1@@@" * 9)
    body = {"name": "3", "prompt": "@@@langfusePrompt:name=2|version=1@@@" * 9}
    assert (await api.p.post("/v2/prompts", json=body)).status_code == 400


async def test_what_others_insert_is_not_deleted(api: Api) -> None:
    """A version, or the last one with a label, stays while another prompt inserts it; the others go."""
    await publish(api, "part", "one", labels=["l"])
    await publish(api, "part", "two")
    await publish(api, "part", "three")
    await publish(api, "whole", "@@@langfusePrompt:name=part|label=l@@@ @@@langfusePrompt:name=part|version=2@@@")
    for query, expected in [({"version": 1}, 400), ({"label": "l"}, 400), ({"version": 2}, 400), ({}, 400)]:
        assert (await api.p.delete("/v2/prompts/part", params=query)).status_code == expected
    assert (await api.p.delete("/v2/prompts/part", params={"version": 3})).status_code == 204
    assert (await api.p.patch("/v2/prompts/part/versions/2", json={"newLabels": ["l"]})).status_code == 200
    assert (await api.p.delete("/v2/prompts/part", params={"version": 1})).status_code == 204
    assert (await api.p.delete("/v2/prompts/whole")).status_code == 204
    assert (await api.p.delete("/v2/prompts/part")).status_code == 204


async def test_hostile_texts_come_back(api: Api) -> None:
    """Quotes, NULs, half surrogates and SQL are texts like any other."""
    text = "'; DROP TABLE tc_catalog; -- \0 \" \\ \u2028 %_"
    await publish(api, "'; DROP TABLE tc_catalog; --", text, labels=["production"], tags=["%", "'", '"]'])
    got = await api.get("/v2/prompts/" + quote("'; DROP TABLE tc_catalog; --", safe=""))
    assert (got["prompt"], got["tags"]) == (text, ["%", "'", '"]'])
    assert len((await api.get("/v2/prompts", tag='"]'))["data"]) == 1
    assert (await api.get("/v2/prompts", tag="_"))["data"] == []
    body = rb'{"name":"half","prompt":"\ud800","config":{"half":"\ud800"},"labels":["production"]}'
    assert (await api.p.post("/v2/prompts", content=body)).status_code == 201
    half = await api.get("/v2/prompts/half")
    assert (half["prompt"], half["config"]) == (r"\ud800", {"half": r"\ud800"})  # made visible where it came in


async def test_a_long_prompt(api: Api) -> None:
    """Ten megabytes are published and read; what no other door could read is refused, and named."""
    text = "ä" * 5_000_000
    await publish(api, "long", text, labels=["production"])
    assert (await api.get("/v2/prompts/long"))["prompt"] == text
    answer = await api.p.post("/v2/prompts", json={"name": "longer", "prompt": "x" * 13_000_000})
    assert answer.status_code == 400
    assert "'longer'" in answer.text
    assert "12582912 bytes of prompt and configuration, not 13000004" in answer.text


async def test_all_publish_at_once(tmp_path: Path) -> None:
    """Twenty publishers over two openings of one file get twenty versions, and each label is on one of them."""
    backends = [open_backend(f"sqlite:///{tmp_path}/a.db", access="write") for _ in range(2)]
    for backend in backends:
        await backend.open()
    keepers = [CatalogPrompts(backend.catalog) for backend in backends]

    async def one(number: int) -> int:
        new = NewPrompt(name="n", type="text", prompt=Raw(json.dumps(f"{number}").encode()), labels=("production",))
        return (await keepers[number % 2].publish("p", new)).version

    async def move(number: int) -> None:
        await keepers[number % 2].change("p", "n", LabelMove(version=1 + number % 3, labels=("moving",)))

    versions = await asyncio.gather(*map(one, range(20)))
    assert sorted(versions) == list(range(1, 21))
    await asyncio.gather(*map(move, range(10)), *map(one, range(10)))
    found = [await keepers[0].get("p", "n", version=version) for version in range(1, 31)]
    for label in ("production", "moving", "latest"):
        assert [label in prompt.labels for prompt in found].count(True) == 1
    assert "latest" in found[-1].labels
    for backend in backends:
        await backend.close()


async def test_more_versions_than_one_commit_removes(api: Api) -> None:
    """A name with a thousand versions goes as a whole."""
    keeper = CatalogPrompts(api.server.state.backend.catalog)
    for _ in range(1001):
        await keeper.publish("p", NewPrompt(name="n", type="text", prompt=Raw(b'"x"')))
    await keeper.delete("p", "n")
    assert (await api.get("/v2/prompts"))["data"] == []
    assert await status(api, "/v2/prompts/n", version=1001) == 404
