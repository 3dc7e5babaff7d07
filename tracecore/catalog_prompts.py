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

from tracecore.backend import Backend
from tracecore.catalog import CatalogQuery, CatalogStore, Catalogued, Change, Delete, Entry, Put
from tracecore.clock import wall_ns
from tracecore.composition import Reference, references, resolved
from tracecore.errors import BackendRejected, ConfigError, Conflict, NotFound
from tracecore.kinds import Kind, numbered_page
from tracecore.prompt_contents import (
    check_content,
    check_labels,
    check_name,
    check_tags,
)
from tracecore.prompts import (
    LATEST,
    NOBODY,
    PRODUCTION,
    Author,
    Held,
    LabelChange,
    LabelMove,
    NewPrompt,
    Prompt,
    PromptFeed,
    PromptHistory,
    Prompting,
    PromptPage,
    PromptQuery,
    PromptStore,
    PromptSummary,
    PromptType,
)

__all__ = ["CatalogPrompts", "PromptHead", "prompts_of"]

T = TypeVar("T")
_Step: TypeAlias = Callable[[Entry | None], Awaitable[tuple[Sequence[Change], T]]]
_TRIES: Final = 100
"""How often a change is begun anew because somebody else was first."""
_SLICE: Final = 900
"""Versions that are deleted in one commit."""
_LONGEST_MESSAGE: Final = 500
_REQUEST: Final = "the request"


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


heads: Final = Kind("prompt", PromptHead)
_versions: Final = Kind("prompt-version", _Version)


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


class CatalogPrompts:
    """Keep prompts in a catalog; see :class:`tracecore.prompts.PromptStore`."""

    def __init__(self, catalog: CatalogStore, *, wall: Callable[[], int] = wall_ns) -> None:
        self._catalog = catalog
        self._wall = wall

    async def publish(self, project: str, new: NewPrompt) -> Prompt:
        """Make the next version of a prompt, or the first one of a new."""
        check_name(new.name)
        check_labels(new.labels)
        check_tags(new.tags or ())
        if len(new.commit_message or "") > _LONGEST_MESSAGE:
            raise ConfigError("commitMessage", new.commit_message, _REQUEST, f"at most {_LONGEST_MESSAGE} characters")
        uses, now_ns = tuple(references(check_content(new.type, new.prompt))), self._wall()
        made = _Version(
            id=str(uuid.uuid4()), prompt=new.prompt, config=new.config, commit_message=new.commit_message,
            created_by=new.author.name, created_ns=now_ns, uses=uses,
        )  # fmt: skip

        async def publishing(entry: Entry | None) -> tuple[Sequence[Change], Prompt]:
            head = _next(None if entry is None else heads.of(entry), new, now_ns)
            prompt = _prompt(new.name, head.newest, head, made)
            if uses:
                await resolved(prompt, self._finder(project, new.name, head))
            version = Put(_entry(project, new.name, head.newest, made), 0)
            return [_put(project, new.name, head, entry), version], prompt

        return await self._changed(project, new.name, publishing)

    async def get(
        self, project: str, name: str, *, version: int | None = None, label: str | None = None, resolve: bool = True
    ) -> Prompt:
        """Return a version: by its number, or by a label, which is ``production`` unless one is named."""
        if version is not None and label is not None:
            raise ConfigError("label", label, _REQUEST, "a version or a label, not both")
        wanted = Reference(name, version, (label or PRODUCTION) if version is None else None)
        prompt = await self._find(project, wanted)
        if prompt is None:
            raise _missing(wanted)
        if not resolve:
            return prompt
        whole, graph = await resolved(prompt, lambda inner: self._find(project, inner))
        return replace(prompt, prompt=whole, graph=graph)

    async def find(self, project: str, query: PromptQuery) -> PromptPage:
        """Return one page of names."""
        refs = ([] if query.label is None else [f"label:{query.label}"]) + (
            [] if query.tag is None else [f"tag:{query.tag}"]
        )
        asked = CatalogQuery(
            kind=heads.name, name=query.name, prefix=None if query.folder is None else query.folder.rstrip("/") + "/",
            refs=tuple(refs), min_position=query.since_ns,
            max_position=None if query.until_ns is None else query.until_ns - 1, limit=query.limit, offset=query.offset,
        )  # fmt: skip
        page = await numbered_page(self._catalog, project, asked)
        return PromptPage([_summary(entry.id, heads.of(entry)) for entry in page.items], page.total)

    async def history(self, project: str, name: str, *, limit: int = 100) -> PromptHistory:
        """Return the newest versions and moves of a name."""
        entry = await self._catalog.get(project, heads.name, name)
        if entry is None:
            raise _missing(Reference(name))
        head = heads.of(entry)
        page = await self._catalog.find(project, CatalogQuery(kind=_versions.name, parent=name, limit=limit))
        there = [one for one in page.items if one.position in head.versions]
        return PromptHistory([_prompt(name, one.position, head, _versions.of(one)) for one in there], [])

    async def change(self, project: str, name: str, change: LabelChange, *, author: Author = NOBODY) -> Prompt:
        """Move a label; returns the version that it is on now, or for ``Unlabel`` was on."""
        if not isinstance(change, LabelMove):
            raise BackendRejected(f"a catalog makes no {type(change).__name__}", f"move the label ({author.name})")
        version, labels, now_ns = change.version, change.labels, self._wall()
        check_labels(labels)
        if LATEST in labels:
            raise ConfigError("label", LATEST, _REQUEST, "other labels: this one is always on the newest version")

        async def labelling(entry: Entry | None) -> tuple[Sequence[Change], Prompt]:
            head = None if entry is None else heads.of(entry)
            known = head is not None and version in head.versions
            kept = await self._version(project, name, version) if known else None
            if head is None or kept is None:
                raise _missing(Reference(name, version))
            moved = head.labelled(labels, version, now_ns)
            prompt = _prompt(name, version, moved, kept)
            if moved.labels == head.labels:
                return [], prompt
            if kept.uses:
                await resolved(prompt, self._finder(project, name, moved))
            return [_put(project, name, moved, entry)], prompt

        return await self._changed(project, name, labelling)

    async def delete(
        self,
        project: str,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        author: Author = NOBODY,  # noqa: ARG002 - the signature of the contract
    ) -> None:
        """Remove one version, or with neither number nor label all; refused while other prompts insert it."""
        if version is not None and label is not None:
            raise ConfigError("label", label, _REQUEST, "a version or a label, not both")

        async def deleting(entry: Entry | None) -> tuple[Sequence[Change], bool]:
            if entry is None:
                raise _missing(Reference(name, version, label))
            head = heads.of(entry)
            gone = _chosen(name, head, version, label)
            await self._check_unused(project, name, head, gone)
            return await self._without(project, name, head, entry, gone[:_SLICE]), len(gone) > _SLICE

        while await self._changed(project, name, deleting):
            pass

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Return what has changed since."""
        raise BackendRejected(f"the catalog does not tell what changed in {project!r} since {since}", f"ask ({wait})")

    async def every(self, project: str) -> AsyncIterator[Prompt]:
        """Yield every version of every name, with nothing inserted, for what no index of the catalog knows."""
        known = {entry.id: heads.of(entry) async for entry in heads.walk(self._catalog, project)}
        async for entry in _versions.walk(self._catalog, project):
            head = known.get(entry.parent or "")
            if head is not None and entry.position in head.versions:
                yield _prompt(entry.parent or "", entry.position, head, _versions.of(entry))

    async def _changed(self, project: str, name: str, step: _Step[T]) -> T:
        """Make the changes that follow from a head; begin anew where somebody else changed it meanwhile."""
        for left in reversed(range(_TRIES)):
            changes, result = await step(await self._catalog.get(project, heads.name, name))
            try:
                if changes:
                    await self._catalog.commit(changes)
            except Conflict:
                if not left:
                    raise
            else:
                return result
        raise AssertionError("the last try raises or returns")

    async def _find(
        self, project: str, wanted: Reference, known: tuple[str, PromptHead] | None = None
    ) -> Prompt | None:
        """Return what a reference names, or None."""
        for _ in range(_TRIES):
            if known is not None and known[0] == wanted.name:
                head = known[1]
            else:
                entry = await self._catalog.get(project, heads.name, wanted.name)
                if entry is None:
                    return None
                head = heads.of(entry)
            version = wanted.version if wanted.label is None else head.version_of(wanted.label)
            if version is None or version not in head.versions:
                return None
            found = await self._version(project, wanted.name, version)
            if found is not None:
                return _prompt(wanted.name, version, head, found)
            if known is not None:
                return None
        return None  # deleted and published anew again and again

    def _finder(self, project: str, name: str, head: PromptHead) -> Callable[[Reference], Awaitable[Prompt | None]]:
        """Return what finds prompts as they will be, when a name has this head."""
        return lambda wanted: self._find(project, wanted, (name, head))

    async def _version(self, project: str, name: str, version: int) -> _Version | None:
        entry = await self._catalog.get(project, _versions.name, _key(name, version))
        return None if entry is None else _versions.of(entry)

    async def _check_unused(self, project: str, name: str, head: PromptHead, gone: Sequence[int]) -> None:
        """Refuse to remove versions, or the last version with a label, that other prompts insert."""
        left = replace(head, versions=tuple(version for version in head.versions if version not in gone))
        uses = CatalogQuery(kind=_versions.name, refs=(f"uses:{name}",))
        async for entry in _versions.walk(self._catalog, project, uses):
            parent = entry.parent or ""
            for use in _versions.of(entry).uses:
                if use.name == name and parent != name and _breaks(use, head, left, gone):
                    expected = f"no prompt to insert it, but {parent} version {entry.position} does: delete that first"
                    raise ConfigError("prompt", str(use), _REQUEST, expected)

    async def _without(
        self, project: str, name: str, head: PromptHead, entry: Entry, gone: Sequence[int]
    ) -> list[Change]:
        deletes: list[Change] = [Delete(project, _versions.name, _key(name, version)) for version in gone]
        left = tuple(version for version in head.versions if version not in gone)
        if not left:
            return [Delete(project, heads.name, name, entry.revision), *deletes]
        labels = {label: held for label, held in head.labels.items() if held.version not in gone}
        config = head.last_config
        if left[-1] != head.versions[-1]:
            newest = await self._version(project, name, left[-1])
            config = config if newest is None else newest.config
        kept = replace(head, versions=left, labels=labels, last_config=config, updated_ns=self._wall())
        return [_put(project, name, kept, entry), *deletes]


def _put(project: str, name: str, head: PromptHead, known: Entry | None) -> Put:
    refs = [f"label:{label}" for label in (*head.labels, LATEST)] + [f"tag:{tag}" for tag in head.tags]
    entry = Entry(
        project=project, kind=heads.name, id=name, name=name, body=heads.body(head), refs=tuple(refs),
        position=head.updated_ns,
    )  # fmt: skip
    return Put(entry, 0 if known is None else known.revision)


def _entry(project: str, name: str, version: int, made: _Version) -> Entry:
    return Entry(
        project=project, kind=_versions.name, id=_key(name, version), name=made.id, parent=name, position=version,
        body=_versions.body(made), refs=tuple({f"uses:{use.name}": None for use in made.uses}),
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


def _summary(name: str, head: PromptHead) -> PromptSummary:
    newest = head.versions[-1]
    return PromptSummary(
        name=name, type=head.type, versions=head.versions, labels={**head.labels, LATEST: Held(newest)},
        tags=head.tags, updated_ns=head.updated_ns, last_config=head.last_config,
    )  # fmt: skip


def _prompt(name: str, version: int, head: PromptHead, kept: _Version) -> Prompt:
    moves = [held.since_ns for held in head.labels.values() if held.version == version]
    return Prompt(
        id=kept.id, name=name, version=version, type=head.type, prompt=kept.prompt, config=kept.config,
        labels=tuple(head.labels_of(version)), tags=head.tags, commit_message=kept.commit_message,
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
