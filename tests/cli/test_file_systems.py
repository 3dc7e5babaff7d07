"""What a directory is on: read from the table of mounts, guessed nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.cli import file_systems
from tracecore.cli.file_systems import file_system_of, free_bytes, is_doubtful, is_memory, nearest_directory

MOUNTS = r"""
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:30 / /srv rw - tmpfs tmpfs rw
29 28 0:31 / /srv/with\040blank rw shared:1 - nfs4 server:/export rw
30 27 0:32 / /srv rw - overlay overlay rw
31 27 0:33 / /srv/data ro master:2 - fuse.sshfs x rw
a line that is none
1 2 3 - broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/service", "ext4"),
        ("/srv", "overlay"),
        ("/srvice", "ext4"),
        ("/srv/with blank/deep", "nfs4"),
        ("/srv/data", "fuse.sshfs"),
    ],
)
def test_the_mount_that_holds_a_path(path: str, kind: str) -> None:
    """The longest mount point counts, of several on each other the last, and only at whole names."""
    assert file_systems._kind_in(MOUNTS, path) == kind


def test_where_nothing_is_known_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a table of mounts, or without the directory, there is no kind and no size."""
    monkeypatch.setattr(file_systems, "_MOUNTS", tmp_path / "nowhere")
    assert file_system_of(tmp_path) is None
    assert file_systems._kind_in("", "/") is None
    assert free_bytes(tmp_path / "nowhere") is None
    assert (free_bytes(tmp_path) or 0) > 0


@pytest.mark.parametrize(
    ("kind", "doubtful", "memory"),
    [
        ("ext4", False, False), ("overlay", False, False), ("xfs", False, False), ("nfs4", True, False),
        ("9p", True, False), ("fuse.s3fs", True, False), ("fuseblk", False, False), ("tmpfs", False, True),
    ],
)  # fmt: skip
def test_what_kinds_are_good_for(kind: str, *, doubtful: bool, memory: bool) -> None:
    """Shared and remote file systems are doubtful, memory is memory, and a disk is neither."""
    assert (is_doubtful(kind), is_memory(kind)) == (doubtful, memory)


def test_the_nearest_directory(tmp_path: Path) -> None:
    """A path that is not there yet belongs where its nearest parent is; a file is no directory."""
    (tmp_path / "file").write_bytes(b"")
    assert nearest_directory(tmp_path / "a" / "b") == nearest_directory(tmp_path / "file" / "b") == tmp_path
    assert nearest_directory(tmp_path) == tmp_path
