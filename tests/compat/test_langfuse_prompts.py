"""Prompts that the Langfuse Python SDK manages have versions and labels, and its cache and fallbacks work."""

from __future__ import annotations

import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_prompts", server)


def test_text(told: Told, server: Server) -> None:
    """Versions count up, ``latest`` is the newest, a label is on one version, and tags are those of the name."""
    saw = told["text"]
    assert (saw["first"]["version"], saw["second"]["version"]) == (1, 2)
    assert saw["default"]["prompt"] == saw["one"]["prompt"] == saw["blue"]["prompt"] == "Hello {{name}}, {{unknown}}"
    assert (saw["default"]["config"], saw["default"]["commit_message"]) == ({"model": "m", "temperature": 0.1}, "first")
    assert (saw["latest"]["version"], "latest" in saw["latest"]["labels"]) == (2, True)
    assert "latest" not in saw["one"]["labels"]
    assert sorted(saw["latest"]["tags"]) == sorted(saw["one"]["tags"]) == ["t1", "t2"]
    assert (saw["compiled"], saw["variables"]) == ("Hello Ada, {{unknown}}", ["name", "unknown"])
    assert (saw["moved"]["version"], saw["left"]["labels"]) == (2, ["blue"])
    raw = server.get("/v2/prompts/folder%2Fgreeting%20%C3%BC")
    assert (raw["version"], raw["type"], raw["name"]) == (2, "text", "folder/greeting ü")


def test_chat(told: Told) -> None:
    """A chat keeps its messages and its placeholder."""
    saw = told["chat"]
    kinds = [message.get("type") for message in saw["prompt"]["prompt"]]
    assert kinds[1] == "placeholder"
    assert [message["content"] for message in saw["compiled"]] == ["You are kind", "before", "世界?"]


def test_missing(told: Told) -> None:
    """Nobody's prompt is not found; a fallback takes its place."""
    saw = told["missing"]
    assert saw["raised"]["status"] == 404
    assert saw["raised"]["body"]["message"]
    assert (saw["fallback"]["is_fallback"], saw["compiled"]) == (True, "Hello x")


def test_chat_fallback(told: Told) -> None:
    """A fallback is a chat, too; a prompt without the label that is asked for is not there, whatever else it has."""
    saw = told["chat_fallback"]
    assert saw["chat"] == [True, [{"role": "user", "content": "Hi Ada"}]]
    assert saw["text"] == [True, "Hello Ada"]
    assert saw["latest"]["version"] == 1


def test_linked(told: Told, server: Server) -> None:
    """A generation carries name and version of what it was made with, and nothing of a fallback."""
    spans = server.by_name(told["linked"]["trace_id"])
    found = {name: (spans[name]["promptName"], spans[name]["promptVersion"], spans[name]["output"]) for name in spans}
    assert found == {
        "root": (None, None, None), "production": ("linked/ü", 1, "1 y"), "latest": ("linked/ü", 2, "2 y"),
        "fallback": (None, None, "x"),
    }  # fmt: skip


def test_split(told: Told) -> None:
    """Who cannot choose gets the version that the label is on."""
    saw = told["split"]
    assert (saw["status"], saw["got"]["version"], saw["got"]["prompt"]) == (200, 2, "two")
    assert (saw["typed"]["version"], saw["typed"]["labels"]) == (2, ["production", "latest"])


def test_cached(told: Told) -> None:
    """The SDK's cache holds what it read, and what it changes itself it reads anew."""
    saw = told["cached"]
    assert [saw[name] for name in ("before", "stale", "fresh", "after")] == ["one", "one", "two", "three"]


def test_composed(told: Told) -> None:
    """One prompt is inserted into another, unless the raw text is asked for."""
    saw = told["composed"]
    assert saw["resolved"]["prompt"] == "Be brief. Answer {{q}}"
    assert saw["raw"]["prompt"] == "@@@langfusePrompt:name=part|label=production@@@ Answer {{q}}"


def test_listed(told: Told) -> None:
    """Prompts are listed by name, each with its versions, labels and tags, in pages."""
    saw = told["listed"]
    assert saw["all"]["meta"] == {"page": 1, "limit": 2, "totalItems": 3, "totalPages": 2}
    names = [one["name"] for page in ("all", "second") for one in saw[page]["data"]]
    assert sorted(names) == ["listed/0", "listed/1", "listed/2"]
    [one] = saw["named"]["data"]
    assert (one["versions"], one["type"], one["tags"]) == ([1], "text", ["listed"])
    assert set(one["labels"]) == {"green", "latest"}
    assert {one["name"] for one in saw["labelled"]["data"]} == set(names)


def test_removed(told: Told) -> None:
    """A version that is deleted leaves the others, and ``latest`` moves; deleted whole it is not found."""
    saw = told["removed"]
    assert saw["left"]["data"][0]["versions"] == [1, 2]
    assert saw["latest"]["version"] == 2
    assert saw["status"] == 404


def test_refused(told: Told) -> None:
    """A label that is kept or malformed, another type, and a version that is not there are refused."""
    answers = {name: answer[1] for name, answer in told["refused"].items()}
    assert answers == {"latest": 400, "label": 400, "type": 400, "version": 404}
