"""Delivering to servers: they are processes of their own, what has arrived is counted, and nothing is left of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from backports import zstd
from msgspec import Raw
from msgspec.structs import replace

from benchmarks.decoding import Decoding, inflated
from benchmarks.delivering import Delivered, Spot, backlog, beside_host, live, new_file, per_span, rows_of_costs
from benchmarks.figures import Refused
from benchmarks.flow import Spent
from benchmarks.postgres_server import PostgresServer, _check_way_to, _fetch, postgres_server
from benchmarks.processes import cpu_seconds, served
from benchmarks.request_mix import SPANS, Texts
from benchmarks.suites.http_delivery import our_server
from benchmarks.suites.postgres import Schemas
from tracecore.records import ABSENT, LedgerEntry, Span
from tracecore.wire import encode

TEXTS = Texts(1, prompts=8)
REQUESTS = range(20)
RECORD = Span("default", "a" * 32, "b" * 16, "work", 1, input=Raw(b"1"), output=Raw(b"2"))
BATCH = "POST /api/tracecore/v1/batch"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Return a running server."""
    with postgres_server() as running:
        yield running


def is_running(pid: int) -> bool:
    """Return whether a process is there and not only remembered."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_server_keeps_what_it_is_given_on_the_disk(server: PostgresServer) -> None:
    """It is PostgreSQL as it comes; where somebody has switched a safeguard off it is not measured."""
    assert int(server.version.partition(".")[0]) >= 14
    server.check_durable()
    server._fetched("ALTER SYSTEM SET synchronous_commit = off")
    try:
        server._fetched("SELECT pg_reload_conf()")
        until = time.monotonic() + 20
        while server._fetched("SHOW synchronous_commit") == "on":
            assert time.monotonic() < until
        with pytest.raises(RuntimeError, match="synchronous_commit off"):
            server.check_durable()
    finally:
        server._fetched("ALTER SYSTEM RESET synchronous_commit")
        server._fetched("SELECT pg_reload_conf()")


def test_nothing_is_left_of_a_server() -> None:
    """Its processes and its data are gone when the block ends, also where the block is interrupted."""
    found: list[tuple[int, Path]] = []

    def interrupted() -> None:
        with postgres_server() as running:
            words = Path(f"/proc/{running.pid}/cmdline").read_text().split("\0")
            found.append((running.pid, Path(words[words.index("-D") + 1])))
            assert is_running(running.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    [(pid, data)] = found
    assert not is_running(pid)
    assert not data.parent.exists()


def test_without_a_server_to_run_the_suite_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setattr("benchmarks.postgres_server.find_spec", lambda _: None)
    with pytest.raises(Refused, match="pip install"), postgres_server():
        pass


def test_a_temporary_folder_that_the_server_cannot_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root the server runs as somebody else, and the sentence says which folder is closed to that one."""
    closed = tmp_path / "closed"
    (closed / "below").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(Refused, match="is closed to the user"):
        _check_way_to(closed / "below")
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result((0o40755, *range(9))))
    _check_way_to(closed / "below")


def test_the_server_asks_for_its_password(server: PostgresServer) -> None:
    """Nobody else on the machine gets in."""
    import asyncpg

    place = server.url("x").partition("?")[0]
    user, _, rest = place.partition("://")[2].partition(":")
    dsn = f"postgresql://{user}:wrong@{rest.partition('@')[2]}"
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(_fetch(dsn, "SELECT 1", ()))


def test_every_round_has_a_schema_that_goes_with_it(server: PostgresServer) -> None:
    """Everything that was recorded is read back out of it, live, as a backlog and beside a busy host."""
    schemas = Schemas(server)
    for number, way in enumerate((live, backlog, beside_host), 1):
        found = way(schemas, TEXTS, REQUESTS)
        assert found.checked == len(REQUESTS) * SPANS
        assert min(found.spent.rate, found.spent.cpu_us) > 0
        assert schemas.last == f"benchmark_{number}"
        assert server.size(schemas.last) == 0
    assert found.host > 0
    assert server.cpu > 0


def test_our_server_is_read_back_through_itself() -> None:
    """Spans that went over HTTP come back over HTTP, and the server's CPU is its own."""
    with our_server() as spot:
        [pid] = cast("partial[float]", spot.others_cpu).args
        assert is_running(pid)
    assert not is_running(pid)
    assert live(our_server, TEXTS, REQUESTS).checked == len(REQUESTS) * SPANS


def test_what_has_not_arrived_is_no_figure() -> None:
    """Whatever a place says it has is compared with what was recorded."""

    @contextmanager
    def forgetful() -> Iterator[Spot]:
        with new_file() as spot:
            yield replace(spot, count=lambda: len(REQUESTS) * SPANS - 1)

    for way in (live, backlog):
        with pytest.raises(RuntimeError, match="99 spans have arrived whole, expected 100"):
            way(forgetful, TEXTS, REQUESTS)


def test_the_client_pays_what_the_requests_do_not() -> None:
    """What requests cost untraced is subtracted within its round; the server's part is a row where there is one."""
    bare = [Spent(10, wall=1.0, caller=10e-6, all_threads=20e-6), Spent(10, wall=1.0, caller=20e-6, all_threads=30e-6)]
    taken = [Delivered(Spent(10, wall=0.5, caller=60e-6, all_threads=120e-6), there=50e-6) for _ in bare]
    figures = per_span(taken, bare)
    assert figures["caller"] == pytest.approx([1.0, 0.8])
    assert figures["cpu"] == pytest.approx([2.0, 1.8])
    assert figures["server"] == pytest.approx([1.0, 1.0])
    assert figures["rate"] == pytest.approx([100.0, 100.0])
    names = [row.key for row in rows_of_costs("x", "", taken, bare, {})]
    assert names == ["x.caller", "x.cpu", "x.server", "x.rate"]
    here = [Delivered(one.spent) for one in taken]
    assert [row.key for row in rows_of_costs("x", "", here, bare, {})] == ["x.caller", "x.cpu", "x.rate"]


def test_the_cpu_of_a_process_is_that_of_its_children_too() -> None:
    """What a child has used stays counted when it has ended; a process that is gone has used nothing."""
    before = cpu_seconds(os.getpid())
    child = os.fork()
    if not child:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
        os._exit(0)
    os.waitpid(child, 0)
    assert 0.15 < cpu_seconds(os.getpid()) - before < 10
    assert cpu_seconds(child) == 0


def test_a_server_that_does_not_start_says_why() -> None:
    """The last line of what it complained about is in the error."""
    with (
        pytest.raises(RuntimeError, match=r"benchmarks\.nothing did not start.*No module named"),
        served("benchmarks.nothing"),
    ):
        pass


# -- the collector that decodes


def counted(collector: Decoding) -> tuple[int, int, int]:
    """Return what a collector has: requests, different spans, and those with both payloads."""
    found = collector.collected()
    return found["requests"], found["spans"], found["whole"]


@pytest.mark.parametrize(("encoding", "pack"), [("", bytes), ("zstd", zstd.compress), ("gzip", None)])
def test_the_collector_takes_batches_apart(encoding: str, pack: Any) -> None:
    """A span that comes twice is one span; one without a payload is not whole; the ledger is no span."""
    import gzip

    collector = Decoding()
    other = replace(RECORD, span_id="c" * 16, output=ABSENT)
    body = (pack or gzip.compress)(encode([RECORD, other, LedgerEntry("default", "p", 0)]))
    for _ in range(2):
        answer = collector.take(BATCH, body, encoding)
        assert (answer.status, answer.body) == (200, encode({"accepted": 3, "rejected": 0, "reason": None}))
    assert counted(collector) == (2, 2, 1)
    assert collector.collected()["bytes"] == 2 * len(body)
    collector.forget()
    assert counted(collector) == (0, 0, 0)


def test_the_collector_takes_otlp_apart() -> None:
    """Whoever names the payloads ``input`` and ``output``, with a prefix or without, has sent the span whole."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, keys in enumerate((("input", "output"), ("x.observation.input", "x.observation.output"), ("input",))):
        span = spans.add(trace_id=b"a" * 16, span_id=bytes([number]) * 8)
        for key in keys:
            span.attributes.add(key=key)
    collector = Decoding()
    answer = collector.take("POST /v1/traces", request.SerializeToString(), "")
    assert (answer.status, answer.content_type) == (200, "application/x-protobuf")
    assert counted(collector) == (1, 3, 2)


def test_the_collector_knows_no_other_way_in() -> None:
    """Another path is not there, and nothing of it is counted; an unknown encoding is an error."""
    collector = Decoding()
    assert collector.take("POST /elsewhere", b"[]", "").status == 404
    assert collector.take("GET /api/tracecore/v1/capabilities", b"", "").status == 200
    assert counted(collector) == (0, 0, 0)
    with pytest.raises(ValueError, match="br"):
        inflated(b"", "br")
