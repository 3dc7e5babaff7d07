"""A burst while the store is away: the journal takes all of it; in memory what has no room is counted, to the unit."""

from __future__ import annotations

import json
import re

import pytest

from tests.faults.oracle import deliver_leftovers, each_buffer, environment_of, locked, stored_ids
from tests.faults.processes import running
from tests.sqlite.files import keep
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial

SPANS = by_mode(20_000, full=200_000)
ROOM = by_mode(6_000, full=65_536)
"""Records that memory holds, per emitting thread; the journal holds as many as fit into its bytes."""
BURST = """
import json, sys
import tracecore

tracecore.span("first").end()
assert tracecore.flush(0.01).pending  # the store is away already
for number in range(int(sys.argv[1]) - 1):
    tracecore.span(f"{number}", input={"number": number}).end()
waiting = tracecore.health()
print("made", flush=True)
sys.stdin.readline()
result = tracecore.shutdown(120)
health = tracecore.health()
print(json.dumps([waiting.pending, health.emitted, health.delivered, health.pending, health.lost]))
"""
LOST = re.compile(r"tracecore has lost (\d+) records so far")


@pytest.mark.timeout(by_mode(60, full=600))
@torture("T20", "a burst while the store is away", rounds=1, full=10)
@each_buffer
async def test_a_burst_while_the_store_is_away(trial: Trial, buffer: str) -> None:
    """Everything that was accepted is stored once when the store is back; only memory has refused any, and says so."""
    for case in trial.cases():
        with case:
            path = await keep(case.folder / "a.db")
            environment = environment_of(buffer, f"sqlite:///{path}") | {"TRACECORE_BUFFER_ITEMS": f"{ROOM}"}
            with running("-c", BURST, str(SPANS), folder=case.folder, environment=environment) as program:
                with locked(path):
                    program.wait_for_word("made")
                program.say("go on")
                assert program.wait() == 0, program.errors
            waited, emitted, delivered, pending, lost = json.loads(program.out.partition("\n")[2])
            deliver_leftovers(buffer, path)
            assert (emitted, pending) == (SPANS, 0)
            assert waited == delivered == len(stored_ids(path)) == stored_ids(path).total()
            assert delivered + sum(lost.values()) == SPANS
            assert lost.keys() == (set() if buffer == "journal" else {"ring_full"})
            assert delivered >= ROOM
            assert LOST.findall(program.errors)[-1:] == [f"{count}" for count in lost.values()]
