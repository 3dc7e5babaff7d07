"""Reading lines back: each record as it was written, or each once with all that was said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tracecore.json_lines import Malformed, merged, record_in
from tracecore.records import Record, Trace

__all__ = ["merged_records", "records_in"]


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
