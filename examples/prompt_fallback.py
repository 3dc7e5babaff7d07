"""The life of a prompt: published, served, edited, rolled back; its server killed, the service that uses it unharmed.

Run it: ``python examples/prompt_fallback.py``. It starts ``tracecore serve`` in a folder of its own, manages the prompt
with the ``tracecore prompts`` command, as a person would, and asks for it as a service does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tracecore
from tracecore import ServedPrompt, aget_prompt, observe

NAME = "support/greeting"
BUILT_IN = "Hello {{customer}}."
KEYS = {"TRACECORE_INIT_PUBLIC_KEY": "pk-tc-example", "TRACECORE_INIT_SECRET_KEY": "sk-tc-example"}


@observe
async def greet(customer: str) -> tuple[str, ServedPrompt]:
    """Answer one request: the prompt comes from the cache, and the generation says which version it was."""
    prompt = await aget_prompt(NAME, fallback=BUILT_IN)
    with tracecore.generation("greet", model="example-model", prompt=prompt) as generation:
        text = str(prompt.compile(customer=customer))
        generation.update(output=text, usage_details={"input": len(text.split()), "output": 3})
    return text, prompt


async def until(version: int) -> float:
    """Answer requests until this version is served, and return how many seconds that took."""
    began = time.perf_counter()
    while (await greet("Ada"))[1].version != version:
        if time.perf_counter() - began > 30:  # noqa: PLR2004 - so long takes nothing that works
            raise SystemExit(f"version {version} was not picked up")
        await asyncio.sleep(0.02)
    return time.perf_counter() - began


async def unharmed(requests: int) -> float:
    """Answer many requests and return the longest time that one took, in ms."""
    longest = 0.0
    for _ in range(requests):
        began = time.perf_counter()
        await greet("Ada")
        longest = max(longest, time.perf_counter() - began)
    return 1e3 * longest


async def main(start: Callable[[], subprocess.Popen[bytes]], manage: Callable[..., str]) -> None:
    """Live through it."""
    _, prompt = await greet("Ada")
    print(f"nothing published yet     {prompt!r}")

    manage("publish", NAME, "-", "--label", "production", "--message", "first", text="Dear {{customer}}, what is it?")
    print(f"version 1 published       served after {await until(1):.2f} s")

    manage("publish", NAME, "-", "--label", "production", "--message", "short", text="Hi {{customer}}!")
    print(f"version 2 published       served after {await until(2):.2f} s")

    server = start()
    server.kill()
    server.wait()
    longest = await unharmed(1_000)
    print(f"the server is killed      1,000 requests, the longest {longest:.1f} ms: {(await greet('Ada'))[1]!r}")

    start()
    manage("rollback", NAME, "--reason", "too short for our customers")
    print(f"rolled back to version 1  served after {await until(1):.2f} s")

    await tracecore.aflush(10)
    print(manage("history", NAME))
    print(manage("metrics", NAME))


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Callable[[], subprocess.Popen[bytes]]]]:
    """Have a server run in a folder; yield its URL, and what returns it, started anew where it was killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        if not running or running[-1].poll() is not None:
            command = [sys.executable, "-m", "tracecore", "serve", "--port", str(port)]
            backend = f"sqlite:///{folder}/traces.db"
            with (folder / "server.log").open("ab") as log:
                running.append(
                    subprocess.Popen([*command, "--backend", backend], env=os.environ | KEYS, stdout=log, stderr=log)
                )
            _wait_for(port, running[-1])
        return running[-1]

    start()
    try:
        yield f"http://{':'.join(KEYS.values())}@127.0.0.1:{port}", start
    finally:
        running[-1].terminate()
        running[-1].wait(20)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.02)
    raise SystemExit("the server has not started")


def managing(url: str) -> Callable[..., str]:
    """Return what runs ``tracecore prompts`` for a server, and returns what it prints."""

    def manage(*arguments: str, text: str = "") -> str:
        command = [sys.executable, "-m", "tracecore", "prompts", *arguments, "--backend", url]
        return subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, check=True).stdout

    return manage


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tracecore-example-") as place, served(Path(place)) as (url, start):
        tracecore.configure(backend=url)
        asyncio.run(main(start, managing(url)))
        tracecore.shutdown()
