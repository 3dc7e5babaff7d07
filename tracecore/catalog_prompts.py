"""Prompts in a catalog: texts and chats under a name, in versions that never change, with labels that move.

Whatever changes a name is one commit: its head, on condition that it is still the one that was read, with the versions
that come or go, the moves that say who did what, and the number of the project's feed. So two who publish at once get
two versions, a label is on exactly one version at every moment, and none of them is there without the others. The
entries are those of :mod:`tracecore.prompt_heads`, what becomes of them is in :mod:`tracecore.prompt_moves`.

Versions are numbered from 1, and numbers never used again while the name is there; a name that is deleted as a whole
and published again begins with 1. Its moves stay, so that its history tells who deleted it and goes on from there.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from tracecore.backend import Backend
from tracecore.catalog import CatalogQuery, CatalogStore, Catalogued, Change, Entry
from tracecore.clock import wall_ns
from tracecore.composition import Reference, references, resolved, texts_of
from tracecore.errors import BackendRejected, ConfigError
from tracecore.prompt_commits import Plan, PromptCommits
from tracecore.prompt_contents import REQUEST, check_content
from tracecore.prompt_heads import (
    KeptVersion,
    PromptHead,
    delete_of_version,
    heads,
    moves,
    prompt_of,
    put_of_version,
    versions,
)
from tracecore.prompt_hints import no_label, no_name, no_version
from tracecore.prompt_moves import Act, Outcome, changed, labels_with, published, without
from tracecore.prompt_reading import Pause, PromptReading, check_one
from tracecore.prompt_requests import check_author, check_change, check_publishing
from tracecore.prompt_text import check_declared, placeholders_in
from tracecore.prompts import (
    NOBODY,
    Author,
    LabelChange,
    NewPrompt,
    Prompt,
    Prompting,
    PromptStore,
    Unlabel,
)

__all__ = ["CatalogPrompts", "prompts_of"]

_SLICE: Final = 900
"""Versions that are deleted in one commit."""


def prompts_of(backend: Backend) -> PromptStore:
    """Return the prompts of a backend: its own store, or what keeps them in its catalog.

    Raises:
        BackendRejected: it keeps none.
    """
    if isinstance(backend, Prompting):
        return backend.prompts
    if isinstance(backend, Catalogued):
        return CatalogPrompts(backend.catalog)
    raise BackendRejected(f"{backend.location} keeps no prompts", "use SQLite, PostgreSQL or a server")


class CatalogPrompts(PromptReading):
    """Keep prompts in a catalog; see :class:`tracecore.prompts.PromptStore`.

    ``wall`` is the clock of what is kept (ns since the Unix epoch); ``pause`` waits, where somebody else was first or
    nothing has changed yet.
    """

    def __init__(
        self, catalog: CatalogStore, *, wall: Callable[[], int] = wall_ns, pause: Pause = asyncio.sleep
    ) -> None:
        super().__init__(catalog, pause=pause)
        self._commits = PromptCommits(catalog, pause)
        self._wall = wall

    async def publish(self, project: str, new: NewPrompt) -> Prompt:
        """Make the next version of a prompt, or the first one of a new; returns it with nothing inserted."""
        check_publishing(new)
        act = Act(self._wall(), new.author.name, new.commit_message)
        kept = KeptVersion(
            id=str(uuid.uuid4()), prompt=new.prompt, config=new.config, variables=new.variables,
            commit_message=new.commit_message, created_by=act.by, created_ns=act.at_ns,
            uses=tuple(references(check_content(new.type, new.prompt))),
        )  # fmt: skip

        async def publishing(entry: Entry | None) -> Plan[Prompt]:
            head = None if entry is None else heads.of(entry)
            before = await self._last_move(project, new.name) if head is None else head.moved
            made = published(new.name, head, new, act, inserts=[use.name for use in kept.uses])
            prompt = prompt_of(new.name, made.version, made.head, kept)
            await self._check_text(project, prompt, made.head)
            return _plan(made, prompt, before, [put_of_version(project, new.name, made.version, kept)])

        return await self._commits.make(project, new.name, new.author, publishing)

    async def change(self, project: str, name: str, change: LabelChange, *, author: Author = NOBODY) -> Prompt:
        """Move a label; returns the version that it is on now, or for ``Unlabel`` was on."""
        check_change(change, author)
        act = Act(self._wall(), author.name, change.reason)

        async def changing(entry: Entry | None) -> Plan[Prompt] | None:
            if entry is None:
                raise await no_name(self._catalog, project, name)
            head = heads.of(entry)
            made = changed(name, head, change, act)
            kept = await self._version(project, name, made.version)
            if kept is None:
                return None
            prompt = prompt_of(name, made.version, made.head, kept, made.label)
            if made.head is head:
                return Plan(result=prompt, is_change=False)
            if isinstance(change, Unlabel):
                await self._check_unused(project, name, head, made.head)
            elif kept.uses:
                await resolved(prompt, self._finder(project, name, made.head))
            return _plan(made, prompt, head.moved)

        return await self._commits.make(project, name, author, changing)

    async def delete(
        self,
        project: str,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        author: Author = NOBODY,
    ) -> None:
        """Remove one version, or with neither number nor label all; refused while other prompts insert it."""
        check_one(version, label)
        check_author(author)
        act, is_begun = Act(self._wall(), author.name), False

        async def deleting(entry: Entry | None) -> Plan[bool] | None:
            if entry is None:
                raise await no_name(self._catalog, project, name)
            head = heads.of(entry)
            gone = _chosen(name, head, version, label)
            return await self._without(project, name, head, gone, act, is_begun=is_begun)

        while await self._commits.make(project, name, author, deleting):
            is_begun = True

    async def _without(
        self, project: str, name: str, head: PromptHead, gone: Sequence[int], act: Act, *, is_begun: bool
    ) -> Plan[bool] | None:
        """Plan to remove versions, as many as one commit can; the result says whether more of them are to go.

        The first commit says so in the moves, so that nothing goes without somebody who did it.
        """
        is_whole = len(gone) == len(head.versions)
        moved = [act.move("delete", version=None if is_whole else gone[0])]
        left = None
        if not is_whole:
            left, more = without(head, gone, act)
            moved += more
        await self._check_unused(project, name, head, left)
        now, later = gone[:_SLICE], gone[_SLICE:]
        if later:
            left, _ = without(head, now, act)
        elif left is not None and left.versions[-1] != head.versions[-1]:
            newest = await self._version(project, name, left.versions[-1])
            if newest is None:
                return None
            left = replace(left, last_config=newest.config)
        return Plan(
            result=bool(later), head=left, before=head.moved, moves=() if is_begun else tuple(moved),
            labels=labels_with(head, gone), more=[delete_of_version(project, name, number) for number in now],
        )  # fmt: skip

    async def _last_move(self, project: str, name: str) -> int:
        """Return the number of the last move of a name that is not there: of what was there before, or 0."""
        page = await self._catalog.find(project, CatalogQuery(kind=moves.name, parent=name, limit=1))
        return page.items[0].position if page.items else 0

    async def _check_text(self, project: str, prompt: Prompt, head: PromptHead) -> None:
        """Refuse a prompt that inserts what cannot be, or whose variables are not those that it declares."""
        whole, _ = await resolved(prompt, self._finder(project, prompt.name, head))
        if prompt.variables is not None:
            content = msgspec.json.decode(whole)
            placeholders = placeholders_in(content) if prompt.type == "chat" else ()
            check_declared(prompt.variables, texts_of(content), placeholders)

    async def _check_unused(self, project: str, name: str, head: PromptHead, left: PromptHead | None) -> None:
        """Refuse to leave a head without what other prompts insert; ``left`` is None where the name goes."""
        uses = CatalogQuery(kind=versions.name, refs=(f"uses:{name}",))
        async for entry in versions.walk(self._catalog, project, uses):
            parent = entry.parent or ""
            for use in versions.of(entry).uses:
                if use.name == name and parent != name and _leads(use, head) and not _leads(use, left):
                    expected = f"no prompt to insert it, but {parent} version {entry.position} does: delete that first"
                    raise ConfigError("prompt", str(use), REQUEST, expected)


def _plan(made: Outcome, prompt: Prompt, before: int, more: Sequence[Change] = ()) -> Plan[Prompt]:
    labels = frozenset(move.label for move in made.moves if move.label is not None)
    return Plan(head=made.head, result=prompt, before=before, moves=made.moves, labels=labels, more=more)


def _chosen(name: str, head: PromptHead, version: int | None, label: str | None) -> Sequence[int]:
    """Return the versions that a request is for."""
    if version is None and label is None:
        return head.versions
    found = version if label is None else head.version_of(label)
    if found is None:
        raise no_label(name, label or "", head)
    if found not in head.versions:
        raise no_version(name, found, head)
    return [found]


def _leads(use: Reference, head: PromptHead | None) -> bool:
    """Return whether a reference to a prompt leads somewhere."""
    if head is None:
        return False
    return use.version in head.versions if use.label is None else head.version_of(use.label) is not None
