"""``tracecore recover``: deliver what killed processes left in the journal, where no service will start again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from msgspec.structs import replace

from tracecore.cli.escaping import visible
from tracecore.cli.journal_survey import Survey, survey
from tracecore.cli.moments import DURATION
from tracecore.cli.options import COMMAND_LINE, importing_as_the_program_does, with_settings
from tracecore.cli.output import note, print_json, print_lines
from tracecore.cli.reading import Settings
from tracecore.cli.recovery import recovered_from
from tracecore.cli.recovery_words import as_json, lines_of
from tracecore.clock import monotonic_ns
from tracecore.config import Config
from tracecore.errors import ConfigError
from tracecore.health import Health
from tracecore.plugins import configured_urls, open_backend

__all__ = ["recover"]

_SAY_EVERY_NS: Final = 5 * 10**9
_OWN_BYTES: Final = 2**22
"""All that the journal of this command itself may take: it emits nothing."""


@click.command(short_help="Deliver what killed processes left in the journal.")
@click.option("--dir", "directory", metavar="DIR", help="The journal's directory (TRACECORE_JOURNAL_DIR).")
@click.option(
    "--timeout",
    "timeout_ns",
    type=DURATION,
    default="60s",
    show_default=True,
    metavar="TIME",
    help="Stop after this time: 30s, 10m.",
)
@click.option("--all", "everything", is_flag=True, help="Deliver what was meant for other backends, too.")
@with_settings
def recover(settings: Settings, *, directory: str | None, timeout_ns: int, everything: bool) -> int:
    """Deliver what killed processes left in the journal to the backend, and say what became of it.

    A service with a journal does so by itself; this is for a machine or a volume on which none will start again. Homes
    of living processes are left alone, and without --all those that are meant for another backend. Exit code 1 if
    something is still there: run it again, nothing is stored twice.
    """
    for url in configured_urls(settings.config):
        open_backend(url, source=settings.config.sources["backend"])  # touches neither disk nor network
    config = _config(settings, directory)
    with _progress() as tell:
        answer = recovered_from(config, timeout_ns / 1e9, tell, everything=everything)
    if settings.as_json:
        print_json(as_json(answer, timeout_ns))
    else:
        print_lines([visible(line) for line in lines_of(answer, timeout_ns)])
    return 0 if answer.complete else 1


def _config(settings: Settings, directory: str | None) -> Config:
    """Return the configuration of a recorder with this journal, also where the service has none, or is switched off.

    Where the mask cannot be imported, only what was masked before it was kept is delivered; what this command says of
    itself in the ledger is left out then.
    """
    own: dict[str, object] = {"buffer": "journal", "enabled": True, "journal_bytes": _OWN_BYTES, "sync": "none"}
    given = {**settings.given, **own} | ({} if directory is None else {"journal_dir": directory})
    try:
        with importing_as_the_program_does():
            return Config.load(overrides=given, overrides_source=COMMAND_LINE)
    except ConfigError as error:
        if error.key != "mask" or not _are_masked(Path(directory or settings.config.journal_dir)):
            raise
    note("the mask cannot be imported; what was recorded is masked already, this command leaves its own names out")
    config = Config.load(overrides=given, overrides_source=COMMAND_LINE, without=("mask",))
    return replace(config, mask=_left_out)


def _are_masked(directory: Path) -> bool:
    """Return whether everything that was left was masked before it was kept."""
    seen = survey(directory)
    return all(home.masked for home in seen.of("left") if seen.may_hold(home))


def _left_out(_: str) -> str:
    return "***"


@contextmanager
def _progress() -> Generator[Callable[[Survey, Health], None]]:
    """Yield a function that shows how far it is: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _Teller()
        return
    with click.progressbar(length=1, label="recovering", file=sys.stderr) as bar:

        def show(before: Survey, health: Health) -> None:
            bar.label = "recovering" if health.backend_state == "up" else "the backend is away"
            bar.length = max(1, before.waiting)
            bar.pos = min(health.recovered, bar.length)
            bar.render_progress()

        yield show


class _Teller:
    """Say how far it is every few seconds."""

    def __init__(self) -> None:
        self._next_ns = monotonic_ns() + _SAY_EVERY_NS

    def __call__(self, before: Survey, health: Health) -> None:
        now = monotonic_ns()
        if now >= self._next_ns:
            self._next_ns = now + _SAY_EVERY_NS
            note(_how_far(before, health))


def _how_far(before: Survey, health: Health) -> str:
    known = f" of {before.waiting:,}" if before.counted and before.waiting else ""
    away = "" if health.backend_state == "up" else f"; the backend is away: {health.last_error}"
    return f"still at work: {health.recovered:,}{known} records delivered{away}"
