"""``python -m tracecore.testing.tracers``: every case through one or more tracers, as a table or as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, get_args

import msgspec

from tracecore.testing.tracers.case import Case, Loop
from tracecore.testing.tracers.cases import CASES
from tracecore.testing.tracers.reports import Report
from tracecore.testing.tracers.table import text_of
from tracecore.testing.tracers.workers import CannotStart, Worker

__all__ = ["main"]

_OURS: Final = "tracecore.testing.tracers.ours:Tracecore"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return 1 where a case failed, 2 where nothing could be run."""
    options = _parser().parse_args(arguments)
    cases = [case for case in CASES.values() if _is_meant(case, options.cases)]
    if not cases:
        return _wrong(f"no case is called {', '.join(options.cases)}: see --list")
    if options.list:
        sys.stdout.writelines(f"{case.name:<56} {case.summary}\n" for case in cases)
        return 0
    try:
        reports = [_report(one, cases, options.loop, options.timeout) for one in options.adapters or [_OURS]]
    except CannotStart as error:
        return _wrong(str(error))
    sys.stdout.write(msgspec.json.encode(reports).decode() + "\n" if options.json else text_of(reports))
    return int(any(outcome.verdict == "failed" for report in reports for outcome in report.outcomes))


def _report(adapter: str, cases: Sequence[Case], loop: Loop, timeout: float) -> Report:
    with Worker(adapter, timeout=timeout) as worker:
        return worker.report(cases, loop)


def _is_meant(case: Case, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for name in (case.name, case.group) for pattern in patterns)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tracecore.testing.tracers", description=main.__doc__)
    parser.add_argument("adapters", nargs="*", metavar="ADAPTER", help="package.module:name or path/to/file.py:name")
    parser.add_argument("--case", dest="cases", action="append", default=[], metavar="NAME",
                        help="run only cases, or groups of cases, of this name; * and ? stand for others")  # fmt: skip
    parser.add_argument("--loop", choices=get_args(Loop), default="asyncio", help="run those that this loop can run")
    parser.add_argument("--timeout", type=float, default=20.0, metavar="S", help="longest time for a case, in seconds")
    parser.add_argument("--json", action="store_true", help="print JSON: a report for each adapter")
    parser.add_argument("--list", action="store_true", help="print the cases and what each asserts")
    return parser


def _wrong(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
