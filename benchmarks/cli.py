"""The command line of ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from benchmarks import kept, machine
from benchmarks.catalogue import SUITES, chosen
from benchmarks.charts.files import charts_of, check_drawing, write_charts
from benchmarks.child import SuiteFailed, run_in_child
from benchmarks.compare import compared, json_of, text_of
from benchmarks.ending import ended
from benchmarks.figures import FORMAT, ROOT, Results, Settings, Table, write_results
from benchmarks.keeping import Place, place_of
from benchmarks.kept import read_kept, run_of
from benchmarks.options import parser, settings_of
from benchmarks.progress import ProgressLine
from benchmarks.report import bring_in_line
from benchmarks.rivals.catalogue import pins
from benchmarks.rivals.cli import make_ready, rivals
from benchmarks.tables import text_report

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code; without a word, measure everything."""
    options = parser().parse_args((sys.argv[1:] if arguments is None else arguments) or ["run"])
    return ended(partial(_done, options))


def _done(options: argparse.Namespace) -> int:
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
    return _run(options) if options.command == "run" else _report(options.results, options.rivals, check=options.check)


def _list(*, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode(list(SUITES.values())).decode())
        return 0
    for suite in SUITES.values():
        print(f"{suite.name:<27} {suite.summary}{' (only when asked for)' if suite.only_asked else ''}")
    return 0


def _run(options: argparse.Namespace) -> int:
    try:
        names, settings, place = _meant(options)
    except ValueError as error:
        return _failed(str(error))
    make_ready(names, settings.only)
    results, failures = _measured(names, settings)
    if options.save is not None and not failures:
        try:
            write_results(results, options.save)
        except OSError as error:
            failures.append(f"cannot save: {error}")
    print(msgspec.json.encode(results).decode() if options.json else text_report(results))
    if failures:
        return _failed("\n".join(failures))
    if options.plot is not None and (code := _plot(results, options.plot, options.plot_format)):
        return code
    return 0 if place is None else _keep(results, place)


def _keep(results: Results, place: Place) -> int:
    """Keep a run, and write it into the documents."""
    try:
        place.keep(results)
    except (OSError, ValueError) as error:
        return _failed(f"cannot keep: {error}")
    return _report(kept.LATEST, kept.RIVALS, check=False)


def _meant(options: argparse.Namespace) -> tuple[list[str], Settings, Place | None]:
    """Return which suites to run, how, and where to keep what they say.

    Raises:
        ValueError: the options do not make sense, or need what is not installed.
    """
    try:
        names = chosen(options.suites, rivals=options.rivals)
    except KeyError as unknown:
        raise ValueError(f"no suite is called {unknown}: there are {', '.join(SUITES)}") from unknown
    for name in ("rounds", "concurrency", "spans", "rows", "seconds"):
        if (number := getattr(options, name)) is not None and number < 1:
            raise ValueError(f"--{name} {number}: at least one is needed")
    _check_places(options.save, options.plot)
    settings = settings_of(options)
    place = place_of(options.suites, settings, rivals=options.rivals) if options.report else None
    if place is not None:
        place.check(machine.facts())
        # A word may mean a group with suites that no whole run has.
        names = [name for name in names if not (place.is_part and SUITES[name].only_asked)]
    if place is not None or options.plot is not None:
        check_drawing()
    return names, settings, place


def _check_places(file: Path | None, folder: Path | None) -> None:
    """Raise where it is plain, before anything is measured, that something cannot be written."""
    if file is not None and file.is_dir():
        raise ValueError(f"--save {file}: it is a directory, a file is needed")
    for option, place in (("--save", file and file.absolute().parent), ("--plot", folder and folder.absolute())):
        if place is None:
            continue
        there = next(above for above in (place, *place.parents) if above.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise ValueError(f"{option}: nothing can be written into {there}")


def _plot(results: Results, folder: Path, kind: str) -> int:
    try:
        paths = write_charts(charts_of(results), folder, kind)
    except (OSError, ValueError) as error:
        return _failed(f"cannot plot: {error}")
    print(f"charts: {', '.join(map(str, paths)) or 'none of what was measured'}", file=sys.stderr)
    return 0


def _measured(names: Sequence[str], settings: Settings) -> tuple[Results, list[str]]:
    """Return the figures of the suites that ended well, and what the others said."""
    compared_too = any(name.startswith("rivals/") for name in names)
    facts = machine.facts() | (pins(settings.only) if compared_too else {})
    if load := machine.busyness(facts):
        print(f"warning: {machine.LOAD} was {load}: what is measured now is somebody else's work too", file=sys.stderr)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
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


def _report(whole: Path, rivals: Path, *, check: bool) -> int:
    """Bring documents and charts in line with two results files; without them they say that nothing was measured."""
    try:
        changed = bring_in_line(read_kept(whole, rivals), ROOT, check=check)
    except (OSError, ValueError) as error:
        return _failed(f"cannot report: {error}")
    names = ", ".join(str(path.relative_to(ROOT)) for path in changed)
    if check and changed:
        return _failed(f"{names}: not what the results say; run: python -m benchmarks report")
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

    return guard(options.rungs, update=options.update, as_json=options.json)


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
