"""Prompts: texts and chats under a name, in versions that never change, with labels that move between them.

In the catalog a name is two kinds of entries. Its head says which versions there are, which label is on which of them
and since when, and which tags the name has; a version is what was published. Whatever changes a name changes its head,
on condition that it is still the one that was read: two who publish at once get two versions, a label is on exactly one
version at every moment, and a label goes back to an older version as it went to the newer one. Numbers are never used
again while the name is there.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeAlias, TypeVar

from msgspec import Raw, Struct
from msgspec.structs import replace

from tracecore.catalog import CatalogPage, CatalogQuery, CatalogStore, Change, Delete, Entry, Put
from tracecore.composition import Reference, Source, references, resolved
from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.kinds import Kind, numbered_page
from tracecore.prompt_contents import (
    check_content,
    check_labels,
    check_name,
    check_tags,
)
from tracecore.prompts import LATEST, PRODUCTION, Graph, PromptType

__all__ = ["NewPrompt", "Prompt", "PromptHead", "Prompts", "heads"]

T = TypeVar("T")
_Step: TypeAlias = Callable[[Entry | None], Awaitable[tuple[Sequence[Change], T]]]
_TRIES: Final = 100
"""How often a change is begun anew because somebody else was first."""
_SLICE: Final = 900
"""Versions that are deleted in one commit."""
_LONGEST_MESSAGE: Final = 500
_REQUEST: Final = "the request"


class NewPrompt(Struct, frozen=True, kw_only=True):
    """Say what is published."""

    name: str
    type: PromptType
    prompt: Raw
    config: Raw = Raw(b"{}")
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None
    """None keeps those that the name has."""
    commit_message: str | None = None
    created_by: str = ""


class Held(Struct, frozen=True, omit_defaults=True):
    """Say on which version a label is, and since when."""

    version: int
    since_ns: int = 0


class PromptHead(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe a name."""

    type: PromptType
    versions: tuple[int, ...]
    """Those that are there, ascending."""
    newest: int
    """The greatest number that was ever used."""
    labels: dict[str, Held] = {}
    """All but ``latest``."""
    tags: tuple[str, ...] = ()
    tagged_ns: int = 0
    last_config: Raw = Raw(b"{}")
    """That of the newest version."""
    updated_ns: int = 0

    def labels_of(self, version: int) -> list[str]:
        """Return the labels of a version."""
        found = [label for label, held in self.labels.items() if held.version == version]
        return [*found, LATEST] if version == self.versions[-1] else found

    def version_of(self, label: str) -> int | None:
        """Return the version that a label is on, or None."""
        if label == LATEST:
            return self.versions[-1]
        held = self.labels.get(label)
        return None if held is None else held.version

    def labelled(self, labels: Iterable[str], version: int, now_ns: int) -> PromptHead:
        """Return the head with labels on a version, from where they were."""
        moved = {label: Held(version, now_ns) for label in labels if self.version_of(label) != version}
        kept = {label: held for label, held in self.labels.items() if label not in moved}
        return replace(self, labels={**kept, **moved}, updated_ns=now_ns)


class _Version(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    prompt: Raw
    config: Raw = Raw(b"{}")
    commit_message: str | None = None
    created_by: str = ""
    created_ns: int = 0
    uses: tuple[Reference, ...] = ()


class Prompt(Source, frozen=True, kw_only=True):
    """Describe one version, as of the moment when it was read."""

    config: Raw
    labels: list[str]
    tags: list[str]
    commit_message: str | None
    created_by: str
    created_ns: int
    updated_ns: int
    graph: Graph | None = None
    """What is inserted, where it was inserted."""


heads: Final = Kind("prompt", PromptHead)
_versions: Final = Kind("prompt-version", _Version)


class Prompts:
    """Keep the prompts of one project."""

    def __init__(self, catalog: CatalogStore, project: str) -> None:
        self._catalog = catalog
        self._project = project

    async def publish(self, new: NewPrompt, *, now_ns: int) -> Prompt:
        """Make the next version of a prompt, or the first one of a new.

        Raises:
            ConfigError: something of it cannot be, or it inserts what cannot be inserted.
        """
        check_name(new.name)
        check_labels(new.labels)
        check_tags(new.tags or ())
        if len(new.commit_message or "") > _LONGEST_MESSAGE:
            raise ConfigError("commitMessage", new.commit_message, _REQUEST, f"at most {_LONGEST_MESSAGE} characters")
        uses = tuple(references(check_content(new.type, new.prompt)))
        made = _Version(
            id=str(uuid.uuid4()), prompt=new.prompt, config=new.config, commit_message=new.commit_message,
            created_by=new.created_by, created_ns=now_ns, uses=uses,
        )  # fmt: skip

        async def publishing(entry: Entry | None) -> tuple[Sequence[Change], Prompt]:
            head = _next(None if entry is None else heads.of(entry), new, now_ns)
            prompt = _prompt(new.name, head.newest, head, made)
            if uses:
                await resolved(prompt, self._finder(new.name, head))
            return [self._put(new.name, head, entry), Put(self._entry(new.name, head.newest, made), 0)], prompt

        return await self._changed(new.name, publishing)

    async def get(
        self, name: str, *, version: int | None = None, label: str | None = None, resolve: bool = True
    ) -> Prompt:
        """Return a version: by its number, or by a label, which is ``production`` unless one is named.

        Raises:
            NotFound: there is none.
            ConfigError: both are named; or what it inserts is not there any more.
        """
        if version is not None and label is not None:
            raise ConfigError("label", label, _REQUEST, "a version or a label, not both")
        wanted = Reference(name, version, (label or PRODUCTION) if version is None else None)
        prompt = await self._find(wanted)
        if prompt is None:
            raise _missing(wanted)
        if not resolve:
            return prompt
        whole, graph = await resolved(prompt, self._find)
        return replace(prompt, prompt=whole, graph=graph)

    async def label(self, name: str, version: int, labels: Sequence[str], *, now_ns: int) -> Prompt:
        """Put labels on a version, from whatever other version they were on; those that it has stay.

        Raises:
            NotFound: there is no such version.
            ConfigError: a label cannot be one, or the version would be inside itself.
        """
        check_labels(labels)
        if LATEST in labels:
            raise ConfigError("label", LATEST, _REQUEST, "other labels: this one is always on the newest version")

        async def labelling(entry: Entry | None) -> tuple[Sequence[Change], Prompt]:
            head = None if entry is None else heads.of(entry)
            kept = None if head is None or version not in head.versions else await self._version(name, version)
            if head is None or kept is None:
                raise _missing(Reference(name, version))
            moved = head.labelled(labels, version, now_ns)
            prompt = _prompt(name, version, moved, kept)
            if moved.labels == head.labels:
                return [], prompt
            if kept.uses:
                await resolved(prompt, self._finder(name, moved))
            return [self._put(name, moved, entry)], prompt

        return await self._changed(name, labelling)

    async def delete(self, name: str, *, version: int | None = None, label: str | None = None, now_ns: int) -> None:
        """Remove one version, or with neither number nor label all of them.

        Raises:
            NotFound: there is none.
            ConfigError: both are named; or another prompt inserts what would be removed.
        """
        if version is not None and label is not None:
            raise ConfigError("label", label, _REQUEST, "a version or a label, not both")

        async def deleting(entry: Entry | None) -> tuple[Sequence[Change], bool]:
            if entry is None:
                raise _missing(Reference(name, version, label))
            head = heads.of(entry)
            gone = _chosen(name, head, version, label)
            await self._check_unused(name, head, gone)
            return await self._without(name, head, entry, gone[:_SLICE], now_ns), len(gone) > _SLICE

        while await self._changed(name, deleting):
            pass

    async def find(self, query: CatalogQuery) -> CatalogPage:
        """Return one page of names: entries of the kind ``heads``, whose name, references and position are theirs."""
        return await numbered_page(self._catalog, self._project, query)

    async def every(self) -> AsyncIterator[Prompt]:
        """Yield every version of every name, with nothing inserted, for what no index of the catalog knows."""
        known = {entry.id: heads.of(entry) async for entry in heads.walk(self._catalog, self._project)}
        async for entry in _versions.walk(self._catalog, self._project):
            head = known.get(entry.parent or "")
            if head is not None and entry.position in head.versions:
                yield _prompt(entry.parent or "", entry.position, head, _versions.of(entry))

    async def _changed(self, name: str, step: _Step[T]) -> T:
        """Make the changes that follow from a head; begin anew where somebody else changed it meanwhile."""
        for left in reversed(range(_TRIES)):
            changes, result = await step(await self._catalog.get(self._project, heads.name, name))
            try:
                if changes:
                    await self._catalog.commit(changes)
            except Conflict:
                if not left:
                    raise
            else:
                return result
        raise AssertionError("the last try raises or returns")

    async def _find(self, wanted: Reference, known: tuple[str, PromptHead] | None = None) -> Prompt | None:
        """Return what a reference names, or None."""
        for _ in range(_TRIES):
            if known is not None and known[0] == wanted.name:
                head = known[1]
            else:
                entry = await self._catalog.get(self._project, heads.name, wanted.name)
                if entry is None:
                    return None
                head = heads.of(entry)
            version = wanted.version if wanted.label is None else head.version_of(wanted.label)
            if version is None or version not in head.versions:
                return None
            found = await self._version(wanted.name, version)
            if found is not None:
                return _prompt(wanted.name, version, head, found)
            if known is not None:
                return None
        return None  # deleted and published anew again and again

    def _finder(self, name: str, head: PromptHead) -> Callable[[Reference], Awaitable[Prompt | None]]:
        """Return what finds prompts as they will be, when a name has this head."""
        return lambda wanted: self._find(wanted, (name, head))

    async def _version(self, name: str, version: int) -> _Version | None:
        entry = await self._catalog.get(self._project, _versions.name, _key(name, version))
        return None if entry is None else _versions.of(entry)

    async def _check_unused(self, name: str, head: PromptHead, gone: Sequence[int]) -> None:
        """Refuse to remove versions, or the last version with a label, that other prompts insert."""
        left = replace(head, versions=tuple(version for version in head.versions if version not in gone))
        uses = CatalogQuery(kind=_versions.name, refs=(f"uses:{name}",))
        async for entry in _versions.walk(self._catalog, self._project, uses):
            parent = entry.parent or ""
            for use in _versions.of(entry).uses:
                if use.name == name and parent != name and _breaks(use, head, left, gone):
                    expected = f"no prompt to insert it, but {parent} version {entry.position} does: delete that first"
                    raise ConfigError("prompt", str(use), _REQUEST, expected)

    async def _without(
        self, name: str, head: PromptHead, entry: Entry, gone: Sequence[int], now_ns: int
    ) -> list[Change]:
        deletes: list[Change] = [Delete(self._project, _versions.name, _key(name, version)) for version in gone]
        left = tuple(version for version in head.versions if version not in gone)
        if not left:
            return [Delete(self._project, heads.name, name, entry.revision), *deletes]
        labels = {label: held for label, held in head.labels.items() if held.version not in gone}
        config = head.last_config
        if left[-1] != head.versions[-1]:
            newest = await self._version(name, left[-1])
            config = config if newest is None else newest.config
        kept = replace(head, versions=left, labels=labels, last_config=config, updated_ns=now_ns)
        return [self._put(name, kept, entry), *deletes]

    def _put(self, name: str, head: PromptHead, known: Entry | None) -> Put:
        refs = [f"label:{label}" for label in (*head.labels, LATEST)] + [f"tag:{tag}" for tag in head.tags]
        entry = Entry(
            project=self._project, kind=heads.name, id=name, name=name, body=heads.body(head), refs=tuple(refs),
            position=head.updated_ns,
        )  # fmt: skip
        return Put(entry, 0 if known is None else known.revision)

    def _entry(self, name: str, version: int, made: _Version) -> Entry:
        return Entry(
            project=self._project, kind=_versions.name, id=_key(name, version), name=made.id, parent=name,
            position=version, body=_versions.body(made), refs=tuple({f"uses:{use.name}": None for use in made.uses}),
        )  # fmt: skip


def _next(head: PromptHead | None, new: NewPrompt, now_ns: int) -> PromptHead:
    """Return the head with one more version."""
    labels = [label for label in dict.fromkeys(new.labels) if label != LATEST]
    if head is None:
        head = PromptHead(type=new.type, versions=(), newest=0)
    elif head.type != new.type:
        expected = f"{head.type}, as the versions that are there: use another name for a {new.type} prompt"
        raise ConfigError("type", new.type, _REQUEST, expected)
    version = head.newest + 1
    head = replace(head, versions=(*head.versions, version), newest=version, last_config=new.config)
    if new.tags is not None and set(new.tags) != set(head.tags):
        head = replace(head, tags=tuple(dict.fromkeys(new.tags)), tagged_ns=now_ns)
    return head.labelled(labels, version, now_ns)


def _prompt(name: str, version: int, head: PromptHead, kept: _Version) -> Prompt:
    moves = [held.since_ns for held in head.labels.values() if held.version == version]
    return Prompt(
        id=kept.id, name=name, version=version, type=head.type, prompt=kept.prompt, config=kept.config,
        labels=head.labels_of(version), tags=list(head.tags), commit_message=kept.commit_message,
        created_by=kept.created_by, created_ns=kept.created_ns,
        updated_ns=max([kept.created_ns, head.tagged_ns, *moves]),
    )  # fmt: skip


def _chosen(name: str, head: PromptHead, version: int | None, label: str | None) -> list[int]:
    """Return the versions that a request is for."""
    if version is None and label is None:
        return list(head.versions)
    found = version if label is None else head.version_of(label)
    if found is None or found not in head.versions:
        raise _missing(Reference(name, version, label))
    return [found]


def _breaks(use: Reference, head: PromptHead, left: PromptHead, gone: Sequence[int]) -> bool:
    """Return whether a reference to a prompt led somewhere, and does not without some versions."""
    if use.label is None:
        return use.version in gone
    if not left.versions:
        return head.version_of(use.label) is not None
    found = left.version_of(use.label)
    return found is not None and found in gone


def _key(name: str, version: int) -> str:
    # No name holds the sign.
    return f"{name}|{version}"


def _missing(wanted: Reference) -> NotFound:
    return NotFound("prompt", str(wanted) if wanted.version or wanted.label else wanted.name)
