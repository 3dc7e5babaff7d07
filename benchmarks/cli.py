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
from benchmarks.catalogue import SUITES
from benchmarks.child import SuiteFailed, run_in_child
from benchmarks.figures import FORMAT, Results, Settings, Table, read_results, write_results
from benchmarks.progress import ProgressLine
from benchmarks.report import ROOT, documents, rewritten
from benchmarks.tables import text_report

__all__ = ["main"]

LATEST: Final = ROOT / "benchmarks" / "results" / "latest.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "list":
        return _list()
    return _run(options) if options.command == "run" else _report(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What tracecore costs, on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the suites")
    run = commands.add_parser("run", help="measure and print tables")
    run.add_argument("suites", nargs="*", metavar="SUITE", help="which suites; all unless named")
    run.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    run.add_argument("--rounds", type=int, metavar="N", help="rounds to take instead of each suite's own number")
    run.add_argument("--quick", action="store_true", help="a quarter of everything, no busy host: about 15 s")
    run.add_argument(
        "--busy-host", action=argparse.BooleanOptionalAction, default=None,
        help="also store beside a thread that computes (default: yes, unless --quick)",
    )  # fmt: skip
    report = commands.add_parser("report", help="write a run into README.md and benchmarks/README.md")
    report.add_argument("--results", type=Path, default=LATEST, metavar="FILE", help="default: results/latest.json")
    report.add_argument("--check", action="store_true", help="change nothing; fail where a document differs")
    return parser


def _list() -> int:
    for suite in SUITES.values():
        print(f"{suite.name:<8} {suite.summary}")
    return 0


def _run(options: argparse.Namespace) -> int:
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        return _failed(f"no suite is called {unknown[0]!r}: there are {', '.join(SUITES)}")
    if options.rounds is not None and options.rounds < 1:
        return _failed(f"--rounds {options.rounds}: at least one round is needed")
    busy = not options.quick if options.busy_host is None else options.busy_host
    settings = Settings(rounds=options.rounds, quick=options.quick, busy_host=busy)
    facts = machine.facts()
    tables, failures = _measured(options.suites or list(SUITES), settings)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    results = Results(format=FORMAT, when=when, facts=facts, settings=settings, tables=tables)
    print(text_report(results))
    if failures:
        return _failed("\n".join(failures))
    if options.json is not None:
        write_results(results, options.json)
    return 0


def _measured(names: Sequence[str], settings: Settings) -> tuple[list[Table], list[str]]:
    """Return the tables of the suites that ended well, and what the others said."""
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
    return tables, failures


def _report(options: argparse.Namespace) -> int:
    try:
        results = read_results(options.results)
    except (OSError, ValueError) as error:
        return _failed(
            f"cannot read the results ({error}); make them with: python -m benchmarks run --json {options.results}"
        )
    differing: list[str] = []
    for path, content in documents(results).items():
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        try:
            new = rewritten(text, content)
        except ValueError as error:
            return _failed(f"{name}: {error}")
        if new != text:
            differing.append(name)
            if not options.check:
                path.write_text(new)
    if options.check and differing:
        return _failed(
            f"{', '.join(differing)} is not what {options.results.name} says: run python -m benchmarks report"
        )
    print("changed: " + (", ".join(differing) or "nothing"))
    return 0


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
