"""A forked child keeps nothing of its parent's connections, and has its own as soon as it needs one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres_server import Database

BACKENDS = """
import asyncio, os, socket, sys
from tracecore.testing.samples import span
from tracecore_postgres import open_backend

if sys.argv[2] == "uvloop":
    from uvloop import Loop as new_loop
else:
    new_loop = asyncio.new_event_loop

async def parent():
    backend = open_backend(sys.argv[1])
    await backend.open()
    await backend.write([span(1)])
    await backend.observations.tree("default", span(1).trace_id)
    sockets = [number for number in range(256) if is_to_the_server(number)]
    assert len(sockets) == 2, sockets
    child = os.fork()
    if not child:
        assert not any(map(is_to_the_server, range(256)))
        return backend
    assert os.waitpid(child, 0)[1] == 0
    await backend.write([span(3)])
    assert len(await backend.observations.tree("default", span(1).trace_id)) == 3
    await backend.close()

def is_to_the_server(number):
    try:
        with socket.socket(fileno=os.dup(number)) as end:
            return ".s.PGSQL" in str(end.getpeername())
    except OSError:
        return False

async def child(backend):
    # The inherited backend knows that it is not open here, and can be opened; another one, too.
    await backend.open()
    await backend.write([span(2)])
    await backend.close()
    async def once(other):
        await other.open()
        await other.write([span(2)])
        await other.close()
    await once(backend.another())

loop = new_loop()
inherited = loop.run_until_complete(parent())
if inherited is not None:
    try:
        new_loop().run_until_complete(child(inherited))
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
loop.close()
print("done")
"""
TRACED = """
import os, sys
import tracecore

tracecore.configure(backend=sys.argv[1])

@tracecore.observe
def work(name):
    return name

for number in range(50):
    work(f"parent {number}")
tracecore.flush(20)
children = []
for child in range(4):
    pid = os.fork()
    if not pid:
        for number in range(25):
            work(f"child {child} {number}")
        tracecore.shutdown(20)
        os._exit(0)
    children.append(pid)
    work(f"after {child}")
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
tracecore.shutdown(20)
print("done")
"""


def run(program: str, *arguments: str, project_root: Path) -> None:
    """Run a program to its end."""
    path = os.pathsep.join(map(str, (project_root, project_root / "backends")))
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=50)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_child_has_none_of_the_parents_sockets(postgres: Database, project_root: Path, loop: str) -> None:
    """In the child they lead nowhere; the parent's sessions go on, and the child opens its own."""
    run(BACKENDS, postgres.url(), loop, project_root=project_root)
    stored = await postgres.fetch("select span_id from tc_observations order by 1")
    assert [row[0][-1] for row in stored] == ["1", "2", "3"]


async def test_a_traced_program_that_forks_stores_each_span_once(postgres: Database, project_root: Path) -> None:
    """Parent and children deliver what each of them made."""
    run(TRACED, postgres.url(), project_root=project_root)
    names = sorted(row[0] for row in await postgres.fetch("select input from tc_bodies"))
    assert len(names) == len(set(names)) == 50 + 4 * 26
