"""``tracecore export``: everything as JSON lines, one record a line, for other tools and for keeping."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, Backend, ObservationQuery, ScoreQuery, SessionQuery, TraceQuery
from tracecore.cli.escaping import harmless_json
from tracecore.cli.figures import count
from tracecore.cli.moments import MOMENT
from tracecore.cli.options import with_settings
from tracecore.cli.output import note, print_json
from tracecore.cli.reading import Settings, observations_of, pages, read, scores_of, sessions_of, traces_of
from tracecore.errors import Conflict, TracecoreError
from tracecore.json_lines import line_of

__all__ = ["CannotWrite", "export"]

_HALVES = re.compile("[\ud800-\udfff]")
_PAGE = 100
"""Observations with payloads read at once: each may be large, and a larger page is no faster (17 us a span)."""


class CannotWrite(TracecoreError):
    """Report a file that the system would not let us write."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be written: {error.strerror or error}; nothing was left behind")


@click.command(short_help="Write spans, sessions and scores as JSON lines.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file, which appears when it is whole. [default: stdout]",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--since", "since_ns", type=MOMENT, metavar="TIME", help="Started at or after: 15m, 2h, 3d, or a date.")
@click.option("--until", "until_ns", type=MOMENT, metavar="TIME", help="Started before.")
@with_settings
def export(settings: Settings, *, out: Path | None, force: bool, since_ns: int | None, until_ns: int | None) -> None:
    """Write every observation, session record and score of the project as JSON lines, newest first.

    A line is a record, as the backend jsonl: writes it. TIME limits spans by their start, sessions by the start of
    their last trace, and scores by when they were given.
    """
    time = SessionQuery(limit=LARGEST_PAGE, since_ns=since_ns, until_ns=until_ns)

    async def write(backend: Backend) -> int:
        total = await _expected(backend, settings.project, time) if sys.stderr.isatty() and out else None
        written = 0
        with _destination(out, force=force) as put, _progress(total) as advance:
            async for line in _lines(backend, settings.project, time):
                put(line)
                advance(1)
                written += 1
        return written

    written = read(settings, write)
    if out is not None:
        print_json({"records": written, "file": str(out)}) if settings.as_json else note(
            f"{count(written, 'record')} in {out}"
        )


async def _lines(backend: Backend, project: str, time: SessionQuery) -> AsyncIterator[bytes]:
    """Yield the lines of records: the observations, then the sessions, then the scores."""
    store = observations_of(backend)
    query = ObservationQuery(limit=_PAGE, since_ns=time.since_ns, until_ns=time.until_ns, bodies=True)
    async for observation in pages(lambda cursor: store.find(project, replace(query, cursor=cursor))):
        yield line_of(observation)
    if backend.sessions is not None:
        sessions = sessions_of(backend)
        async for session in pages(lambda cursor: sessions.find(project, replace(time, cursor=cursor))):
            yield line_of(session)
    async for score in scores_of(backend, project, ScoreQuery(since_ns=time.since_ns, until_ns=time.until_ns)):
        yield line_of(score)


async def _expected(backend: Backend, project: str, time: SessionQuery) -> int:
    """Return about how many records there are to write: traces say how many observations they have."""
    store = traces_of(backend)
    query = TraceQuery(limit=LARGEST_PAGE, since_ns=time.since_ns, until_ns=time.until_ns)
    total = 0
    async for trace in pages(lambda cursor: store.find(project, replace(query, cursor=cursor))):
        total += trace.observation_count
    return total


@contextmanager
def _destination(out: Path | None, *, force: bool) -> Generator[Callable[[bytes], object]]:
    """Yield a function that writes one line; a file appears only when it is whole."""
    if out is None:
        terminal = sys.stdout.isatty()
        yield lambda line: sys.stdout.write(harmless_json(_text_of(line)) if terminal else _text_of(line))
        return
    if out.exists() and not force:
        raise Conflict(f"{out} exists; name another file or add --force")
    if out.exists() and not out.is_file():  # the whole file takes its place: never that of a device or a pipe
        raise Conflict(f"{out} is no regular file; leave --out away to write to stdout")
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file.write
        partial.replace(out)
    except OSError as error:
        raise CannotWrite(out, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _text_of(line: bytes) -> str:
    """Return a line as text; half a surrogate pair, which only a payload can hold as it is, becomes its escape."""
    return _HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", line.decode("utf-8", "surrogatepass"))


@contextmanager
def _progress(total: int | None) -> Generator[Callable[[int], None]]:
    """Yield a function that moves a progress bar on, or does nothing when nobody watches."""
    if not total:
        yield lambda _: None
        return
    with click.progressbar(length=total, label="exporting", file=sys.stderr) as bar:
        yield bar.update
