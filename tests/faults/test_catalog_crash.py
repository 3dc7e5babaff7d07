"""A program that commits to the catalog is killed at any moment: each commit is there as a whole, or not at all.

Each commit changes a dozen entries at once: half of them take over each other's names, for which they are deleted and
put again; all get other references and attachments. What was acknowledged is there; of the next one, all or nothing.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.faults.processes import running
from tests.postgres_server import Database
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore import plugins
from tracecore.catalog import CatalogQuery, Change, Delete, Entry, Put
from tracecore.testing.catalog_suite import catalog_in
from tracecore.testing.comparing import same
from tracecore.testing.opening import opened
from tracecore.testing.samples import json_of

ENTRIES = 12
COMMITTING = """
import asyncio, sys
from tests.faults.test_catalog_crash import changes_of
from tracecore import plugins

async def main(url, project):
    backend = plugins.open_backend(url)
    await backend.open()
    for number in range(1, 10**6):
        await backend.catalog.commit(changes_of(project, number))
        print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where the catalog is kept."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    database: Database = request.getfixturevalue("postgres")
    return database.url()


def entries_of(project: str, number: int) -> list[Entry]:
    """Return the entries as a commit leaves them."""
    return [
        Entry(
            project=project, kind="thing", id=f"{at:02}", body=json_of(number), parent=f"p{number % 3}",
            name=f"name {(at + number) % ENTRIES}" if at % 2 else None, refs=(f"round:{number}", f"at:{at}"),
            position=number, attachment=b"%d" % number * 500, revision=1 if at % 2 else number,
        )
        for at in range(ENTRIES)
    ]  # fmt: skip


def changes_of(project: str, number: int) -> list[Change]:
    """Return the changes of a commit."""
    entries = entries_of(project, number)
    gone = [Delete(project, "thing", one.id, 1) for one in entries if one.name is not None]
    renamed = [Put(one, 0) for one in entries if one.name is not None]
    changed = [Put(one, number - 1) for one in entries if one.name is None]
    return [*(gone if number > 1 else []), *changed, *renamed]


@torture("T01", "kill -9 while it commits to the catalog", rounds=3, full=100)
async def test_killed_at_any_moment(trial: Trial, url: str) -> None:
    """Every entry is as the same commit left it: the last that was acknowledged, or the one after."""
    async with opened(plugins.open_backend(url)):
        pass  # so that no time is spent on making the schema
    for case in trial.cases():
        with case:
            project = f"p{case.number}"
            acknowledged = acknowledged_before_death(url, project, case.folder, case.chance.uniform(0, 0.3))
            assert await committed(url, project) in (acknowledged, acknowledged + 1)


def acknowledged_before_death(url: str, project: str, folder: Path, seconds: float) -> int:
    """Let a program commit, kill it some time after its first commit, and return its last that was acknowledged."""
    with running("-c", COMMITTING, url, project, folder=folder, environment={}) as program:
        program.wait_for_word("1\n")
        time.sleep(seconds)
        program.send(signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL
        assert program.errors == ""
    return int(program.out.split("\n")[-2])


async def committed(url: str, project: str) -> int:
    """Return the number of the commit that all entries of a project show."""
    async with opened(plugins.open_backend(url)) as backend:
        catalog = catalog_in(backend)
        # Whoever commits waits for what a server may still be doing of the killed one's.
        await catalog.commit([Put(Entry(project=project, kind="other", id="1", body=json_of(1)))])
        first = await catalog.get(project, "thing", "00")
        assert first is not None
        number: int = json.loads(bytes(first.body))
        expected = entries_of(project, number)
        found = [await catalog.get(project, "thing", one.id) for one in expected]
        same(found, expected)
        for query in ({"refs": (f"round:{number}",)}, {"parent": f"p{number % 3}"}, {}):
            page = await catalog.find(project, CatalogQuery(kind="thing", ascending=True, **query))
            same([entry.id for entry in page.items], [one.id for one in expected], query)
        for before in (number - 1, number + 1):
            page = await catalog.find(project, CatalogQuery(kind="thing", refs=(f"round:{before}",)))
            assert page.total == 0
        named = [await catalog.named(project, "thing", one.name) for one in expected if one.name is not None]
        same(named, [one for one in expected if one.name is not None])
        return number
