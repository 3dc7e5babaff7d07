"""Clients that go away, say the same at once, or send what takes much: the server's endpoint over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from tests.http_server import Rooms, served
from tracecore.backend import Batch, Receipt
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.records import Observation
from tracecore.server import native
from tracecore.server.bodies import zstd
from tracecore.testing.opening import opened
from tracecore.testing.samples import PROJECT, json_of, session, span
from tracecore.wire import BASE, Lookup, decode, encode
from tracecore_http import open_backend


class Gated(MemoryBackend):
    """The reference backend, whose writes wait for a gate and may fail."""

    def __init__(self) -> None:
        super().__init__(MemoryData(), location="memory:", access="write")
        self.gate = threading.Event()
        self.began = threading.Event()
        self.batches: list[Batch] = []
        self.errors: list[Exception] = []

    async def write(self, batch: Batch) -> Receipt | None:
        """Write when the gate is open."""
        self.batches.append(batch)
        self.began.set()
        await anyio.to_thread.run_sync(self.gate.wait, 20)
        if self.errors:
            raise self.errors.pop()
        return await super().write(batch)


@contextlib.contextmanager
def gated(*, is_open: bool = True) -> Iterator[tuple[str, Gated]]:
    """Serve such a backend for the length of a block; return host and port, and the backend."""
    backend = Gated()
    if is_open:
        backend.gate.set()
    with served(Rooms(lambda _: backend)) as url:
        try:
            yield urlsplit(url).netloc, backend
        finally:
            backend.gate.set()


def asked(address: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Send one request; return status and body of the answer."""
    connection = HTTPConnection(address, timeout=30)
    try:
        connection.request("POST", f"/room{BASE}{path}", body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def begun(address: str, body: bytes, length: int | None = None) -> socket.socket:
    """Send a batch, or the beginning of one of this length, and return the connection without waiting."""
    host, _, port = address.partition(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST /room{BASE}/batch HTTP/1.1\r\nhost: x\r\ncontent-length: {length or len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def tree_in(address: str, number: int = 1) -> list[Observation]:
    """Return the observations of the trace of a sample."""
    status, body = asked(address, "/observations/tree", encode(Lookup(PROJECT, trace_id=span(number).trace_id)))
    assert status == 200
    return decode(body, list[Observation])


def test_who_goes_in_the_middle_of_a_body_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Of such a batch nothing is written, its memory is given back, and it is no mistake of the server's."""
    body = encode([span(1, input=json_of("x" * 400_000))])
    with gated() as (address, backend):
        for _ in range(20):
            begun(address, body[:300_000], len(body)).close()
        assert asked(address, "/batch", encode([span(2)]))[0] == 200
        assert backend.batches == [[span(2)]]
    assert caplog.text == ""


def test_who_goes_while_a_batch_is_written_has_it_written(caplog: pytest.LogCaptureFixture) -> None:
    """What has begun is done; what others wait for who have gone is not, since they send it again."""
    with gated(is_open=False) as (address, backend), ThreadPoolExecutor(1) as pool:
        first = begun(address, encode([span(1)]))
        assert backend.began.wait(20)
        gone = [begun(address, encode([span(1)])) for _ in range(10)]
        waiting = pool.submit(asked, address, "/batch", encode([span(2)]))
        for connection in (first, *gone):
            connection.close()
        assert asked(address, "/observations/tree", encode(Lookup(PROJECT, trace_id="1")))[0] == 200
        backend.gate.set()
        assert waiting.result(20)[0] == 200
        assert asked(address, "/batch", encode([span(1)]))[0] == 200
        assert tree_in(address) == [span(1), span(2)]
        assert len(backend.batches) == 3, "the first, that of who stayed, and the last"
    assert caplog.text == ""


def test_the_same_batch_at_once_is_there_once() -> None:
    """However many send it at one moment, each is told that it was kept."""
    batch = [span(number) for number in range(1, 20)]
    with gated() as (address, _), ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: asked(address, "/batch", encode(batch)), range(64)))
        assert {status for status, _ in answers} == {200}
        assert tree_in(address) == batch


def test_a_backend_that_fails_is_said_to_whom_it_fails() -> None:
    """A batch that is refused, or that has to wait, changes nothing for the next."""
    with gated() as (address, backend):
        backend.errors = [BackendRejected("no"), BackendUnavailable("busy", retry_after=1.0)]
        assert [asked(address, "/batch", encode([span(1)]))[0] for _ in range(3)] == [503, 422, 200]
        assert tree_in(address) == [span(1)]


DEEP = b"[" * 100_000 + b"]" * 100_000
ONE = encode(span(1))[:-1]


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'[{"a":' * 100_000,
        b"[%b,%b]" % (ONE, b'"input":' + DEEP + b"}"),
        b'[%b,"input":%b}]' % (ONE, DEEP),
        b'[%b,"unknown":%b}]' % (ONE, DEEP),
        b'[%b,"status_message":"\\ud800","input":%b}]' % (ONE, DEEP),
        b'[%b,"status_message":"\\ud800","unknown":%b}]' % (ONE, DEEP),
    ],
)
def test_no_depth_hurts(body: bytes) -> None:
    """JSON of a hundred thousand levels, wherever it is, is refused as such."""
    with gated() as (address, backend):
        status, said = asked(address, "/batch", zstd.compress(body), {"content-encoding": "zstd"})
        assert (status, decode(said, dict[str, Any])["title"]) == (400, "Malformed")
        assert asked(address, "/batch", encode([span(1)]))[0] == 200
        assert len(backend.batches) == 1


def test_a_million_tiny_records_are_too_many() -> None:
    """They are counted and refused, and others are served meanwhile."""
    one = encode(session("s"))
    body = zstd.compress(b"[" + b",".join([one] * 1_000_000) + b"]", 9)
    with gated() as (address, backend), ThreadPoolExecutor(4) as pool:
        many = [pool.submit(asked, address, "/batch", body, {"content-encoding": "zstd"}) for _ in range(4)]
        assert asked(address, "/batch", encode([span(1)]))[0] == 200
        assert {one.result(60)[0] for one in many} == {413}
        assert tree_in(address) == [span(1)]
        assert len(backend.batches) == 1


@contextlib.asynccontextmanager
async def counting_decoded(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], int]]:
    """Return what tells how many batches were decoded so far."""
    decoded, decode_batch = list[int](), native.decode_batch

    def counting(body: bytes) -> Batch:
        decoded.append(len(body))
        return decode_batch(body)

    monkeypatch.setattr(native, "decode_batch", counting)
    yield lambda: len(decoded)


async def test_few_large_batches_are_in_hand_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a backend takes its time two of them are decoded, and the others wait as the bytes that they are."""
    batch = encode([span(1, input=json_of("x" * 300_000))])
    async with counting_decoded(monkeypatch) as decoded:
        with gated(is_open=False) as (address, backend), ThreadPoolExecutor(6) as pool:
            answers = [pool.submit(asked, address, "/batch", batch) for _ in range(6)]
            assert await anyio.to_thread.run_sync(backend.began.wait, 20)
            small = pool.submit(asked, address, "/batch", encode([span(2)]))
            await anyio.to_thread.run_sync(tree_in, address)
            assert decoded() <= 3, "two that are large, and a small one"
            backend.gate.set()
            statuses = [await anyio.to_thread.run_sync(one.result, 30) for one in (*answers, small)]
            assert {status for status, _ in statuses} == {200}
            assert decoded() == 7


async def test_a_client_of_ours_gets_through_a_busy_server() -> None:
    """What was refused for want of room, and what nobody answered in time, arrives when it is sent again."""
    with gated(is_open=False) as (address, backend):
        async with opened(open_backend(f"http://{address}/room?timeout=0.2")) as client:
            for _ in range(3):
                with pytest.raises(BackendUnavailable, match=r"did not answer within 0\.2 s"):
                    await client.write([span(1)])
            backend.gate.set()
        async with opened(open_backend(f"http://{address}/room")) as client:
            assert await client.write([span(1)]) is None
            assert client.observations is not None
            assert await client.observations.tree(PROJECT, span(1).trace_id) == [span(1)]
        assert len(backend.batches) == 2, "the first and the last: the two between had been given up"
