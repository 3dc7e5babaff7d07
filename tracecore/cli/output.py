"""Where a command's answer goes: tables for people, JSON for programs, notes beside both.

The answer is written to stdout and nothing else is; notes (how to see more, progress) go to stderr. Text in a table is
made visible here, so that no command can forget it. Tables are drawn by ``rich`` on a terminal when it is installed,
and as plain aligned text otherwise.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from tracecore.cli.escaping import harmless_json, visible
from tracecore.cli.plain_table import cut, draw, width
from tracecore.exact_json import encode

__all__ = ["Column", "note", "print_json", "print_lines", "print_table", "terminal_width"]

_WIDTH_WITHOUT_TERMINAL: Final = 120
_NARROWEST: Final = 8
_GAP: Final = 2
_DRAWING: Final = "█░◆│├└─…✗∅µ"
_IN_ASCII: Final = str.maketrans(_DRAWING, "#.*|+`-~x0u")


class Column(Struct, frozen=True):
    """Describe one column: its heading, where its text stands, and how wide it may become at most.

    A ``firm`` column, such as one of ids, keeps its width on a narrow terminal; so does every one of numbers.
    """

    heading: str
    align: Literal["left", "right"] = "left"
    limit: int = 40
    firm: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings; every text is made visible, headings too."""
    headed = [replace(column, heading=visible(column.heading)) for column in columns]
    safe = [[visible(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        widths = _fitted(headed, safe, room=terminal_width())
        # On a terminal that is too narrow, wrapped lines are better than columns that are not shown.
        if widths is not None and _print_rich(headed, safe, widths):
            return
    print_lines(draw(headed, safe))


def print_lines(lines: Sequence[str]) -> None:
    """Print lines that have been made visible already."""
    sys.stdout.write(_drawn("".join(f"{line}\n" for line in lines)))


def print_json(value: Any) -> None:
    """Print one value as one line of JSON that is harmless to a terminal; it means the same."""
    document = value if isinstance(value, bytes) else encode(value)
    sys.stdout.write(harmless_json(document.decode("utf-8", "surrogatepass")) + "\n")


def note(text: str) -> None:
    """Tell the person at the terminal something beside the answer, which is out by then or was not to be written."""
    sys.stdout.flush()
    sys.stderr.write(visible(text) + "\n")


def terminal_width() -> int:
    """Return the columns of the terminal, or a width that suits a file."""
    return shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 40)).columns


def _drawn(text: str) -> str:
    """Return text for people with its drawing in ASCII, as wide as before, where stdout knows no other."""
    try:
        _DRAWING.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(_IN_ASCII)
    return text


def _fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, room: int) -> list[int] | None:
    """Return how wide each column is so that all fit; None when there is too little room.

    Room is taken from texts only, and from where most is left: half a number would be a wrong one.
    """
    wanted = [
        min(column.limit, max(width(text) for text in [column.heading, *(row[i] for row in rows)]))
        for i, column in enumerate(columns)
    ]
    firm = [column.firm or column.align == "right" for column in columns]
    least = [full if kept else min(full, _NARROWEST) for full, kept in zip(wanted, firm, strict=True)]
    room -= _GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    widths = [max(low, min(full, room)) for full, low in zip(wanted, least, strict=True)]
    for _ in range(sum(widths) - room):
        widths[max(range(len(widths)), key=lambda i: widths[i] - least[i])] -= 1
    return widths


def _print_rich(columns: Sequence[Column], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> bool:
    """Draw the table with rich; return whether rich is there."""
    try:
        from rich.console import Console  # noqa: PLC0415 - optional, and slow to import
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        return False
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, columns_wide in zip(columns, widths, strict=True):
        table.add_column(Text(column.heading), justify=column.align, width=columns_wide, no_wrap=True)
    for row in rows:
        # Text: square brackets of a cell are no markup.
        table.add_row(*(Text(_drawn(cut(cell, columns_wide))) for cell, columns_wide in zip(row, widths, strict=True)))
    Console(file=sys.stdout).print(table)
    return True
