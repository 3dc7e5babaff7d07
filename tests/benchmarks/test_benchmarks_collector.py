"""The collector of the rivals' benchmarks: every way to send a body counts alike, and nothing counts twice."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.rivals.adapter import Answer, Rival
from benchmarks.rivals.collector import Collector, Server, Undecodable, decoded
from benchmarks.workload import ARGUMENTS, RESULT

SPANS = [{"input": [f"[{number:08}] {ARGUMENTS[0]}"], "output": RESULT} for number in range(3)]
BODY = json.dumps(SPANS).encode()
PLAIN = Rival(title="plain", answers={"POST /asked/.*": Answer(202, b"yes", "text/plain")})


@pytest.fixture
def served() -> Iterator[Callable[[], Server]]:
    """Yield what serves a new collector until the test ends."""
    servers: list[tuple[Server, threading.Thread]] = []

    def serve(rival: Rival = PLAIN) -> Server:
        server = Server(Collector(rival))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return server

    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(connection: http.client.HTTPConnection, method: str, path: str, **sent: Any) -> tuple[int, bytes]:
    """Return what a request over a connection is answered."""
    connection.request(method, path, **sent)
    response = connection.getresponse()
    return response.status, response.read()


def raw_deflate(body: bytes) -> bytes:
    """Return a body deflated without a header, as some clients send it."""
    squeezing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezing.compress(body) + squeezing.flush()


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:])),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
    ],
    ids=["none", "identity", "gzip", "gzip unsaid", "gzip in parts", "zlib", "deflate", "both"],
)
def test_a_body_is_read_whatever_it_is_compressed_with(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """What was compressed on the way is scanned as it was before."""
    collector = Collector(PLAIN)
    body = encode(BODY)
    collector.take("POST /spans", body, encoding)
    found = collector.collected()
    assert (found["spans"], found["inputs"], found["results"], found["undecodable"]) == (3, 3, 3, {})
    assert (found["bytes"], found["decoded"]) == (len(body), len(BODY))


def test_zstd_is_undone_by_whatever_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's own module is asked, or the one that the rival brings; with neither the body is undecodable."""
    reader = SimpleNamespace(read=lambda: b"by the package")
    package = SimpleNamespace(
        ZstdDecompressor=lambda: SimpleNamespace(stream_reader=lambda body, *, read_across_frames: reader)
    )
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", package)
    assert decoded(b"\x28\xb5\x2f\xfd...", "") == b"by the package"
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(Undecodable, match="zstd"):
        decoded(b"...", "zstd")
    monkeypatch.setitem(sys.modules, "compression", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "compression.zstd", SimpleNamespace(decompress=lambda body: b"by itself"))
    assert decoded(b"...", "zstd") == b"by itself"


@pytest.mark.parametrize("encoding", ["gzip", "nonsense"])
def test_what_cannot_be_undone_is_counted_as_such(encoding: str) -> None:
    """A broken body and an unknown encoding hold no spans, and the counts say why."""
    collector = Collector(PLAIN)
    collector.take("POST /spans", BODY, encoding)
    found = collector.collected()
    assert (found["requests"], found["spans"]) == (1, 0)
    assert [problem.partition(":")[0] for problem in found["undecodable"]] == [encoding]


def test_a_span_that_is_sent_twice_counts_once() -> None:
    """A pattern with a group counts what differs, also from request to request."""
    collector = Collector(PLAIN)
    collector.take("POST /spans", BODY, "")
    collector.take("POST /spans", BODY + json.dumps({"input": "[00000099]"}).encode(), "")
    assert collector.collected()["spans"] == 4


def test_a_pattern_without_a_group_counts_each_time() -> None:
    """A rival that captures nothing is counted by what its spans have in common."""
    collector = Collector(Rival(title="bare", captures=False, counted_by=rb"\x06answer|\x07request"))
    collector.take("POST /spans", b"\x06answer..\x06answer..\x07request", "")
    collector.take("POST /spans", b"\x06answer", "")
    found = collector.collected()
    assert (found["spans"], found["inputs"]) == (4, 0)


def test_nothing_is_taken_apart_while_a_rival_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is decoded when the counts are asked for, and not again when they are asked for again."""
    seen: list[bytes] = []
    monkeypatch.setattr("benchmarks.rivals.collector.decoded", lambda body, encoding: seen.append(body) or body)
    collector = Collector(PLAIN)
    collector.take("POST /spans", BODY, "")
    assert seen == []
    assert (collector.collected()["spans"], collector.collected()["spans"], seen) == (3, 3, [BODY])


def test_the_last_span_has_its_time() -> None:
    """What comes after it without spans, a sign of life say, does not move it; nor is it known before there is one."""
    collector = Collector(PLAIN)
    collector.take("GET /alive", b"", "")
    assert collector.collected()["last"] == 0.0
    before = time.perf_counter()
    collector.take("POST /spans", BODY, "")
    after = time.perf_counter()
    collector.take("GET /alive", b"", "")
    assert before <= collector.collected()["last"] <= after


def test_it_answers_as_the_rival_needs(served: Callable[[], Server]) -> None:
    """A route that the adapter knows gets its answer, query or not; any other gets 200 and is noted as unknown."""
    with closing(http.client.HTTPConnection("127.0.0.1", served().server_port)) as connection:
        assert asked(connection, "POST", "/asked/for?more", body=b"") == (202, b"yes")
        assert asked(connection, "PUT", "/asked/for", body=b"") == (200, b"{}")
        assert asked(connection, "HEAD", "/other") == (200, b"")
        found = json.loads(asked(connection, "GET", "/__collected")[1])
    assert found["statuses"] == {"202": 1, "200": 2}
    assert found["unknown"] == {"PUT /asked/for": 1, "HEAD /other": 1}
    assert found["paths"] == {"POST /asked/for": 1, **found["unknown"]}


def test_counts_begin_anew_when_told(served: Callable[[], Server]) -> None:
    """What was counted is forgotten, and the same spans count again."""
    with closing(http.client.HTTPConnection("127.0.0.1", served().server_port)) as connection:
        for _ in range(2):
            asked(connection, "POST", "/spans", body=BODY)
            assert json.loads(asked(connection, "GET", "/__collected")[1])["spans"] == 3
            asked(connection, "POST", "/__forget")
        found = json.loads(asked(connection, "GET", "/__collected")[1])
    assert (found["requests"], found["spans"], found["paths"]) == (0, 0, {})


def test_a_body_in_chunks_is_read_to_its_end(served: Callable[[], Server]) -> None:
    """A number that is cut by a chunk is found, and the connection is good for the next request."""
    with closing(http.client.HTTPConnection("127.0.0.1", served().server_port)) as connection:
        halves = [BODY[:17], BODY[17:]]
        for _ in range(2):
            asked(connection, "POST", "/spans", body=iter(halves), encode_chunked=True)
        found = json.loads(asked(connection, "GET", "/__collected")[1])
    assert (found["requests"], found["spans"], found["results"]) == (2, 3, 6)


def test_who_asks_first_is_told_to_go_on(served: Callable[[], Server]) -> None:
    """A client that waits for 100 Continue gets it before it has sent its body."""
    with (
        socket.create_connection(("127.0.0.1", served().server_port), timeout=10) as connection,
        connection.makefile("rb") as answers,
    ):
        head = f"POST /spans HTTP/1.1\r\nHost: here\r\nContent-Length: {len(BODY)}\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert answers.readline().split()[1] == b"100"
        answers.readline()
        connection.sendall(BODY)
        assert answers.readline().split()[1] == b"200"
