"""A rival whose flush never returns, in a thread of its own and in a process that it has started."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.catalogue import adapter

honest = adapter(str(Path(__file__).with_name("honest.py")))
RIVAL = Rival(title="Hanging")


class Hanging(honest.Honest):
    """Wait for what never comes."""

    def flush(self) -> None:
        """Wait for a process that waits for ever, having said which it is."""
        child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
        urllib.request.urlopen(f"{self.collector}/{child.pid}").read()  # noqa: S310 - on this machine
        child.wait()


start = Hanging
