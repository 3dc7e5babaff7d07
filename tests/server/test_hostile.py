"""What hostile clients send to the doors of other clients: refused soon, in little memory, and the server lives on.

The endpoint of our own clients, and bodies in general, are tried in ``tests/http``.
"""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.server.serving import AUTH, Served, asked, serving
from tests.torture.declaring import torture
from tracecore.server.bodies import zstd

MOST_MORE: Final = 64 << 20
"""Bytes of memory that a hostile request may take."""
GUARD_S: Final = 20.0
"""Against hanging; a request is refused within a second on a machine that has nothing else to do."""
PATH: Final = "/v1/traces"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def request_of(span: bytes) -> bytes:
    """Return a request of one span in protobuf."""
    return field(1, field(2, field(2, span)))


def span_of(more: bytes) -> bytes:
    """Return a span with ids and a name, and more."""
    return field(1, bytes(range(16))) + field(2, bytes(range(8))) + field(5, b"s") + more


def nested(depth: int) -> bytes:
    """Return an array of an array of an array."""
    value = field(1, b"x")
    for _ in range(depth):
        value = field(5, field(1, value))
    return value


def many_attributes() -> bytes:
    """Return a span of a million attributes."""
    one = field(9, field(1, b"k") + field(2, field(1, b"v")))
    return request_of(span_of(one * 1_000_000))


def deep_json() -> bytes:
    """Return a span whose attribute is an array 100,000 levels deep."""
    deep = b'{"arrayValue":{"values":[' * 100_000 + b'{"stringValue":"x"}' + b"]}}" * 100_000
    span = b'{"traceId":"' + b"1" * 32 + b'","spanId":"' + b"1" * 16 + b'","name":"s","startTimeUnixNano":"1",'
    return (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":['
        + span
        + b'"attributes":[{"key":"k","value":'
        + deep
        + b"}]}]}]}]}"
    )


HOSTILE: Final[dict[str, tuple[Callable[[], bytes], str, str]]] = {
    "gzip bomb": (lambda: gzip.compress(bytes(1 << 30), 9), PROTOBUF, "gzip"),
    "zstd bomb": (lambda: zstd.compress(bytes(1 << 30), 3), PROTOBUF, "zstd"),
    "gzip in gzip": (lambda: gzip.compress(gzip.compress(bytes(1 << 28))), PROTOBUF, "gzip"),
    "half a gzip": (lambda: gzip.compress(os.urandom(1 << 20))[:-100], PROTOBUF, "gzip"),
    "no gzip": (lambda: os.urandom(1 << 20), PROTOBUF, "gzip"),
    "noise": (lambda: os.urandom(1 << 20), PROTOBUF, ""),
    "nested protobuf": (lambda: request_of(span_of(field(9, field(1, b"k") + field(2, nested(20_000))))), PROTOBUF, ""),
    "a length beyond the end": (lambda: b"\x0a\xff\xff\xff\xff\x0f", PROTOBUF, ""),
    "no ids": (lambda: request_of(field(5, b"s")), PROTOBUF, ""),
    "deep JSON": (deep_json, JSON, ""),
    "deeper JSON": (lambda: b"[" * 10_000_000, JSON, ""),
    "another shape": (lambda: b'{"resourceSpans":{"scopeSpans":1}}', JSON, ""),
    "no UTF-8": (lambda: request_of(span_of(field(9, field(1, b"\xff\xfe")))), PROTOBUF, ""),
    "a wrong type": (lambda: b"<xml/>", "text/xml", ""),
    "an unknown encoding": (lambda: b"", PROTOBUF, "br"),
    "70 MB": (lambda: bytes(70 << 20), PROTOBUF, ""),
}


CUT: Final = {"nested protobuf", "deep JSON"}
"""What may be kept as well: a value that is nested too deeply is cut, and its span is not lost."""


@contextmanager
def watched(served: Served) -> Iterator[list[int]]:
    """Note the most memory that a server has at any moment of a block, in bytes."""
    path, done, most = Path(f"/proc/{served.program.pid}/statm"), threading.Event(), [0]

    def watch() -> None:
        while not done.is_set():
            most[0] = max(most[0], int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def answered(served: Served, body: bytes, content_type: str, encoding: str) -> tuple[int, bytes]:
    """Return what a body is answered with; 413 where the server has closed while there was more to send."""
    headers = {"authorization": AUTH, "content-type": content_type}
    if encoding:
        headers["content-encoding"] = encoding
    connection = served.connection()
    try:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (BrokenPipeError, ConnectionResetError):
        return 413, b"{}"
    finally:
        connection.close()


@torture("T39", "bombs, nesting, a million attributes and other bodies at the door of OTLP", rounds=1, full=5)
def test_hostile_bodies(tmp_path: Path) -> None:
    """T39: each is refused as the client's mistake, in bounded memory; between them and afterwards the server works."""
    with serving(tmp_path) as served:
        asked(served, "/api/public/health")
        calm = int(Path(f"/proc/{served.program.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for name, (make, content_type, encoding) in HOSTILE.items():
            body = make()
            with watched(served) as most:
                began = time.monotonic()
                status, said = answered(served, body, content_type, encoding)
                assert time.monotonic() - began < GUARD_S, name
            assert status in {400, 413, 415} or (name in CUT and status == 200), (name, status, said[:200])
            # What the client sends without inflating is the client's: it may be held once, and decoded once.
            assert most[0] - calm < MOST_MORE + (len(body) if len(body) < 70 << 20 else 0), (name, most[0] - calm)
            assert asked(served, "/api/public/health")["status"] == "OK", name


def test_a_million_attributes(tmp_path: Path) -> None:
    """T39: a span of a million attributes is cut or refused, and is never the server's death."""
    with serving(tmp_path) as served:
        status, _ = answered(served, many_attributes(), PROTOBUF, "")
        assert status in {200, 400, 413}
        assert asked(served, "/api/public/health")["status"] == "OK"


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_errors_are_in_the_encoding_of_the_request(tmp_path: Path, content_type: str) -> None:
    """OTLP/HTTP, "Failures": the body of an error is a google.rpc.Status in the encoding of the request."""
    with serving(tmp_path) as served:
        status, said = answered(served, b"{", content_type, "")
    assert status == 400
    if content_type == JSON:
        assert json.loads(said)["message"]
    else:
        assert said[:1] == b"\x08" or said[:1] == b"\x12"
