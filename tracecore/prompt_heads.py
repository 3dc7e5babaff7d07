"""The entries that prompts are in a catalog: a head and versions for each name, and one of what is inserted where.

A head says which versions there are, which label is on which of them and since when, where each label was before, and
which tags the name has; a version is what was published, and never changes. The head also counts the moves of its name
(:mod:`tracecore.prompt_moves`), which are entries of their own.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw, Struct

from tracecore.catalog import Delete, Entry, Put
from tracecore.composition import Reference
from tracecore.kinds import Kind
from tracecore.prompts import LATEST, Held, Move, Prompt, PromptSummary, PromptType, Variable

__all__ = [
    "KeptVersion", "PromptHead", "delete_of_version", "heads", "key_of", "move_put", "moves", "prompt_of", "put_of",
    "put_of_version", "summary_of", "versions",
]  # fmt: skip


class PromptHead(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe a name."""

    type: PromptType
    versions: tuple[int, ...]
    """Those that are there, ascending."""
    newest: int
    """The greatest number that was ever used."""
    newest_ns: int = 0
    """Since when the newest one that is there is that."""
    labels: dict[str, Held] = {}
    """All but ``latest``."""
    trails: dict[str, tuple[int, ...]] = {}
    """The versions that labels were on before, the last one last: where rolling back leads."""
    tags: tuple[str, ...] = ()
    tagged_ns: int = 0
    inserts: tuple[str, ...] = ()
    """The names that versions insert, or did that are gone."""
    last_config: Raw = Raw(b"{}")
    """That of the newest version."""
    updated_ns: int = 0
    moved: int = 0
    """The number of the last move."""

    def labels_of(self, version: int) -> tuple[str, ...]:
        """Return the labels of a version."""
        found = tuple(label for label, held in self.labels.items() if held.version == version)
        return (*found, LATEST) if version == self.versions[-1] else found

    def held(self, label: str) -> Held | None:
        """Return where a label is, or None."""
        return Held(self.versions[-1], self.newest_ns) if label == LATEST else self.labels.get(label)

    def version_of(self, label: str) -> int | None:
        """Return the version that a label is on, or None."""
        held = self.held(label)
        return None if held is None else held.version


class KeptVersion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hold what was published."""

    id: str
    prompt: Raw
    config: Raw = Raw(b"{}")
    variables: dict[str, Variable] | None = None
    commit_message: str | None = None
    created_by: str = ""
    created_ns: int = 0
    uses: tuple[Reference, ...] = ()


heads: Final = Kind("prompt", PromptHead)
versions: Final = Kind("prompt-version", KeptVersion)
moves: Final = Kind("prompt-move", Move)


def put_of(project: str, name: str, head: PromptHead, known: Entry | None) -> Put:
    """Return the change that writes a head, on condition that it is still the one that is known."""
    refs = [f"label:{label}" for label in (*head.labels, LATEST)]
    refs += [f"tag:{tag}" for tag in head.tags] + [f"inserts:{other}" for other in head.inserts]
    entry = Entry(
        project=project, kind=heads.name, id=name, name=name, body=heads.body(head), refs=tuple(refs),
        position=head.updated_ns,
    )  # fmt: skip
    return Put(entry, 0 if known is None else known.revision)


def put_of_version(project: str, name: str, number: int, kept: KeptVersion) -> Put:
    """Return the change that writes a version, which is not there yet."""
    entry = Entry(
        project=project, kind=versions.name, id=key_of(name, number), name=kept.id, parent=name, position=number,
        body=versions.body(kept), refs=tuple(dict.fromkeys(f"uses:{use.name}" for use in kept.uses)),
    )  # fmt: skip
    return Put(entry, 0)


def delete_of_version(project: str, name: str, number: int) -> Delete:
    """Return the change that removes a version."""
    return Delete(project, versions.name, key_of(name, number))


def move_put(project: str, name: str, number: int, move: Move) -> Put:
    """Return the change that writes the move of a number, which is not there yet."""
    entry = Entry(
        project=project, kind=moves.name, id=key_of(name, number), parent=name, position=number, body=moves.body(move)
    )
    return Put(entry, 0)


def key_of(name: str, number: int) -> str:
    """Return the id of a version, or of a move."""
    return f"{name}|{number}"  # no name holds the sign


def prompt_of(name: str, number: int, head: PromptHead, kept: KeptVersion, label: str | None = None) -> Prompt:
    """Return a version as of a head; where a label led to it, with how that is split."""
    since = [held.since_ns for held in head.labels.values() if held.version == number]
    held = None if label is None else head.held(label)
    return Prompt(
        id=kept.id, name=name, version=number, type=head.type, prompt=kept.prompt, config=kept.config,
        labels=head.labels_of(number), tags=head.tags, variables=kept.variables, commit_message=kept.commit_message,
        created_by=kept.created_by, created_ns=kept.created_ns,
        updated_ns=max([kept.created_ns, head.tagged_ns, *since]), shares=() if held is None else held.shares,
    )  # fmt: skip


def summary_of(name: str, head: PromptHead) -> PromptSummary:
    """Describe a name."""
    latest = Held(head.versions[-1], head.newest_ns)
    return PromptSummary(
        name=name, type=head.type, versions=head.versions, labels={**head.labels, LATEST: latest}, tags=head.tags,
        updated_ns=head.updated_ns, last_config=head.last_config,
    )  # fmt: skip
