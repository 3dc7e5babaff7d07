"""What is noted in the files of a dead process holds at every moment, also for who comes after an adopter that died."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tests.journals import adopted, batch_from, begun, emitter, name_of, recovered_from
from tracecore.files import Files

NAMES = [f"{number}" for number in range(12)]


class Dying(Files):
    """Files into which nothing is written any more from the ``nth`` call on, as by a process that was killed."""

    def __init__(self) -> None:
        self.left: int | None = None

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write, as long as the process lives."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().write(descriptor, data, offset)


def test_an_adopter_may_die_between_any_two_notes(tmp_path: Path) -> None:
    """What had been noted before stays delivered, whatever of the next note has reached the file."""
    for nth in range(9):
        directory = tmp_path / f"{nth}"
        dead = begun(directory, "dead")
        for name in NAMES:
            emitter(dead)(name, 25_000)
        dead.end()
        files = Dying()
        reader = begun(directory, "reader", files=files)
        reader.housekeep(1)
        (leftover,) = adopted(reader)
        assert [name_of(item) for item in batch_from(leftover, 9, 10**9)] == NAMES[:9]
        leftover.settle(4)
        leftover.note()
        files.left = nth
        leftover.settle(5)
        leftover.note()
        reader.closed = True
        reader.end()
        found = recovered_from(directory)
        assert found in ([*NAMES[first:]] for first in range(4, 10))
        assert nth < 8 or found == NAMES[9:]
