"""Prompts of a tracecore server as a client sees them: errors as they were raised, and answers of anybody at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec import Raw
from starlette.applications import Starlette

from tests.http_server import Asked, Reply, Rooms, room_names, served, stub
from tracecore.errors import (
    AccessDenied,
    BackendRejected,
    BackendUnavailable,
    Closed,
    ConfigError,
    Conflict,
    DiskFull,
    NotFound,
    TracecoreError,
)
from tracecore.memory import open_backend as open_memory
from tracecore.prompt_wire import LONGEST_WAIT_S, AskFeed, path_of
from tracecore.prompts import LabelMove, NewPrompt, Prompting, PromptQuery, PromptStore, Rollback
from tracecore.server.native import routes
from tracecore.testing.opening import opened
from tracecore.wire import BASE, Problem, decode, encode, managing_error_of, problem_of
from tracecore_http import open_backend
from tracecore_http.address import parse
from tracecore_http.native import NativeBackend
from tracecore_http.transport import Answer, Request

NEW = NewPrompt(name="n", prompt=Raw(b'"x"'))
EVERYTHING: dict[str, Callable[[PromptStore], Any]] = {
    "get": lambda store: store.get("p", "n"),
    "find": lambda store: store.find("p", PromptQuery()),
    "history": lambda store: store.history("p", "n"),
    "publish": lambda store: store.publish("p", NEW),
    "change": lambda store: store.change("p", "n", Rollback()),
    "delete": lambda store: store.delete("p", "n"),
    "changes": lambda store: store.changes("p", 0),
}
"""A call of each method."""
WRITES = {"publish", "change", "delete"}
ABOUT = Reply(200, encode({"version": "1"}))


def answering(reply: Reply) -> Callable[[Asked], Reply]:
    """Return a server that says hello, and to anything else this."""
    return lambda asked: ABOUT if asked.path.endswith("/capabilities") else reply


async def raised(reply: Reply, method: str = "get", *, user: str = "") -> TracecoreError:
    """Return what a method raises for an answer."""
    with stub(answering(reply)) as server:
        async with opened(open_backend(f"http://{user}{server.address}")) as backend:
            assert isinstance(backend, Prompting)
            with pytest.raises(TracecoreError) as told:
                await EVERYTHING[method](backend.prompts)
    return told.value


def refusal(error: TracecoreError) -> Reply:
    """Return the answer that an error is."""
    problem = problem_of(error)
    return Reply(problem.status, encode(problem), {"content-type": "application/problem+json"})


ERRORS: list[TracecoreError] = [
    NotFound("prompt", "greting", "there is 'greeting'"), NotFound("prompt", "x" * 500), NotFound("prompt", "é\n\x00"),
    ConfigError("label", "X Y", "the request", "a-z"), ConfigError("version", 7, "the request", "another"),
    ConfigError("prompt", None, "the request", "something"), ConfigError("a", value=True, source="b", expected="c"),
    ConfigError("shares", [1, 2], "the request", "fewer"), ConfigError("weight", 1e400, "the request", "less"),
    ConfigError("number", 10**40, "the request", "less"), ConfigError("prompt", "y" * 5000, "the request", "less"),
    Conflict("label 'production' of 'n' is on version 5, not on 3"), AccessDenied("label 'production' is protected"),
    BackendRejected("no", "do something else"), BackendUnavailable("later", retry_after=7.0),
    DiskFull("full", "mend it"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_errors_are_what_they_were(error: TracecoreError) -> None:
    """The same class with the same words, wherever the store is; facts that are short are the same facts."""
    found = await raised(refusal(error))
    assert type(found) is type(error)
    shown = "".join(one if one.isprintable() else " " for one in str(error)).strip()
    assert str(found) == shown
    if isinstance(error, NotFound):
        assert isinstance(found, NotFound)
        assert (found.kind, found.remedy) == (error.kind, error.remedy)
        assert error.name.startswith(found.name.rstrip())
    if isinstance(error, ConfigError):
        assert isinstance(found, ConfigError)
        assert (found.key, found.source, found.expected) == (error.key, error.source, error.expected)
    if isinstance(error, BackendUnavailable):
        assert isinstance(found, BackendUnavailable)
        assert found.retry_after == error.retry_after


def test_problems_of_older_servers() -> None:
    """A problem without facts is still the error, in the same words; an unknown one is none of ours."""
    found = managing_error_of(Problem("NotFound", 404, "no prompt 'n'"))
    assert isinstance(found, NotFound)
    assert str(found) == "no prompt 'n'"
    assert managing_error_of(Problem("Teapot", 418, "no")) is None


async def test_an_older_server() -> None:
    """One that has the endpoint and knows no prompts is named as that: asking again is of no use."""
    with served(Starlette(routes=routes(open_memory(f"memory:{next(room_names)}")))) as url:
        async with opened(open_backend(url)) as backend:
            assert isinstance(backend, Prompting)
            for call in EVERYTHING.values():
                with pytest.raises(BackendRejected, match="knows no prompts; bring that server up to date"):
                    await call(backend.prompts)


@pytest.mark.parametrize("method", EVERYTHING)
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, b"<html>log in</html>", {"content-type": "text/html"}), BackendUnavailable),
        (Reply(200, b'{"never":"mind"}'), BackendUnavailable), (Reply(200, b"\xff\x00"), BackendUnavailable),
        (Reply(200, b"[" * 100_000), BackendUnavailable), (Reply(404, b"no"), BackendUnavailable),
        (Reply(404, b"{}", {"content-type": "application/problem+json"}), BackendUnavailable),
        (Reply(400, b"bad"), BackendUnavailable), (Reply(401, b"{}"), BackendUnavailable),
        (Reply(403, b"{}"), BackendUnavailable), (Reply(429), BackendUnavailable), (Reply(500), BackendUnavailable),
        (Reply(302, headers={"location": "http://elsewhere/?token=1"}), BackendUnavailable),
        (Reply(None), BackendUnavailable),
    ],
)  # fmt: skip
async def test_answers_of_somebody_else(method: str, reply: Reply, error: type[TracecoreError]) -> None:
    """What is no answer of a tracecore server may be one later: nothing is taken for a prompt, or for its absence."""
    found = await raised(reply, method)
    assert type(found) is error
    assert "token" not in str(found)


async def test_what_a_server_says_is_shown_within_bounds() -> None:
    """Control characters, endless words and our own secret, which it may send back, do not reach the error."""
    said = f"\x1b[31mno {'z' * 100_000}"
    answer = Problem("NotFound", 404, f"sk-of-mine {said}", about={"kind": said, "name": "sk-of-mine", "remedy": said})
    reply = Reply(404, encode(answer), {"content-type": "application/problem+json"})
    found = await raised(reply, user="pk:sk-of-mine@")
    assert isinstance(found, NotFound)
    for text in (str(found), found.name, found.kind, found.remedy):
        assert "sk-of-mine" not in text
        assert "\x1b" not in text
        assert len(text) <= 2000


async def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than an answer may hold is not read."""
    monkeypatch.setattr("tracecore_http.prompts.LARGEST_ANSWER", 1000)
    assert "too large; ask for less" in str(await raised(Reply(200, b" " * 2000)))


@pytest.mark.parametrize("method", EVERYTHING)
async def test_before_and_after(method: str) -> None:
    """Nothing is asked of a backend that is not open; one that was opened for reading changes nothing."""
    with served(Rooms()) as url:
        reader = open_backend(f"{url}/{next(room_names)}", access="read")
        assert isinstance(reader, Prompting)
        with pytest.raises(Closed, match="open it first"):
            await EVERYTHING[method](reader.prompts)
        async with opened(reader):
            if method in WRITES:
                with pytest.raises(BackendRejected, match="opened for reading"):
                    await EVERYTHING[method](reader.prompts)
        with pytest.raises(Closed):
            await EVERYTHING[method](reader.prompts)


class _Slow:
    """Answer each request after some time, and note what was asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: list[Request] = []

    async def open(self) -> None:
        """Do nothing."""

    async def exchange(self, request: Request) -> Answer:
        """Answer."""
        self.asked.append(request)
        if request.url.endswith("/capabilities"):
            return Answer(200, {}, b"{}")
        await anyio.sleep(self.seconds)
        return Answer(200, {}, b'{"number":1,"names":["n"]}')

    async def close(self) -> None:
        """Do nothing."""


async def test_waiting_has_a_time_of_its_own() -> None:
    """A server that was asked to wait is given that time besides its own; other requests are not."""
    transport = _Slow(0.2)
    backend = NativeBackend(parse("http://h?timeout=0.05"), access="read", connect=lambda _: transport)
    async with opened(backend):
        assert (await backend.prompts.changes("p", 0, wait=60.0)).names == ("n",)
        with pytest.raises(BackendUnavailable, match=r"did not answer within 0\.05 s"):
            await backend.prompts.changes("p", 0)
        with pytest.raises(BackendUnavailable, match=r"did not answer within 0\.1 s"):
            await backend.prompts.changes("p", 0, wait=0.05)
    asked = [decode(one.body, AskFeed) for one in transport.asked if one.url.endswith(path_of("changes"))]
    assert [one.wait for one in asked] == [LONGEST_WAIT_S, 0, 0.05]


async def test_records_are_not_refused_for_what_managing_raises() -> None:
    """A key that may not write is an operator's matter: records wait for it, and are not lost."""
    reply = Reply(403, encode(Problem("AccessDenied", 403, "no")), {"content-type": "application/problem+json"})
    with stub(answering(reply)) as server:
        async with opened(open_backend(f"http://{server.address}")) as backend:
            with pytest.raises(BackendUnavailable, match="correct the credentials"):
                await backend.maintain()
            assert isinstance(backend, Prompting)
            with pytest.raises(AccessDenied):
                await backend.prompts.change("p", "n", LabelMove(version=1, labels=("a",)))
    assert server.asked[1].path == f"{BASE}/maintain"


@pytest.mark.parametrize("url", ["http+otlp://127.0.0.1:1/v1/traces", "https+otlp://h"])
def test_a_collector_keeps_no_prompts(url: str) -> None:
    """OTLP has no such thing, and the backend says so by having none."""
    assert not isinstance(open_backend(url), Prompting)
