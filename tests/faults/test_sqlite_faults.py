"""Every call to the system on the way to the file fails once: the n-th, for every n until a run sees no fault.

The program sees no exception, the file is whole, and what was acknowledged is in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.oracle import BUFFERS, Ledger, deliver_leftovers, environment_of, stored_ids
from tests.faults.processes import running
from tests.faults.stracing import ALLOW_TRACING, Fault, Injector, why_not
from tests.torture.declaring import MODE, only_in_full, torture
from tests.torture.trial import Trial

RECORDING = f"""
{ALLOW_TRACING}
import sys, time
import tracecore
from tests.faults.telling import Teller

teller = Teller()
teller.tell("ready", None)
sys.stdin.readline()
for batch in range(3):
    for number in range(20):
        teller.emit(f"{{batch}}:{{number}}", input={{"text": "x" * 3_000}})
    teller.flush(20)
tracecore.shutdown(20)
teller.account()
print("the program saw nothing")
"""
WRITES = ["error=EIO", "error=ENOSPC", "error=EINTR", "retval=0"]
ERRORS = ["error=EIO", "error=ENOSPC", "error=EINTR"]
FAULTS = [
    *(("pwrite64", how) for how in WRITES),
    *((call, how) for call in ("openat", "fdatasync", "fsync", "ftruncate") for how in ERRORS),
    *((call, "error=EIO") for call in ("pread64", "unlink", "mmap")),
]
# On the way to the file the two buffers do the same.
CASES = [*(("memory", *fault) for fault in FAULTS), *(("journal", *fault) for fault in FAULTS if "EIO" in fault[1])]

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def files(path: Path) -> list[Path]:
    """Return what SQLite opens for a file: its companions, and its folder, which it syncs."""
    return [path, Path(f"{path}-wal"), Path(f"{path}-shm"), Path(f"{path}-journal"), path.parent]


FEW = {"pwrite64": 120, "pread64": 30}
"""How many of a kind of call there surely are; of the others there is one."""


@torture("T10", "the n-th system call on the file fails, for every n", rounds=2, full=100_000)
@pytest.mark.parametrize(("buffer", "call", "how"), [case for case in CASES if case[0] in BUFFERS])
def test_the_nth_call_fails(trial: Trial, buffer: str, call: str, how: str) -> None:
    """Whichever call fails, once, and with whatever error: the program goes on, and everything is delivered."""
    for case in trial.cases():
        with case:
            nth = case.number + 1 if MODE.full else case.chance.randint(1, FEW.get(call, 1))
            happened = survived(case.folder, Fault(call, how, nth), buffer)
            if MODE.full and not happened:
                trial.stop()


@torture("T10", "unlocking the file fails")
@only_in_full
def test_a_failing_unlock(tmp_path: Path) -> None:
    """Whichever call that locks or unlocks the file fails, once: the program goes on, and everything is delivered."""
    for nth in range(1, 100):
        folder = tmp_path / f"{nth}"
        folder.mkdir()
        if not survived(folder, Fault("fcntl", "error=EIO", nth), "memory"):
            return


def survived(folder: Path, fault: Fault, buffer: str) -> bool:
    """Let a program record while a call of it fails, and hold it to its ledger; return whether it came to the fault."""
    path = folder / "store" / "a.db"  # nothing is imported from there
    path.parent.mkdir()
    with Ledger(folder, buffer) as ledger:
        environment = environment_of(buffer, f"sqlite:///{path}?synchronous=full") | ledger.environment
        with running("-c", RECORDING, folder=folder, environment=environment) as program:
            ledger.wait_for(lambda ledger: bool(ledger.heard("ready")))
            injector = Injector(program.pid, fault, files(path), folder / "strace.log")
            program.say("go on")
            injector.let_go_when_it_happened()
            assert program.wait() == 0, program.errors
        assert program.out == "the program saw nothing\n"
        assert "Traceback" not in program.errors
        deliver_leftovers(buffer, path)
        ledger.check(stored_ids(path))
        (account,) = ledger.accounts.values()
        assert account["lost"] == {}, program.errors
        assert account["delivered"] == 60
    return injector.happened
