"""One copy from beginning to end: open both places, go on where it stopped, copy, look whether everything is there.

Invariants: the source is opened for reading only; both are closed whatever happens; a position is kept only for a
target that keeps what it was given; nothing shown or kept holds credentials.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import Backend, Replayable
from tracecore.cli.copy_check import compared, counted, readable, total_of
from tracecore.cli.copy_progress import Watched, on_terminal, progress
from tracecore.cli.copy_source import Selection
from tracecore.cli.copy_state import PARTS, CopyState, Job, Part, Position, StateFile, state_directory
from tracecore.cli.copy_words import Answer
from tracecore.cli.copying import Copier, in_words
from tracecore.cli.figures import moment
from tracecore.cli.moments import moment_ns
from tracecore.cli.patience import Patience
from tracecore.cli.reading import is_missing_file, opened_to_read
from tracecore.config import Config
from tracecore.credentials import with_secret
from tracecore.errors import BackendError, BackendUnavailable, TracecoreError
from tracecore.plugins import open_backend

__all__ = ["NoSource", "OnlyAsAWhole", "Request", "SamePlace", "Stopped", "ran"]

_CLOSE_TIMEOUT: Final = 5.0


class Request(Struct, frozen=True):
    """Hold what the command line asked for."""

    source_url: str
    target_url: str
    config: Config
    since: str | None = None
    until: str | None = None
    ledger: bool = True
    restart: bool = False
    verify: bool = False
    retries: int = 8


class SamePlace(TracecoreError):
    """Report that source and target are one."""

    def __init__(self, location: str) -> None:
        super().__init__(f"{location} cannot be copied into itself; name another place to copy to")


class NoSource(TracecoreError):
    """Report a source that does not give back what it was given."""

    def __init__(self, location: str) -> None:
        super().__init__(f"{location} keeps no spans that can be read, so it cannot be copied from")


class OnlyAsAWhole(TracecoreError):
    """Report a source that cannot be asked for a time."""

    def __init__(self, location: str) -> None:
        super().__init__(f"{location} can only be read from beginning to end; copy it without --since and --until")


class Stopped(TracecoreError):
    """Report that a copy ended before its end, where, and how it goes on."""

    def __init__(self, error: BackendUnavailable, state: CopyState, *, kept: bool) -> None:
        done = ", ".join(in_words(part, number) for part, number in state.copied.items()) or "nothing"
        further = "run it again to go on from there" if kept else "run it again: nothing is stored twice"
        super().__init__(f"{error}; stopped after {done} had been copied: {further}")


async def ran(request: Request, environ: Mapping[str, str], now_ns: int) -> Answer:
    """Copy what was asked for, at a time of the wall clock.

    Raises:
        SamePlace: both URLs name one place.
        OnlyAsAWhole: a time was asked for, and the source has none.
        NoSource: the source has no spans that can be read.
        Stopped: one of the two was away for too long.
        TracecoreError: one of the two cannot be opened, or used.
    """
    source, target = _both(request)
    project, since, until = request.config.project, request.since, request.until
    job = Job(source.location, target.location, project, since, until, request.ledger)
    file = StateFile(state_directory(environ), job) if target.capabilities.durable else None
    if source.observations is None and (since or until):
        raise OnlyAsAWhole(source.location)
    gone = is_missing_file(target.location)  # and with it whatever a position says of it
    async with opened_to_read(source, named_by="FROM"), _opened(target):
        parts, left_out = _parts(source, target, ledger=request.ledger)
        known = None if file is None or request.restart else file.read()
        if gone or (known is not None and known.position.part not in (*parts, None)):
            known = None  # the target kept then what it does not keep now
        state = known or CopyState(
            begun_ns=now_ns,
            since_ns=_moment(since, now_ns),
            until_ns=_moment(until, now_ns),
            position=Position(parts[0]),
        )
        selection = Selection(project, state.since_ns, state.until_ns, parts)
        patience = _patience(request)
        total = await total_of(source, selection, patience) if on_terminal() and source.traces is not None else None
        with progress(total, state.copied.get("observations", 0)) as watched:
            _say_first(watched, known, file)
            patience = _patience(request, watched.say)
            state = await _copied(Copier(source, target, selection, patience, tell=watched.tell), state, file)
        answer = Answer(job, state, known is not None, left_out)
        answer = await _verified(answer, source, target, selection, patience, one_by_one=request.verify)
        await _settle(target)
    if file is not None:
        file.remove()
    return answer


def _both(request: Request) -> tuple[Backend, Backend]:
    """Return both backends, unopened, with the secret in the one that lacks it."""
    source_url, target_url = with_secret([request.source_url, request.target_url], request.config)
    source = open_backend(source_url, access="read", source="the argument FROM")
    target = open_backend(target_url, source="the argument TO")
    if _is_one(source.location, target.location):
        raise SamePlace(source.location)
    return source, target


def _is_one(here: str, there: str) -> bool:
    """Return whether two locations are one place; two names of one file would have SQLite damage it."""
    if here == there:
        return True
    paths = Path(here), Path(there)
    try:
        return all(map(Path.is_absolute, paths)) and paths[0].samefile(paths[1])
    except OSError:  # one of them is not there, or may not be looked at
        return False


@asynccontextmanager
async def _opened(target: Backend) -> AsyncGenerator[None]:
    try:
        await target.open()
        yield
    finally:
        with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
            await target.close()


def _parts(source: Backend, target: Backend, *, ledger: bool) -> tuple[tuple[Part, ...], dict[Part, str]]:
    """Return what can be copied, and why the rest cannot."""
    if source.observations is None and not isinstance(source, Replayable):
        raise NoSource(source.location)
    stores = {"sessions": source.sessions, "scores": source.scores, "ledger": source.ledger}
    left_out: dict[Part, str] = {
        part: f"{source.location} keeps none that can be read"
        for part in PARTS
        if part in stores and stores[part] is None and source.observations is not None
    }
    if not target.capabilities.ledger:
        left_out.setdefault("ledger", f"{target.location} keeps none")
    if not ledger:
        left_out["ledger"] = "--no-ledger was given"
    return tuple(part for part in PARTS if part not in left_out), left_out


def _moment(text: str | None, now_ns: int) -> int | None:
    return None if text is None else moment_ns(text, now_ns=now_ns)


def _patience(request: Request, tell: Callable[[str], object] = lambda _: None) -> Patience:
    timeout_ms = request.config.write_timeout_ms
    return Patience(request.retries, timeout_ms / 1e3 if timeout_ms else None, tell=tell)


def _say_first(watched: Watched, known: CopyState | None, file: StateFile | None) -> None:
    if known is not None:
        done = ", ".join(in_words(part, number) for part, number in known.copied.items()) or "nothing"
        watched.say(f"going on where it stopped: {done} copied since {moment(known.begun_ns)} (--restart begins anew)")
    elif file is not None and file.trouble is not None:
        watched.say(f"{file.trouble}: the copy begins anew")


async def _copied(copier: Copier, state: CopyState, file: StateFile | None) -> CopyState:
    """Copy, keeping each state; what stands when a backend stays away is in the error."""
    last = [state]

    def keep(now: CopyState) -> None:
        last[0] = now
        if file is not None:
            file.keep(now)

    try:
        return await copier.copy(state, keep)
    except BackendUnavailable as error:
        raise Stopped(error, last[0], kept=file is not None and file.trouble is None) from error


async def _verified(
    answer: Answer, source: Backend, target: Backend, selection: Selection, patience: Patience, *, one_by_one: bool
) -> Answer:
    """Return the answer with what counting, and if asked for comparing, has found."""
    begun_ns = answer.state.begun_ns
    if not readable(source, selection) or not readable(target, selection):
        return answer
    answer = replace(answer, counts=await counted(source, target, selection, begun_ns, patience))
    if not one_by_one:
        return answer
    return replace(answer, compared=await compared(source, target, selection, begun_ns, patience))


async def _settle(target: Backend) -> None:
    """Let the target do what it has put off, such as its search index: no recorder may come to do it."""
    with contextlib.suppress(BackendError):
        while await target.maintain():
            pass
