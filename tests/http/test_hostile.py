"""T13 and T16: servers that say too much, too slowly, nothing at all, or wish to know more than they should."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from time import monotonic
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from tests.http_server import Asked, Reply, raw, room_names, served, stub
from tests.torture.declaring import torture
from tracecore import Config, Recorder
from tracecore.backend import Capabilities, Page, TraceQuery
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable
from tracecore.server.bodies import zstd
from tracecore.testing.opening import observations_in, opened, traces_in
from tracecore.testing.samples import PROJECT, span
from tracecore.wire import LARGEST_ANSWER, encode
from tracecore_http import open_backend
from tracecore_http.remote import ANSWER_BYTES
from tracecore_http.transport import Answer, HttpxTransport, Request

GIGABYTE = 1 << 30
ZEROS = bytes(1 << 16)


async def asked(address: str, *, most: int = ANSWER_BYTES) -> Answer:
    """Send one request as every backend does, and return the answer."""
    transport = HttpxTransport("here")
    await transport.open()
    try:
        return await transport.exchange(Request("POST", f"http://{address}/", [], b"{}", most))
    finally:
        await transport.close()


class Flood:
    """Answer with a gigabyte, and count how much of it anybody took."""

    def __init__(self, headers: bytes) -> None:
        self.sent = 0
        self._headers = headers

    def __call__(self, connection: socket.socket) -> None:
        """Send until nobody takes any more."""
        connection.sendall(self._headers)
        while self.sent < GIGABYTE:
            self.sent += connection.send(ZEROS)


@torture("T16", "an HTTP server says too much")
@pytest.mark.parametrize(
    "headers",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % GIGABYTE,
        b"HTTP/1.1 503 No\r\nconnection: close\r\n\r\n",
    ],
)
async def test_a_gigabyte_is_not_read(headers: bytes) -> None:
    """Of an answer to a write at most 64 KiB are read, whatever length it has; then the connection is closed."""
    flood = Flood(headers)
    with raw(flood) as address:
        answer = await asked(address)
    assert len(answer.body) == ANSWER_BYTES
    assert not answer.is_whole
    assert flood.sent < GIGABYTE // 16, "what fits into the buffers of two sockets"


@torture("T16", "an HTTP server says too much")
async def test_a_bomb_is_not_inflated() -> None:
    """An answer that is compressed all the same is bytes like others."""
    bomb = gzip.compress(bytes(64 << 20), 9)
    with stub(lambda _: Reply(200, bomb, {"content-encoding": "gzip"})) as server:
        answer = await asked(server.address)
        assert answer.body == bomb[:ANSWER_BYTES]
        backend = open_backend(f"http://{server.address}")
        with pytest.raises(BackendUnavailable, match="not as a tracecore server does"):
            await backend.open()
        await backend.close()


@torture("T16", "an HTTP server says too much")
async def test_ten_thousand_headers_are_no_answer() -> None:
    """Headers without end are an error that may pass, and are not read to the end."""
    headers = b"".join(b"x-header-%d: %s\r\n" % (number, b"v" * 50) for number in range(10_000))

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n")

    with raw(talk) as address, pytest.raises(BackendUnavailable, match="cannot be reached"):
        await asked(address)


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na\0b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_is_unavailable(said: bytes) -> None:
    """Whatever speaks there, nothing but our own error comes out."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(said)

    with raw(talk) as address, pytest.raises(BackendUnavailable):
        await asked(address)


@torture("T16", "an HTTP server says too much")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """Nothing is sent to an address that a server names, least of all a credential."""
    with stub(lambda _: Reply(200)) as other:
        there = {"location": f"http://{other.address}/steal"}
        with stub(lambda _: Reply(status, b"", there)) as server:
            backend = open_backend(f"http://alice:hunter2@{server.address}")
            with pytest.raises(BackendUnavailable) as raised:
                await backend.open()
            await backend.close()
        assert other.asked == []
    assert f"http://{other.address}/steal" in str(raised.value)


@pytest.mark.parametrize("in_address", [True, False])
async def test_what_we_sent_is_not_repeated(in_address: bool) -> None:  # noqa: FBT001 - pytest passes by name
    """A server that puts our credentials into its answer does not get them into a log."""

    def echo(asked_for: Asked) -> Reply:
        said = f"{asked_for.headers['authorization']} hunter2 {asked_for.headers['x-key']}"
        if in_address:
            return Reply(302, b"", {"location": f"http://h/{said.replace(' ', '/')}"})
        return Reply(400, said.encode(), {"content-type": "text/plain"})

    with stub(echo) as server:
        backend = open_backend(f"http://alice:hunter2@{server.address}?header.x-key=swordfish")
        with pytest.raises(BackendError) as raised:
            await backend.open()
        await backend.close()
    assert not [secret for secret in ("hunter2", "swordfish", "YWxpY2U6") if secret in str(raised.value)]


async def test_what_is_no_answer_is_not_repeated_either() -> None:
    """Where the error quotes what came back instead of HTTP, our token is not in it."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"authorization: Bearer hunter2\r\n\r\n")

    with raw(talk) as address:
        backend = open_backend(f"http://:hunter2@{address}")
        with pytest.raises(BackendUnavailable, match=r"illegal status line: .*\*\*\*") as raised:
            await backend.open()
        await backend.close()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/no/such/file"),
        ("SSLKEYLOGFILE", "/no/such/folder/file"),
        ("all_proxy", "socks5://127.0.0.1:1"),
        ("http_proxy", "ftp://127.0.0.1:1"),
        ("http_proxy", "http://alice:hunter2:3128@proxy"),
        ("http_proxy", "http://127.0.0.1:99999"),
    ],
)
async def test_an_environment_that_makes_no_sense_may_be_mended(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that is none, or certificates that are not there, are our own error, and refuse no record for good."""
    monkeypatch.setenv(name, value)
    backend = open_backend("http://127.0.0.1:1")
    with pytest.raises(BackendUnavailable, match="cannot be reached") as raised:
        await backend.open()
    await backend.close()
    assert "hunter2" not in str(raised.value)


async def test_a_page_without_end_is_refused() -> None:
    """The answer to a read is read up to 32 MiB."""
    capabilities = encode(Capabilities(traces=True))
    page = encode(Page([])) + b" " * LARGEST_ANSWER
    with stub(lambda asked: Reply(200, capabilities if asked.method == "GET" else page)) as server:
        async with opened(open_backend(f"http://{server.address}")) as backend:
            assert backend.traces is not None
            with pytest.raises(BackendRejected, match="shorter page"):
                await backend.traces.find(PROJECT, TraceQuery())


ANSWERS = [
    pytest.param(zstd.compress(encode(Page([]))), None, "", id="a page"),
    pytest.param(zstd.compress(encode(Page([])) + b" " * LARGEST_ANSWER), BackendRejected, "shorter page", id="bomb"),
    pytest.param(zstd.compress(b"{}")[:-1], BackendUnavailable, "not one zstd frame", id="cut"),
    pytest.param(zstd.compress(encode(Page([]))) * 2, BackendUnavailable, "not one zstd frame", id="two"),
    pytest.param(b"garbage", BackendUnavailable, "not as a tracecore server does", id="garbage"),
]


@pytest.mark.parametrize(("body", "kind", "says"), ANSWERS)
async def test_an_answer_to_a_read_is_inflated_within_bounds(
    body: bytes, kind: type[BackendError] | None, says: str
) -> None:
    """What a server compresses for us becomes no longer than what it does not."""
    capabilities = Reply(200, encode(Capabilities(traces=True)))
    page = Reply(200, body, {"content-encoding": "zstd"})
    with stub(lambda asked: capabilities if asked.method == "GET" else page) as server:
        async with opened(open_backend(f"http://{server.address}")) as backend:
            if kind is None:
                assert await traces_in(backend).find(PROJECT, TraceQuery()) == Page([])
            else:
                with pytest.raises(kind, match=says):
                    await traces_in(backend).find(PROJECT, TraceQuery())
    assert server.asked[1].headers["accept-encoding"] == "zstd"


async def test_who_need_not_have_zstd_asks_for_none() -> None:
    """With another compression for what is sent, the answers are not compressed."""
    answer = Reply(200, encode(Capabilities(traces=True)))
    with stub(lambda asked: answer if asked.method == "GET" else Reply(200, encode(Page([])))) as server:
        async with opened(open_backend(f"http://{server.address}?compression=gzip")) as backend:
            assert await traces_in(backend).find(PROJECT, TraceQuery()) == Page([])
    assert server.asked[1].headers["accept-encoding"] == "identity"


def silent(connection: socket.socket) -> None:
    """Say nothing until the other side goes away."""
    while connection.recv(1 << 16):
        pass


def one_byte_at_a_time(connection: socket.socket) -> None:
    """Answer as slowly as nobody has time for, until the other side goes away."""
    connection.settimeout(0.05)
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + ZEROS:
        connection.send(bytes([byte]))
        with contextlib.suppress(TimeoutError):
            if not connection.recv(1 << 16):
                return


TALKS = [pytest.param(silent, id="silent"), pytest.param(one_byte_at_a_time, id="slow")]


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("scheme", ["http", "http+otlp"])
async def test_who_does_not_answer_in_time_is_unavailable(talk: Callable[[socket.socket], None], scheme: str) -> None:
    """A request has its time, answer included, however much of that arrives meanwhile."""
    with raw(talk) as address:
        backend = open_backend(f"{scheme}://{address}?timeout=0.3")
        with anyio.fail_after(10), pytest.raises(BackendUnavailable, match=r"did not answer within 0\.3 s"):
            await backend.open()
        await backend.close()


@torture("T13", "an HTTP server never answers, or a byte at a time")
@pytest.mark.parametrize("talk", TALKS)
def test_a_program_does_not_wait_for_such_a_server(talk: Callable[[socket.socket], None]) -> None:
    """Flushing says within its time that nothing was delivered, and shutting down takes no longer than it may."""
    with raw(talk) as address:
        recorder = Recorder(Config(backend=f"http://{address}")).start()
        recorder.emit(span(1))
        began = monotonic()
        flushed = recorder.flush(0.5)
        between = monotonic()
        closed = recorder.shutdown(0.5)
        ended = monotonic()
    assert (flushed.delivered, closed.delivered) == (False, False)
    assert between - began < 10, "a hang guard"
    assert ended - between < 10, "a hang guard"


async def test_a_cancelled_write_lets_go() -> None:
    """A pump that has no more time cancels; the connection is closed, and the next request has another."""
    gone = threading.Event()

    def talk(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            pass
        gone.set()

    with raw(talk) as address:
        transport = HttpxTransport("here")
        await transport.open()
        with anyio.move_on_after(0.2) as scope:
            await transport.exchange(Request("POST", f"http://{address}/", [], b"{}"))
        assert scope.cancelled_caught
        assert await anyio.to_thread.run_sync(gone.wait, 10)
        await transport.close()


async def test_an_answer_that_is_lost_is_written_again() -> None:
    """What was written although nobody heard of it is written again, and is there once."""
    lost = ["first", "second"]
    with served() as url:
        room = f"{url}/{next(room_names)}"

        def answer(asked_for: Asked) -> Reply:
            reply = _forwarded(room, asked_for)
            return Reply(None) if asked_for.path.endswith("/batch") and lost and lost.pop() else reply

        with stub(answer) as server:
            async with opened(open_backend(f"http://{server.address}")) as backend:
                for _ in range(2):
                    with pytest.raises(BackendUnavailable):
                        await backend.write([span(1), span(2)])
                await backend.write([span(1), span(2)])
        async with opened(open_backend(room)) as reader:
            tree = await observations_in(reader).tree(PROJECT, span(1).trace_id)
            trace = await traces_in(reader).get(PROJECT, span(1).trace_id)
    assert tree == [span(1), span(2)]
    assert trace is not None
    assert trace.observation_count == 2


def _forwarded(room: str, asked_for: Asked) -> Reply:
    """Return what a server answers to a request that was meant for another."""
    parts = urlsplit(room)
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request(asked_for.method, parts.path + asked_for.path, asked_for.body, asked_for.headers)
        response = connection.getresponse()
        return Reply(response.status, response.read(), {"content-type": response.headers["content-type"]})
    finally:
        connection.close()
