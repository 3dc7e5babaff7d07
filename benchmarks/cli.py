"""The command line of ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import machine
from benchmarks.catalogue import SUITES, chosen
from benchmarks.child import SuiteFailed, run_in_child
from benchmarks.compare import compared, json_of, text_of
from benchmarks.figures import FORMAT, LOOPS, ROOT, Results, Settings, Table, read_results, write_results
from benchmarks.kept import run_of
from benchmarks.progress import ProgressLine
from benchmarks.report import differing
from benchmarks.rivals.cli import add_rivals, make_ready, rivals, rivals_named
from benchmarks.tables import text_report

__all__ = ["LATEST", "main"]

LATEST: Final = ROOT / "benchmarks" / "results" / "latest.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code; without a word, measure everything."""
    options = _parser().parse_args((sys.argv[1:] if arguments is None else arguments) or ["run"])
    if options.command == "list":
        return _list(as_json=options.json)
    if options.command == "profile":
        return _profile(options.what, options.lines)
    if options.command == "rivals":
        return rivals(options)
    if options.command == "compare":
        return _compare(options)
    if options.command == "gate":
        return _gate(options)
    return _run(options) if options.command == "run" else _report(options.results, check=options.check)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What tracecore costs, on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    suites = commands.add_parser("list", help="show the suites")
    suites.add_argument("--json", action="store_true", help="print JSON")
    _add_run(commands.add_parser("run", help="measure and print tables"))
    profile = commands.add_parser("profile", help="show where the CPU goes, thread by thread and line by line")
    profile.add_argument("what", choices=("call", "store"), help="captured calls, or the request mix into SQLite")
    profile.add_argument("--lines", type=int, default=30, metavar="N", help="lines to show of each thread (30)")
    report = commands.add_parser("report", help="write a run into README.md and benchmarks/README.md")
    report.add_argument("--results", type=Path, default=LATEST, metavar="FILE", help="default: results/latest.json")
    report.add_argument("--check", action="store_true", help="change nothing; fail where a document differs")
    add_rivals(commands)
    _add_compare(commands.add_parser("compare", help="show what changed from one run to another"))
    gate = commands.add_parser("gate", help="count instructions per call under callgrind; fail where one has grown")
    gate.add_argument("--update", action="store_true", help="keep these counts instead of comparing with the kept ones")
    gate.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_compare(compare: argparse.ArgumentParser) -> None:
    run = "a results file; `latest` and `rivals` are those that are kept"
    compare.add_argument("old", metavar="OLD", help=run)
    compare.add_argument("new", metavar="NEW", help=run)
    compare.add_argument("--all", action="store_true", help="show the figures that stayed the same too")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.add_argument(
        "--fail-above", type=float, metavar="PERCENT",
        help="exit with 1 where a figure got worse beyond its spread, and by more than this",
    )  # fmt: skip


def _add_run(run: argparse.ArgumentParser) -> None:
    """Add what ``run`` takes; the defaults of what one suite alone reads are those of :class:`Settings`."""
    usual = Settings()
    run.add_argument(
        "suites", nargs="*", metavar="SUITE",
        help="which suites, or the first part of a name such as `scaling`; unless named all but those marked in `list`",
    )  # fmt: skip
    run.add_argument("--rivals", action="store_true", help="also what others cost: the suites named rivals/…")
    run.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    run.add_argument("--save", type=Path, metavar="FILE", help="also write the results here, as JSON")
    run.add_argument("--rounds", type=int, metavar="N", help="rounds to take instead of each suite's own number")
    run.add_argument("--quick", action="store_true", help="a quarter of everything or less, no busy host")
    run.add_argument("--report", action="store_true", help="keep the results, and write them into the documents")
    run.add_argument(
        "--busy-host", action=argparse.BooleanOptionalAction, default=None,
        help="also store beside a thread that computes (default: yes, unless --quick)",
    )  # fmt: skip
    throughput = run.add_argument_group("throughput", "what the suite `throughput` does")
    throughput.add_argument("--backend", metavar="NAME|URL", default=usual.backend, help="where to store (%(default)s)")
    throughput.add_argument("--loop", choices=LOOPS, default=usual.loop, help="the event loop (%(default)s)")
    throughput.add_argument(
        "--concurrency", type=int, metavar="N", default=usual.concurrency, help="requests at once (%(default)s)"
    )
    throughput.add_argument(
        "--spans", type=int, metavar="N", default=usual.spans, help="spans in a round (%(default)s)"
    )
    others = run.add_argument_group("other suites")
    others.add_argument(
        "--only", type=rivals_named, metavar="NAME[,NAME…]", default=usual.only,
        help="the rivals to take in `rivals/…`, which tracecore is always beside (default: all)",
    )  # fmt: skip
    others.add_argument(
        "--rows", type=int, metavar="N", default=usual.rows, help="spans in the file that `read` asks (%(default)s)"
    )
    others.add_argument(
        "--seconds", type=int, metavar="N", default=usual.seconds, help="how long `soak` goes on (%(default)s)"
    )


def _list(*, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode(list(SUITES.values())).decode())
        return 0
    for suite in SUITES.values():
        print(f"{suite.name:<27} {suite.summary}{' (only when asked for)' if suite.only_asked else ''}")
    return 0


def _run(options: argparse.Namespace) -> int:
    try:
        names = chosen(options.suites, rivals=options.rivals)
    except KeyError as unknown:
        return _failed(f"no suite is called {unknown}: there are {', '.join(SUITES)}")
    for name in ("rounds", "concurrency", "spans", "rows", "seconds"):
        if (number := getattr(options, name)) is not None and number < 1:
            return _failed(f"--{name} {number}: at least one is needed")
    settings = _settings(options)
    if options.report and (options.suites or options.rivals or settings != Settings()):
        return _failed("--report keeps whole runs only: leave out suites and everything that changes what they do")
    make_ready(names, settings.only)
    results, failures = _measured(names, settings)
    print(msgspec.json.encode(results).decode() if options.json else text_report(results))
    if failures:
        return _failed("\n".join(failures))
    if options.save is not None:
        write_results(results, options.save)
    if options.report:
        write_results(results, LATEST)
        return _report(LATEST, check=False)
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    """Return how much to measure, and of what, as the options say."""
    return Settings(
        rounds=options.rounds, quick=options.quick,
        busy_host=not options.quick if options.busy_host is None else options.busy_host,
        backend=options.backend, loop=options.loop, concurrency=options.concurrency, spans=options.spans,
        rows=options.rows, seconds=options.seconds, only=options.only,
    )  # fmt: skip


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


def _compare(options: argparse.Namespace) -> int:
    most: float | None = options.fail_above
    if most is not None and not most >= 0:
        return _failed(f"--fail-above {most:g}: zero or more is needed")
    try:
        comparison = compared(run_of(options.old), run_of(options.new))
    except ValueError as error:
        return _failed(f"cannot compare: {error}")
    print((json_of if options.json else text_of)(comparison, everything=options.all))
    return int(most is not None and any(change.worse_above(most) for change in comparison.figures))


def _profile(what: str, lines: int) -> int:
    from benchmarks.profiles import PROFILES  # noqa: PLC0415 - the other commands need no recorder in this process

    print(PROFILES[what](most=max(1, lines)))
    return 0


def _gate(options: argparse.Namespace) -> int:
    from benchmarks.instructions.gate import guard  # noqa: PLC0415 - as above

    return guard(update=options.update, as_json=options.json)


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
