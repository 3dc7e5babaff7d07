"""A plain script that is stopped by SIGTERM: ``python examples/stopping/script.py [JOBS]``, then ``kill PID``.

tracecore installs no signal handlers: they belong to the program. A program that ends in order (falls off its end,
calls ``sys.exit``, raises) delivers what waits by itself; so all that a signal has to do is to end it in order.
"""

from __future__ import annotations

import signal
import sys
import time

from tracecore import observe


@observe
def handle(job: int) -> int:
    """Do one job."""
    return job * job


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        handle(number)
    print("idle", flush=True)
    while True:
        time.sleep(1)
