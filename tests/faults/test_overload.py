"""More than the buffer can hold, and the same load for long: what is lost is counted to the unit, and nothing grows."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

from tests.faults.oracle import deliver_leftovers, each_buffer, environment_of, stored_ids
from tests.faults.processes import running
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial

BURST = """
import json, threading, time
import tracecore

THREADS, EACH = 8, 6_250
together = threading.Barrier(THREADS + 1)

def work(number):
    together.wait()
    for index in range(EACH):
        tracecore.span(f"{number}:{index}").end()

tracecore.span("first").end()
assert tracecore.flush(20).delivered
threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
together.wait()
began = time.monotonic()
for thread in threads:
    thread.join()
seconds = time.monotonic() - began
result = tracecore.shutdown(30)
health = tracecore.health()
print(json.dumps([seconds, health.emitted, health.delivered, health.pending, health.lost]))
"""
BURST_SECONDS = by_mode(20.0, full=3.0)
LOST = re.compile(r"tracecore has lost (\d+) records so far \((.*)\)")


@torture("T20", "50,000 spans from 8 threads into a buffer of 2,048 items, into SQLite", rounds=2, full=20)
@each_buffer
def test_a_burst_into_a_small_buffer(trial: Trial, buffer: str) -> None:
    """What was emitted is stored once or counted, to the unit; each thread's spans are stored in their order."""
    for case in trial.cases():
        with case:
            path = case.folder / "a.db"
            environment = environment_of(buffer, f"sqlite:///{path}") | {"TRACECORE_BUFFER_ITEMS": "2048"}
            with running("-c", BURST, folder=case.folder, environment=environment) as program:
                assert program.wait() == 0, program.errors
            seconds, emitted, delivered, pending, lost = json.loads(program.out)
            assert seconds < BURST_SECONDS
            assert (emitted, pending) == (50_001, 0)
            deliver_leftovers(buffer, path)
            assert len(stored_ids(path)) == stored_ids(path).total() == delivered == emitted - sum(lost.values())
            said = LOST.findall(program.errors)
            assert [int(count) for count, _ in said[-1:]] == [sum(lost.values())][: len(lost)]
            with closing(sqlite3.connect(path)) as raw:
                names = [name for (name,) in raw.execute("SELECT name FROM spans WHERE name <> 'first' ORDER BY rowid")]
            for number in range(8):
                mine = [int(name.partition(":")[2]) for name in names if name.startswith(f"{number}:")]
                assert mine == sorted(mine)


SOAK = """
import asyncio, gc, json, os, sys, threading, time
import tracecore
from tracecore import generation, observe

SECONDS = float(sys.argv[1])

@observe
async def leaf(number):
    with generation("llm", model="m", input={"text": "x" * 500}) as call:
        await asyncio.sleep(0)
        call.update(output="y" * 200, usage_details={"input": 1, "output": 1})
    return number

@observe
async def request(number):
    return await asyncio.gather(*(leaf(number) for _ in range(4)))

def in_a_thread():
    for number in range(5):
        with tracecore.span("thread"):
            pass

async def a_while(seconds):
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        await request(number)
        number += 1
        if number % 50 == 0:
            thread = threading.Thread(target=in_a_thread)
            thread.start()
            await asyncio.to_thread(thread.join)
            await tracecore.aflush(20)
        await asyncio.sleep(0.004)

def looked():
    gc.collect()
    with open("/proc/self/status") as status:  # what is ours alone: a journal is a file
        resident = next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))
    return time.monotonic(), resident, threading.active_count(), len(os.listdir("/proc/self/fd"))

samples = []
until = time.monotonic() + SECONDS
while time.monotonic() < until:
    asyncio.run(a_while(SECONDS / 40))
    samples.append(looked())
assert tracecore.shutdown(20).delivered
health = tracecore.health()
print(json.dumps([samples, health.emitted, health.delivered, health.lost]))
"""
SOAK_SECONDS = by_mode(8, full=300)
GROWTH_BYTES = by_mode(12 << 20, full=2 << 20)
"""From the middle third to the last one. In the short form the caches of SQLite are still filling."""


@torture("T23", "soak", rounds=SOAK_SECONDS)
@each_buffer
def test_nothing_grows(trial: Trial, buffer: str) -> None:
    """Under an even load the memory, the threads and the descriptors of the program stay as they are."""
    folder = trial.folder
    environment = environment_of(buffer, f"sqlite:///{folder / 'a.db'}")
    with running("-c", SOAK, str(SOAK_SECONDS), folder=folder, environment=environment) as program:
        assert program.wait(SOAK_SECONDS) == 0, program.errors
    samples, emitted, delivered, lost = json.loads(program.out)
    assert (emitted, lost) == (delivered, {})
    assert delivered == len(stored_ids(folder / "a.db"))
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[-third:]
    grown = max(resident for _, resident, *_ in last) - max(resident for _, resident, *_ in middle)
    slope = grown / (last[-1][0] - middle[-1][0]) * 3_600
    trial.ran = SOAK_SECONDS
    trial.figures.append(f"{emitted:,} spans, {slope / 1e6:+.1f} MB/h of {last[-1][1] / 1e6:.0f} MB")
    assert grown <= GROWTH_BYTES
    for place, what in ((2, "threads"), (3, "descriptors")):
        assert {sample[place] for sample in last} <= {sample[place] for sample in middle}, what
