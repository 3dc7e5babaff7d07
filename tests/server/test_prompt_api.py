"""Prompts on tracecore's own endpoint: who may ask what, whose name a change has, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import anyio
import httpx2
import pytest
from starlette.types import Message

from tests.server.conftest import Api
from tracecore.prompt_wire import EXCHANGES, PROMPTS, path_of
from tracecore.server import prompt_feeds, prompts_native
from tracecore.services.access import KEY_SCOPES, KeyScope

NATIVE = "http://server"
PROTECTED = f"{NATIVE}{PROMPTS}/protected-labels"
QUESTIONS: dict[str, dict[str, Any]] = {
    "get": {"name": "n"}, "find": {}, "history": {"name": "n"}, "changes": {"since": 0},
    "publish": {"new": {"name": "n", "prompt": "x"}}, "change": {"name": "n", "change": {"type": "rollback"}},
    "delete": {"name": "n"},
}  # fmt: skip
"""A question for each method."""


async def ask(who: httpx2.AsyncClient, method: str, **question: Any) -> httpx2.Response:
    """Ask the endpoint."""
    return await who.post(f"{NATIVE}{path_of(method)}", json={"project": "", **question})


async def told(who: httpx2.AsyncClient, method: str, **question: Any) -> Any:
    """Return what the endpoint answers, which succeeds."""
    answer = await ask(who, method, **question)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def publish(who: httpx2.AsyncClient, name: str = "n", prompt: Any = "x", **more: Any) -> Any:
    """Publish a version."""
    return await told(who, "publish", new={"name": name, "prompt": prompt, **more})


def problem(answer: httpx2.Response) -> tuple[int, str, str]:
    """Return status, title and words of a refusal, which is a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said = answer.json()
    assert said["status"] == answer.status_code
    return answer.status_code, said["title"], said["detail"]


async def until_waiting(api: Api, count: int = 1) -> None:
    """Return when so many wait; a hang is the test's to end."""
    while api.server.state.prompt_feeds.waiting < count:  # noqa: ASYNC110 - nobody tells when somebody begins to wait
        await anyio.sleep(0.01)


async def test_everything_that_a_store_does(api: Api) -> None:
    """Each method over plain JSON; every change is the key's, whoever the request says that it is by."""
    made = await publish(api.p, labels=["production"], author={"name": "the boss"}, commit_message="why")
    by = made["created_by"]
    assert by.startswith("pk-tc-")
    await publish(api.p, prompt="y")
    moved = await told(
        api.p, "change", name="n", change={"type": "move", "version": 2, "labels": ["production"], "expected": 1},
        author={"name": "the boss"},
    )  # fmt: skip
    assert (moved["version"], moved["prompt"], moved["labels"]) == (2, "y", ["production", "latest"])
    split = {
        "type": "split",
        "label": "production",
        "shares": [{"version": 1, "weight": 1}, {"version": 2, "weight": 9}],
    }
    await told(api.p, "change", name="n", change=split)
    assert [one["version"] for one in (await told(api.p, "get", name="n"))["shares"]] == [1, 2]
    assert (await told(api.p, "change", name="n", change={"type": "split", "label": "production"}))["version"] == 2
    back = await told(api.p, "change", name="n", change={"type": "rollback", "reason": "it was rude"})
    assert back["version"] == 1
    await told(api.p, "change", name="n", change={"type": "unlabel", "label": "production"})
    history = await told(api.p, "history", name="n")
    assert [one["version"] for one in history["versions"]] == [2, 1]
    assert {move["by"] for move in history["moves"]} == {by}
    assert "it was rude" in {move.get("reason") for move in history["moves"]}
    [found] = (await told(api.p, "find", query={"name": "n"}))["items"]
    assert (found["versions"], list(found["labels"])) == ([1, 2], ["latest"])
    feed = await told(api.p, "changes", since=0)
    assert feed["names"] == ["n"]
    assert await told(api.p, "delete", name="n", version=1) is None
    assert (await told(api.p, "changes", since=feed["number"])) == {"number": feed["number"] + 1, "names": ["n"]}


@pytest.mark.parametrize("scope", KEY_SCOPES)
async def test_a_key_may_what_its_scope_says(api: Api, scope: KeyScope) -> None:
    """T45: each method with a key of each scope: reading needs prompts:read, changing prompts:CUD."""
    assert QUESTIONS.keys() == EXCHANGES.keys()
    may = KEY_SCOPES[scope]
    async with await api.client("p", scope) as who:
        for method, question in QUESTIONS.items():
            needed = "prompts:CUD" if method in {"publish", "change", "delete"} else "prompts:read"
            answer = await ask(who, method, **question)
            assert (answer.status_code == 403) == (needed not in may), method
        assert (await who.get(PROTECTED)).status_code == (200 if "prompts:read" in may else 403)
        answer = await who.put(PROTECTED, json={"labels": []})
        assert answer.status_code == (200 if "promptProtectedLabels:CUD" in may else 403)


async def test_without_a_key(api: Api) -> None:
    """Nobody is told anything, before their body is read."""
    transport = httpx2.ASGITransport(api.server)
    async with httpx2.AsyncClient(transport=transport, auth=("pk-tc-x", "no")) as who:
        for method in EXCHANGES:
            assert problem(await who.post(f"{NATIVE}{path_of(method)}", content=b"{"))[:2] == (401, "Unauthorized")
        assert problem(await who.get(PROTECTED))[0] == 401


async def test_protected_labels(api: Api) -> None:
    """Who may not move them neither sets, moves, splits nor takes one off, nor deletes what has one."""
    assert (await api.p.get(PROTECTED)).json() == {"labels": []}
    put = await api.p.put(PROTECTED, json={"labels": ["stable", "production", "stable"]})
    assert put.json() == (await api.p.get(PROTECTED)).json() == {"labels": ["production", "stable"]}
    assert (await api.q.get(PROTECTED)).json() == {"labels": []}
    await publish(api.p, labels=["production"])
    async with await api.client("p", "member") as member:
        await publish(member, prompt="y", labels=["blue"])
        shares = [{"version": 1, "weight": 1}, {"version": 2, "weight": 1}]
        refused: list[dict[str, Any]] = [
            {"type": "move", "version": 2, "labels": ["red", "production"]}, {"type": "rollback", "to": 2},
            {"type": "split", "label": "production", "shares": shares}, {"type": "unlabel", "label": "production"},
        ]  # fmt: skip
        for change in refused:
            status, title, said = problem(await ask(member, "change", name="n", change=change))
            assert (status, title, "'production'" in said) == (403, "AccessDenied", True), said
        new = {"name": "n", "prompt": "z", "labels": ["stable"]}
        assert problem(await ask(member, "publish", new=new))[:2] == (403, "AccessDenied")
        for gone in ({"version": 1}, {}):
            assert problem(await ask(member, "delete", name="n", **gone))[:2] == (403, "AccessDenied")
        # What Langfuse's clients ask is refused alike.
        answers = [
            await member.patch("/v2/prompts/n/versions/2", json={"newLabels": ["production"]}),
            await member.post("/v2/prompts", json={"name": "n", "prompt": "z", "labels": ["production"]}),
            await member.delete("/v2/prompts/n", params={"version": 1}),
        ]  # fmt: skip
        for answer in answers:
            assert (answer.status_code, answer.json()["error"]) == (403, "ForbiddenError")
            assert "'production'" in answer.json()["message"]
        assert problem(await member.put(PROTECTED, json={"labels": []}))[:2] == (403, "AccessDenied")
        await told(member, "delete", name="n", version=2)
    spare = {"type": "unlabel", "label": "production"}
    answer = await ask(api.p, "change", name="n", change=spare, author={"moves_protected": False})
    assert problem(answer)[:2] == (403, "AccessDenied")
    moved = await api.p.patch("/v2/prompts/n/versions/1", json={"newLabels": ["stable"]})
    assert moved.json()["labels"] == ["production", "stable", "latest"]
    await told(api.p, "delete", name="n")


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"labels":"x"}', b'{"labels":["NO"]}', b'{"labels":["latest"]}'])
async def test_a_list_that_cannot_be(api: Api, body: bytes) -> None:
    """Labels that cannot be, or that are everybody's, are not protected; the list stays as it was."""
    await api.p.put(PROTECTED, json={"labels": ["a"]})
    assert (await api.p.put(PROTECTED, content=body)).status_code == 400
    assert (await api.p.get(PROTECTED)).json() == {"labels": ["a"]}


async def test_what_is_another_projects_is_not_there(api: Api) -> None:
    """T45, T46: names of another project are unknown, in the same words as those that nobody has, and stay."""
    await publish(api.q, "secret/greeting", "theirs", labels=["production"])
    await publish(api.p, "ours")
    questions = {key: value | ({"name": "{}"} if "name" in value else {}) for key, value in QUESTIONS.items()}
    for method in ("get", "history", "change", "delete"):
        words = []
        for name in ("secret/greeting", "secret/grotting"):
            answer = await ask(api.p, method, **questions[method] | {"name": name, "project": "q"})
            assert answer.status_code == 404, answer.text
            words.append(answer.text.replace(name, "it"))
        assert words[0] == words[1], method
        assert "secret" not in words[0]
    assert [one["name"] for one in (await told(api.p, "find", project="q"))["items"]] == ["ours"]
    assert (await told(api.p, "changes", since=0, project="q"))["names"] == ["ours"]
    assert (await publish(api.p, "secret/greeting", "ours"))["version"] == 1
    assert (await told(api.q, "get", name="secret/greeting"))["prompt"] == "theirs"


NAMES = [
    "a/b/c", "100%", "a%2Fb", "a?b#c&d=e", "'; DROP TABLE x; --", "..", "a/../b", "grüße 世界 \U0001f600", "x" * 255,
    "versions/1/x", '"quoted"', "back\\slash",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_names_of_any_kind(api: Api, name: str) -> None:
    """A name that some address could break at is that name, on our endpoint and on Langfuse's."""
    await publish(api.p, name, "text", labels=["production"])
    assert (await told(api.p, "get", name=name))["name"] == name
    assert (await told(api.p, "history", name=name))["versions"][0]["name"] == name
    if name != "..":  # an address that ends so is another one
        path = f"/v2/prompts/{quote(name, safe='')}"
        assert (await api.get(path))["name"] == name
        assert (await api.p.delete(path)).status_code == 204
        assert problem(await ask(api.p, "get", name=name))[:2] == (404, "NotFound")


async def test_long_prompts(api: Api) -> None:
    """Two megabytes come back as they were; more than an answer could hold is refused, and nothing is published."""
    text = "é{{x}} " * 300_000
    made = await publish(api.p, "long", text, labels=["production"])
    assert made["prompt"] == (await told(api.p, "get", name="long"))["prompt"] == text
    answer = await api.p.post(f"{NATIVE}{path_of('publish')}", content=b" " * (16 << 20) + b"{}")
    assert problem(answer)[:2] == (413, "TooLarge")
    answer = await api.p.post(f"{NATIVE}{path_of('get')}", content=b" " * (1 << 20) + b"{}")
    assert problem(answer)[:2] == (413, "TooLarge")


async def test_a_history_that_is_too_long_is_a_shorter_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest versions that fit are answered; one that does not fit alone is refused."""
    for _ in range(10):
        await publish(api.p, prompt="x" * 1000)
    monkeypatch.setattr(prompts_native, "LARGEST_ANSWER", 8000)
    history = await told(api.p, "history", name="n")
    assert [one["version"] for one in history["versions"]] == [10, 9, 8, 7, 6]
    monkeypatch.setattr(prompts_native, "LARGEST_ANSWER", 500)
    for method in ("history", "get"):
        answer = await ask(api.p, method, name="n", **({} if method == "history" else {"version": 1}))
        assert problem(answer)[:2] == (422, "BackendRejected")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("get", b""), ("get", b"{"), ("get", b"[]"), ("get", b"null"), ("get", b'"\xff"'), ("get", b'{"project":""}'),
        ("get", b'{"project":"","name":"n","unknown":1}'), ("get", b'{"project":"","name":"n","version":"1"}'),
        ("get", b'{"project":"","name":"n","version":1.5}'), ("get", b'{"project":"","name":7}'),
        ("get", b"[" * 100_000), ("changes", b'{"project":"","since":-1.5}'),
        ("changes", b'{"project":"","since":0,"wait":-1}'), ("changes", b'{"project":"","since":0,"wait":"long"}'),
        ("changes", b'{"project":"","since":0,"wait":NaN}'), ("find", b'{"project":"","query":{"limits":1}}'),
        ("change", b'{"project":"","name":"n","change":{"type":"drop"}}'), ("change", b'{"project":"","name":"n"}'),
        ("change", b'{"project":"","name":"n","change":{"type":"move","version":1}}'),
        ("publish", b'{"project":"","new":{"name":"m","prompt":"\\ud800"}}'),
        ("publish", b'{"project":"","new":{"name":"m\\ud800","prompt":"x"}}'),
        ("publish", b'{"project":"","new":{"name":"m","prompt":{"a":1}}}'),
        ("publish", b'{"project":"","new":{"name":"m","prompt":"x","type":"song"}}'),
        ("publish", b'{"project":"","new":{"name":"m","prompt":"x","config":}}'),
        ("publish", b'{"project":"","new":{"name":"|","prompt":"x"}}'),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked(api: Api, method: str, body: bytes) -> None:
    """Bytes that are no question are 400 with what is wrong, and change nothing."""
    await publish(api.p)
    status, title, said = problem(await api.p.post(f"{NATIVE}{path_of(method)}", content=body))
    assert (status, title) == (400, "ConfigError"), said
    assert len(said) < 1000
    assert (await told(api.p, "changes", since=0))["number"] == 1


async def test_ways_that_are_none(api: Api) -> None:
    """A method that a path has not, and a path that is none, are problems like everything else."""
    answer = await api.p.get(f"{NATIVE}{path_of('get')}")
    assert problem(answer) == (405, "WrongMethod", f"GET {path_of('get')}")
    assert problem(await api.p.post(f"{NATIVE}{PROMPTS}/nothing"))[:2] == (404, "NoSuchRoute")
    assert problem(await api.p.patch(PROTECTED, json={}))[:2] == (405, "WrongMethod")


async def test_errors_carry_what_they_are_made_of(api: Api) -> None:
    """A client makes the same error again of what a problem says."""
    await publish(api.p, "greeting")
    missing = (await ask(api.p, "get", name="greting", version=1)).json()
    assert (missing["title"], missing["about"]["kind"]) == ("NotFound", "prompt")
    assert "greeting" in missing["about"]["remedy"]
    both = (await ask(api.p, "get", name="greeting", version=1, label="x")).json()
    assert (both["title"], both["about"]["key"], both["about"]["value"]) == ("ConfigError", "label", "x")
    late = await ask(api.p, "publish", new={"name": "greeting", "prompt": "x", "after": 7})
    assert problem(late)[:2] == (409, "Conflict")


@pytest.mark.parametrize("since", [-1, 2, 10**12])
async def test_a_number_that_the_feed_never_had(api: Api, since: int) -> None:
    """Everything may have changed, which is told at once, however long somebody would wait."""
    await publish(api.p)
    assert await told(api.p, "changes", since=since, wait=30) == {"number": 1, "names": None}


async def test_an_endless_wait_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A billion seconds are as long as a server waits."""
    monkeypatch.setattr(prompts_native, "LONGEST_WAIT_S", 0.05)
    with anyio.fail_after(30):
        assert await told(api.p, "changes", since=0, wait=1e9) == {"number": 0, "names": []}


@pytest.mark.parametrize("by", ["tracecore", "Langfuse", "Langfuse, a label", "Langfuse, deleting"])
async def test_who_waits_is_told(api: Api, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change through either API is told at once to whoever waits in the same project, and to nobody in another."""
    monkeypatch.setattr(prompt_feeds, "LOOK_EVERY_S", 1000.0)  # nobody looks for what other processes have changed
    await publish(api.p)
    answers: dict[str, Any] = {}

    async def wait(name: str, who: httpx2.AsyncClient, since: int) -> None:
        answers[name] = await told(who, "changes", since=since, wait=30)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(wait, "q", api.q, 0)
            async with anyio.create_task_group() as mine:
                mine.start_soon(wait, "p", api.p, 1)
                await until_waiting(api, 2)
                match by:
                    case "tracecore":
                        await publish(api.p)
                    case "Langfuse":
                        await api.post("/v2/prompts", {"name": "n", "prompt": "y"}, 201)
                    case "Langfuse, a label":
                        await api.p.patch("/v2/prompts/n/versions/1", json={"newLabels": ["a"]})
                    case _:
                        await api.p.delete("/v2/prompts/n")
            assert answers == {"p": {"number": 2, "names": ["n"]}}
            await api.server.close()  # and who waits is answered
    assert answers["q"] == {"number": 0, "names": []}


async def test_a_client_that_goes_is_not_waited_for(api: Api) -> None:
    """Once the connection is gone nobody looks at the store any more."""
    feeds = api.server.state.prompt_feeds
    gone, body = anyio.Event(), json.dumps({"project": "", "since": 0, "wait": 30}).encode()
    events: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if events:
            return events.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        """Throw an answer away."""

    made = await api.server.state.keys.create("p", now_ns=api.now_ns)
    basic = httpx2.BasicAuth(made.key.public_key, made.secret)
    header = next(basic.auth_flow(httpx2.Request("GET", NATIVE))).headers["authorization"]
    scope: Mapping[str, Any] = {
        "type": "http", "method": "POST", "path": path_of("changes"), "query_string": b"", "root_path": "",
        "headers": [(b"authorization", header.encode())], "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(api.server, dict(scope), receive, send)
            await until_waiting(api)
            gone.set()
    assert feeds.waiting == 0


async def test_too_many_wait(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than may is told when to come again."""
    monkeypatch.setattr(api.server.state.prompt_feeds, "_most", 1)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: told(api.p, "changes", since=0, wait=30))
            await until_waiting(api)
            answer = await ask(api.p, "changes", since=0, wait=30)
            assert problem(answer)[:2] == (503, "BackendUnavailable")
            assert answer.headers["retry-after"] == "5"
            assert (await told(api.p, "changes", since=0))["number"] == 0
            api.server.state.prompt_feeds.end()


async def test_langfuses_answers_say_more(api: Api) -> None:
    """Its clients are told of variables and of a split, who published is the key, and what they sent is declared."""
    declared = {"name": {"type": "string", "description": "whom"}}
    made = await api.post(
        "/v2/prompts", {"name": "n", "prompt": "Hi {{name}}", "labels": ["production"], "variables": declared}, 201
    )
    assert (made["variables"]["name"]["description"], made["shares"]) == ("whom", [])
    assert made["createdBy"].startswith("pk-tc-")
    undeclared = {"name": "n", "prompt": "Hi {{nobody}}", "variables": declared}
    answer = await api.p.post("/v2/prompts", json=undeclared)
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data")
    assert "nobody" in answer.json()["error"][0]["message"]
    await api.post("/v2/prompts", {"name": "n", "prompt": "Hello"}, 201)
    split = {
        "type": "split",
        "label": "production",
        "shares": [{"version": 1, "weight": 1}, {"version": 2, "weight": 3}],
    }
    await told(api.p, "change", name="n", change=split)
    got = await api.get("/v2/prompts/n")
    assert (got["version"], got["shares"]) == (1, [{"version": 1, "weight": 1.0}, {"version": 2, "weight": 3.0}])
