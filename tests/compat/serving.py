"""A server as its users start it: ``tracecore serve`` in a process and an empty folder, on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
from msgspec import Struct

__all__ = ["GROUPS", "Server", "serving"]

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 60.0
"""How long a start may take on a busy machine before it counts as hung."""
PUBLIC_KEY: Final = "pk-lf-compat"
SECRET_KEY: Final = "sk-lf-compat-secret-of-the-tests"
STOP_S: Final = 30.0
LOOK_S: Final = 0.05
GROUPS: Final = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"
"""Every group of fields of an observation."""


class Server(Struct, frozen=True):
    """Say where a server is and with which key it is asked, and ask it."""

    url: str
    kill: Callable[[], None]
    """Let it end in the middle of whatever it does, as ``kill -9`` does."""
    public_key: str = PUBLIC_KEY
    secret_key: str = SECRET_KEY

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send one request to the public API with the key, unless ``auth`` says otherwise."""
        options.setdefault("auth", (self.public_key, self.secret_key))
        return httpx2.request(method, f"{self.url}/api/public{path}", timeout=60.0, **options)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of an answer that has to be 200."""
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, f"GET {path} {query}: {answer.status_code} {answer.text}"
        return answer.json()

    def observations(self, trace_id: str, **query: Any) -> list[dict[str, Any]]:
        """Return everything of the observations of a trace, the oldest first, through the HTTP API."""
        found: list[dict[str, Any]] = self.get(
            "/v2/observations", traceId=trace_id, fields=GROUPS, limit=1000, **query
        )["data"]
        return sorted(found, key=lambda one: one["startTime"])

    def by_name(self, trace_id: str, **query: Any) -> dict[str, dict[str, Any]]:
        """Return the observations of a trace by their names, which have to differ."""
        found = self.observations(trace_id, **query)
        named = {one["name"]: one for one in found}
        assert len(named) == len(found), f"two of one name: {sorted(one['name'] for one in found)}"
        return named

    def scores(self, **query: Any) -> dict[str, dict[str, Any]]:
        """Return everything of scores by their names, through the HTTP API."""
        answer = self.get("/v3/scores", fields="details,subject,annotation", limit=100, **query)
        return {one["name"]: one for one in answer["data"]}


@contextlib.contextmanager
def serving(folder: Path, backend: str) -> Iterator[Server]:
    """Serve a backend from an empty folder for the length of a block; what went wrong inside fails it at the end."""
    log, said = folder / "server.log", folder / "server.json"
    with log.open("wb") as errors, said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracecore", "serve", "--backend", backend, "--port", "0", "--json"],
            cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
        )  # fmt: skip
    try:
        yield Server(_url_once_ready(process, said, log), lambda: _kill(process))
    except BaseException:
        _kill(process)
        raise
    if process.poll() != -signal.SIGKILL:
        _stop(process)
    complained = log.read_text(errors="replace")
    assert "Traceback" not in complained, f"the server failed inside:\n{complained[-6000:]}"


def _environment() -> dict[str, str]:
    """Return the environment of the server: nothing of the caller's settings, and the first project with its key."""
    foreign = ("TRACECORE_", "OTEL_", "LANGFUSE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
        "TRACECORE_INIT_PROJECT": "compat",
        "TRACECORE_INIT_PUBLIC_KEY": PUBLIC_KEY,
        "TRACECORE_INIT_SECRET_KEY": SECRET_KEY,
    }


def _url_once_ready(process: subprocess.Popen[bytes], said: Path, log: Path) -> str:
    """Return the URL that the server says it is at, once it answers there."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server did not start:\n{log.read_text(errors='replace')[-6000:]}"
        line = said.read_text()
        if line.endswith("\n"):
            url: str = json.loads(line)["url"]
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{url}/api/public/health", timeout=5.0).status_code == 200:
                    return url
        time.sleep(LOOK_S)
    raise AssertionError(f"the server is not ready after {START_S:.0f} s:\n{log.read_text(errors='replace')}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, as a service manager does; one that does not is killed, and fails the test."""
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise
    assert code in {0, -signal.SIGTERM}, f"the server ended with {code}"
