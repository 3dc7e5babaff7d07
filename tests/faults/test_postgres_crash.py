"""A program that writes to PostgreSQL is killed at any moment: what was acknowledged is there, no batch in part."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres_server import Database
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore.rollup import roll_up
from tracecore.testing.comparing import same
from tracecore.testing.opening import observations_in, opened, traces_in
from tracecore.testing.samples import trace_id_of
from tracecore_postgres import open_backend

SPANS = 20
"""Of a batch: half of them of one trace, half of a trace that the batch before has begun."""
WORKING = """
select from pg_stat_activity
where state <> 'idle' and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
WRITING = f"""
import asyncio, sys
from msgspec.structs import replace
from tracecore.testing.samples import span
from tracecore_postgres import open_backend

async def main():
    backend = open_backend(sys.argv[1])
    await backend.open()
    for batch in range(1, 10**6):
        numbers = range(batch * 100, batch * 100 + {SPANS})
        spans = [span(number, within=batch + number % 2, status_message="x" * 500) for number in numbers]
        await backend.write([replace(one, project=sys.argv[2]) for one in spans])
        print(batch, flush=True)

asyncio.run(main())
"""


async def killed(url: str, project: str, root: Path, seconds: float) -> int:
    """Run the program, kill it some time after its first batch, and return the last batch that it said is kept."""
    path = os.pathsep.join(map(str, (root, root / "backends")))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITING, url, project, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout is not None
    said = await process.stdout.readline()
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    said += await process.stdout.read()
    await process.wait()
    return int(said.split(b"\n")[-2])


@pytest.mark.timeout(600)
@torture("T01", "killed while it writes to PostgreSQL", rounds=3, full=100)
async def test_killed_at_any_moment(postgres: Database, project_root: Path, trial: Trial) -> None:
    """Each batch is there as a whole or not at all, those that were acknowledged are, and roll-ups are right."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        for case in trial.cases():
            with case:
                project = f"p{case.number}"
                acknowledged = await killed(postgres.url(), project, project_root, case.chance.uniform(0, 0.2))
                # The server may still be committing what was sent.
                while await postgres.fetch(WORKING):  # noqa: ASYNC110 - another process ends
                    await asyncio.sleep(0.01)
                rows = await postgres.fetch("select span_id from tc_observations where project = $1", project)
                numbers = [int(row[0], 16) for row in rows]
                assert len(numbers) == len(set(numbers))
                whole = {number // 100 for number in numbers}
                assert len(numbers) == SPANS * len(whole)
                assert whole in (set(range(1, acknowledged + 1)), set(range(1, acknowledged + 2)))
                for number in (1, acknowledged, acknowledged + 1):
                    tree = await observations_in(backend).tree(project, trace_id_of(number))
                    trace = await traces_in(backend).get(project, trace_id_of(number))
                    same(trace, roll_up(project, trace_id_of(number), tree))
