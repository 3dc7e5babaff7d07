"""Prompts of a Langfuse server: its own addresses and names, and what it cannot do is said instead of being lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec import Raw

from tests.http_server import Asked, Reply, room_names, served, stub
from tracecore.errors import (
    AccessDenied,
    BackendRejected,
    BackendUnavailable,
    Closed,
    ConfigError,
    Conflict,
    NotFound,
    TracecoreError,
)
from tracecore.kinds import catalog_of
from tracecore.memory import open_backend as open_memory
from tracecore.prompts import (
    Author,
    Held,
    LabelMove,
    NewPrompt,
    Prompting,
    PromptQuery,
    PromptStore,
    Rollback,
    Share,
    Split,
    Unlabel,
    Variable,
)
from tracecore.server.app import Server
from tracecore.services.keys import Keys, NewKey
from tracecore.testing.opening import opened
from tracecore_http import open_backend

PROMPTS = "/api/public/v2/prompts"
PROMPT = {
    "id": "i1", "createdAt": "2026-01-02T03:04:05.678Z", "updatedAt": "2026-01-02T03:04:06.000Z", "projectId": "p",
    "createdBy": "API", "prompt": "Hi {{name}}", "name": "a/b", "version": 3, "type": "text", "isActive": None,
    "config": {"b": 1, "a": 12345678901234567890123}, "tags": ["t"], "labels": ["production", "latest"],
    "commitMessage": None, "resolutionGraph": None,
}  # fmt: skip
"""One version as Langfuse's server answers (API reference of its prompts)."""


def store_of(backend: object) -> PromptStore:
    """Return the prompts of a backend that has such."""
    assert isinstance(backend, Prompting)
    return backend.prompts


async def done(
    work: Callable[[PromptStore], Any], answer: Callable[[Asked], Reply], **arguments: Any
) -> tuple[Any, list[Asked]]:
    """Return what some work on a server's prompts gives, or the error of ours that it raises, and what was asked."""

    def answering(asked: Asked) -> Reply:
        return Reply(200, b'{"data":[]}') if asked.path == "/api/public/projects" else answer(asked)

    with stub(answering) as server:
        async with opened(open_backend(f"http+langfuse://pk-lf-1:sk-lf-2@{server.address}", **arguments)) as backend:
            try:
                found = await work(store_of(backend))
            except TracecoreError as error:
                found = error
    return found, server.asked[1:]


def deleting(name: str, **arguments: Any) -> Callable[[PromptStore], Any]:
    """Return what deletes something."""
    return lambda store: store.delete("p", name, **arguments)


def finding(query: PromptQuery) -> Callable[[PromptStore], Any]:
    """Return what lists names."""
    return lambda store: store.find("p", query)


def one_version(_: Asked) -> Reply:
    """Answer with the version, whatever is asked."""
    return Reply(200, json.dumps(PROMPT).encode())


async def test_a_version() -> None:
    """Every member is what it was there; the address is what its own SDK asks for."""
    found, [asked] = await done(lambda store: store.get("p", "a/b"), one_version)
    assert (asked.method, asked.path) == ("GET", f"{PROMPTS}/a%2Fb")
    assert asked.headers["authorization"] == "Basic cGstbGYtMTpzay1sZi0y"
    assert (found.id, found.name, found.version, found.type, found.created_by) == ("i1", "a/b", 3, "text", "API")
    assert (bytes(found.prompt), found.labels, found.tags) == (b'"Hi {{name}}"', ("production", "latest"), ("t",))
    assert b"12345678901234567890123" in bytes(found.config)
    assert (found.created_ns, found.updated_ns) == (1_767_323_045_678_000_000, 1_767_323_046_000_000_000)
    assert (found.variables, found.shares, found.graph) == (None, (), None)


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, {}), ({"version": 3}, {"version": ["3"]}), ({"label": "a.b"}, {"label": ["a.b"]}),
        ({"resolve": False}, {"resolve": ["false"]}),
    ],
)  # fmt: skip
async def test_which_version(arguments: dict[str, Any], query: dict[str, list[str]]) -> None:
    """A number or a label is asked for, or neither: then the server takes ``production``."""
    _, [asked] = await done(lambda store: store.get("p", "n", **arguments), one_version)
    assert parse_qs(urlsplit(asked.path).query) == query


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("grüße 世", "gr%C3%BC%C3%9Fe%20%E4%B8%96"), ("100%", "100%25"), ("a?b#c&d=e", "a%3Fb%23c%26d%3De"),
        ("a%2Fb", "a%252Fb"), ("../x", "..%2Fx"), ("a/versions", "a%2Fversions"), ("x" * 255, "x" * 255),
    ],
)  # fmt: skip
async def test_names_in_addresses(name: str, path: str) -> None:
    """Whatever a name holds, it is one part of the path."""
    _, asked = await done(lambda store: store.get("p", name), one_version)
    await done(lambda store: store.delete("p", name), lambda _: Reply(204, b""))
    assert [one.path for one in asked] == [f"{PROMPTS}/{path}"]


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_names_that_no_address_can_hold(name: str) -> None:
    """What would be another address is not asked for: there is no such prompt, and nothing else is deleted for it."""
    for work in (lambda store: store.get("p", name), lambda store: store.delete("p", name)):
        found, asked = await done(work, one_version)
        assert (type(found), asked) == (NotFound, [])


async def test_what_is_published() -> None:
    """The body has Langfuse's names, payloads byte for byte; what is not said is left out."""
    new = NewPrompt(
        name="a/b", type="chat", prompt=Raw(b'[{"role":"user",  "content":"x"}]'), config=Raw(b'{"a":1.0}'),
        labels=("production",), tags=("t",), commit_message="why",
    )  # fmt: skip
    found, [asked] = await done(lambda store: store.publish("p", new), one_version)
    assert (asked.method, asked.path, asked.headers["content-type"]) == ("POST", PROMPTS, "application/json")
    assert json.loads(asked.body) == {
        "name": "a/b", "type": "chat", "prompt": [{"role": "user", "content": "x"}], "config": {"a": 1.0},
        "labels": ["production"], "tags": ["t"], "commitMessage": "why",
    }  # fmt: skip
    assert b'[{"role":"user",  "content":"x"}]' in asked.body
    assert found.version == 3
    _, [asked] = await done(lambda store: store.publish("p", NewPrompt(name="n", prompt=Raw(b'"x"'))), one_version)
    assert json.loads(asked.body).keys() == {"name", "type", "prompt", "config", "labels"}


async def test_labels_and_deleting() -> None:
    """A label is moved by PATCH to a version; a version, a label's, or all are deleted."""
    move = LabelMove(version=3, labels=("production", "a"))
    found, [asked] = await done(lambda store: store.change("p", "a/b", move), one_version)
    assert (asked.method, asked.path) == ("PATCH", f"{PROMPTS}/a%2Fb/versions/3")
    assert (json.loads(asked.body), found.version) == ({"newLabels": ["production", "a"]}, 3)
    for arguments, query in (({}, ""), ({"version": 2}, "?version=2"), ({"label": "a"}, "?label=a")):
        found, [asked] = await done(deleting("a/b", **arguments), lambda _: Reply(204, b""))
        assert (found, asked.method, asked.path) == (None, "DELETE", f"{PROMPTS}/a%2Fb{query}")


NEW = NewPrompt(name="n", prompt=Raw(b'"x"'))
DECLARED = NewPrompt(name="n", prompt=Raw(b'"{{x}}"'), variables={"x": Variable()})
CANNOT: list[tuple[str, Callable[[PromptStore], Any]]] = [
    ("tell what became of 'n'", lambda store: store.history("p", "n")),
    ("tell what has changed", lambda store: store.changes("p", 0, wait=5)),
    ("roll a label back", lambda store: store.change("p", "n", Rollback())),
    ("split a label", lambda store: store.change("p", "n", Split(label="a", shares=(Share(1, 1), Share(2, 1))))),
    ("take a label off", lambda store: store.change("p", "n", Unlabel(label="a"))),
    ("on condition", lambda store: store.change("p", "n", LabelMove(version=1, labels=("a",), expected=2))),
    ("keep why", lambda store: store.change("p", "n", LabelMove(version=1, labels=("a",), reason="so"))),
    ("on condition", lambda store: store.publish("p", NewPrompt(name="n", prompt=Raw(b'"x"'), after=1))),
    ("variables", lambda store: store.publish("p", DECLARED)),
    ("protected", lambda store: store.delete("p", "n", author=Author("a", moves_protected=False))),
    ("limit = 0", lambda store: store.find("p", PromptQuery(limit=0))),
    ("limit = 1001", lambda store: store.find("p", PromptQuery(limit=1001))),
    ("offset = -1", lambda store: store.find("p", PromptQuery(offset=-1))),
]  # fmt: skip


@pytest.mark.parametrize(("what", "work"), CANNOT)
async def test_what_it_cannot_do(what: str, work: Callable[[PromptStore], Any]) -> None:
    """It is refused with what to do instead, before anything is asked."""
    found, asked = await done(work, one_version)
    assert (type(found), asked) == (BackendRejected, [])
    assert what in str(found)
    assert found.remedy


def refusal(status: int, body: Any) -> Callable[[Asked], Reply]:
    """Return a server that refuses everything in these words."""
    return lambda _: Reply(status, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, {"message": "not found: 'n'", "error": "LangfuseNotFoundError"}, NotFound, "'n'; the server says: not"),
        (404, {"message": "No route"}, BackendUnavailable, "correct the address"),
        (404, "no", BackendUnavailable, "correct the address"),
        (400, {"message": "Invalid data", "error": [{"message": "label: no"}]}, ConfigError, "takes: label: no"),
        (400, {"message": "a cycle", "error": "InvalidRequestError"}, ConfigError, "takes: a cycle"),
        (400, {"error": [7]}, ConfigError, "takes:"),
        (401, {"message": "Invalid credentials"}, BackendUnavailable, "correct the credentials"),
        (403, {"message": "protected"}, AccessDenied, "protected"), (403, {}, AccessDenied, "do not permit"),
        (409, {"message": "already"}, Conflict, "already"), (413, {}, BackendRejected, "413"),
        (422, {"message": "x"}, BackendRejected, "422"), (429, {}, BackendUnavailable, "429"),
        (500, {"message": "oops"}, BackendUnavailable, "oops"), (503, {}, BackendUnavailable, "503"),
        (200, {"name": "n"}, BackendUnavailable, "not as a Langfuse server does"),
        (200, {**PROMPT, "version": "three"}, BackendUnavailable, "not as a Langfuse server does"),
    ],
)  # fmt: skip
async def test_what_its_refusals_mean(status: int, body: Any, kind: type[TracecoreError], said: str) -> None:
    """What is not there, wrong, forbidden or taken is each its own error, in its words; all else may pass."""
    found, _ = await done(lambda store: store.get("p", "n"), refusal(status, body))
    assert isinstance(found, kind)
    assert said in str(found)


async def test_secrets_and_endless_words_are_not_shown() -> None:
    """What a server sends back of our key, or a page of it, does not reach the error."""
    body = {"message": f"sk-lf-2 {'z' * 100_000}", "error": "LangfuseNotFoundError"}
    found, _ = await done(lambda store: store.get("p", "n"), refusal(404, body))
    assert "sk-lf-2" not in str(found)
    assert len(str(found)) < 600


async def test_before_it_is_open() -> None:
    """Nothing is asked; one that was opened for reading changes nothing."""
    with pytest.raises(Closed):
        await store_of(open_backend("http+langfuse://pk:sk@h")).get("p", "n")
    for work in (lambda store: store.publish("p", NEW), lambda store: store.delete("p", "n")):
        found, asked = await done(work, one_version, access="read")
        assert (type(found), asked) == (BackendRejected, [])


class Many:
    """A server with many names, which lists them as Langfuse does: a label selects versions, not names."""

    def __init__(self, count: int) -> None:
        self.names = [f"n{number:04}" for number in range(count)]

    def __call__(self, asked: Asked) -> Reply:
        """Answer."""
        parts = urlsplit(asked.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path != PROMPTS:
            labels = {"a": 1, "b": 1, "c": 2}
            version = labels[query["label"]]
            with_it = [label for label, on in labels.items() if on == version]
            return Reply(200, json.dumps({**PROMPT, "version": version, "labels": with_it}).encode())
        names = [name for name in self.names if query.get("name") in {None, name}]
        page, limit = int(query["page"]), int(query["limit"])
        assert limit <= 100
        is_part = "label" in query
        data = [
            {"name": name, "type": "text", "versions": [2] if is_part else [2, 1, 3], "tags": ["t"],
             "labels": ["c"] if is_part else ["latest", "c", "a", "b"], "lastUpdatedAt": "2026-01-02T03:04:05Z",
             "lastConfig": {}} for name in names[(page - 1) * limit : page * limit]
        ]  # fmt: skip
        meta = {"page": page, "limit": limit, "totalItems": len(names), "totalPages": 9}
        return Reply(200, json.dumps({"data": data, "meta": meta}).encode())


@pytest.mark.parametrize(
    ("limit", "offset"),
    [(50, 0), (50, 50), (100, 200), (7, 0), (7, 3), (250, 0), (1000, 30), (100, 50), (5, 299), (5, 400)],
)
async def test_pages(limit: int, offset: int) -> None:
    """Any limit and offset are made of numbered pages of 100 at most, and nothing is twice or missing."""
    many = Many(300)
    found, asked = await done(lambda store: store.find("p", PromptQuery(limit=limit, offset=offset)), many)
    assert [one.name for one in found.items] == many.names[offset : offset + limit]
    assert found.total == 300
    assert sum(urlsplit(one.path).path == PROMPTS for one in asked) <= limit // 100 + 2


async def test_where_labels_are() -> None:
    """A list says which labels there are: on which version each is, is asked for, once for those that are together."""
    found, asked = await done(lambda store: store.find("p", PromptQuery()), Many(1))
    [one] = found.items
    assert one.labels == {"a": Held(1), "b": Held(1), "c": Held(2), "latest": Held(3)}
    assert (one.versions, one.tags, one.updated_ns) == ((1, 2, 3), ("t",), 1_767_323_045_000_000_000)
    assert sorted(one.path.partition("label=")[2].partition("&")[0] for one in asked[1:]) == ["a", "c"]
    found, _ = await done(lambda store: store.find("p", PromptQuery(label="c")), Many(2))
    assert [(one.versions, len(one.labels)) for one in found.items] == [((1, 2, 3), 4)] * 2


async def test_a_folder_is_a_filter() -> None:
    """The server is asked for names that begin so; an older one that lists others all the same is refused."""
    listed = {
        "data": [{"name": "a/b/c", "type": "text", "versions": [1], "labels": ["latest"]}],
        "meta": {"totalItems": 1},
    }
    for folder, is_fine in (("a/b", True), ("a/b/", True), ("a", True), ("b", False)):
        query = PromptQuery(folder=folder, since_ns=0, until_ns=10**18)
        found, [asked] = await done(finding(query), refusal(200, listed))
        said = parse_qs(urlsplit(asked.path).query)
        [condition] = json.loads(said["filter"][0])
        assert condition == {
            "type": "string", "column": "name", "operator": "starts with", "value": folder.rstrip("/") + "/",
        }  # fmt: skip
        assert said["fromUpdatedAt"] == ["1970-01-01T00:00:00.000000Z"]
        assert (type(found) is BackendRejected) == (not is_fine)


async def test_a_label_that_goes_while_it_is_looked_for() -> None:
    """What is deleted between two requests is left out, and no error."""

    def answer(asked: Asked) -> Reply:
        if urlsplit(asked.path).path == PROMPTS:
            return Many(1)(asked)
        return refusal(404, {"message": "gone", "error": "LangfuseNotFoundError"})(asked)

    found, _ = await done(lambda store: store.find("p", PromptQuery()), answer)
    assert found.items[0].labels == {"latest": Held(3)}
    found, _ = await done(
        lambda store: store.find("p", PromptQuery()),
        lambda asked: Many(9)(asked) if urlsplit(asked.path).path == PROMPTS else Reply(500),
    )
    assert isinstance(found, BackendUnavailable)


async def _key(location: str) -> NewKey:
    async with opened(open_memory(location)) as backend:
        return await Keys(catalog_of(backend)).create("p", now_ns=1)


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a tracecore server, asked as if it were Langfuse's."""
    location = f"memory:{next(room_names)}"
    made = asyncio.run(_key(location))
    with served(Server(open_memory(location))) as address:
        yield f"http+langfuse://{made.key.public_key}:{made.secret}@{address.removeprefix('http://')}"


async def test_our_own_server_in_the_same_way(url: str) -> None:
    """What one client publishes through Langfuse's addresses it finds again: the same to the byte."""
    async with opened(open_backend(url)) as backend:
        store = store_of(backend)
        for text in ("one", "two", "three"):
            made = await store.publish("p", NewPrompt(name="a/b?%#ü", prompt=Raw(b'"%b"' % text.encode()), tags=("t",)))
        assert (made.version, made.tags) == (3, ("t",))
        await store.change("p", made.name, LabelMove(version=2, labels=("production", "x")))
        await store.publish("p", NewPrompt(name="other", prompt=Raw(b'"x"'), labels=("x",)))
        assert bytes((await store.get("p", made.name)).prompt) == b'"two"'
        found = await store.find("p", PromptQuery(label="x"))
        assert {one.name: one.labels for one in found.items} == {
            made.name: {"production": Held(2), "x": Held(2), "latest": Held(3)},
            "other": {"x": Held(1), "latest": Held(1)},
        }
        assert [one.name for one in (await store.find("p", PromptQuery(folder="a"))).items] == [made.name]
        with pytest.raises(NotFound, match="versions 1 to 3"):
            await store.get("p", made.name, version=9)
        with pytest.raises(ConfigError, match="latest"):
            await store.change("p", made.name, LabelMove(version=1, labels=("latest",)))
        with pytest.raises(ConfigError, match="not both"):
            await store.get("p", made.name, version=9, label="x")
        await store.delete("p", made.name, version=3)
        await store.delete("p", made.name, label="x")
        assert (await store.get("p", made.name, label="latest")).version == 1
        await store.delete("p", made.name)
        with pytest.raises(NotFound):
            await store.get("p", made.name, version=1)
