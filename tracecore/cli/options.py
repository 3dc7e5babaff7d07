"""The options that every command has, and the settings made from them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tracecore.cli.reading import Settings
from tracecore.config import Config

__all__ = ["COMMAND_LINE", "importing_as_the_program_does", "settings_of", "with_settings"]

R = TypeVar("R")
COMMAND_LINE: Final = "the command line"
"""How an error names the source of an option."""


def with_settings(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--backend``, ``--project`` and ``--json``, and hand it the settings as its first argument."""

    @click.option("--backend", metavar="URL", help="Where the traces are (TRACECORE_BACKEND).")
    @click.option("--project", metavar="NAME", help="The project to read (TRACECORE_PROJECT).")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(command)
    def with_options(backend: str | None, project: str | None, *, as_json: bool, **given: Any) -> R:
        return command(settings_of(backend, project, as_json=as_json), **given)

    return with_options


def settings_of(backend: str | None, project: str | None, *, as_json: bool) -> Settings:
    """Return the settings of a command; the mask is not imported, because a command only reads."""
    options = {"backend": backend, "project": project}
    given = {key: value for key, value in options.items() if value is not None}
    config = Config.load(overrides=given, overrides_source=COMMAND_LINE, without=("mask",))
    return Settings(config, as_json, given)


@contextmanager
def importing_as_the_program_does() -> Generator[None]:
    """Have the working directory on the path: a masking function is often beside the program."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        del sys.path[0]
