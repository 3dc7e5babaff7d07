"""The catalog: what people manage, beside what programs record.

Projects, keys, datasets and their items, score configurations, models, prompts, comments, media: few writes, exact
rules, small lists. A backend that keeps them has one store for all of it, so that a noun is a service over entries and
not a table in every dialect. An entry is a JSON body under a kind and an id, with the little that lists need beside it.
Changes are made together or not at all, each on condition that its entry is still the one that was read: who was second
is told so (:class:`~tracecore.errors.Conflict`), and nobody's change is lost.

Entries belong to a project; those of the installation itself, such as projects and keys, to the project ``""``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias, runtime_checkable

from msgspec import Raw, Struct

from tracecore.backend import LARGEST_PAGE
from tracecore.errors import BackendRejected, Conflict

__all__ = [
    "INSTALLATION", "LARGEST_COMMIT", "LARGEST_LIST", "CatalogPage", "CatalogQuery", "CatalogStore", "Catalogued",
    "Change", "Delete", "Entry", "Put", "catalog_page", "check_commit", "check_page", "conflict_of_name",
    "conflict_of_revision",
]  # fmt: skip

INSTALLATION: Final = ""
"""The project of what belongs to no project."""
LARGEST_COMMIT: Final = 1000
"""Changes of one commit, at most."""
LARGEST_LIST: Final = 32 << 20
"""Bytes of the bodies of one page, at most, unless a query says another number."""


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hold one managed object; (project, kind, id) is its identity."""

    project: str
    kind: str
    id: str
    body: Raw
    """JSON, as the service that owns the kind writes it."""
    name: str | None = None
    """A second identity, free to change: no two entries of a project and kind have the same."""
    parent: str | None = None
    """The id of what it belongs to, such as the dataset of an item."""
    refs: tuple[str, ...] = ()
    """Texts by which it is found too, such as ``trace:…``, ``label:…``; without repeats, in any order."""
    position: int = 0
    """Where it stands in lists (a time in ns, a version): highest first, ties by id descending."""
    since_ns: int = 0
    """From when on it holds."""
    until_ns: int | None = None
    """Until when it held; None while it does."""
    attachment: bytes = b""
    """Bytes that belong to it, such as an image: ``get`` and ``named`` return them, lists do not."""
    revision: int = 0
    """How often it was written, counted by the store; what a ``Put`` says here is ignored."""


class Put(Struct, frozen=True, tag=True):
    """Write an entry as a whole."""

    entry: Entry
    expected: int | None = None
    """The revision that it must have now: 0 where it must not be there, None where that does not matter."""


class Delete(Struct, frozen=True, tag=True):
    """Remove an entry; one that is not there is no error, unless a revision is expected."""

    project: str
    kind: str
    id: str
    expected: int | None = None


Change: TypeAlias = Put | Delete


class CatalogQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Select entries of one kind; every condition that is set must hold. Highest position first, ties by id descending.

    ``refs`` must all be present; ``prefix`` is the beginning of the name; ``at_ns`` selects what held at that moment
    (``since_ns <= at_ns < until_ns``). ``limit`` is 1 to 1,000. Pages are numbered, because they are on the wire: an
    ``offset`` skips that many entries, at the cost of walking past them.
    """

    kind: str
    parent: str | None = None
    name: str | None = None
    prefix: str | None = None
    refs: tuple[str, ...] = ()
    at_ns: int | None = None
    min_position: int | None = None
    max_position: int | None = None
    limit: int = 50
    offset: int = 0
    ascending: bool = False
    """Lowest position first, ties by id ascending."""
    max_bytes: int = LARGEST_LIST
    """A page ends before the entry with which its bodies would be longer together; one entry is always on it."""


class CatalogPage(Struct, frozen=True):
    """Hold one page of entries, without attachments, and how many the query selects in all."""

    items: list[Entry]
    total: int
    is_cut: bool = False
    """It ends early because of ``max_bytes``; the next entry is that of ``offset`` plus its length."""


class CatalogStore(Protocol):
    """Keep entries. Commits may run beside each other, and beside reads and writes."""

    async def get(self, project: str, kind: str, id: str) -> Entry | None:  # noqa: A002 - the name of the field
        """Return one entry with its attachment, or None."""
        ...

    async def named(self, project: str, kind: str, name: str) -> Entry | None:
        """Return the entry of that name with its attachment, or None."""
        ...

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Return one page of entries. Raises ``BackendRejected`` for a limit, offset or length out of range."""
        ...

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make all changes, in their order, or none; returns after they are durable, and visible to reads.

        Commits of several processes happen one after the other. Raises ``Conflict`` when an entry does not have the
        revision that was expected, or a name is another's; ``BackendRejected`` for more than ``LARGEST_COMMIT``
        changes; else as :meth:`tracecore.backend.Sink.write` does.
        """
        ...


@runtime_checkable
class Catalogued(Protocol):
    """What a backend is besides, that keeps a catalog: a server needs one."""

    @property
    def catalog(self) -> CatalogStore:
        """Return the catalog."""
        ...


def catalog_page(query: CatalogQuery, items: list[Entry], total: int) -> CatalogPage:
    """Return the page of entries that were found; it is cut where there are fewer of them than there should be."""
    return CatalogPage(items, total, is_cut=len(items) < min(query.limit, total - query.offset))


def check_page(query: CatalogQuery) -> None:
    """Refuse a page out of range.

    Raises:
        BackendRejected: the limit is not 1 to 1,000, the offset is negative, or there may be no byte.
    """
    if not 1 <= query.limit <= LARGEST_PAGE:
        raise BackendRejected(f"limit = {query.limit}", f"ask for 1 to {LARGEST_PAGE} items")
    if not 0 <= query.offset < 1 << 62:
        raise BackendRejected(f"offset = {query.offset}", "ask for a page that can be")
    if not 1 <= query.max_bytes < 1 << 62:
        raise BackendRejected(f"max_bytes = {query.max_bytes}", "ask for 1 byte or more")


def check_commit(changes: Sequence[Change]) -> None:
    """Refuse more changes than a commit may have.

    Raises:
        BackendRejected: there are more than ``LARGEST_COMMIT``.
    """
    if len(changes) > LARGEST_COMMIT:
        raise BackendRejected(f"a commit of {len(changes)} changes", f"make at most {LARGEST_COMMIT} at once")


def conflict_of_revision(kind: str, id: str, expected: int, found: int) -> Conflict:  # noqa: A002 - the name of the field
    """Return the error for an entry that somebody changed first."""
    if not expected:
        return Conflict(f"there is a {kind} {id!r} already")
    there = f"has revision {found}" if found else "is not there any more"
    return Conflict(f"{kind} {id!r} {there}, not {expected}: somebody else changed it first")


def conflict_of_name(kind: str, name: str) -> Conflict:
    """Return the error for a name that is another's."""
    return Conflict(f"there is another {kind} named {name!r}")
