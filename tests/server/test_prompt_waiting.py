"""Waiting for changes of prompts at a server that is a process: a promotion is known at once, and no end is a hang."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Raw

from tests.faults.processes import HANG_SECONDS, running
from tests.postgres_server import Database
from tests.server.serving import AUTH, KEY, Served, serving
from tracecore.prompt_wire import path_of
from tracecore.prompts import LabelMove, NewPrompt, Prompting, PromptStore
from tracecore.server.prompt_feeds import MOST_WAITING
from tracecore.testing.opening import opened
from tracecore_http import open_backend

AT_ONCE_S = 8.0
"""Less than a server gives requests to end, and than anybody waits here, and plenty for what is done at once."""
WAITING = 24
"""So many that each of two processes has some."""


@asynccontextmanager
async def store_of(served: Served) -> AsyncIterator[PromptStore]:
    """Return the prompts of a server, as our own client asks for them."""
    async with opened(open_backend(f"http://{KEY[0]}:{KEY[1]}@127.0.0.1:{served.port}")) as backend:
        assert isinstance(backend, Prompting)
        yield backend.prompts


async def ask(served: Served, since: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for changes on a connection of its own, to wait for half a minute."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    body = json.dumps({"project": "", "since": since, "wait": 30}).encode()
    head = (
        f"POST {path_of('changes')} HTTP/1.1\r\nhost: x\r\nauthorization: {AUTH}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def answer_to(asked: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> tuple[int, bytes, bytes]:
    """Return status, head and body of what is answered; the connection is closed then."""
    reader, writer = asked
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    return int(head[9:12]), head, body


async def promoted(served: Served) -> list[float]:
    """Return after how many seconds each of those who wait knows of a promotion, by another client, of several."""
    took: list[float] = []
    async with store_of(served) as store:
        for text in (b'"one"', b'"two"'):
            await store.publish("", NewPrompt(name="n", prompt=Raw(text)))
        for number in range(2, 5):
            waiting = [asyncio.create_task(_timed(await ask(served, number))) for _ in range(WAITING)]
            await asyncio.sleep(0.3)  # they wait by now; one that comes later is told all the same
            began = time.monotonic()
            await store.change("", "n", LabelMove(version=number % 2 + 1, labels=("production",)))
            for moment, status, body in await asyncio.gather(*waiting):
                assert (status, json.loads(body)) == (200, {"number": number + 1, "names": ["n"]})
                took.append(moment - began)
    return took


async def _timed(asked: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> tuple[float, int, bytes]:
    status, _, body = await answer_to(asked)
    return time.monotonic(), status, body


def test_a_promotion_is_known_within_the_second(tmp_path: Path) -> None:
    """Whoever waits is told of a change that another client makes, long before the time to wait is over."""
    with serving(tmp_path) as served:
        took = asyncio.run(promoted(served))
    assert max(took) < AT_ONCE_S, took


def test_also_where_another_process_has_made_it(tmp_path: Path, postgres: Database) -> None:
    """Two processes before one PostgreSQL: those who wait at one learn what was changed at the other."""
    with serving(tmp_path, "--workers", "2", backend=postgres.url()) as served:
        took = asyncio.run(promoted(served))
    assert max(took) < AT_ONCE_S, took


SERVICE = """
import sys, time
import tracecore

print("version", tracecore.get_prompt("n", timeout=30).version, flush=True)
sys.stdin.readline()
while (prompt := tracecore.get_prompt("n", ttl=3600)).version != 1:
    time.sleep(0.002)
print("promoted at", time.monotonic(), prompt.source, flush=True)
"""
"""Serves a prompt from its cache, which is fresh for an hour, and says when it serves another version."""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_serves_a_promotion_within_the_second(tmp_path: Path, postgres: Database, workers: int) -> None:
    """A service that asks nobody learns of a promotion that another client makes, and serves it from its cache."""

    async def promote(served: Served, version: int) -> None:
        async with store_of(served) as store:
            if version == 2:
                for text in (b'"one"', b'"two"'):
                    await store.publish("", NewPrompt(name="n", prompt=Raw(text)))
            await store.change("", "n", LabelMove(version=version, labels=("production",)))

    folder = tmp_path / "service"
    folder.mkdir()
    with serving(tmp_path, "--workers", str(workers), backend=postgres.url()) as served:
        asyncio.run(promote(served, 2))
        url = f"http://{KEY[0]}:{KEY[1]}@127.0.0.1:{served.port}"
        with running("-c", SERVICE, folder=folder, environment={"TRACECORE_PROMPTS": url}) as service:
            service.wait_for_word("version 2")
            time.sleep(1.0)  # it waits for changes by now
            began = time.monotonic()
            asyncio.run(promote(served, 1))
            service.say("go")
            service.wait_for_word("promoted at")
            service.wait()
            _, _, moment, source = service.out.split("\n")[1].split()
    assert source == "memory"
    assert float(moment) - began < AT_ONCE_S


@pytest.mark.parametrize("workers", [1, 2])
def test_the_end_of_the_server_is_not_waited_for(tmp_path: Path, postgres: Database, workers: int) -> None:
    """SIGTERM: who waits is answered that nothing has changed, and the process ends long before they would."""

    async def ended(served: Served) -> list[tuple[int, bytes, bytes]]:
        waiting = [await ask(served, 0) for _ in range(WAITING)]
        async with store_of(served) as store:  # what was asked before has been read by now
            assert (await store.changes("", 0)).number == 0
        served.program.send(signal.SIGTERM)
        return await asyncio.gather(*map(answer_to, waiting))

    with serving(tmp_path, "--workers", str(workers), backend=postgres.url()) as served:
        began = time.monotonic()
        answers = asyncio.run(ended(served))
        assert served.program.ended_after(began) < AT_ONCE_S
        assert "Traceback" not in served.program.errors
        assert "Cancel" not in served.program.errors
    assert [(status, json.loads(body)) for status, _, body in answers] == [(200, {"number": 0, "names": []})] * WAITING


@pytest.mark.timeout(HANG_SECONDS * 3)
def test_as_many_wait_as_may(tmp_path: Path) -> None:
    """Hundreds wait at once, one more is told when to come again, others are served meanwhile, and all are told."""

    async def crowd(served: Served) -> None:
        waiting = [await ask(served, 0) for _ in range(MOST_WAITING)]
        told = [asyncio.create_task(answer_to(one)) for one in waiting]
        async with store_of(served) as store:
            status, head, body = await answer_to(await ask(served, 0))
            while status == 200:  # not everybody has been let in yet
                status, head, body = await answer_to(await ask(served, -1))
            assert (status, b"retry-after: 5" in head.lower()) == (503, True), body
            assert not any(one.done() for one in told)
            for one in waiting[:100]:
                one[1].close()  # they go without a word, and leave room
            await store.publish("", NewPrompt(name="n", prompt=Raw(b'"x"')))
            answers = await asyncio.gather(*told[100:])
            assert {(status, body) for status, _, body in answers} == {(200, b'{"number":1,"names":["n"]}')}
            for one in told[:100]:
                one.cancel()
            assert (await store.changes("", 1, wait=0.01)).names == ()

    with serving(tmp_path) as served:
        asyncio.run(crowd(served))
        served.program.send(signal.SIGTERM)
        served.program.wait()
        assert "Traceback" not in served.program.errors
