"""The collector: an HTTP server on the loopback interface that counts the spans in whatever a rival sends.

``python -m benchmarks.rivals.collector ADAPTER`` prints its URL as a first line and serves until it is ended, or until
its standard input is closed where that is a pipe. It runs with the rival's interpreter, because that has whatever the
rival compresses with. A request is kept before it is answered, so that what a flush has waited for is in the counts. It
is taken apart only when somebody asks for them: a rival waits for no decompression of ours, nor shares a core with it.

``GET /__collected`` returns the counts as JSON and ``POST /__forget`` begins anew.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import stat
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple, Protocol, cast

from benchmarks.rivals.adapter import NUMBERED, RESULT_TEXT, Answer, Rival
from benchmarks.rivals.catalogue import rival_of

__all__ = ["COLLECTED", "FORGET", "Collecting", "Collector", "Server", "Undecodable", "decoded"]

COLLECTED: Final = "/__collected"
FORGET: Final = "/__forget"
_USUAL: Final = Answer()
_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


class Undecodable(Exception):
    """A body cannot be decoded here; the message says as what."""


def _inflated(body: bytes) -> bytes:
    """Return a deflated body, whether it has zlib's header, as it should, or not."""
    try:
        return zlib.decompress(body)
    except zlib.error:
        return zlib.decompress(body, -zlib.MAX_WBITS)


def _unzstd(body: bytes) -> bytes:
    try:
        zstd: Any = importlib.import_module("compression.zstd")
    except ImportError:
        zstandard: Any = importlib.import_module("zstandard")
        reader = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
        return bytes(reader.read())
    return bytes(zstd.decompress(body))


def _unbrotli(body: bytes) -> bytes:
    return bytes(importlib.import_module("brotli").decompress(body))


_DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": bytes, "identity": bytes, "gzip": gzip.decompress, "x-gzip": gzip.decompress, "deflate": _inflated,
    "zstd": _unzstd, "br": _unbrotli,
}  # fmt: skip


def decoded(body: bytes, encoding: str) -> bytes:
    """Return a body as it was before it was compressed; what begins like compressed data needs no header to say so.

    Raises:
        Undecodable: nothing here can undo it, or it is broken.
    """
    names = [name.strip().lower() for name in encoding.split(",")]
    if names in ([""], ["identity"]):
        names = [name for magic, name in _MAGIC.items() if body.startswith(magic)]
    for name in reversed(names):
        try:
            body = _DECODERS[name](body)
        except Exception as error:  # whatever a library says of a broken body
            raise Undecodable(f"{name}: {type(error).__name__}: {error}") from error
    return body


class Arrived(NamedTuple):
    """Hold a request as it came."""

    at: float
    """Of ``time.perf_counter``, which the processes of a machine share."""
    body: bytes
    encoding: str


class Collecting(Protocol):
    """What a server hands requests to."""

    def forget(self) -> None:
        """Begin anew."""
        ...

    def take(self, route: str, body: bytes, encoding: str) -> Answer:
        """Return what to answer to a request; ``route`` is ``METHOD /path``."""
        ...

    def collected(self) -> dict[str, Any]:
        """Return what has come."""
        ...


class Collector:
    """Count what arrives for a rival. Every method may be called from any thread."""

    def __init__(self, rival: Rival) -> None:
        self._pattern = re.compile(rival.counted_by)
        self._numbered = re.compile(NUMBERED)
        self._answers = {re.compile(route): answer for route, answer in rival.answers.items()}
        self._lock = threading.Lock()
        """For what is done while a rival waits for its answer."""
        self._counting = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        with self._counting, self._lock:
            self._waiting: list[Arrived] = []
            self._counts: Counter[str] = Counter()
            self._spans: set[bytes] = set()
            self._inputs: set[bytes] = set()
            self._statuses: Counter[str] = Counter()
            self._paths: Counter[str] = Counter()
            self._unknown: Counter[str] = Counter()
            self._undecodable: Counter[str] = Counter()
            self._last = 0.0

    def take(self, route: str, body: bytes, encoding: str) -> Answer:
        """Keep a request to be counted and return what to answer; ``route`` is ``METHOD /path``."""
        at = time.perf_counter()
        found = next((answer for pattern, answer in self._answers.items() if pattern.fullmatch(route)), None)
        answer = found or _USUAL
        with self._lock:
            self._waiting.append(Arrived(at, body, encoding))
            self._statuses[str(answer.status)] += 1
            self._paths[route] += 1
            self._unknown[route] += found is None
        return answer

    def _count(self, arrived: Arrived) -> None:
        try:
            text, problem = decoded(arrived.body, arrived.encoding), ""
        except Undecodable as undecodable:
            text, problem = b"", str(undecodable)
        spans = self._pattern.findall(text)
        self._counts.update(requests=1, bytes=len(arrived.body), decoded=len(text), results=text.count(RESULT_TEXT))
        if self._pattern.groups:
            self._spans.update(b"".join(groups) if isinstance(groups, tuple) else groups for groups in spans)
        else:
            self._counts["spans"] += len(spans)
        self._inputs.update(self._numbered.findall(text))
        self._undecodable[problem] += bool(problem)
        if spans:
            self._last = max(self._last, arrived.at)

    def collected(self) -> dict[str, Any]:
        """Count what has come and return it: requests, bytes, spans and when the last came, and what was odd."""
        with self._counting:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                odd = {
                    "statuses": dict(self._statuses), "paths": dict(self._paths), "unknown": dict(+self._unknown),
                }  # fmt: skip
            for arrived in waiting:
                self._count(arrived)
            return {name: self._counts[name] for name in ("requests", "bytes", "decoded", "results")} | odd | {
                "spans": self._counts["spans"] + len(self._spans), "last": self._last, "inputs": len(self._inputs),
                "undecodable": dict(+self._undecodable),
            }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Read a request whatever way its body comes, have it counted, and answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def _serve(self) -> None:
        collector = cast("Server", self.server).collector
        body, path = self._body(), self.path.partition("?")[0]
        if path == COLLECTED:
            self._answer(Answer(body=json.dumps(collector.collected()).encode()))
        elif path == FORGET:
            collector.forget()
            self._answer(_USUAL)
        else:
            self._answer(collector.take(f"{self.command} {path}", body, self.headers.get("Content-Encoding", "")))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - named by the library

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks: list[bytes] = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(chunks)

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the counts do."""


class Server(ThreadingHTTPServer):
    """Serve a collector, each connection in a thread of its own, on a port that is free."""

    request_queue_size = 128

    def __init__(self, collector: Collecting) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.collector = collector

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Say in a line what ended a connection: a client may leave when it likes."""
        print(f"connection ended: {sys.exc_info()[1]!r}", file=sys.stderr)


def _until_closed(server: Server) -> None:
    """End the server when its standard input is closed."""
    sys.stdin.buffer.read()
    server.shutdown()


def main(name: str) -> None:
    """Serve for one adapter."""
    server = Server(Collector(rival_of(name)))
    print(server.url, flush=True)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_until_closed, args=(server,), daemon=True).start()
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main(sys.argv[1])
