"""A corpus that is small enough to know by heart, for the tests of the example service."""

from __future__ import annotations

from typing import Final

from examples.rag_service.corpus import Passage

__all__ = ["PASSAGES"]

PASSAGES: Final = [
    Passage("tasks.wait_for", "tasks", "stdlib", "Wait for a future to complete. Give up after a timeout.", "(fut)"),
    Passage("tasks.shield", "tasks", "stdlib", "Protect a task from cancellation by its caller.", "(arg)"),
    Passage("files.glob", "files", "stdlib", "Iterate over all files that match a pattern.", "(pattern)"),
    Passage("files.remove", "files", "stdlib", "Remove a file. A folder must be empty before it is removed."),
    Passage("stats.median", "stats", "stdlib", "Return the median, the middle value of numeric data.", "(data)"),
    Passage("tables README 1", "tables", "package", "Tables print rows in the terminal. Cells may be coloured."),
]
