"""What to say of a prompt that is not there: what is, nearby."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from tracecore.catalog import CatalogQuery, CatalogStore
from tracecore.errors import NotFound
from tracecore.prompt_heads import PromptHead, heads
from tracecore.prompts import LATEST

__all__ = ["no_label", "no_name", "no_version"]

_PROMPT: Final = "prompt"
_MOST: Final = 3
"""Names that are shown."""
_COMPARED: Final = 100
"""Names of a folder, and as many of all, that are compared: those that changed last."""
_LENGTH: Final = 64
"""Characters of a name that are compared, the last ones: comparing takes the square of it."""
_BYTES: Final = 1 << 20
_SHOWN: Final = 10


async def no_name(catalog: CatalogStore, project: str, name: str) -> NotFound:
    """Return the error for a name that is not there: it names up to three that are nearly it."""
    folder, slash, _ = name.rpartition("/")
    near: list[str] = []
    if slash:
        near = _near(name, await _names(catalog, project, folder + slash))
    if len(near) < _MOST:
        near += _near(name, await _names(catalog, project, None))
    found = list(dict.fromkeys(near))[:_MOST]
    shown = [repr(one) for one in found]
    remedy = f"there is {_and(shown)}" if found else "no name is like it: list those that there are, or publish it"
    return NotFound(_PROMPT, name, remedy)


def no_version(name: str, version: int, head: PromptHead) -> NotFound:
    """Return the error for a version that is not there: it says which are."""
    shown = [f"{first} to {last}" if first < last else f"{first}" for first, last in _ranges(head.versions)]
    dots = [] if len(shown) <= _SHOWN else ["…"]
    there = ", ".join(dots + shown[-_SHOWN:])
    plural = "s" if len(head.versions) > 1 else ""
    return NotFound(_PROMPT, f"{name} version {version}", f"it has version{plural} {there}")


def no_label(name: str, label: str, head: PromptHead) -> NotFound:
    """Return the error for a label that is not there: it says which are."""
    labels = [*head.labels, LATEST]
    shown = [f"{one!r} on version {head.version_of(one)}" for one in labels[-_SHOWN:]]
    dots = [] if len(labels) <= _SHOWN else ["…"]
    return NotFound(_PROMPT, f"{name} label {label}", f"it has {', '.join(dots + shown)}")


async def _names(catalog: CatalogStore, project: str, prefix: str | None) -> list[str]:
    asked = CatalogQuery(kind=heads.name, prefix=prefix, limit=_COMPARED, max_bytes=_BYTES)
    return [entry.id for entry in (await catalog.find(project, asked)).items]


def _near(name: str, names: Sequence[str]) -> list[str]:
    by_end: dict[str, str] = {}
    for one in names:
        by_end.setdefault(one[-_LENGTH:].casefold(), one)
    return [by_end[end] for end in get_close_matches(name[-_LENGTH:].casefold(), by_end, _MOST)]


def _and(shown: Sequence[str]) -> str:
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last number of each run without a gap."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last
