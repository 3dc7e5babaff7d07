"""Journals as dead, living and damaged processes leave them, made by this process: only a lock tells the difference."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.fakes import span_record
from tracecore.blocks import BLOCK
from tracecore.frames import Origin
from tracecore.journal import Journal
from tracecore.sealing import Emitted
from tracecore.segments import SEGMENT

__all__ = ["damage", "dead", "living"]

_processes = itertools.count(1)


def living(directory: Path, *names: str, project: str = "default", **origin: Any) -> Journal:
    """Return the journal of a process that lives, with a span of each name in it; whoever asks for it ends it."""
    journal = Journal(100, 1 << 20, directory=directory, most_bytes=SEGMENT, origin=Origin(project, **origin))
    journal.begin(f"{next(_processes):032x}")
    for name in names:
        assert journal.push(Emitted(replace(span_record(name), project=project)))
    return journal


def dead(directory: Path, *names: str, project: str = "default", **origin: Any) -> Path:
    """Return the home that a process left which was killed with spans of these names in its journal."""
    before = set(directory.glob("*"))
    journal = living(directory, *names, project=project, **origin)
    (home,) = set(directory.glob("*")) - before
    if not names:  # an end in order would remove it
        assert journal._home is not None
        journal._home.leave()
    else:
        journal.end()
    return home


def damage(home: Path) -> None:
    """Spoil the first record of a home: the last block of a segment is used first."""
    with (home / "0").open("r+b") as file:
        file.seek(SEGMENT - BLOCK + 50)
        file.write(b"\xff\xff\xff\xff")
