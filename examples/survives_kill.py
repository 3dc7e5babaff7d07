"""A worker is killed with its spans undelivered, by SIGKILL, which nobody can handle; the next start delivers them.

Run it: ``python examples/survives_kill.py``. Then ``tracecore stats`` says what became of each process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import tracecore
from tracecore import Config, Recorder, observe

SPANS = 1_000


@observe
def step(number: int) -> int:
    """Stand for a piece of work."""
    return number * number


def work() -> None:
    """Emit spans into the journal, and die at once."""
    tracecore.configure(buffer="journal")
    for number in range(SPANS):
        step(number)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Start the worker, see it die, and recover what it left."""
    worker = subprocess.run([sys.executable, __file__, "work"], check=False)
    print(f"the worker was killed (exit code {worker.returncode})")
    # A service does not wait: what was left is delivered beside what it emits itself.
    recorder = Recorder(Config.load(overrides={"buffer": "journal"})).start()
    recovered = recorder.recover(timeout=20.0)
    recorder.shutdown()
    print(f"recovered {recovered.delivered} of {SPANS} spans in {recorder.health().location}")
    return 0 if recovered.complete else 1


if __name__ == "__main__":
    sys.exit(work() if sys.argv[1:] == ["work"] else main())
