"""What a directory is on, as far as the system says: the kind of file system, and how much is free.

On some, what a journal relies upon does not hold: locks that every process sees, and maps whose content outlives the
process. Where nothing is known, nothing is said.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

__all__ = ["file_system_of", "free_bytes", "is_doubtful", "is_memory", "nearest_directory"]

_MOUNTS: Final = Path("/proc/self/mountinfo")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_SHARED: Final = frozenset(
    (
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "drvfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
        "nfs4", "ocfs2", "orangefs", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
    )
)  # fmt: skip
"""Of a network, or of the host of a virtual machine."""
_MEMORY: Final = frozenset(("tmpfs", "ramfs"))


def file_system_of(directory: Path) -> str | None:
    """Return the kind of the file system that a directory is on; None where the system does not say."""
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return None
    return _kind_in(mounts, os.path.realpath(directory))


def is_doubtful(kind: str) -> bool:
    """Return whether locks and maps are not to be relied upon there."""
    return kind in _SHARED or kind.startswith("fuse.")


def is_memory(kind: str) -> bool:
    """Return whether what is there is gone with the machine's power, or with its container."""
    return kind in _MEMORY


def free_bytes(directory: Path) -> int | None:
    """Return how many bytes this user may still write there; None where the system does not say."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def nearest_directory(path: Path) -> Path:
    """Return the path itself where it is a directory, else the nearest of its parents that is one."""
    path = path.absolute()
    # os.path's question, unlike pathlib's, has an answer where this user may not look.
    return next((folder for folder in (path, *path.parents) if os.path.isdir(folder)), path)  # noqa: PTH112 - as said


def _kind_in(mounts: str, path: str) -> str | None:
    """Return the kind of the mount that holds a path: the longest, and of those on each other the last."""
    best, kind = -1, None
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:  # noqa: PLR2004 - the fifth is the mount point
            continue
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), after.split(" ")[0]
    return kind
