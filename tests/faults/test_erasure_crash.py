"""A program that erases is killed again and again while another one writes: no trace is ever there in part.

Whoever begins again with the same ids goes on where the one before was stopped; what was written meanwhile is whole.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.faults.processes import running
from tests.postgres_server import Database
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial
from tracecore import plugins
from tracecore.backend import Backend, ObservationQuery, ScoreQuery, SessionQuery, TraceQuery
from tracecore.records import ABSENT, Observation, Record, TraceAttributes
from tracecore.rollup import roll_up
from tracecore.testing.comparing import same
from tracecore.testing.opening import observations_in, opened, pages_of, scores_in, sessions_in, traces_in
from tracecore.testing.samples import START, json_of, score, span, trace_id_of

TRACES = by_mode(600, full=6_000)
SPANS = 4
"""Of each trace."""
SESSIONS = 7
KILLS = 3
ERASING = """
import asyncio, sys
from tests.faults.test_erasure_crash import OLD
from tracecore import plugins
from tracecore.testing.samples import START

async def main(url, project, way):
    backend = plugins.open_backend(url)
    await backend.open()
    print("open", flush=True)
    if way == "ids":
        for at in range(0, len(OLD), 40):
            await backend.erase(project, trace_ids=OLD[at : at + 40])
            print("erased", flush=True)
    else:
        while await backend.erase_before(project, START + 10**12, limit=40):
            print("erased", flush=True)
    await backend.close()

asyncio.run(main(*sys.argv[1:]))
"""
UNTIL_NS = START + 10**12
"""Between what is old and what is new."""
OLD = [trace_id_of(number) for number in range(1, TRACES + 1)]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where the records are kept."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    database: Database = request.getfixturevalue("postgres")
    return database.url()


def records_of(project: str, number: int, *, after_s: float = 0) -> list[Record]:
    """Return a trace of a session, and its score."""
    said = TraceAttributes(session_id=f"s{number % SESSIONS}", user_id="u")
    spans = [
        span(at, within=number, project=project, after_s=after_s, trace=said, input=json_of(f"word{number} {at}"))
        for at in range(1, SPANS + 1)
    ]
    judged = score(f"of {number}", project=project, trace_id=trace_id_of(number), timestamp_ns=spans[0].start_ns)
    return [*spans, judged]


@pytest.mark.timeout(600)
@torture("T25", "kill -9 while it erases beside somebody who writes", rounds=2, full=40)
@pytest.mark.parametrize("way", ["ids", "time"])
async def test_killed_while_it_erases(trial: Trial, url: str, way: str) -> None:
    """After each death every trace is whole or gone; in the end all of them are gone, and what is new is whole."""
    stopped_between = 0
    for case in trial.cases():
        with case:
            project = f"p{case.number}"
            async with opened(plugins.open_backend(url)) as backend:
                for first in range(1, TRACES + 1, 50):
                    await backend.write([one for n in range(first, first + 50) for one in records_of(project, n)])
                    await backend.maintain()
                stop = asyncio.Event()
                writing = asyncio.create_task(_write(backend, project, stop))
                left = TRACES
                for number in range(KILLS + 1):
                    dies = number < KILLS
                    code = await asyncio.to_thread(
                        _run, url, project, way, case.folder, case.chance.uniform(0, 0.02) if dies else None
                    )
                    assert code in ({0, -signal.SIGKILL} if dies else {0})
                    there = len(await check(backend, project, until_ns=UNTIL_NS))
                    assert there <= left, "what was erased is there again"
                    stopped_between += 0 < there < left
                    left = there
                assert left == 0
                stop.set()
                new = await writing
                assert await check(backend, project) == new
                listed = await everything(sessions_in(backend).find, project, SessionQuery())
                assert sum(one.trace_count for one in listed) == len(new)
                assert len(listed) == min(SESSIONS, len(new))
    trial.figures.append(f"{stopped_between} times some traces were gone and others not")


def _run(url: str, project: str, way: str, folder: Path, killed_after_s: float | None) -> int:
    """Let a program erase, killed some time after it has begun, or not; return how it ended."""
    with running("-c", ERASING, url, project, way, folder=folder, environment={}) as program:
        program.wait_for_word("erased" if way == "ids" else "open")
        if killed_after_s is not None:
            time.sleep(killed_after_s)
            program.send(signal.SIGKILL)
        code = program.wait()
    assert program.errors == ""
    return code


async def _write(backend: Backend, project: str, stop: asyncio.Event) -> list[int]:
    """Write traces of later, one after the other, until it is told to stop; return their numbers."""
    written: list[int] = []
    while not stop.is_set():
        number = TRACES + 1 + len(written)
        await backend.write(records_of(project, number, after_s=5_000))
        written.append(number)
        await asyncio.sleep(0.01)
    return written


async def check(backend: Backend, project: str, until_ns: int | None = None) -> list[int]:
    """Assert of every trace that it is whole, and that nothing is left of any other; return which are there."""
    asked: dict[str, Any] = {"until_ns": until_ns, "limit": 1000}
    rolled = {one.trace_id: one for one in await everything(traces_in(backend).find, project, TraceQuery(**asked))}
    spans = await everything(observations_in(backend).find, project, ObservationQuery(**asked, bodies=True))
    trees: dict[str, list[Observation]] = {}
    for one in spans:
        trees.setdefault(one.trace_id, []).append(one)
    assert trees.keys() == rolled.keys()
    for trace_id, tree in trees.items():
        assert len(tree) == SPANS
        same(rolled[trace_id], replace(roll_up(project, trace_id, tree), input=ABSENT, output=ABSENT))
    judged = [one.trace_id for one in await everything(scores_in(backend).find, project, ScoreQuery(**asked))]
    assert sorted(judged) == sorted(rolled)
    for number in (1, TRACES // 2, TRACES):
        page = await traces_in(backend).find(project, TraceQuery(search=f"word{number}"))
        assert [one.trace_id for one in page.items] == [one for one in rolled if one == trace_id_of(number)]
    return sorted(int(trace_id, 16) for trace_id in rolled)


async def everything(find: Any, project: str, query: Any) -> list[Any]:
    """Return a list from its beginning to its end."""
    return [one for page in await pages_of(find, project, query) for one in page]
