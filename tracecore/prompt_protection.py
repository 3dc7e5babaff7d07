"""Protected labels: those that only some may set, move and take off, and versions that have one only they may delete.

A project has one list of them. Who may is said by whoever asks for a change: a server by the permissions of a key.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from tracecore.catalog import CatalogStore, Entry
from tracecore.errors import AccessDenied
from tracecore.kinds import Kind
from tracecore.prompts import Author

__all__ = ["ProtectedBody", "check_may_move", "protected_entry", "protected_labels", "protections"]

_ID: Final = "labels"


class ProtectedBody(Struct, frozen=True):
    """Hold the labels that are protected, in order."""

    labels: tuple[str, ...] = ()


protections: Final = Kind("protected-labels", ProtectedBody)


def protected_entry(project: str, labels: Collection[str]) -> Entry:
    """Return the entry that a project's list is."""
    body = protections.body(ProtectedBody(tuple(sorted(set(labels)))))
    return Entry(project=project, kind=protections.name, id=_ID, body=body)


async def protected_labels(catalog: CatalogStore, project: str) -> tuple[str, ...]:
    """Return the labels of a project that are protected."""
    entry = await catalog.get(project, protections.name, _ID)
    return () if entry is None else protections.of(entry).labels


async def check_may_move(catalog: CatalogStore, project: str, author: Author, labels: Collection[str]) -> None:
    """Refuse a change that moves protected labels, where its author may not.

    Raises:
        AccessDenied: one is protected.
    """
    if author.moves_protected or not labels:
        return
    found = [label for label in await protected_labels(catalog, project) if label in labels]
    if found:
        several = f"labels {', '.join(map(repr, found))} are" if len(found) > 1 else f"label {found[0]!r} is"
        raise AccessDenied(f"{several} protected; ask somebody who may move protected labels, or use another label")
