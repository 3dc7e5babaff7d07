"""A file of lines: rotated, torn, foreign, locked, and read beside its writer."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

import pytest

from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.json_lines import Malformed, line_of
from tracecore.records import Record, Trace
from tracecore.testing.opening import opened, opened_with
from tracecore.testing.samples import PROJECT, entry, score, session, span, trace_id_of
from tracecore_jsonl import JsonlBackend, log_file, merged_records, open_backend, records_in

TORN = line_of(span(9))[:40]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that is not there yet."""
    return tmp_path / "a.jsonl"


def backend_at(path: Path) -> JsonlBackend:
    """Return an unopened backend."""
    return open_backend(f"jsonl:{path}")


def put(path: Path, content: bytes) -> None:
    """Make a file of these bytes."""
    path.write_bytes(content)


def content_of(path: Path) -> bytes:
    """Return the bytes of a file."""
    return path.read_bytes()


def move(path: Path, name: str) -> None:
    """Rename a file, within its directory."""
    path.rename(path.with_name(name))


async def test_every_kind_of_record_is_a_line(path: Path) -> None:
    """Lines stand in the order of writing, and what is written twice stands there twice."""
    records: list[Record] = [span(1), session("s"), score("c"), entry(), span(1)]
    async with opened_with(backend_at(path), records):
        assert list(records_in(path)) == records
        assert merged_records(path) == records[:4]
    assert content_of(path) == b"".join(line_of(record) for record in records)


async def test_a_file_that_was_moved_away_is_followed_by_a_new_one(path: Path, tmp_path: Path) -> None:
    """What was written before stays in the old file, what comes after is in the new one, and nothing is lost."""
    async with opened_with(backend_at(path), [span(1)]) as backend:
        for number in (2, 3):
            move(path, f"a.jsonl.{number}")
            await backend.write([span(number)])
        move(path, "gone.jsonl")
        await backend.write([span(4)])
    kept = [list(records_in(tmp_path / name)) for name in ("a.jsonl.2", "a.jsonl.3", "a.jsonl")]
    assert kept[:2] == [[span(1)], [span(2)]]
    assert kept[2] == [span(4)]


async def test_a_file_that_was_emptied_goes_on_at_its_beginning(path: Path) -> None:
    """``copytruncate`` of logrotate leaves no gap of zeros."""
    async with opened_with(backend_at(path), [span(1)]) as backend:
        os.truncate(path, 0)
        await backend.write([span(2)])
    assert content_of(path) == line_of(span(2))


async def test_a_file_that_takes_its_place_in_between_is_not_missed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed between opening and locking, the old file is let go, and the batch is in the new one."""
    async with opened_with(backend_at(path), [span(1)]) as backend:
        lock, moves = fcntl.flock, ["old.jsonl"]

        def rotating(descriptor: int, how: int) -> None:
            if moves:
                move(path, moves.pop())
            lock(descriptor, how)

        monkeypatch.setattr(log_file.fcntl, "flock", rotating)
        await backend.write([span(2)])
    assert list(records_in(tmp_path / "old.jsonl")) == [span(1)]
    assert list(records_in(path)) == [span(2)]


async def test_the_rest_of_a_line_is_cut_off_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a writer that was killed, whole lines stay and half a line goes: at opening, or at the next batch."""
    put(path, line_of(span(1)) + TORN)
    with caplog.at_level(logging.WARNING, "tracecore"):
        async with opened(backend_at(path)) as backend:
            assert content_of(path) == line_of(span(1))
            assert backend.torn_lines == 1  # type: ignore[attr-defined]  # what a file has besides
            with path.open("ab") as file:
                file.write(TORN[:1])
            await backend.write([span(2)])
            assert backend.torn_lines == 2  # type: ignore[attr-defined]  # as above
    assert list(records_in(path)) == [span(1), span(2)]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} ended in the middle of a line, as when its writer is killed; cut off 1"
    ] * 2


@pytest.mark.parametrize("size", [1, 5, 11, 40, log_file._BLOCK + 7, 3 * log_file._BLOCK])
async def test_the_rest_of_a_line_may_have_any_length(path: Path, size: int) -> None:
    """The first line may be the torn one, and longer than what is read of a file at once."""
    torn = line_of(span(1, status_message="x" * size))[: size - 1]
    for whole in (b"", line_of(span(2))):
        put(path, whole + torn)
        async with opened_with(backend_at(path), [span(3)]):
            assert content_of(path) == whole + line_of(span(3))


async def test_a_line_that_only_lacks_its_end_is_kept(path: Path) -> None:
    """A file whose last line an editor left without a line feed loses nothing."""
    put(path, line_of(span(1))[:-1])
    async with opened_with(backend_at(path), [span(2)]) as backend:
        assert backend.torn_lines == 0  # type: ignore[attr-defined]  # what a file has besides
    assert list(records_in(path)) == [span(1), span(2)]


async def test_what_is_not_ours_is_never_cut_off(path: Path) -> None:
    """Text that somebody added stands on a line of its own."""
    put(path, line_of(span(1)) + b"a note")
    async with opened_with(backend_at(path), [span(2)]):
        pass
    assert content_of(path) == line_of(span(1)) + b"a note\n" + line_of(span(2))


@pytest.mark.parametrize("content", [b"text", b"text\n", b"SQLite format 3\0", b"[1]\n", b'{"other":1}\n', b"\0" * 100])
async def test_the_file_of_another_program_is_left_alone(path: Path, content: bytes) -> None:
    """Whatever it ends with, no byte of it changes, and the error says what to do."""
    put(path, content)
    with pytest.raises(BackendRejected, match="holds something else than records; name a file of its own"):
        await backend_at(path).open()
    assert content_of(path) == content


async def test_places_that_are_no_file(tmp_path: Path) -> None:
    """A directory, a pipe and a missing directory are told apart."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BackendRejected, match="is a directory; name a file"):
        await backend_at(tmp_path).open()
    with pytest.raises(BackendRejected, match="is no regular file; write stdout: for a pipe"):
        await backend_at(pipe).open()
    with pytest.raises(BackendUnavailable, match=f"make its directory: mkdir -p {tmp_path}/none"):
        await backend_at(tmp_path / "none" / "a").open()


async def test_a_lock_that_is_kept_is_not_waited_for_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the file nothing is written; once it lets go the same batch is."""
    monkeypatch.setattr(log_file, "_LONGEST_WAIT_S", 0.0)
    async with opened_with(backend_at(path), [span(1)]) as backend:
        with path.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_SH)
            with pytest.raises(BackendUnavailable, match="is locked by another process"):
                await backend.write([span(2)])
        await backend.write([span(2)])
    assert list(records_in(path)) == [span(1), span(2)]


async def test_reading_beside_a_writer(path: Path) -> None:
    """A reader of the file gets whole lines only; a line in the middle that is no record is named by its number."""
    put(path, line_of(Trace(PROJECT, trace_id_of(1))) + line_of(span(1)) + TORN)
    assert list(records_in(path)) == [span(1)]
    put(path, line_of(span(1)) + TORN + b"\n" + line_of(span(2)))
    with pytest.raises(Malformed, match=f"line 2 of {path} is not a record"):
        merged_records(path)


async def test_a_reader_writes_nothing(path: Path) -> None:
    """Opened for reading, a backend makes no file and refuses every batch."""
    async with opened(open_backend(f"jsonl:{path}", access="read")) as reader:
        with pytest.raises(BackendRejected, match="was opened for reading"):
            await reader.write([span(1)])
        assert await reader.maintain() is False
    with pytest.raises(FileNotFoundError):
        content_of(path)
