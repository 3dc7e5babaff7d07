"""The server's own endpoint: what it refuses, with what words, and what it never does with a request."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from tracecore.backend import Batch, ObservationQuery, Page, Receipt
from tracecore.errors import AccessDenied, BackendRejected, BackendUnavailable, DiskFull
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.records import Observation
from tracecore.server import native
from tracecore.server.bodies import zstd
from tracecore.server.native import Limits, routes
from tracecore.testing.samples import PROJECT, entry, json_of, score, session, span
from tracecore.wire import BASE, READS, Lookup, Written, decode, encode, encode_search


class Backend(MemoryBackend):
    """The reference backend, with something that happens at each write."""

    def __init__(self) -> None:
        super().__init__(MemoryData(), location="memory:", access="write")
        self.answer: Callable[[Batch], Any] = lambda _: None
        self.at_once = 0
        self.most_at_once = 0

    async def write(self, batch: Batch) -> Any:
        """Write, and note how many do so at once."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.lowlevel.checkpoint()
            answer = self.answer(batch)
            await super().write(batch)
            return answer
        finally:
            self.at_once -= 1


@asynccontextmanager
async def client(**arguments: Any) -> AsyncIterator[tuple[httpx2.AsyncClient, Backend]]:
    """Return a client of the endpoint over a fresh backend, without a socket between."""
    backend = Backend()
    await backend.open()
    app = Starlette(routes=routes(backend, **arguments))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://server{BASE}") as opened:
        yield opened, backend


def refusing(error: Exception) -> Callable[[Batch], None]:
    """Return what refuses every batch."""

    def refuse(_: Batch) -> None:
        raise error

    return refuse


def problem(response: httpx2.Response) -> tuple[int, str]:
    """Return status and title of an answer that must be a problem."""
    assert response.headers["content-type"] == "application/problem+json"
    said = json.loads(response.content)
    assert said["status"] == response.status_code
    assert said["detail"]
    return response.status_code, said["title"]


async def test_what_is_written_is_answered() -> None:
    """200 says how many records were kept, after the backend has kept them."""
    batch = [span(1), session("s"), score("1"), entry()]
    async with client() as (http, backend):
        response = await http.post("/batch", content=encode(batch))
        assert (response.status_code, response.content) == (200, encode(Written(4)))
        assert await backend.observations.tree(PROJECT, span(1).trace_id) == [span(1)]
        backend.answer = lambda _: Receipt(3, "odd")
        assert (await http.post("/batch", content=encode(batch))).content == encode(Written(1, 3, "odd"))
        assert decode((await http.get("/capabilities")).content, dict[str, Any])["ledger"] is True


async def test_writes_come_one_after_the_other() -> None:
    """Backend.write is "never called concurrently", however many clients there are."""
    async with client() as (http, backend), anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(partial(http.post, "/batch", content=encode([span(number)])))
    assert backend.most_at_once == 1
    assert backend.at_once == 0


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"", {}, (400, "Malformed")),
        (b"{}", {}, (400, "Malformed")),
        (b"[" * 100_000, {}, (400, "Malformed")),
        (b'[{"record":"trace"}]', {}, (400, "Malformed")),
        (b"[]", {"content-encoding": "zstd"}, (400, "Malformed")),
        (b"[]", {"content-encoding": "gzip"}, (400, "Malformed")),
        (b"[]", {"content-encoding": "br"}, (415, "Unsupported")),
        (zstd.compress(b"[]") + b"x", {"content-encoding": "zstd"}, (400, "Malformed")),
        (zstd.compress(b"[]")[:-1], {"content-encoding": "zstd"}, (400, "Malformed")),
        (gzip.compress(b"[]", mtime=0) + b"x", {"content-encoding": "gzip"}, (400, "Malformed")),
        (gzip.compress(b"[]", mtime=0)[:-1], {"content-encoding": "gzip"}, (400, "Malformed")),
        (zstd.compress(bytes(80 << 20)), {"content-encoding": "zstd"}, (413, "TooLarge")),
        (gzip.compress(bytes(80 << 20)), {"content-encoding": "gzip"}, (413, "TooLarge")),
        (gzip.compress(bytes(6 << 20)), {"content-encoding": "gzip"}, (413, "TooLarge")),
    ],
)
async def test_what_is_no_batch_is_refused(body: bytes, headers: dict[str, str], expected: tuple[int, str]) -> None:
    """Garbage is 400 and what is too large 413, decided at the first byte beyond a bound; every answer is JSON."""
    async with client() as (http, _):
        assert problem(await http.post("/batch", content=body, headers=headers)) == expected
        assert (await http.post("/batch", content=b"[]")).status_code == 200


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("identity", bytes), ("zstd", zstd.compress), ("gzip", gzip.compress), ("deflate", zlib.compress)],
)
async def test_bodies_of_any_length_are_inflated(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """Whether a body ends at the end of a piece or in the middle, all of it arrives."""
    async with client() as (http, _):
        for length in (0, 1, 1 << 16, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 20):
            body = b"[]" + b" " * (length - 2) if length >= 2 else b"[]"
            response = await http.post("/batch", content=compress(body), headers={"content-encoding": encoding})
            assert response.content == encode(Written(0)), length


async def test_bounds_are_settings() -> None:
    """A server that can take less says so."""
    limits = Limits(wire_bytes=2000, inflated_bytes=5000, free_bytes=100, ratio=10)
    async with client(limits=limits) as (http, _):
        for body, headers in (
            (b"[" + b" " * 2000 + b"]", {}),
            (gzip.compress(b"[" + b" " * 5000 + b"]"), {"content-encoding": "gzip"}),
            (gzip.compress(b"[" + b" " * 2000 + b"]"), {"content-encoding": "gzip"}),
        ):
            assert problem(await http.post("/batch", content=body, headers=headers)) == (413, "TooLarge")
        assert (await http.post("/batch", content=b"[" + b" " * 1900 + b"]")).status_code == 200


async def test_too_many_records_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has a greatest number of records."""
    monkeypatch.setattr(native, "MOST_RECORDS", 2)
    async with client() as (http, _):
        assert problem(await http.post("/batch", content=encode([span(1), span(2), span(3)]))) == (413, "TooLarge")
        assert (await http.post("/batch", content=encode([span(1), span(2)]))).status_code == 200


@pytest.mark.parametrize(
    ("error", "expected", "retry_after"),
    [
        (BackendUnavailable("busy", retry_after=1.2), (503, "BackendUnavailable"), "2"),
        (BackendUnavailable("busy"), (503, "BackendUnavailable"), None),
        (DiskFull("no space"), (503, "DiskFull"), None),
        (BackendRejected("no"), (422, "BackendRejected"), None),
        (AccessDenied("no"), (403, "AccessDenied"), None),
        (MemoryError("a mistake of ours"), (500, "InternalError"), None),
        (ValueError("a mistake of ours"), (422, "BackendRejected"), None),
    ],
)
async def test_errors_keep_their_names(
    error: Exception, expected: tuple[int, str], retry_after: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Each error of ours has a status and its name; any other is said in the log and not to the client.

    What the backend must not raise means that the batch will never be written, as it does in a pump.
    """
    async with client() as (http, backend):
        backend.answer = refusing(error)
        response = await http.post("/batch", content=encode([span(1)]))
    assert problem(response) == expected
    assert response.headers.get("retry-after") == retry_after
    assert "mistake of ours" not in response.text
    assert ("mistake of ours" in caplog.text) == isinstance(error, ValueError | MemoryError)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/batch", (405, "WrongMethod")),
        ("DELETE", "/traces/find", (405, "WrongMethod")),
        ("POST", "/capabilities", (405, "WrongMethod")),
        ("POST", "/nothing/here", (404, "NoSuchRoute")),
        ("GET", "/", (404, "NoSuchRoute")),
    ],
)
async def test_what_is_not_there_is_said_in_json(method: str, path: str, expected: tuple[int, str]) -> None:
    """A wrong path and a wrong method are problems like others."""
    async with client() as (http, _):
        assert problem(await http.request(method, path)) == expected


@pytest.mark.parametrize("read", READS.values(), ids=lambda read: read.path)
async def test_every_question_is_checked(read: Any) -> None:
    """A read refuses what it does not understand, and what does not say all that it needs."""
    path = read.path.removeprefix(BASE)
    async with client() as (http, _):
        for body in (b"", b"[]", b"{}", b'{"project":1}', b'{"project":"p","colour":"red"}', b" " * (2 << 20)):
            assert problem(await http.post(path, content=body))[0] in {400, 413}
        if read.method in {"get", "tree"}:
            assert problem(await http.post(path, content=encode(Lookup("p"))))[0] == 400


async def test_unknown_ids_are_null() -> None:
    """A store answers None for what it does not know; so does the route, and it is no error."""
    async with client() as (http, _):
        response = await http.post("/traces/get", content=encode(Lookup("p", trace_id="1")))
        assert (response.status_code, response.content) == (200, b"null")


async def test_a_store_that_is_not_there_is_said() -> None:
    """A backend without a store answers so, once and for all."""
    async with client() as (http, backend):
        backend.sessions = None  # type: ignore[misc,assignment]  # this one keeps none
        response = await http.post("/sessions/get", content=encode(Lookup("p", session_id="1")))
    assert problem(response) == (422, "BackendRejected")
    assert "keeps no sessions" in response.text


async def test_a_request_reaches_what_it_may() -> None:
    """One function decides for every write and read which project a request reaches, or that it reaches none."""

    def reach(request: Request, project: str) -> str:
        if request.headers.get("authorization") != "Bearer mine":
            raise AccessDenied("no")
        return "mine"

    async with client(reach=reach) as (http, backend):
        theirs = encode([span(1, project="theirs")])
        for path, body in (
            ("/batch", theirs),
            ("/traces/get", encode(Lookup("theirs", trace_id="1"))),
            ("/maintain", b""),
        ):
            assert problem(await http.post(path, content=body)) == (403, "AccessDenied")
        assert problem(await http.get("/capabilities")) == (403, "AccessDenied")
        http.headers["authorization"] = "Bearer mine"
        assert (await http.post("/batch", content=theirs)).status_code == 200
        assert await backend.observations.tree("theirs", span(1).trace_id) == []
        body = encode(Lookup("theirs", trace_id=span(1).trace_id))
        found = decode((await http.post("/observations/tree", content=body)).content, list[Observation])
    assert found == [span(1, project="mine")]


async def test_a_page_that_is_too_large_is_a_shorter_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer has a greatest length: pages are cut, their cursors lead on, and a single thing is refused."""
    monkeypatch.setattr(native, "LARGEST_ANSWER", 5000)
    spans = [span(number, input=json_of("x" * 1000)) for number in range(1, 10)]
    async with client() as (http, backend):
        await backend.write(spans)
        query, found = ObservationQuery(limit=100, bodies=True), list[Observation]()
        while True:
            response = await http.post("/observations/find", content=encode_search(PROJECT, query))
            assert len(response.content) <= 5000
            page = decode(response.content, Page[Observation])
            found += page.items
            if page.next_cursor is None:
                break
            query = ObservationQuery(limit=100, bodies=True, cursor=page.next_cursor)
        assert sorted(found, key=lambda one: one.span_id) == spans
        body = encode(Lookup(PROJECT, trace_id=spans[0].trace_id))
        assert problem(await http.post("/observations/tree", content=body)) == (422, "BackendRejected")


@pytest.mark.parametrize(
    ("accepted", "length", "encoding"),
    [
        ("zstd", 20_000, "zstd"),
        ("gzip;q=0.5, ZSTD ; q=1.0", 20_000, "zstd"),
        ("zstd", 2_000_000, "zstd"),
        ("zstd", 10_000, None),
        ("gzip, zstd; q=0.0", 20_000, None),
        ("identity", 20_000, None),
        ("", 20_000, None),
    ],
)
async def test_a_long_answer_is_compressed_for_who_takes_that(accepted: str, length: int, encoding: str | None) -> None:
    """From 16 KiB, with zstd, and for nobody who has not said so; it is the same answer."""
    one = span(1, input=json_of("x" * length))
    async with client() as (http, backend):
        await backend.write([one])
        body = encode(Lookup(PROJECT, trace_id=one.trace_id))
        response = await http.post("/observations/tree", content=body, headers={"accept-encoding": accepted})
    assert response.headers.get("content-encoding") == encoding
    assert (int(response.headers["content-length"]) < 1000) == (encoding is not None)
    assert decode(response.content, list[Observation]) == [one]


async def test_bodies_share_an_allowance() -> None:
    """While much waits to be written, the next body is asked to come again; alone, none ever is."""
    limits = Limits(in_hand_bytes=100)
    async with client(limits=limits) as (http, backend):
        began, go_on = anyio.Event(), anyio.Event()
        write = backend.write

        async def slow(batch: Batch) -> Any:
            began.set()
            await go_on.wait()
            return await write(batch)

        backend.write = slow  # type: ignore[method-assign]  # it takes its time
        async with anyio.create_task_group() as group:
            group.start_soon(partial(http.post, "/batch", content=encode([span(1)])))
            await began.wait()
            response = await http.post("/batch", content=encode([span(2)]))
            go_on.set()
        assert problem(response) == (503, "BackendUnavailable")
        assert response.headers["retry-after"] == "1"
        assert (await http.post("/batch", content=encode([span(2)]))).status_code == 200


async def test_a_body_has_its_time() -> None:
    """A body that does not arrive is 408, and what was read of it is given back."""
    never = anyio.Event()

    async def drip() -> AsyncIterator[bytes]:
        yield b"["
        await never.wait()

    limits = Limits(read_seconds=0.05)
    with anyio.fail_after(10):
        assert await _sent(drip(), limits) == 408


async def _sent(body: AsyncIterator[bytes], limits: Limits) -> int:
    """Send a batch piece by piece, past the client that would wait for all of it; return the status."""
    backend, statuses = Backend(), list[int]()
    await backend.open()
    app = Starlette(routes=routes(backend, limits=limits))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(body), "more_body": True}

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

    scope = {
        "type": "http", "method": "POST", "path": f"{BASE}/batch", "headers": [], "query_string": b"",
        "root_path": "", "server": ("server", 80), "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)
    return statuses[0]


async def test_deferred_work_is_done_on_request() -> None:
    """A slice of it, and the answer says whether more remains."""
    async with client() as (http, _):
        assert (await http.post("/maintain")).content == b'{"more":false}'
