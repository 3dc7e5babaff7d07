"""What became of one file of a prompt when a folder was pulled into or pushed; and which prompts are meant by names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from tracecore.errors import NotFound
from tracecore.prompts import Prompt, PromptQuery, PromptStore, PromptSummary

__all__ = ["Action", "Outcome", "found_or_none", "selected", "summaries"]

Action: TypeAlias = Literal[
    "new", "updated", "merged", "published", "noted", "to publish", "to note", "unchanged", "changed here", "behind",
    "stays", "conflict", "refused",
]  # fmt: skip
"""In the words that people read.

* ``new``, ``updated``, ``merged``: the file was written, with what the store has or what both made of it.
* ``published``: the store has a new version, with what the file says.
* ``noted``: both said the same, and the file has the number of that version now.
* ``to publish``, ``to note``: that would be done, but nothing was.
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


async def selected(store: PromptStore, project: str, names: Sequence[str], label: str) -> AsyncIterator[PromptSummary]:
    """Yield what is meant by names of prompts, and of folders, which end with a slash; all that have the label by none.

    Raises:
        NotFound: a prompt that is named is not there, or has no such label.
    """
    seen: set[str] = set()
    for query in [_query(name, label) for name in names] or [PromptQuery(label=label)]:
        nothing = True
        async for summary in summaries(store, project, query):
            nothing = False
            if summary.name not in seen:
                seen.add(summary.name)
                yield summary
        if nothing and query.name is not None:
            await store.get(project, query.name, label=label, resolve=False)  # says what exists nearby
        elif nothing and query.folder is not None:
            remedy = f"no prompt in it has the label {label!r}; see them with `tracecore prompts list`"
            raise NotFound("folder", query.folder, remedy)


def _query(name: str, label: str) -> PromptQuery:
    if name.endswith("/"):
        return PromptQuery(folder=name.rstrip("/"), label=label)
    return PromptQuery(name=name, label=label)


async def found_or_none(
    store: PromptStore, project: str, name: str, *, version: int | None = None, label: str | None = None
) -> Prompt | None:
    """Return a version with nothing inserted, or None where it is not there."""
    try:
        return await store.get(project, name, version=version, label=label, resolve=False)
    except NotFound:
        return None
