"""What became of one file of a prompt when a folder was pulled into or pushed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from tracecore.errors import NotFound
from tracecore.prompts import Prompt, PromptQuery, PromptStore, PromptSummary

__all__ = ["Action", "Outcome", "found_or_none", "summaries"]

Action: TypeAlias = Literal[
    "new", "updated", "merged", "published", "noted", "unchanged", "changed here", "behind", "stays", "conflict",
    "refused",
]  # fmt: skip
"""In the words that people read.

* ``new``, ``updated``, ``merged``: the file was written, with what the store has or what both made of it.
* ``published``: the store has a new version, with what the file says.
* ``noted``: both said the same, and the file has the number of that version now.
* ``changed here``, ``behind``: only the file, or only the store, has something newer, and the other way leads there.
* ``stays``: a file of which the store has nothing.
* ``conflict``: both have something newer, and a person has to decide.
* ``refused``: it cannot be, for the reason that is given.
"""
_PAGE: Final = 100


class Outcome(Struct, frozen=True, omit_defaults=True):
    """Say what became of one file."""

    name: str
    path: str
    action: Action
    version: int | None = None
    """The version that the file has now."""
    before: int | None = None
    """The one that it had."""
    reason: str = ""

    @property
    def is_trouble(self) -> bool:
        """Return whether somebody has to do something about it."""
        return self.action in {"conflict", "refused"}


async def summaries(store: PromptStore, project: str, query: PromptQuery) -> AsyncIterator[PromptSummary]:
    """Yield every name that a query selects; its limit and offset do not count."""
    offset = 0
    while True:
        page = await store.find(
            project,
            PromptQuery(
                name=query.name, folder=query.folder, label=query.label, tag=query.tag, limit=_PAGE, offset=offset
            ),
        )
        for summary in page.items:
            yield summary
        offset += len(page.items)
        if not page.items or offset >= page.total:
            return


async def found_or_none(
    store: PromptStore, project: str, name: str, *, version: int | None = None, label: str | None = None
) -> Prompt | None:
    """Return a version with nothing inserted, or None where it is not there."""
    try:
        return await store.get(project, name, version=version, label=label, resolve=False)
    except NotFound:
        return None
