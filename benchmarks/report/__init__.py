"""Writing runs into the documents: between markers and nowhere else, and charts beside the results.

``README.md`` gets the few figures that a newcomer asks for, ``benchmarks/README.md`` everything; what became of the
async cases of tracers goes into the former and beside their adapters. All of them, and the charts that they show, are
functions of the kept results alone, so that a test can compare them; without results they say that
nothing has been measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.charts.files import charts_of, outdated, write_charts
from benchmarks.figures import ROOT
from benchmarks.kept import Kept
from benchmarks.report import conformance
from benchmarks.report.full import full
from benchmarks.report.short import short

__all__ = ["BEGIN", "END", "bring_in_line", "differing", "documents", "rewritten"]

BEGIN: Final = "<!-- benchmarks:begin -->"
END: Final = "<!-- benchmarks:end -->"
_NOTHING: Final = "Nothing has been measured yet: `make bench` does, and writes this part."


def documents(kept: Kept, root: Path = ROOT) -> dict[Path, str]:
    """Return what belongs between the markers of each document."""
    return {root / "README.md": short(kept) or _NOTHING, root / "benchmarks" / "README.md": full(kept) or _NOTHING}


def differing(kept: Kept, root: Path = ROOT) -> dict[Path, str]:
    """Return the new text of each document that is not what the results say.

    Raises:
        ValueError: a document has no place for them; the message says which.
    """
    found: dict[Path, str] = {}
    parts = (("benchmarks", documents(kept, root)), ("conformance", conformance.documents(root)))
    for path, content, name in ((path, content, name) for name, part in parts for path, content in part.items()):
        text = found.get(path) or path.read_text()
        try:
            new = rewritten(text, content, name)
        except ValueError as error:
            raise ValueError(f"{path.relative_to(root)}: {error}") from error
        if new != text:
            found[path] = new
    return found


def bring_in_line(kept: Kept, root: Path = ROOT, *, check: bool = False) -> list[Path]:
    """Write documents and charts that are not what the results say, and return their paths; ``check`` writes nothing.

    A chart is known by the digest inside, so that to check one needs nothing that draws. One of figures that are not
    kept any more is removed.

    Raises:
        ValueError: a document has no place for figures, or a chart cannot be drawn; nothing is written then.
        OSError: a file cannot be read or written.
    """
    texts, folder = differing(kept, root), root / "benchmarks" / "results"
    lacking, stray = outdated(charts_of(kept.whole, kept.rivals), folder)
    if not check:
        write_charts(lacking, folder)
        for path in stray:
            path.unlink()
        for path, text in texts.items():
            path.write_text(text)
    return [*texts, *(folder / f"{chart.name}.svg" for chart in lacking), *stray]


def rewritten(text: str, content: str, name: str = "benchmarks") -> str:
    """Return a document with ``content`` between its markers of that name.

    Raises:
        ValueError: it has no such place, or more than one.
    """
    begin, end = (marker.replace("benchmarks", name) for marker in (BEGIN, END))
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise ValueError(f"expected one {begin} and one {end} after it")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"
