"""Reading lines back: each record as it was written, or each once with all that was said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tracecore.backend import Page
from tracecore.errors import BackendRejected
from tracecore.json_lines import Malformed, merged, record_in
from tracecore.records import Record, Trace

__all__ = ["merged_records", "page_of", "records_in"]


def records_in(path: str | Path) -> Iterator[Record]:
    """Yield the record of each line, in the order of the file; the rest of a line at its end is none.

    Raises:
        Malformed: a line is not a record; the message says which.
    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = record_in(line)
            except Malformed as error:
                if not line.endswith(b"\n"):  # its writer is not done, or was killed
                    return
                message = f"line {number} of {path} is not a record: {error}"
                raise Malformed(message) from error
            if not isinstance(record, Trace):  # what an export may hold, and a sink is never given
                yield record


def merged_records(path: str | Path) -> list[Record]:
    """Return each record of a file once, as all lines of it say together; all of them are held in memory.

    Raises:
        Malformed: a line is not a record.
    """
    return merged(records_in(path))


def page_of(path: str, project: str, cursor: str | None, limit: int) -> Page[Record]:
    """Return at most ``limit`` records of a project from a cursor on: the bytes of the file that lie before it.

    Raises:
        BackendRejected: a line is not a record, or the cursor is none.
    """
    place = 0 if cursor is None else int(cursor) if cursor.isdecimal() else -1
    found: list[Record] = []
    with Path(path).open("rb") as file:
        if not 0 <= place <= file.seek(0, 2):
            raise BackendRejected(f"{cursor!r} is no cursor of {path}", "begin anew")
        file.seek(place)
        while len(found) < limit:
            line = file.readline()
            if not line.endswith(b"\n"):  # the end, or its writer is not done, or was killed
                return Page(found)
            record = _record_at(path, place, line)
            place += len(line)
            if not isinstance(record, Trace) and record.project == project:
                found.append(record)
    return Page(found, str(place))


def _record_at(path: str, place: int, line: bytes) -> Record | Trace:
    try:
        return record_in(line)
    except Malformed as error:
        raise BackendRejected(
            f"the line at byte {place:,} of {path} is not a record: {error}", "remove it, or mend it"
        ) from error
