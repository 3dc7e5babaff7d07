"""A file that is deleted or moved away while a program writes to it: what comes later is in a new one."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.sqlite.files import is_whole, opened, span, stored_names
from tests.torture.declaring import torture
from tracecore import Config, Recorder
from tracecore.backend import TraceQuery
from tracecore.errors import BackendUnavailable

pytestmark = torture("T09", "the file is deleted or moved away")


def remove_all(path: Path) -> None:
    """Delete a file with what lies beside it, as `rm traces.db*` does."""
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink()


async def test_deleted(tmp_path: Path) -> None:
    """What is written after the file was deleted is in a new one, whether its companions were deleted too or not."""
    path = tmp_path / "a.db"
    async with opened(path) as backend:
        await backend.write([span(1)])
        for number, delete in ((2, Path.unlink), (3, remove_all)):
            assert await backend.traces.find("default", TraceQuery()) is not None
            delete(path)
            await backend.write([span(number)])
            assert await stored_names(path) == [f"s{number}"]
            assert [trace.name for trace in (await backend.traces.find("default", TraceQuery())).items] == [
                f"s{number}"
            ]
    assert is_whole(path)


async def test_moved_away(tmp_path: Path) -> None:
    """A file that is moved away keeps everything up to then, also what was in its log, and the new one the rest."""
    path, old = tmp_path / "a.db", tmp_path / "old.db"
    async with opened(path) as backend:
        await backend.write([span(1)])
        await backend.write([span(2)])
        path.rename(old)
        await backend.write([span(3)])
        assert await stored_names(old) == ["s1", "s2"]
    assert await stored_names(path) == ["s3"]
    assert await stored_names(old) == ["s1", "s2"]
    assert is_whole(path)
    assert is_whole(old)


async def test_replaced(tmp_path: Path) -> None:
    """A file that another one was moved over is left, and the other one is written to."""
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    async with opened(path) as backend:
        await backend.write([span(1)])
        async with opened(other) as second:
            await second.write([span(2)])
        other.replace(path)
        await backend.write([span(3)])
    assert await stored_names(path) == ["s2", "s3"]
    assert is_whole(path)


async def test_deleted_with_its_folder(tmp_path: Path) -> None:
    """Without its folder no file can be made: each batch is refused for now, until the folder is there again."""
    path = tmp_path / "folder" / "a.db"
    path.parent.mkdir()
    async with opened(path) as backend:
        await backend.write([span(1)])
        shutil.rmtree(path.parent)
        for _ in range(2):
            with pytest.raises(BackendUnavailable, match="mkdir -p"):
                await backend.write([span(2)])
        path.parent.mkdir()
        await backend.write([span(2)])
        assert await stored_names(path) == ["s2"]
    with pytest.raises(BackendUnavailable, match="is not open"):
        await backend.write([span(3)])


def test_a_recorder_goes_on(tmp_path: Path) -> None:
    """A recorder whose file is deleted counts nothing as lost, and what it delivers later is found."""
    path = tmp_path / "a.db"
    recorder = Recorder(Config(backend=f"sqlite:///{path}")).start()
    recorder.emit(span(1))
    assert recorder.flush(10).delivered
    path.unlink()
    recorder.emit(span(2))
    assert recorder.flush(10).delivered
    assert recorder.shutdown(10).lost == {}
    assert asyncio.run(stored_names(path)) == ["s2"]
