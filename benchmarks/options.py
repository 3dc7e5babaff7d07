"""What can be said on the command line, and the settings that come of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import kept
from benchmarks.charts.files import FORMATS
from benchmarks.figures import BUFFERS, LOOPS, Settings
from benchmarks.rivals.cli import add_rivals, rivals_named

__all__ = ["parser", "settings_of"]


def parser() -> argparse.ArgumentParser:
    """Return what reads a command line."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description="What tracecore costs, on this machine.")
    commands = top.add_subparsers(dest="command", required=True)
    suites = commands.add_parser("list", help="show the suites")
    suites.add_argument("--json", action="store_true", help="print JSON")
    _add_run(commands.add_parser("run", help="measure and print tables"))
    profile = commands.add_parser("profile", help="show where the CPU goes, thread by thread and line by line")
    profile.add_argument(
        "what", choices=("call", "store", "postgres", "http"),
        help="captured calls, or the request mix into SQLite, into PostgreSQL, over HTTP to our own server",
    )  # fmt: skip
    profile.add_argument("--lines", type=int, default=30, metavar="N", help="lines to show of each thread (30)")
    report = commands.add_parser("report", help="write what is kept into README.md, benchmarks/README.md and charts")
    report.add_argument(
        "--results", type=Path, default=kept.LATEST, metavar="FILE", help="default: results/latest.json"
    )
    report.add_argument("--rivals", type=Path, default=kept.RIVALS, metavar="FILE", help="results/rivals.json")
    report.add_argument("--check", action="store_true", help="change nothing; fail where a document or chart differs")
    add_rivals(commands)
    _add_compare(commands.add_parser("compare", help="show what changed from one run to another"))
    gate = commands.add_parser("gate", help="count instructions per call under callgrind; fail where one has grown")
    gate.add_argument("rungs", nargs="*", metavar="RUNG", help="count these alone; all unless named")
    gate.add_argument("--update", action="store_true", help="keep the new counts instead of comparing with the old")
    gate.add_argument("--json", action="store_true", help="print JSON")
    return top


def _add_compare(compare: argparse.ArgumentParser) -> None:
    run = "a results file; `latest`, `rivals` and `large` are those that are kept"
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
    run.add_argument("--rivals", action="store_true", help="what others cost, alone or with named suites")
    run.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    run.add_argument("--save", type=Path, metavar="FILE", help="also write the results here, as JSON")
    run.add_argument("--rounds", type=int, metavar="N", help="rounds to take instead of each suite's own number")
    run.add_argument("--quick", action="store_true", help="a quarter of everything or less, no busy host")
    run.add_argument(
        "--report", action="store_true",
        help="keep the results in the tree, of all suites or of those named, and write them into the documents",
    )  # fmt: skip
    run.add_argument("--plot", type=Path, metavar="FOLDER", help="draw charts of what was measured into this folder")
    run.add_argument("--plot-format", choices=FORMATS, default=FORMATS[0], help="of the charts (%(default)s)")
    run.add_argument(
        "--busy-host", action=argparse.BooleanOptionalAction, default=None,
        help="also store beside a thread that computes (default: yes, unless --quick)",
    )  # fmt: skip
    throughput = run.add_argument_group("throughput", "what the suite `throughput` does")
    throughput.add_argument("--backend", metavar="NAME|URL", default=usual.backend, help="where to store (%(default)s)")
    throughput.add_argument("--loop", choices=LOOPS, default=usual.loop, help="the event loop (%(default)s)")
    throughput.add_argument(
        "--buffer", choices=BUFFERS, default=usual.buffer,
        help="where spans wait, of `lag` too (default: each of these, by turns)",
    )  # fmt: skip
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
        "--rows",
        type=int,
        metavar="N",
        default=usual.rows,
        help="spans that `read`, `postgres/read` ask, and `server` begins with (%(default)s)",
    )
    others.add_argument(
        "--seconds", type=int, metavar="N", default=usual.seconds, help="how long `soak` goes on (%(default)s)"
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """Return how much to measure, and of what, as the options say."""
    return Settings(
        rounds=options.rounds, quick=options.quick,
        busy_host=not options.quick if options.busy_host is None else options.busy_host,
        backend=options.backend, loop=options.loop, buffer=options.buffer, concurrency=options.concurrency,
        spans=options.spans, rows=options.rows, seconds=options.seconds, only=options.only,
    )  # fmt: skip
