"""Two projects write, judge, manage and erase the same ids at once: each says what it says where it is alone.

The same random steps are taken in one store by both projects, in turns and beside each other, with other contents and
in another order, and by each of them in a store of the reference backend that nobody else has.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from tests.postgres_server import Database
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore import plugins
from tracecore.backend import Backend, LedgerQuery
from tracecore.catalog import CatalogQuery, Delete, Entry, Put
from tracecore.erasure import Erasable
from tracecore.errors import Conflict
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.records import Record, TraceAttributes
from tracecore.testing.catalog_suite import catalog_in
from tracecore.testing.comparing import same
from tracecore.testing.erasure_suite import everything_in
from tracecore.testing.opening import ledger_in, opened
from tracecore.testing.samples import entry, generation, json_of, score, session, span, trace_id_of

PROJECTS = ("mine", "theirs")
STEPS = 40
Step = Callable[[Backend], Awaitable[object]]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where both projects are."""
    if request.param == "memory":
        return f"memory:{tmp_path.name}"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    database: Database = request.getfixturevalue("postgres")
    return database.url()


def records(project: str, chance: random.Random) -> list[Record]:
    """Return some records whose ids are those of the other project, and whose contents are not."""
    number, at = chance.randint(1, 3), chance.randint(1, 3)
    said = TraceAttributes(
        session_id=chance.choice((None, "both", "own")), user_id=chance.choice(("u1", "u2")), tags=(project,)
    )
    running = chance.random() < 0.3
    made: list[Record] = [
        span(
            at, within=number, project=project, name=project, status="running" if running else "ok", trace=said,
            after_s=chance.randint(0, 9), input=json_of(f"{project} {chance.choice(('apple', 'plum', 'pear'))}"),
        ),
        generation(9, within=number, project=project, model=project, total_cost=chance.randint(0, 8) / 8),
        score("s", project=project, value=float(chance.randint(0, 9)), comment=project, trace_id=trace_id_of(number)),
        session("own", project=project, environment=project, public=chance.random() < 0.5),
        entry("process-1", project=project, emitted=chance.randint(0, 9), minute=chance.randint(0, 1)),
    ]  # fmt: skip
    return chance.sample(made, chance.randint(1, len(made)))


def steps(project: str, chance: random.Random) -> list[Step]:
    """Return what a project does, one step after the other."""
    made: list[Step] = []
    for _ in range(STEPS):
        kind = chance.random()
        if kind < 0.6:
            made.append(_writing(records(project, chance)))
        elif kind < 0.75:
            made.append(_erasing(project, chance.randint(1, 3)))
        else:
            made.append(_committing(project, chance.choice("ab"), chance.choice((None, 0, 1, 2))))
    return made


def _writing(batch: list[Record]) -> Step:
    return lambda backend: backend.write(batch)


def _erasing(project: str, number: int) -> Step:
    async def erase(backend: Backend) -> object:
        score_ids = ["s"] if number == 2 else []
        return await cast("Erasable", backend).erase(project, trace_ids=[trace_id_of(number)], score_ids=score_ids)

    return erase


def _committing(project: str, name: str, expected: int | None) -> Step:
    made = Entry(
        project=project, kind="thing", id=name, body=json_of([project, expected]), name=f"name {expected}",
        refs=("r", project), attachment=project.encode(),
    )  # fmt: skip

    async def commit(backend: Backend) -> object:
        try:
            await catalog_in(backend).commit([Put(made, expected), Delete(project, "thing", "c"), Put(_c(project))])
        except Conflict as conflict:
            return str(conflict)
        return None

    return commit


def _c(project: str) -> Entry:
    return Entry(project=project, kind="thing", id="c", body=json_of(project), parent="a")


async def said_of(backend: Backend, project: str) -> list[Any]:
    """Return all that a backend says of a project."""
    catalog = catalog_in(backend)
    kept = [await catalog.get(project, "thing", one) for one in "abc"]
    listed = [await catalog.find(project, CatalogQuery(kind="thing", refs=refs)) for refs in ((), ("r",), PROJECTS[:1])]
    ledger = [(await ledger_in(backend).find(project, LedgerQuery())).items, await ledger_in(backend).totals(project)]
    return [*await everything_in(backend, project), kept, listed, ledger]


@torture("T46", "two projects use the same ids", rounds=4, full=200)
async def test_no_update_crosses(trial: Trial, url: str) -> None:
    """What each project is answered, and what it reads in the end, is what it would be without the other."""
    for case in trial.cases():
        with case:
            async with AsyncExitStack() as stack:
                shared = [await stack.enter_async_context(opened(plugins.open_backend(url))) for _ in PROJECTS]
                alone = [
                    await stack.enter_async_context(
                        opened(cast("Backend", MemoryBackend(MemoryData(), location="memory:", access="write")))
                    )
                    for _ in PROJECTS
                ]
                done = [steps(project, random.Random(case.chance.random())) for project in PROJECTS]  # noqa: S311 - a seed makes it repeatable
                for backend, project in zip(shared, PROJECTS, strict=True):
                    await _erased(backend, project)
                for turn in zip(*done, strict=True):
                    answers = await asyncio.gather(*(step(one) for step, one in zip(turn, shared, strict=True)))
                    same(answers, [await step(one) for step, one in zip(turn, alone, strict=True)])
                    if case.chance.random() < 0.2:
                        await shared[0].maintain()
                for backend in shared:
                    found = [await said_of(backend, project) for project in PROJECTS]
                    expected = [await said_of(one, project) for one, project in zip(alone, PROJECTS, strict=True)]
                    same(found, expected)
                await _erased(shared[0], PROJECTS[0])
                same(await said_of(shared[1], PROJECTS[1]), await said_of(alone[1], PROJECTS[1]))


async def _erased(backend: Backend, project: str) -> None:
    while await cast("Erasable", backend).erase_project(project):
        pass
