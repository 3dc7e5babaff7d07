"""Servers with several workers: each span is delivered exactly once, by the worker that made it, recycled or not."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.makers import delivered_by_its_maker, lend_makers, with_each_buffer
from tests.faults.processes import Program, asked, free_port, running
from tests.torture.declaring import by_mode, torture

__all__ = ["with_each_buffer"]

APPLICATION = """
import os
import tracecore
from forked import work

work("read")

def wsgi(environment, start_response):
    work("request")
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await tracecore.ashutdown()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        work("request")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
REQUESTS = by_mode(60, full=2_000)
GUNICORN = ["gunicorn", "--bind", "127.0.0.1:PORT", "--workers", "2", "--timeout", "60"]
SERVERS = {
    "gunicorn": [*GUNICORN, "served:wsgi"],
    "gunicorn --preload": [*GUNICORN, "--preload", "served:wsgi"],
    "gunicorn with threads": [*GUNICORN, "--worker-class", "gthread", "--threads", "4", "served:wsgi"],
    "gunicorn for ASGI": [*GUNICORN, "--worker-class", "asgi", "served:asgi"],
    "gunicorn for ASGI --preload": [*GUNICORN, "--preload", "--worker-class", "asgi", "served:asgi"],
    "uvicorn --workers 2": ["uvicorn", "--port", "PORT", "--workers", "2", "served:asgi"],
}
RECYCLING = {
    "gunicorn": [*GUNICORN, "--max-requests", "7", "served:wsgi"],
    "gunicorn --preload": [*GUNICORN, "--preload", "--max-requests", "7", "served:wsgi"],
}

pytestmark = torture("T26", "servers with several workers, and workers that are recycled", rounds=REQUESTS)


@contextmanager
def serving(folder: Path, command: list[str]) -> Iterator[tuple[Program, Callable[[], int]]]:
    """Start a server; yield it, and a function that sends a request and returns which worker has answered."""
    lend_makers(folder)
    (folder / "served.py").write_text(APPLICATION)
    port = free_port()
    arguments = ["-m", *(part.replace("PORT", str(port)) for part in command)]
    with running(*arguments, folder=folder, environment={}, python=()) as program:
        yield program, lambda: int(asked(port, "/"))


def answered(ask: Callable[[], int], count: int) -> Counter[int]:
    """Send requests, four at a time; return how many each worker has answered."""
    with ThreadPoolExecutor(4) as pool:
        return Counter(pool.map(lambda _: ask(), range(count)))


def ended_in_order(program: Program) -> None:
    """Stop a server and assert that it ended as it should."""
    program.send(signal.SIGTERM)
    assert program.wait() == 0, program.errors
    assert "Traceback" not in program.errors


@pytest.mark.parametrize("kind", SERVERS)
def test_each_worker_delivers_its_own(tmp_path: Path, kind: str) -> None:
    """What each worker recorded is stored once and was sent by it; so is what was recorded before they were forked."""
    with serving(tmp_path, SERVERS[kind]) as (program, ask):
        served = answered(ask, REQUESTS)
        for _ in range(1_000):  # whoever is slow to start gets his share
            if len(served) == 2:
                break
            served.update([ask()])
        ended_in_order(program)
    labels, makers = delivered_by_its_maker(tmp_path)
    preloaded = "--preload" in kind
    assert labels == {"read": 1 if preloaded else 2, "request": served.total()}
    assert makers == served.keys() | ({program.pid} if preloaded else set())


@pytest.mark.parametrize("kind", RECYCLING)
def test_recycled_workers(tmp_path: Path, kind: str) -> None:
    """A worker that ends after seven requests has delivered them, however many workers there were."""
    with serving(tmp_path, RECYCLING[kind]) as (program, ask):
        served = answered(ask, REQUESTS)
        ended_in_order(program)
    labels, makers = delivered_by_its_maker(tmp_path)
    assert labels["request"] == REQUESTS
    assert makers >= served.keys()
    assert len(served) > 3
