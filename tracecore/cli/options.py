"""The options that every command has, and the settings made from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from tracecore.cli.reading import Settings
from tracecore.config import Config

__all__ = ["with_settings"]

R = TypeVar("R")


def with_settings(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--backend``, ``--project`` and ``--json``, and hand it the settings as its first argument."""

    @click.option("--backend", metavar="URL", help="Where the traces are (TRACECORE_BACKEND).")
    @click.option("--project", metavar="NAME", help="The project to read (TRACECORE_PROJECT).")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(command)
    def with_options(backend: str | None, project: str | None, *, as_json: bool, **given: Any) -> R:
        return command(_settings(backend, project, as_json=as_json), **given)

    return with_options


def _settings(backend: str | None, project: str | None, *, as_json: bool) -> Settings:
    """Return the settings; the mask is not imported, because a command only reads."""
    given = {"backend": backend, "project": project}
    config = Config.load(
        overrides={key: value for key, value in given.items() if value is not None},
        overrides_source="the command line",
        without=("mask",),
    )
    return Settings(config, as_json)
