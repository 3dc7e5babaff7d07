"""Declared operations: who may ask for what, what goes in, and what comes out when something is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

import httpx2
import pytest
from msgspec import Struct
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, Router

from tracecore.errors import (
    AccessDenied,
    BackendRejected,
    BackendUnavailable,
    ConfigError,
    Conflict,
    NotFound,
    TracecoreError,
)
from tracecore.plugins import open_backend
from tracecore.server.app import Server, every_operation
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.openapi import document
from tracecore.server.operations import PUBLIC, Call, Operation, Operations, query_of, routes_of
from tracecore.server.problems import Refusal
from tracecore.server.state import ServerState
from tracecore.services.access import KEY_SCOPES, PERMISSIONS, KeyScope

OPEN = {"/api/public/health", "/api/public/ready", "/openapi.json"}
"""Every path that needs no credential; one that is added here has been thought about."""
SIGNED = {"/api/public/media/{media_id}/upload", "/api/public/media/{media_id}/download"}
"""Paths whose URL is the credential."""


class Query(Struct, frozen=True, rename="camel"):
    """A query string."""

    how_many: int = 1
    names: tuple[str, ...] = ()
    only: bool | None = None


class Body(Struct, frozen=True, rename="camel"):
    """A body."""

    some_name: str
    count: int = 0


class Answer(Struct, frozen=True, rename="camel"):
    """An answer."""

    project: str
    said: str


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Return an open server over memory."""
    made = Server(open_backend("memory:"))
    await made.open()
    yield made
    await made.close()


async def key(server: Server, scope: KeyScope = "all", project: str = "p") -> tuple[str, str]:
    """Return a new key as an HTTP client wants it."""
    made = await server.state.keys.create(project, now_ns=server.state.wall(), scope=scope)
    return made.key.public_key, made.secret


def client(app: Any, auth: tuple[str, str] | None = None) -> httpx2.AsyncClient:
    """Return a client of an application without a socket between."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://server", auth=auth)


def filled(path: str) -> str:
    """Return a path with something in each of its places."""
    return re.sub(r"{\w+(:path)?}", "nothing-of-this-name", path)


def test_an_operation_needs_a_permission() -> None:
    """One without a permission cannot be declared: the module does not load, and no server starts."""
    operations = Operations()
    with pytest.raises(TypeError, match="permission"):
        operations.get("/x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # what the test is about


def test_one_path_and_method_is_one_operation() -> None:
    """Declared twice, the second would never be asked: no server starts."""
    state = ServerState(open_backend("memory:"))
    operations = Operations()
    for _ in range(2):
        operations.get("/x", permission="project:read")(echo)
    with pytest.raises(ValueError, match="twice"):
        routes_of(operations.declared, state)


def test_every_permission_is_known() -> None:
    """Each operation's permission is one of those that keys are given."""
    for operation in every_operation():
        assert operation.permission == PUBLIC or operation.permission in PERMISSIONS, operation.name
    assert {operation.path for operation in every_operation() if operation.permission == PUBLIC} == OPEN | SIGNED


async def test_every_route_asks_who_it_is(server: Server) -> None:
    """T45: each route of the live router, with each method, is 401 without a credential, but for those listed."""
    routes = live_routes(server)
    assert len(routes) >= 20
    async with client(server) as http:
        for route in routes:
            for method in sorted(route.methods or ()):
                answer = await http.request(method, filled(route.path))
                if route.path in OPEN | SIGNED:
                    assert answer.status_code != 401, (method, route.path)
                else:
                    assert answer.status_code in {401, 405}, (method, route.path)


@pytest.mark.parametrize("scope", KEY_SCOPES)
async def test_every_operation_keeps_its_permission(server: Server, scope: KeyScope) -> None:
    """T45: each operation with a key of each scope: 403 where the scope does not go so far, and only there."""
    auth = await key(server, scope)
    async with client(server, auth) as http:
        for operation in every_operation():
            answer = await http.request(operation.method, filled(operation.path))
            allowed = operation.permission == PUBLIC or operation.permission in KEY_SCOPES[scope]
            unsigned = operation.path in SIGNED
            assert (answer.status_code == 403) == (unsigned or not allowed), operation.name
            assert answer.status_code < 500, (operation.name, answer.text)


async def test_paths_and_methods_that_are_none(server: Server) -> None:
    """What is not there is 404, and what cannot be done there 405, in JSON and with what to do."""
    async with client(server) as http:
        nowhere = await http.get("/api/public/nowhere")
        wrong = await http.put("/api/public/health")
    assert (nowhere.status_code, nowhere.json()["error"]) == (404, "LangfuseNotFoundError")
    assert (wrong.status_code, wrong.json()["message"]) == (405, "PUT /api/public/health; use GET")


async def test_a_page_may_give_scores_and_nothing_else(server: Server) -> None:
    """A browser asks first whether a page of another origin may: it may give scores, by the public part of a key."""
    public, _ = await key(server)
    asks = {"origin": "https://shop.example", "access-control-request-headers": "authorization,content-type"}
    async with client(server) as http:
        for path, method, allowed in (
            ("scores", "POST", True), ("ingestion", "POST", True), ("scores/x", "DELETE", False),
            ("v2/observations", "GET", False), ("projects", "GET", False),
        ):  # fmt: skip
            url = f"/api/public/{path}"
            answer = await http.options(url, headers={**asks, "access-control-request-method": method})
            assert (answer.headers.get("access-control-allow-origin") == "*") == allowed, path
        score = {"traceId": "t", "name": "liked", "value": 1}
        answer = await http.post(
            "/api/public/scores", json=[score], headers={**asks, "authorization": f"Bearer {public}"}
        )
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (202, "*")


async def test_an_unopened_server_opens_at_the_first_request() -> None:
    """Mounted where nobody runs its lifespan, it answers all the same, also many first requests at once."""
    made = Server(open_backend("memory:"))
    outer = Starlette()
    outer.mount("/tracecore", made)
    async with client(outer) as http:
        answer = await http.get("/tracecore/api/public/health")
    assert answer.json()["status"] == "OK"
    await made.close()


async def echo(call: Call, name: str, query: Query, body: Body) -> Answer:
    """Return what was asked."""
    return Answer(call.project, f"{name} {query.how_many} {query.names} {query.only} {body.some_name} {body.count}")


async def failing(call: Call, name: str) -> Answer:
    """Fail in the way that is named."""
    raise FAILURES[name][0]


async def by_hand(call: Call) -> Annotated[Response, Answer]:
    """Answer by hand."""
    return Response(b"{}", 299)


async def nothing(call: Call) -> None:
    """Answer with nothing."""


FAILURES: dict[str, tuple[Exception, int]] = {
    "invalid": (InvalidRequest("no"), 400),
    "wrong": (ConfigError("label", "X", "the request", "lower case"), 400),
    "refused": (Refusal(418, "Teapot", "no"), 418),
    "missing": (NotFound("thing", "x"), 404),
    "conflict": (Conflict("no"), 409),
    "denied": (AccessDenied("no"), 403),
    "rejected": (BackendRejected("no", "do something else"), 422),
    "away": (BackendUnavailable("no", retry_after=2.5), 503),
    "ours": (TracecoreError("no"), 500),
    "mistake": (ZeroDivisionError("a secret of the server"), 500),
    "value": (ValueError("a secret of the server"), 500),
}


def small(server: Server) -> Router:
    """Return an application of the operations above."""
    operations = Operations("/api")
    operations.post("/echo/{name:path}", permission="datasets:CUD", status=201)(echo)
    operations.get("/failing/{name}", permission="project:read")(failing)
    operations.get("/by-hand", permission="project:read")(by_hand)
    operations.delete("/nothing", permission="project:read")(nothing)
    return Router(routes=routes_of(operations.declared, server.state))


async def test_what_goes_in_and_comes_out(server: Server) -> None:
    """Path, query and body arrive with their types; the answer has the declared status and names."""
    async with client(small(server), await key(server)) as http:
        answer = await http.post(
            "/api/echo/a/b%20c?howMany=7&names=x&names=y&only=true&unknown=1", json={"someName": "n", "other": 1}
        )
        made = await http.get("/api/by-hand")
        empty = await http.delete("/api/nothing")
    assert (answer.status_code, answer.json()) == (201, {"project": "p", "said": "a/b c 7 ('x', 'y') True n 0"})
    assert made.status_code == 299
    assert (empty.status_code, empty.content) == (204, b"")


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?howMany=many", b'{"someName":"n"}'),
        ("?only=perhaps", b'{"someName":"n"}'),
        ("", b""),
        ("", b"{"),
        ("", b"[]"),
        ("", b'{"count":1}'),
        ("", b'{"someName":1}'),
        ("", b'{"someName":"\xff"}'),
        ("", b"[" * 100_000),
        ("", b'{"someName":' + b"[" * 100_000),
    ],
)
async def test_what_is_no_request_is_400(server: Server, query: str, body: bytes) -> None:
    """A query or a body of another shape is 400 in the words of Langfuse's API, and says where it is wrong."""
    async with client(small(server), await key(server)) as http:
        answer = await http.post(f"/api/echo/x{query}", content=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data")
    assert answer.json()["error"][0]["message"]


@pytest.mark.parametrize("name", FAILURES)
async def test_each_error_is_its_status(server: Server, name: str) -> None:
    """An error of ours is the status of its meaning; a mistake is 500, and its words stay in the log."""
    async with client(small(server), await key(server)) as http:
        answer = await http.get(f"/api/failing/{name}")
    assert answer.status_code == FAILURES[name][1]
    assert set(answer.json()) == {"message", "error"}
    assert "secret" not in answer.text
    if name == "away":
        assert answer.headers["retry-after"] == "3"


def test_values_of_a_query() -> None:
    """An empty value is none, the last of several counts, and a list takes all."""
    items = [("howMany", "1"), ("howMany", "2"), ("names", "a"), ("names", ""), ("only", "")]
    assert query_of(items, Query) == Query(2, ("a", ""), None)


def test_the_document_describes_every_operation() -> None:
    """OpenAPI: each operation is there once, with parameters, body and answer, and every reference leads somewhere."""
    operations = Operations("/api")
    operations.post("/echo/{name:path}", permission="datasets:CUD", status=201)(echo)
    operations.get("/by-hand", permission=PUBLIC)(by_hand)
    operations.delete("/nothing", permission="project:read")(nothing)
    made = document(operations.declared)
    assert set(made["paths"]) == {"/api/echo/{name}", "/api/by-hand", "/api/nothing"}
    post = made["paths"]["/api/echo/{name}"]["post"]
    assert [one["name"] for one in post["parameters"]] == ["name", "howMany", "names", "only"]
    assert set(post["responses"]) >= {"201", "400", "401", "403", "404", "503"}
    assert made["paths"]["/api/by-hand"]["get"]["security"] == []
    assert "204" in made["paths"]["/api/nothing"]["delete"]["responses"]
    whole = json.dumps(document(every_operation()))
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', whole))
    assert references <= set(json.loads(whole)["components"]["schemas"])
    names = [operation.name for operation in every_operation()]
    assert len(names) == len(set(names)), "an operation id is used twice"


def live_routes(server: Server) -> list[Route]:
    """Return every route that the application has."""
    observing: Any = vars(server)["_app"]
    router: Any = vars(observing)["_app"]
    routes = cast("list[Route]", router.routes)
    assert {type(route) for route in routes} == {Route}, "something else than a route is served"
    return routes


def test_operations_say_what_they_are() -> None:
    """Each has a sentence of its own, which is its line in the document."""
    for operation in every_operation():
        assert isinstance(operation, Operation)
        assert operation.summary.endswith("."), operation.name
