"""Copies on the disk: whole, of the right place and private, or not there."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.prompt_stores import a_prompt
from tracecore import prompt_disk
from tracecore.prompt_disk import PromptDisk
from tracecore.prompts import Prompt, Share, Variable

KEY = ("greeting", None, "production")
FULL = replace(
    a_prompt(content=[{"role": "user", "content": "hé {{x}}"}], shares=(Share(1, 0.5), Share(2, 2.0))),
    config=Raw(b'{"model":"m"}'), tags=("a",), labels=("production",), variables={"x": Variable(enum=("a",))},
)  # fmt: skip


def disk_in(folder: Path, *, location: str = "memory:x", project: str = "p", most: int = 100) -> PromptDisk:
    """Return copies of one project of one store."""
    return PromptDisk(folder, location=location, project=project, most=most)


def files_in(folder: Path) -> list[Path]:
    """Return what is in a directory."""
    return sorted(folder.iterdir())


def same(found: Prompt | None, prompt: Prompt) -> bool:
    """Return whether two are equal; raw JSON is compared as text."""
    return found is not None and [bytes(v) if isinstance(v, Raw) else v for v in vars_of(found)] == [
        bytes(v) if isinstance(v, Raw) else v for v in vars_of(prompt)
    ]


def vars_of(prompt: Prompt) -> list[object]:
    """Return the fields."""
    return [getattr(prompt, field) for field in prompt.__struct_fields__]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every field comes back, in another process' eyes too, and nobody else may read the file."""
    folder = tmp_path / "deep" / "copies"
    assert disk_in(folder).read(KEY) is None
    disk_in(folder).write(KEY, a_prompt())
    disk_in(folder).write(KEY, FULL)
    assert same(disk_in(folder).read(KEY), FULL)
    [file] = files_in(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_another_place_has_other_copies(tmp_path: Path) -> None:
    """Another server's prompts, another project's and another key's are never served, wherever their file lies."""
    disk_in(tmp_path).write(KEY, FULL)
    others = [disk_in(tmp_path, location="memory:y"), disk_in(tmp_path, project="q")]
    assert [other.read(KEY) for other in others] == [None, None]
    assert disk_in(tmp_path).read(("greeting", None, "staging")) is None
    [file] = files_in(tmp_path)
    for other in others:
        other.write(KEY, a_prompt())
        [theirs] = set(files_in(tmp_path)) - {file}
        theirs.write_bytes(file.read_bytes())
        assert other.read(KEY) is None
        theirs.unlink()


def test_what_is_damaged_is_not_there(tmp_path: Path) -> None:
    """With any one bit turned, or cut anywhere, a file is none."""
    disk = disk_in(tmp_path)
    disk.write(KEY, FULL)
    [file] = files_in(tmp_path)
    data = file.read_bytes()
    drawn = random.Random(1)  # noqa: S311 - the same damage each time
    for _ in range(300):
        place = drawn.randrange(len(data))
        turned = data[place] ^ 1 << drawn.randrange(8)
        file.write_bytes(drawn.choice([data[:place] + bytes([turned]) + data[place + 1 :], data[:place]]))
        assert disk.read(KEY) is None
    for other in (b"", b"\n", b"{}", b"\0" * 100, b"tracecore-prompt 1 " + b"[" * 100_000):
        file.write_bytes(other)
        assert disk.read(KEY) is None
    file.write_bytes(data)
    assert same(disk.read(KEY), FULL)


def test_what_is_no_file_is_not_there(tmp_path: Path) -> None:
    """A directory in a file's place, or a link to nowhere, is no copy and no error."""
    disk = disk_in(tmp_path)
    disk.write(KEY, FULL)
    [file] = files_in(tmp_path)
    file.unlink()
    file.mkdir()
    assert disk.read(KEY) is None
    file.rmdir()
    file.symlink_to(tmp_path / "nowhere")
    assert disk.read(KEY) is None


def test_copies_are_bounded(tmp_path: Path) -> None:
    """The oldest go, together with what somebody left half written; what belongs to others stays."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / f"{'a' * 40}.1-1.tmp").write_bytes(b"half")
    os.utime(tmp_path / f"{'a' * 40}.1-1.tmp", ns=(1, 1))
    disk = disk_in(tmp_path, most=5)
    for number in range(100):
        disk.write((f"p{number}", 1, None), a_prompt(f"p{number}"))
    names = [file.name for file in files_in(tmp_path)]
    assert "notes.txt" in names
    assert not any(name.endswith(".tmp") for name in names)
    assert 5 <= sum(name.endswith(".prompt") for name in names) <= 5 + 16
    assert disk.read(("p99", 1, None)) is not None


def test_what_another_process_removes_meanwhile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A copy that goes while the directory is listed is no fault of the disk; a link that leads nowhere is like it."""
    gone = tmp_path / f"{'a' * 40}.prompt"
    gone.symlink_to(tmp_path / "nowhere")
    os.utime(gone, ns=(1, 1), follow_symlinks=False)
    disk = disk_in(tmp_path, most=1)
    disk.write(KEY, FULL)
    assert caplog.records == []
    assert not gone.is_symlink()
    with os.scandir(tmp_path) as entries:
        [listed] = entries
    Path(listed.path).unlink()
    assert prompt_disk._written_ns(listed) == 0


def test_forgetting(tmp_path: Path) -> None:
    """What the store does not have any more is not served after a restart."""
    disk = disk_in(tmp_path)
    disk.write(KEY, FULL)
    disk.forget(KEY)
    disk.forget(KEY)
    assert disk.read(KEY) is None


def test_a_disk_that_cannot_be_written_to_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for a copy, and nothing else fails because there is none."""
    place = tmp_path / "file"
    place.write_text("no directory")
    disk = disk_in(place)
    for _ in range(3):
        disk.write(KEY, FULL)
        disk.forget(KEY)
        assert disk.read(KEY) is None
    assert len(caplog.records) == 1
    assert "no copy of a prompt can be kept" in caplog.text


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    """A copy has at most 16 MiB."""
    disk_in(tmp_path).write(KEY, a_prompt(content="x" * (17 << 20)))
    assert files_in(tmp_path) == []
