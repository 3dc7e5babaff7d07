"""The whole thing in one command: ``python -m examples.rag_service.demo``.

Starts the service, lets two dozen users ask 240 questions, stops it, and shows with tracecore's own commands what was
recorded. Then it checks what was stored against what the users saw; the exit code is 1 if anything is missing.

The traces go to a file, or, where ``TRACECORE_BACKEND`` is set, to the backend that it names, under a new project.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import anyio

from examples.rag_service.app import VERSION
from examples.rag_service.driver import Outcome, make_plan, play
from examples.rag_service.progress import ProgressLine
from examples.rag_service.server_process import ServerFailed, ServerProcess
from examples.rag_service.verification import PROJECT, Recorded, read_recorded, verify
from tracecore import Config, TracecoreError
from tracecore.backend import Backend
from tracecore.config import without_credentials
from tracecore.plugins import open_to_read

__all__ = ["main"]

SLOW_STEPS: Final = (
    "select name, count(*) as calls, round(cast(avg(duration_ms) as numeric), 2) as avg_ms, "
    "round(cast(max(duration_ms) as numeric), 2) as max_ms "
    "from spans where project = '{project}' group by name order by avg(duration_ms) desc"
)
COST_PER_USER: Final = (
    "select user_id, count(*), sum(total_cost) from traces where project = '{project}' group by user_id"
)
WHERE: Final = ("TRACECORE_BACKEND", "TRACECORE_SECRET", "TRACECORE_SECRET_FILE", "TRACECORE_PROJECT")
"""What the caller may say of where the traces go."""
TABLE_ROWS: Final = "10"
DATABASE: Final = Path("demo-traces.db")
INTERRUPTED: Final = 130
SEED: Final = 7


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 when everything that happened was stored."""
    options = _options(arguments)
    try:
        return _demonstrate(options)
    except (ServerFailed, TracecoreError, OSError) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.rag_service.demo", description=__doc__)
    parser.add_argument("--users", type=_positive, default=24, help="how many users ask at once (24)")
    parser.add_argument("--requests", type=_positive, default=240, help="how many questions they ask (240)")
    parser.add_argument("--database", type=Path, help=f"a file for the traces (TRACECORE_BACKEND, or {DATABASE})")
    parser.add_argument("--keep", action="store_true", help="add to the file instead of beginning a new one")
    options = parser.parse_args(arguments)
    if options.database is not None and options.database.exists() and not options.keep:
        parser.error(f"{options.database} exists: add to it with --keep, or name another file")
    if options.database is None and not os.environ.get("TRACECORE_BACKEND"):
        options.database = DATABASE
    return options


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above zero")
    return int(text)


def _demonstrate(options: argparse.Namespace) -> int:
    environment = _environment(_place(options))
    backend = _backend(environment)
    if options.database is not None and not options.keep:
        for suffix in ("", "-wal", "-shm"):
            database = options.database.resolve()
            database.with_name(database.name + suffix).unlink(missing_ok=True)
    started, since_ns = time.perf_counter(), time.time_ns()
    outcomes = anyio.run(_drive, options, environment)
    if backend.traces is None or backend.observations is None or backend.sessions is None:
        print(f"\nEverything went to {backend.location}. It cannot be read back from here, so it was not verified.")
        return 0
    shown = _show_traces(environment, outcomes, with_sql=backend.sql is not None)
    recorded = anyio.run(_read, environment, since_ns)
    checks = verify(outcomes, recorded)
    print(f"\n{_ruled('is everything there?')}\n", *map(str, checks), sep="\n")
    _say_what_next(backend, environment, _example(outcomes), seconds=time.perf_counter() - started)
    return 0 if shown and not any(check.problems for check in checks) else 1


def _place(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings that say where the traces go: to a file, or where the caller's environment says."""
    if options.database is not None:
        return {"TRACECORE_BACKEND": f"sqlite:///{_relative(options.database.resolve())}", "TRACECORE_PROJECT": PROJECT}
    # Others may write to the same place: a project of its own has what this run did, and nothing else.
    own = {"TRACECORE_PROJECT": f"demo-{time.time_ns():x}"}
    return own | {name: value for name in WHERE if (value := os.environ.get(name))}


def _environment(place: dict[str, str]) -> dict[str, str]:
    """Return the environment of the service and the commands: the caller's, but for what it says of tracing."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TRACECORE_")}
    return {
        **own,
        **place,
        "TRACECORE_ENABLED": "true",
        "TRACECORE_SAMPLE_RATE": "1",
        "TRACECORE_ENVIRONMENT": "demo",
        "TRACECORE_RELEASE": f"rag-service-{VERSION}",
        "RAG_FAULT_HEADER": "1",
    }


def _backend(environment: dict[str, str]) -> Backend:
    """Return the backend that the commands will read, not opened; nothing reads what is in the memory of another."""
    backend = open_to_read(Config.load(environ=environment))
    if backend.traces is not None and not backend.capabilities.durable:
        raise ServerFailed(f"{backend.location} is in the memory of the service; name a backend that others can read")
    return backend


async def _drive(options: argparse.Namespace, environment: dict[str, str]) -> list[Outcome]:
    """Start the service, let the users ask, stop the service; return what came back."""
    users, requests = options.users, options.requests
    async with ServerProcess(environment) as server, server.client(connections=users) as client:
        service = await server.ready(client)
        print(
            f"{server.base_url} serves {service['passages']} passages of {service['sources']} modules and packages; "
            f"the model is {service['model']}"
        )
        listed = (await client.get("/sources")).json()["sources"]
        names = [(name, source["name"]) for source in listed for name in source["examples"]]
        line = ProgressLine(sys.stderr, "asking")
        # Another run into the same place must not begin the same traces again.
        seed = time.time_ns() if options.keep or options.database is None else SEED
        plan = make_plan(names, users=users, requests=requests, seed=seed)
        started = time.perf_counter()
        outcomes = await play(client, plan, answered=lambda done: line.show("questions", done, requests))
        _say_what_happened(outcomes, seconds=time.perf_counter() - started)
        return outcomes


async def _read(environment: dict[str, str], since_ns: int) -> Recorded:
    backend = _backend(environment)
    await backend.open()
    try:
        return await read_recorded(backend, since_ns, environment["TRACECORE_PROJECT"])
    finally:
        await backend.close()


def _say_what_happened(outcomes: Sequence[Outcome], *, seconds: float) -> None:
    times = sorted(outcome.seconds * 1e3 for outcome in outcomes)
    p95 = times[int(len(times) * 0.95)]
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(Counter(o.status for o in outcomes).items()))
    users = len({outcome.turn.user_id for outcome in outcomes})
    print(
        f"{len(outcomes)} requests of {users} users in {seconds:.1f} s "
        f"(median {statistics.median(times):.0f} ms, 95 % within {p95:.0f} ms): {statuses}"
    )


def _show_traces(environment: dict[str, str], outcomes: Sequence[Outcome], *, with_sql: bool) -> bool:
    """Show what was stored with the product's own commands; return whether all of them worked."""
    slow = ("sql", SLOW_STEPS.format(project=environment["TRACECORE_PROJECT"]))
    return all([
        _tracecore("the newest traces", environment, "traces", "--limit", TABLE_ROWS),
        _tracecore("one request, step by step", environment, "show", _example(outcomes)),
        _tracecore("who came back", environment, "sessions", "--limit", TABLE_ROWS),
        _tracecore("tokens and cost", environment, "stats"),
        not with_sql or _tracecore("which step was slow?", environment, *slow),
    ])  # fmt: skip


def _tracecore(title: str, environment: dict[str, str], *command: str) -> bool:
    print(f"\n{_ruled(title)}\n$ tracecore {_quoted(command)}\n", flush=True)
    process = subprocess.run([sys.executable, "-m", "tracecore", *command], env=environment, check=False)
    return process.returncode == 0


def _say_what_next(backend: Backend, environment: dict[str, str], trace_id: str, *, seconds: float) -> None:
    file = Path(backend.location)
    size = f" ({file.stat().st_size / 1024:,.0f} KiB)" if file.is_file() else ""
    tracecore = f"{_relative(Path(sys.executable))} -m tracecore"
    url, project = without_credentials(environment["TRACECORE_BACKEND"]), environment["TRACECORE_PROJECT"]
    lines = [
        f"\nEverything is in {backend.location}{size}. The demo took {seconds:.0f} s. Try next:\n",
        f"  export TRACECORE_BACKEND={url} TRACECORE_PROJECT={project}",
        f"  {tracecore} traces --user user-103",
        f"  {tracecore} show {trace_id}",
        f'  {tracecore} sql "{COST_PER_USER.format(project=project)}"' if backend.sql else f"  {tracecore} stats",
    ]
    print(*lines, sep="\n")


def _example(outcomes: Sequence[Outcome]) -> str:
    """Return the trace of the longest good answer: it has most to show."""
    return max(outcomes, key=lambda outcome: (outcome.status == HTTPStatus.OK, len(outcome.answer))).trace_id


def _ruled(title: str) -> str:
    return f"-- {title} {'-' * (96 - len(title))}"


def _quoted(command: Sequence[str]) -> str:
    return " ".join(f'"{part}"' if " " in part else part for part in command)


def _relative(path: Path) -> str:
    """Return a path as a person here would type it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
