"""The command line of ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import machine
from benchmarks.catalogue import SUITES, chosen
from benchmarks.child import SuiteFailed, run_in_child
from benchmarks.figures import FORMAT, ROOT, Results, Settings, Table, read_results, write_results
from benchmarks.progress import ProgressLine
from benchmarks.report import differing
from benchmarks.tables import text_report

__all__ = ["LATEST", "main"]

LATEST: Final = ROOT / "benchmarks" / "results" / "latest.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code; without a word, measure everything."""
    options = _parser().parse_args((sys.argv[1:] if arguments is None else arguments) or ["run"])
    if options.command == "list":
        return _list()
    if options.command == "profile":
        return _profile(options.what, options.lines)
    return _run(options) if options.command == "run" else _report(options.results, check=options.check)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What tracecore costs, on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the suites")
    run = commands.add_parser("run", help="measure and print tables")
    run.add_argument(
        "suites", nargs="*", metavar="SUITE", help="which suites, or `rejected` for those; all unless named"
    )
    run.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    run.add_argument("--rounds", type=int, metavar="N", help="rounds to take instead of each suite's own number")
    run.add_argument("--quick", action="store_true", help="a quarter of everything or less, no busy host: about 15 s")
    run.add_argument("--report", action="store_true", help="keep the results, and write them into the documents")
    run.add_argument(
        "--busy-host", action=argparse.BooleanOptionalAction, default=None,
        help="also store beside a thread that computes (default: yes, unless --quick)",
    )  # fmt: skip
    profile = commands.add_parser("profile", help="show where the CPU goes, thread by thread and line by line")
    profile.add_argument("what", choices=("call", "store"), help="captured calls, or the request mix into SQLite")
    profile.add_argument("--lines", type=int, default=30, metavar="N", help="lines to show of each thread (30)")
    report = commands.add_parser("report", help="write a run into README.md and benchmarks/README.md")
    report.add_argument("--results", type=Path, default=LATEST, metavar="FILE", help="default: results/latest.json")
    report.add_argument("--check", action="store_true", help="change nothing; fail where a document differs")
    return parser


def _list() -> int:
    for suite in SUITES.values():
        print(f"{suite.name:<27} {suite.summary}")
    return 0


def _run(options: argparse.Namespace) -> int:
    try:
        names = chosen(options.suites)
    except KeyError as unknown:
        return _failed(f"no suite is called {unknown}: there are {', '.join(SUITES)}")
    if options.rounds is not None and options.rounds < 1:
        return _failed(f"--rounds {options.rounds}: at least one round is needed")
    if options.report and (options.suites or options.quick or options.rounds):
        return _failed("--report keeps whole runs only: leave out suites, --quick and --rounds")
    busy = not options.quick if options.busy_host is None else options.busy_host
    results, failures = _measured(names, Settings(rounds=options.rounds, quick=options.quick, busy_host=busy))
    print(text_report(results))
    if failures:
        return _failed("\n".join(failures))
    if options.json is not None:
        write_results(results, options.json)
    if options.report:
        write_results(results, LATEST)
        return _report(LATEST, check=False)
    return 0


def _measured(names: Sequence[str], settings: Settings) -> tuple[Results, list[str]]:
    """Return the figures of the suites that ended well, and what the others said."""
    facts, when = machine.facts(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    line = ProgressLine(len(names))
    tables: list[Table] = []
    failures: list[str] = []
    for name in names:
        line.show(name, "starting", 0.0)
        try:
            tables.append(run_in_child(name, settings, partial(line.show, name)))
        except SuiteFailed as failure:
            failures.append(str(failure))
        finally:
            line.clear()
        line.suite_done()
    return Results(format=FORMAT, when=when, facts=facts, settings=settings, tables=tables), failures


def _report(path: Path, *, check: bool) -> int:
    """Bring the documents in line with a results file; without one they say that nothing was measured."""
    try:
        results = read_results(path) if path.exists() or path != LATEST else None
        changes = differing(results)
    except (OSError, ValueError) as error:
        return _failed(f"cannot report: {error}")
    names = ", ".join(str(document.relative_to(ROOT)) for document in changes)
    if check and changes:
        return _failed(f"{names}: not what {path.name} says; run: python -m benchmarks report")
    for document, text in changes.items():
        document.write_text(text)
    print(f"changed: {names or 'nothing'}")
    return 0


def _profile(what: str, lines: int) -> int:
    from benchmarks.profiles import PROFILES  # noqa: PLC0415 - the other commands need no recorder in this process

    print(PROFILES[what](most=max(1, lines)))
    return 0


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
