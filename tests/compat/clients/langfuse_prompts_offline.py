"""The Langfuse SDK goes on serving prompts when the server is gone: what it has read, or the fallback."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from langfuse import Langfuse
from telling import case, tell

client = Langfuse()
FOLDER = Path(os.environ["COMPAT_FOLDER"])
PATIENCE_S = 60.0


def wait_for(name: str) -> None:
    """Wait until the test has made a file."""
    deadline = time.monotonic() + PATIENCE_S
    while not (FOLDER / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.05)


@case
def offline() -> Any:
    """Read a prompt, have the server killed, and ask again: for that one, for another, and to publish."""
    for text in ("one {{x}}", "two {{x}}"):
        client.create_prompt(name="kept", prompt=text, labels=["production"])
    before = client.get_prompt("kept", cache_ttl_seconds=1)
    (FOLDER / "read").touch()
    wait_for("killed")
    time.sleep(1.2)  # what was read is stale by now
    stale = [client.get_prompt("kept", cache_ttl_seconds=1) for _ in range(3)]
    fallback = client.get_prompt("never read", fallback="Hello {{x}}", max_retries=0, fetch_timeout_seconds=5)
    raised = []
    for attempt in (
        lambda: client.get_prompt("never read", max_retries=0, fetch_timeout_seconds=5),
        lambda: client.create_prompt(name="kept", prompt="three"),
    ):
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 - which one it is, is what is told
            raised.append(type(error).__name__)
    return {
        "before": before.compile(x="y"), "stale": [one.compile(x="y") for one in stale],
        "fallback": [fallback.is_fallback, fallback.compile(x="y")], "raised": raised,
    }  # fmt: skip


if __name__ == "__main__":
    tell()
    os._exit(0)  # what it could not send it would try to send again for a while
