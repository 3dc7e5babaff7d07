"""``tracecore run``: start a program with tracing configured from the environment, and sum up at its end.

Needs nothing but the kernel: a service image without the command line's own dependencies can use it. The options come
before the program, as Python's own do; everything after it is the program's.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

import tracecore
from tracecore.cli.figures import count
from tracecore.cli.launcher import Program, end_like_program, prepare
from tracecore.config import Config
from tracecore.default import default_recorder
from tracecore.plugins import configured_urls, open_backend

__all__ = ["USAGE", "set_up"]

USAGE: Final = """\
Usage: tracecore run [--backend URL] [--project NAME] [--json] [-m] PROGRAM [ARGUMENTS]...

  Run a Python program as `python PROGRAM` would, with tracing configured from TRACECORE_* and tracecore.toml, and say
  at its end where the traces are, how many, and what was lost.

Options:
  --backend URL   where records are kept (TRACECORE_BACKEND)
  --project NAME  the project they belong to (TRACECORE_PROJECT)
  --json          print the summary as one line of JSON
  -m              PROGRAM is a module, as with `python -m`
  -h, --help      show this and exit
"""


class _Request(Struct, frozen=True):
    """Hold what the command line asked for."""

    program: Program
    settings: dict[str, str]
    as_json: bool


def set_up(arguments: Sequence[str]) -> Program:
    """Configure tracing and the summary for the program that ``arguments`` name, and return it.

    Raises:
        ConfigError: a setting cannot be used.
        SystemExit: the command line asks for help, or makes no sense (2).
    """
    request = _parsed(arguments)
    prepare(request.program)
    for key, value in request.settings.items():
        _check(key, value)
        # Through the environment, so that a program which configures tracing itself, and its children, agree.
        os.environ[f"TRACECORE_{key.upper()}"] = value
    _sum_up_at_exit(_as_json if request.as_json else _as_text)
    tracecore.configure()
    return request.program


def _check(key: str, value: str) -> None:
    """Refuse an option in its own name, before it becomes a variable."""
    source = f"option --{key}"
    config = Config.load(overrides={key: value}, overrides_source=source, without=("mask",))
    if key == "backend":
        for url in configured_urls(config):
            open_backend(url, source=source)  # touches neither disk nor network


def _parsed(arguments: Sequence[str]) -> _Request:
    left = list(arguments)
    settings: dict[str, str] = {}
    as_json = module = False
    while left and left[0].startswith("-") and not module:
        option, equals, value = left.pop(0).partition("=")
        match option:
            case "--":
                break
            case "-h" | "--help":
                sys.stdout.write(USAGE)
                raise SystemExit(0)
            case "--json":
                as_json = True
            case "-m":
                module = True
            case "--backend" | "--project":
                if not equals and not left:
                    _misused(f"option {option} needs a value")
                settings[option.removeprefix("--")] = value if equals else left.pop(0)
            case _:
                _misused(f"no such option: {option}")
    if not left:
        _misused("which program?")
    return _Request(Program(left[0], tuple(left[1:]), module=module), settings, as_json)


def _misused(why: str) -> NoReturn:
    sys.stderr.write(f"tracecore run: {why}; see `tracecore run --help`\n")
    raise SystemExit(2)


def _sum_up_at_exit(words: Callable[[tracecore.Health, Config], str]) -> None:
    """Register the summary as the first exit handler, which is the last to run."""
    process = os.getpid()

    def sum_up() -> None:
        if os.getpid() != process:  # a fork of the program that ended the usual way
            return
        if tracecore.health().state == "new":  # its configuration was refused: there is nothing to sum up
            return
        recorder = default_recorder()
        tracecore.shutdown()
        with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be gone, and with it the reader
            sys.stderr.write(words(tracecore.health(), recorder.config if recorder else Config()) + "\n")
            sys.stderr.flush()
        end_like_program()

    atexit.register(sum_up)


def _as_json(health: tracecore.Health, _: Config) -> str:
    return msgspec.json.encode({"tracecore": health}).decode()


def _as_text(health: tracecore.Health, config: Config) -> str:
    if health.backends:
        return "\n".join(_as_text(one, config) for one in health.backends.values())
    if health.state == "disabled":
        return "tracecore: recording is switched off (enabled = false); nothing was recorded"
    kept = health.pending if config.buffer == "journal" else 0
    lost = sum(health.lost.values()) + health.pending - kept
    lines = [f"tracecore: {count(health.delivered, 'record')} in {health.location}"]
    if health.sampled:
        lines.append(f"tracecore: {count(health.sampled, 'trace')} left out by the sampling rate")
    if health.recovered:
        lines.append(f"tracecore: {count(health.recovered, 'record')} more, which killed processes had left")
    if not health.emitted and not health.sampled:
        advice = "decorate a function with @tracecore.observe"
        lines[0] = f"tracecore: nothing was recorded by this process; {advice} (for {health.location})"
    elif lost:
        reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(health.lost.items()))
        lines.append(f"tracecore: {count(lost, 'record')} lost ({reasons or 'not delivered'})")
    else:
        lines.append("tracecore: nothing was lost")
    if kept:
        waiting = f"{count(kept, 'record')} left in {config.journal_dir} for the next start, or `tracecore recover`"
        lines.append(f"tracecore: {waiting}")
    if health.last_error is not None:
        lines.append(f"tracecore: last error: {health.last_error}")
    return "\n".join(lines)
