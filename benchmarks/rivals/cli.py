"""``python -m benchmarks rivals``: which rivals there are, and making and removing their environments."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.figures import RIVALS_FOLDER
from benchmarks.progress import ProgressLine
from benchmarks.rivals import catalogue, environments
from benchmarks.rivals.environments import Environment

__all__ = ["add_rivals", "install_all", "make_ready", "rivals", "rivals_named"]

_ACTIONS: Final = {
    "list": "show them, and what is installed of them",
    "install": "make the environments that are missing",
    "remove": "remove environments",
}
_BYTES_PER_MB: Final = 1e6


def add_rivals(commands: Any) -> None:
    """Add the command to those that ``add_subparsers`` returned."""
    parser = commands.add_parser("rivals", help="show, install or remove what `run --rivals` compares with")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, summary in _ACTIONS.items():
        action = actions.add_parser(name, help=summary)
        action.add_argument("names", nargs="*", metavar="NAME", help="which; unless named all")
        action.add_argument("--folder", type=Path, metavar="DIR", help=f"of the environments (${RIVALS_FOLDER})")
        action.add_argument("--json", action="store_true", help="print JSON")


def rivals(options: argparse.Namespace) -> int:
    """Do what the command line says and return the exit code: 1 where one could not be installed."""
    if options.folder is not None:
        os.environ[RIVALS_FOLDER] = str(options.folder)
    there = catalogue.names()
    unknown = [name for name in options.names if name not in there]
    if unknown:
        print(f"error: no rival is called {unknown[0]!r}: there are {', '.join(there)}", file=sys.stderr)
        return 2
    names = [name for name in there if name in options.names] or there
    try:
        if options.action == "install":
            install_all(names)
        if options.action == "remove":
            for name in names:
                environments.remove(name)
    except (OSError, environments.Refused) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = [environments.installed(name, catalogue.rival_of(name)) for name in names]
    print(msgspec.json.encode(list(map(_described, found))).decode() if options.json else _text(found))
    return int(options.action == "install" and any(environment.reason for environment in found))


def rivals_named(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas, for an option.

    Raises:
        ArgumentTypeError: one of them is no rival.
    """
    names = tuple(text.split(","))
    try:
        catalogue.chosen(names)
    except KeyError as unknown:
        raise argparse.ArgumentTypeError(f"no rival is called {unknown}: see `rivals list`") from unknown
    return names


def make_ready(suites: Sequence[str], only: Sequence[str]) -> None:
    """Install what is missing for these suites; what cannot be is said, and stays in the tables with the reason."""
    if not any(suite.startswith("rivals/") for suite in suites):
        return
    # A suite runs in another working directory.
    os.environ[RIVALS_FOLDER] = str(environments.folder().absolute())
    for environment in install_all(catalogue.chosen(only)):
        if environment.reason:
            print(f"{environment.name} cannot be installed: {environment.reason}", file=sys.stderr)


def install_all(names: Sequence[str]) -> list[Environment]:
    """Install these rivals one after another and say how far it is: where nothing can be drawn, a line for each."""
    line = ProgressLine(len(names))
    found: list[Environment] = []
    for number, name in enumerate(names, 1):
        rival = catalogue.rival_of(name)
        if not line.shown and environments.installed(name, rival).python is None:
            print(f"· installing {name}, {number} of {len(names)}", file=sys.stderr)
        try:
            found.append(environments.install(name, rival, partial(line.show, name, share=0.0)))
        finally:
            line.clear()
        line.suite_done()
    return found


def _described(environment: Environment) -> dict[str, Any]:
    """Return what is known of a rival."""
    rival = catalogue.rival_of(environment.name)
    return {
        "name": environment.name, "title": rival.title, "requirements": rival.requirements, "without": rival.without,
        "captures": rival.captures, "remark": rival.remark,
        "python": None if environment.python is None else str(environment.python), "reason": environment.reason,
        "distributions": environment.distributions,
    }  # fmt: skip


def _text(found: Sequence[Environment]) -> str:
    """Return a line for each: name, what it requires, and what is installed."""
    lines: list[str] = []
    for environment in found:
        requires = " ".join(catalogue.rival_of(environment.name).requirements)
        lines.append(f"{environment.name:<20} {_said(environment)}" + (f"   {requires}" if requires else ""))
    return "\n".join(lines)


def _said(environment: Environment) -> str:
    if environment.reason:
        return environment.reason
    if not environment.distributions:
        return "runs where this does"
    size = sum(distribution.bytes for distribution in environment.distributions.values()) / _BYTES_PER_MB
    return f"{len(environment.distributions)} distributions, {size:.0f} MB"
