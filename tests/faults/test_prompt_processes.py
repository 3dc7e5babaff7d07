"""Many processes change the same prompts at once, or are killed while they do: each change is whole, and counted once.

What a change makes, its moves and the number of the feed are one commit. So whatever is there fits together: the moves
of a name, told from the first on, lead to the labels and versions that it has, and there are as many changes as the
feed says.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.faults.processes import Program, running
from tests.postgres_server import Database
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial
from tracecore import plugins
from tracecore.errors import NotFound
from tracecore.prompts import Author, LabelMove, Move, PromptQuery, PromptStore, Rollback
from tracecore.testing.opening import opened, prompts_in
from tracecore.testing.samples import new_prompt

NAMES = ("a", "b", "c/d")
PROCESSES = 8
ROUNDS = by_mode(5, full=24)
Done: TypeAlias = tuple[str, str, int, str | None]
"""A name, what was done, the version, and its text or label."""
CHANGING = """
import asyncio, json, sys
from tests.faults.test_prompt_processes import changing
from tracecore import plugins
from tracecore.testing.opening import prompts_in

async def main(url, project, process, rounds):
    backend = plugins.open_backend(url)
    await backend.open()
    try:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async for done in changing(prompts_in(backend), project, int(process), int(rounds)):
            print(json.dumps(done), flush=True)
    finally:
        await backend.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def changing(store: PromptStore, project: str, process: int, rounds: int) -> AsyncIterator[Done]:
    """Publish, put a label of this process, and roll back; yield the name and what was done, after each that was."""
    author = Author(f"process {process}")
    for number in range(rounds):
        name = NAMES[(process + number) % len(NAMES)]
        text = f"{process} {number}"
        made = await store.publish(project, new_prompt(name, text, labels=("production",), author=author))
        yield name, "publish", made.version, text
        label = f"mine-{process}-{number}"
        await store.change(project, name, LabelMove(version=made.version, labels=(label,), expected=0), author=author)
        yield name, "label", made.version, label
        try:
            back = await store.change(project, name, Rollback(), author=author)
        except NotFound:
            continue  # others have rolled back to the first version
        yield name, "rollback", back.version, None


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where the prompts are kept."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    database: Database = request.getfixturevalue("postgres")
    return database.url()


def started(stack: ExitStack, url: str, project: str, folder: Path, rounds: int) -> list[Program]:
    """Start the processes, and let them begin together once each has opened its backend."""
    programs: list[Program] = []
    for process in range(PROCESSES):
        place = folder / f"{project}-{process}"
        place.mkdir()
        arguments = ("-c", CHANGING, url, project, str(process), str(rounds))
        programs.append(stack.enter_context(running(*arguments, folder=place, environment={})))
    for program in programs:
        program.wait_for_word("ready\n")
    for program in programs:
        program.say("go")
    return programs


def done_by(programs: list[Program]) -> list[Done]:
    """Return what all of them have said that they have done."""
    said = [line for program in programs for line in program.out.split("\n")[1:-1]]
    return [tuple(json.loads(line)) for line in said]


def kill(programs: Iterable[Program], pauses: Iterable[float]) -> None:
    """Kill one after the other, each some seconds after the one before."""
    for program, seconds in zip(programs, pauses, strict=True):
        time.sleep(seconds)
        program.send(signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL, program.errors


async def check(store: PromptStore, project: str, done: list[Done], *, others: int = 0) -> Counter[str]:
    """Assert that what was done is there, once, and fits together; return how many changes there are of each kind."""
    changes: Counter[str] = Counter()
    for name in NAMES:
        mine = [one for one in done if one[0] == name]
        if not (await store.find(project, PromptQuery(name=name))).items:
            assert mine == []
            continue
        history = await store.history(project, name, limit=1000)
        texts = {one.version: json.loads(bytes(one.prompt)) for one in history.versions}
        assert sorted(texts) == list(range(1, len(texts) + 1))
        published = [(version, text) for _, kind, version, text in mine if kind == "publish"]
        assert len(published) == len({version for version, _ in published})
        assert all(texts[version] == text for version, text in published)
        moves = history.moves[::-1]
        labels = replayed(moves)
        [listed] = (await store.find(project, PromptQuery(name=name))).items
        held = {label: one.version for label, one in listed.labels.items() if label != "latest"}
        assert labels == held
        assert {label: version for _, kind, version, label in mine if kind == "label"}.items() <= held.items()
        holding = [one.version for one in history.versions if "production" in one.labels]
        assert holding == [held["production"]]
        # A label that comes with a version is part of its change.
        kinds = Counter(move.action for move in moves if not (move.action == "label" and move.label == "production"))
        assert all(kinds[kind] >= count for kind, count in Counter(one[1] for one in mine).items())
        changes += kinds
    assert (await store.changes(project, 0)).number == changes.total() + others
    return changes


def replayed(moves: list[Move]) -> dict[str, int]:
    """Return where labels are after moves, each of which begins where the one before has ended."""
    labels: dict[str, int] = {}
    versions = 0
    for move in moves:
        if move.label is None:
            versions += 1
            assert (move.action, move.version) == ("publish", versions)
        else:
            assert move.before == labels.get(move.label), move
            assert move.version is not None
            labels[move.label] = move.version
    return labels


async def test_many_processes_change_the_same_prompts(url: str, tmp_path: Path) -> None:
    """Eight of them publish, label and roll back three names: nothing is lost, double, or in two places."""
    async with opened(plugins.open_backend(url)) as backend:
        with ExitStack() as stack:
            programs = started(stack, url, "p", tmp_path, ROUNDS)
            assert [program.wait() for program in programs] == [0] * PROCESSES, [one.errors for one in programs]
            done = done_by(programs)
        changes = await check(prompts_in(backend), "p", done)
        assert changes == Counter(kind for _, kind, *_ in done)
        assert changes["publish"] == changes["label"] == PROCESSES * ROUNDS


@torture("T01", "kill -9 while processes change prompts", rounds=2, full=60)
async def test_killed_at_any_moment(trial: Trial, url: str) -> None:
    """What was acknowledged is there; of what each was doing, all or nothing; and others go on from there."""
    async with opened(plugins.open_backend(url)) as backend:
        store = prompts_in(backend)
        for case in trial.cases():
            with case, ExitStack() as stack:
                project = f"p{case.number}"
                programs = started(stack, url, project, case.folder, 10**6)
                programs[0].wait_for_word("publish")
                pauses = [case.chance.uniform(0, longest) for longest in (0.5, *[0.05] * (PROCESSES - 1))]
                kill(case.chance.sample(programs, PROCESSES), pauses)
                # Whoever changes something waits for what a server may still be doing of the killed ones'.
                await store.publish(project, new_prompt("other"))
                done = done_by(programs)
                changes = await check(store, project, done, others=1)
                acknowledged = Counter(kind for _, kind, *_ in done)
                assert acknowledged.total() <= changes.total() <= acknowledged.total() + PROCESSES
