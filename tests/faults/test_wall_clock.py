"""The wall clock is stepped, by an hour or to 1970, in the middle of everything: durations and deadlines stay right."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.oracle import deliver_leftovers, each_buffer, environment_of, stored_ids
from tests.faults.processes import running
from tests.torture.declaring import torture
from tests.torture.trial import Trial

HOUR, DAY = 3_600, 86_400
STEPS = {"an hour on": HOUR, "an hour back": -HOUR, "a day on": DAY, "a day back": -DAY, "to 1970": None}
"""Seconds; None for the beginning of the epoch."""
LATE_NS = 5_000_000_000
"""What a busy machine may add to a duration; a step is 700 times as long."""

STEPPED = """
import sys, time

true_wall, offset = time.time_ns, 0
time.time_ns = lambda: true_wall() + offset
time.time = lambda: time.time_ns() / 1e9

import asyncio, json
import tracecore
from tracecore import Config, Recorder, observe
from tracecore.errors import BackendUnavailable
from tracecore.plugins import open_backend
from tracecore.testing.faults import FaultyBackend

assert tracecore.clock.wall_ns() // 10**9 == int(time.time())  # it is our clock that is stepped
step = json.loads(sys.argv[1])
away = False
steps = 0

async def plan(call, moment):
    if away and call == "write" and moment == "before":
        raise BackendUnavailable("the backend is away", "try again")

def step_clock():
    '''Step it, and every other time back again.'''
    global offset, steps
    steps += 1
    offset = 0 if steps % 2 == 0 else (step * 10**9 if step is not None else 1_000 - true_wall())

@observe
def stepping():
    time.sleep(0.01)
    step_clock()
    time.sleep(0.01)

@observe
def outer():
    stepping()

@observe
async def waiting():
    await asyncio.sleep(0.01)
    step_clock()
    await asyncio.sleep(0.01)

@observe
async def items():
    for _ in range(3):
        await asyncio.sleep(0.005)
        step_clock()
        yield 1

async def main():
    await asyncio.gather(*(waiting() for _ in range(3)))
    async for _ in items():
        pass

config = Config.load()
backend = FaultyBackend(open_backend(config.backend), plan)
tracecore.default._default.recorder = Recorder(config, backend=backend).start()
told = {}

for _ in range(3):
    outer()
    asyncio.run(main())
assert tracecore.flush(20).delivered

# while the pump waits between two attempts
away = True
tracecore.span("held").end()
began = time.monotonic()
result = tracecore.flush(0.3)
told["flush"] = time.monotonic() - began
assert not result.delivered
step_clock()
time.sleep(0.2)
away = False
began = time.monotonic()
assert tracecore.flush(30).delivered
told["resumed"] = time.monotonic() - began
tracecore.create_score("good", 1.0, session_id="s")
began = time.monotonic()
assert tracecore.shutdown(20).delivered
told["shutdown"] = time.monotonic() - began
health = tracecore.health()
told["emitted"], told["lost"], told["age"] = health.emitted, health.lost, health.last_delivery_age_s
print(json.dumps(told))
"""


@torture("T47", "the wall clock is stepped during spans and back-off", full=20)
@each_buffer
@pytest.mark.parametrize("kind", STEPS)
def test_stepped(trial: Trial, kind: str, buffer: str) -> None:
    """Durations are as long as it took, starts are what the clock said, and waiting takes no longer."""
    for case in trial.cases():
        with case:
            path = case.folder / "a.db"
            environment = environment_of(buffer, f"sqlite:///{path}")
            with running(
                "-c", STEPPED, json.dumps(STEPS[kind]), folder=case.folder, environment=environment
            ) as program:
                assert program.wait() == 0, program.errors
            told = json.loads(program.out)
            assert told["lost"] == {}
            assert 0.29 < told["flush"] < 5
            assert told["resumed"] < 15
            assert told["shutdown"] < 15
            assert 0 <= told["age"] < 60
            deliver_leftovers(buffer, path)
            assert len(stored_ids(path)) == told["emitted"] - 1  # one is a score
            check_times(path, kind)


def check_times(path: Path, kind: str) -> None:
    """Assert that no duration is negative or as long as a step, and that each start is near what the clock may say."""
    with closing(sqlite3.connect(path)) as raw:
        rows = raw.execute("SELECT name, start_ns, duration_ns FROM spans").fetchall()
        ((now,),) = raw.execute("SELECT cast(strftime('%s', 'now') AS INTEGER)").fetchall()
        totals = raw.execute("SELECT duration_ns FROM traces").fetchall()
    least = {"held": 0, "items": 15_000_000}
    step = STEPS[kind]
    clocks = (now, 0 if step is None else now + step)
    for name, start, duration in rows:
        assert least.get(name, 20_000_000) <= duration < LATE_NS, name
        assert any(abs(start / 1e9 - clock) < 300 for clock in clocks), (name, start)
    assert all(duration >= 0 for (duration,) in totals)
