"""Every call on a file fails once, at each moment of a batch: nothing of the batch stays, and it can be repeated."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, DiskFull
from tracecore.records import Record
from tracecore.testing.opening import opened, opened_with
from tracecore.testing.samples import json_of, score, span
from tracecore_jsonl import log_file, open_backend, records_in, worker

FIRST: list[Record] = [span(1), score("a")]
SECOND: list[Record] = [span(2, input=json_of("x" * 5_000)), span(3)]
FAULTS = {"write": errno.EIO, "fsync": errno.EIO, "open": errno.EMFILE, "fstat": errno.EIO, "pread": errno.EIO}


class Failing:
    """Stand for the module ``os``: its n-th call of those that are named fails, and with ``half`` writes one half."""

    def __init__(self, nth: int, *, half: bool = False, error: int | None = None, calls: tuple[str, ...] = ()) -> None:
        self.left = nth
        self._half = half
        self._error = error
        self._calls = calls or tuple(FAULTS)

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return real if name not in self._calls else lambda *arguments: self._call(name, real, arguments)

    def _call(self, name: str, real: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        self.left -= 1
        if self.left == 0:
            if name == "write" and self._half:
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(self._error or FAULTS[name], "made to fail")
        return real(*arguments)


@pytest.mark.parametrize("half", [False, True])
async def test_a_batch_that_fails_anywhere_leaves_nothing_and_can_be_repeated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    half: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    """Fail call 1, 2, 3, … of a batch until it passes: before, all of the first batch; after, all of both."""
    for nth in count(1):
        path = tmp_path / f"{nth}.jsonl"
        async with opened_with(open_backend(f"jsonl:{path}?synchronous=full"), FIRST) as backend:
            failing = Failing(nth, half=half)
            with monkeypatch.context() as patch:
                patch.setattr(log_file, "os", failing)
                try:
                    await backend.write(SECOND)
                except BackendUnavailable:
                    assert list(records_in(path)) == FIRST, nth
            if failing.left > 0:
                break
            await backend.write(SECOND)
            assert list(records_in(path)) == [*FIRST, *SECOND], nth
    assert nth > 5
    assert list(records_in(path)) == [*FIRST, *SECOND]


@pytest.mark.parametrize("nth", range(1, 6))
async def test_opening_fails_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """A file that cannot be opened now is opened later, and no thread or descriptor is left behind."""
    backend = open_backend(f"jsonl:{tmp_path}/a.jsonl?synchronous=full")
    with monkeypatch.context() as patch:
        patch.setattr(log_file, "os", Failing(nth))
        try:
            await backend.open()
        except BackendUnavailable as error:
            assert "made to fail" in str(error)  # noqa: PT017 - the last of the calls may be the one after the end
    async with opened_with(backend, FIRST):
        assert list(records_in(tmp_path / "a.jsonl")) == FIRST


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EFBIG, DiskFull), (errno.EIO, BackendUnavailable),
        (errno.EROFS, BackendUnavailable), (errno.EISDIR, BackendRejected), (None, BackendUnavailable),
    ],
)  # fmt: skip
async def test_errors_mean_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None, kind: type[BackendError]
) -> None:
    """A full disk passes and is told apart, an unknown error may pass, and a directory stays one."""
    async with opened_with(open_backend(f"jsonl:{tmp_path}/a.jsonl"), FIRST) as backend:
        with monkeypatch.context() as patch:
            patch.setattr(log_file, "os", Failing(1, error=error, calls=("write",)))
            with pytest.raises(BackendError) as found:
                await backend.write(SECOND)
    assert type(found.value) is kind
    assert isinstance(found.value.__cause__, OSError)


async def test_what_cannot_be_encoded_is_refused_whole(tmp_path: Path) -> None:
    """A value that is no JSON, which only an untyped caller gives, is one refusal, and nothing of the batch is kept."""
    bad: Any = span(2, name=object())
    async with opened_with(open_backend(f"jsonl:{tmp_path}/a.jsonl"), FIRST) as backend:
        with pytest.raises(BackendRejected, match="cannot hold a value"):
            await backend.write([span(3), bad])
        assert list(records_in(tmp_path / "a.jsonl")) == FIRST


async def test_closing_does_not_wait_for_a_disk_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread is left behind, does what it has begun, and ends by itself; the next opening has another one."""
    monkeypatch.setattr(worker, "_LONGEST_END_S", 0.0)
    stands, goes_on = threading.Event(), threading.Event()

    class Still:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, descriptor: int, data: bytes) -> int:
            stands.set()
            assert goes_on.wait(30)
            return os.write(descriptor, data)

    path = tmp_path / "a.jsonl"
    backend = open_backend(f"jsonl:{path}")
    await backend.open()
    with monkeypatch.context() as patch:
        patch.setattr(log_file, "os", Still())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(backend.write, [span(1)])
            await anyio.to_thread.run_sync(stands.wait)
            await backend.close()
            goes_on.set()
    async with opened_with(backend, [span(2)]):
        assert list(records_in(path)) == [span(1), span(2)]


async def test_a_disk_that_stands_still_blocks_neither_the_loop_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that was cancelled is finished before the next begins; one that had not begun is never made."""
    stands, goes_on = threading.Event(), threading.Event()
    write = os.write

    class Still:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, descriptor: int, data: bytes) -> int:
            stands.set()
            assert goes_on.wait(30)
            return write(descriptor, data)

    path = tmp_path / "a.jsonl"
    async with opened(open_backend(f"jsonl:{path}")) as backend:
        monkeypatch.setattr(log_file, "os", Still())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(backend.write, [span(1)])
            await anyio.to_thread.run_sync(stands.wait)
            with anyio.move_on_after(0.01) as scope:
                await backend.write([span(2)])
            tasks.cancel_scope.cancel()
        assert scope.cancelled_caught
        goes_on.set()
        await backend.write([span(3)])
    assert list(records_in(path)) == [span(1), span(3)]
