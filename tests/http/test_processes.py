"""Whole programs that record over HTTP: what they lose (nothing), and what forked children do with connections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.http_server import Asked, Reply, room_names, served, stub
from tracecore import Config, Recorder
from tracecore.backend import Batch, Capabilities, LedgerQuery, ObservationQuery
from tracecore.records import LedgerEntry
from tracecore.server.bodies import zstd
from tracecore.testing.opening import ledger_in, observations_in, opened, pages_of
from tracecore.testing.samples import PROJECT, span
from tracecore.wire import Written, decode_batch, encode
from tracecore_http import open_backend

FORKING = """
import asyncio, gc, os, sys
from tracecore.testing.samples import span
from tracecore_http import open_backend

backend = open_backend(sys.argv[1])
other = open_backend(sys.argv[1])

with asyncio.Runner() as runner:
    runner.run(backend.open())
    runner.run(backend.write([span(1)]))
    child = os.fork()
    if not child:
        async def anew():
            await backend.write([span(2)])
            await other.open()
            await other.write([span(3)])
            await other.close()
            await backend.close()
        asyncio.run(anew())
        del backend, other
        gc.collect()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    runner.run(backend.write([span(4)]))
    runner.run(backend.close())
"""

RECORDING = """
import os, sys
import tracecore

tracecore.configure(backend=sys.argv[1])

@tracecore.observe
def work(n):
    return n

for n in range(100):
    work(n)
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        for n in range(100):
            work(n)
        tracecore.shutdown(20)
        os._exit(0)
    children.append(child)
for n in range(100):
    work(n)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
result = tracecore.shutdown(20)
assert result.delivered, result
assert result.level == "received", result
"""

IN_A_LOOP = """
import anyio, sys
from tracecore.testing.samples import span
from tracecore_http import open_backend

async def write():
    backend = open_backend(sys.argv[1])
    await backend.open()
    await backend.write([span(number) for number in range(100)])
    await backend.close()

anyio.run(write, backend="LOOP")
"""


def run(project_root: Path, code: str, url: str) -> None:
    """Run a program that must end well, and say nothing on standard error."""
    path = [str(project_root), str(project_root / "backends")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path[:0] = {path!r}\n{code}", url],
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


async def names_in(url: str) -> list[str]:
    """Return the names of every observation of a room."""
    async with opened(open_backend(url, access="read")) as reader:
        pages = await pages_of(observations_in(reader).find, PROJECT, ObservationQuery(limit=1000))
    return sorted(one.name for page in pages for one in page)


def test_a_forked_child_has_connections_of_its_own(project_root: Path) -> None:
    """What the parent opened is neither used nor closed in the child; both go on writing."""
    connections: dict[str, list[str]] = {}
    capabilities = encode(Capabilities(ledger=True))

    def answer(asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply(200, capabilities)
        names = [getattr(record, "name", "") for record in decode_batch(zstd.decompress(asked.body))]
        connections.setdefault(asked.peer, []).extend(names)
        return Reply(200, encode(Written(len(names))))

    with stub(answer) as server:
        run(project_root, FORKING, f"http://{server.address}")
    assert sorted(connections.values()) == [["work 1", "work 4"], ["work 2"], ["work 3"]]


def test_a_program_and_its_children_lose_nothing(project_root: Path) -> None:
    """Everything that four processes record is there once, at the level that the server promises."""
    with served() as url:
        room = f"{url}/{next(room_names)}"
        run(project_root, RECORDING, room)

        async def look() -> tuple[list[str], list[LedgerEntry]]:
            async with opened(open_backend(room, access="read")) as reader:
                page = await ledger_in(reader).find(PROJECT, LedgerQuery(limit=1000, last=True))
            return await names_in(room), page.items

        names, entries = anyio.run(look)
    assert len(names) == 500
    assert set(names) == {"work"}
    assert sum(entry.delivered for entry in entries) == 500
    assert all(entry.ended and not entry.unaccounted for entry in entries)


def test_a_server_that_comes_back_gets_everything() -> None:
    """While a server is away, is busy, or refuses a batch for its size, nothing is lost."""
    kept: list[Batch] = []
    trouble = [Reply(None), Reply(503), Reply(429, headers={"retry-after": "0.05"}), Reply(500), Reply(413)]
    capabilities = encode(Capabilities(ledger=True))

    def answer(asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply(200, capabilities)
        if trouble:
            return trouble.pop(0)
        batch = decode_batch(zstd.decompress(asked.body))
        kept.append(batch)
        return Reply(200, encode(Written(len(batch))))

    with stub(answer) as server:
        recorder = Recorder(Config(backend=f"http://{server.address}")).start()
        for number in range(300):
            recorder.emit(span(number))
        result = recorder.shutdown(30)
    assert result.delivered
    assert result.level == "received"
    names = [record.name for batch in kept for record in batch if not isinstance(record, LedgerEntry)]  # type: ignore[union-attr]  # all of them are spans
    assert sorted(set(names)) == sorted(f"work {number}" for number in range(300))
    assert recorder.health().lost == {}


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_every_event_loop_will_do(project_root: Path, loop: str) -> None:
    """A backend works in whichever loop it was opened in."""
    pytest.importorskip(loop)
    with served() as url:
        room = f"{url}/{next(room_names)}"
        run(project_root, IN_A_LOOP.replace("LOOP", loop), room)
        assert len(anyio.run(names_in, room)) == 100
