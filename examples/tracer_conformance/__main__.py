"""``python -m examples.tracer_conformance``: tracecore, OpenTelemetry and Langfuse through every async case.

The other tracers run in environments of their own beside those of the benchmarks (``.rivals``), with the same pinned
versions, made with ``--install``. A tracer whose environment is not there is left out.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from benchmarks.figures import ROOT
from benchmarks.kept import LATEST, RIVALS, read_kept
from benchmarks.report import bring_in_line
from benchmarks.report.conformance import Conformance, kept_in
from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.catalogue import rival_of
from benchmarks.rivals.environments import Environment, install, installed
from tracecore.testing.tracers.cases import CASES
from tracecore.testing.tracers.reports import Report
from tracecore.testing.tracers.table import text_of
from tracecore.testing.tracers.workers import Place, Worker

_OURS: Final = "tracecore.testing.tracers.ours:Tracecore"
_HERE: Final = Path(__file__).parent
_OTHERS: Final = {
    "opentelemetry": f"{_HERE / 'opentelemetry_sdk.py'}:OpenTelemetry",
    "langfuse": f"{_HERE / 'langfuse_observe.py'}:LangfuseObserve",
}
_NEEDED: Final = ("anyio", "msgspec")
"""What the cases need besides the tracer, in the versions that are installed here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print a table; with ``--keep`` write the results, and the documents that show them."""
    options = _parser().parse_args(arguments)
    reports, missing = [_report(_OURS, Place(path=tuple(filter(None, sys.path))))], list[Environment]()
    for name, adapter in _OTHERS.items():
        environment = _environment(name, make=options.install)
        if environment.python is None:
            missing.append(environment)
        else:
            reports.append(_report(adapter, Place(str(environment.python), (str(ROOT),))))
    print(msgspec.json.encode(reports).decode() if options.json else text_of(reports), end="")
    for environment in missing:
        print(f"left out: {environment.name}: {environment.reason}; --install makes it", file=sys.stderr)
    if options.keep and not missing:
        _keep(reports)
    return int(bool(missing) and options.keep)


def _report(adapter: str, place: Place) -> Report:
    with Worker(adapter, place=place) as worker:
        return worker.report(CASES.values())


def _environment(name: str, *, make: bool) -> Environment:
    """Return where a tracer runs: with the version that the benchmarks pin, and with what the cases need."""
    rival = rival_of(name)
    needed = tuple(f"{one}=={version(one)}" for one in _NEEDED)
    wanted = Rival(title=rival.title, requirements=(*rival.requirements, *needed), without=rival.without)
    return (install if make else installed)(f"conformance_{name}", wanted)


def _keep(reports: Sequence[Report]) -> None:
    """Write the results, without times, which differ from run to run, and bring the documents in line."""
    timeless = [replace(report, outcomes=[replace(one, seconds=0.0) for one in report.outcomes]) for report in reports]
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    results = Conformance(when, python, timeless)
    kept_in().write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    changed = bring_in_line(read_kept(LATEST, RIVALS))
    print(f"changed: {', '.join(str(path.relative_to(ROOT)) for path in changed) or 'nothing'}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.tracer_conformance", description=main.__doc__)
    parser.add_argument("--install", action="store_true", help="make the environments that are missing")
    parser.add_argument("--keep", action="store_true", help="keep the results, and write them into the documents")
    parser.add_argument("--json", action="store_true", help="print JSON: a report for each tracer")
    return parser


if __name__ == "__main__":
    sys.exit(main())
