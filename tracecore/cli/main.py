"""The entry of the command line: finds the command, and turns what goes wrong into one sentence and an exit code.

Exit codes: 0 done; 1 an error, said in one sentence; 2 a command line that makes no sense, or a dependency that is not
installed; 130 interrupted. A reader that went away (``tracecore traces | head``) ends the program without a word.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tracecore.cli.escaping import spelt_as_json, visible
from tracecore.errors import TracecoreError

__all__ = ["main"]

_INTERRUPTED: Final = 130
_NOWHERE: Final = "the working directory is not there any more; change to one that is"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; what a program under ``run`` raises comes out as it is."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        return _run(given[1:])
    _stand_in_for_closed_streams()
    _print_in_any_encoding()
    try:
        code = _command(given)
        sys.stdout.flush()
    except TracecoreError as error:
        return _failed(str(error))
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as error:  # a backend's own are wrapped, and a file's too: this is stdout's
        return _failed(_NOWHERE if _is_nowhere() else _unwritten(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _run(arguments: Sequence[str]) -> int:
    """Run a program; what it raises is its own, what comes before it starts is ours to say."""
    from tracecore.cli.launcher import run_program  # noqa: PLC0415 - a command is imported when it is asked for
    from tracecore.cli.run import set_up  # noqa: PLC0415 - as above

    try:
        program = set_up(arguments)
    except TracecoreError as error:
        return _failed(str(error))
    except FileNotFoundError:
        if not _is_nowhere():
            raise
        return _failed(_NOWHERE)
    run_program(program)
    return 0


def _command(arguments: list[str]) -> int:
    try:
        import click  # noqa: PLC0415 - an extra: it may not be installed
    except ModuleNotFoundError:
        return _failed("this command needs click: pip install 'tracecore[cli]'", code=2)
    from tracecore.cli.app import ReaderLeft, app  # noqa: PLC0415 - needs click

    try:
        result = app.main(arguments, prog_name="tracecore", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _INTERRUPTED
    except ReaderLeft:
        _drop_output()
        return 0
    return result if isinstance(result, int) else 0


def _unwritten(error: OSError) -> str:
    """Give up stdout, and return what to say about it."""
    _drop_output()
    return f"the answer could not be written: {error.strerror or error}"


def _is_nowhere() -> bool:
    """Return whether the working directory was removed: no relative path means anything then."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _failed(sentence: str, *, code: int = 1) -> int:
    sys.stderr.write(f"tracecore: {visible(sentence)}\n")
    return code


def _stand_in_for_closed_streams() -> None:
    """Let a command run whose caller closed stdout or stderr (``>&-``): what it says there is for nobody."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - stays until the program ends, as the real one would
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as above


def _print_in_any_encoding() -> None:
    """Let a stream that knows only ASCII, or some of Unicode, get escapes instead of failing."""
    codecs.register_error("tracecore", spelt_as_json)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tracecore")


def _drop_output() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about the reader that left."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
