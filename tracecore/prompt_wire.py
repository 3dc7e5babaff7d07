"""What both ends of tracecore's own HTTP endpoint say to each other about prompts (:mod:`tracecore.wire`).

A client asks ``POST {base}/api/tracecore/v1/prompts/METHOD`` with one of the messages below, and is answered with what
the method of that name of :class:`tracecore.prompts.PromptStore` returns: ``get``, ``find``, ``history``, ``publish``,
``change``, ``delete`` (``null``) and ``changes``. Whatever goes wrong is a :class:`tracecore.wire.Problem`, from which
:func:`tracecore.wire.managing_error_of` makes the error that was raised. ``GET`` and ``PUT .../protected-labels`` read
and replace the list of labels that not everybody may move.

A server takes the author of a change to be whoever asks, where it knows that by a key; the message may only say that
protected labels are not to be moved.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from msgspec import Struct

from tracecore.prompts import NOBODY, Author, LabelChange, NewPrompt, Prompt, PromptFeed, PromptHistory, PromptPage
from tracecore.prompts import PromptQuery as NamesQuery
from tracecore.wire import BASE

__all__ = [
    "EXCHANGES", "LONGEST_WAIT_S", "PROMPTS", "AskFeed", "AskHistory", "AskNames", "AskPrompt", "ChangeLabel",
    "ProtectedLabels", "Publish", "Question", "Remove", "path_of",
]  # fmt: skip

PROMPTS: Final = f"{BASE}/prompts"
"""What the paths begin with."""
LONGEST_WAIT_S: Final = 30.0
"""Seconds that a server waits for a change, at most, whatever it is asked for: what lies between often cuts off
requests that take a minute."""


class AskPrompt(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Ask for a version."""

    project: str
    name: str
    version: int | None = None
    label: str | None = None
    resolve: bool = True


class AskNames(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Ask for a page of names."""

    project: str
    query: NamesQuery = NamesQuery()


class AskHistory(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Ask what became of a name."""

    project: str
    name: str
    limit: int = 100


class Publish(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Make a version."""

    project: str
    new: NewPrompt


class ChangeLabel(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Move a label."""

    project: str
    name: str
    change: LabelChange
    author: Author = NOBODY


class Remove(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Remove a version, or a name."""

    project: str
    name: str
    version: int | None = None
    label: str | None = None
    author: Author = NOBODY


class AskFeed(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Ask what has changed since a number of the feed, or to be told when something does."""

    project: str
    since: int
    wait: float = 0.0
    """In seconds; a server waits ``LONGEST_WAIT_S`` at most, and answers then that nothing has changed."""


Question: TypeAlias = AskPrompt | AskNames | AskHistory | Publish | ChangeLabel | Remove | AskFeed


class ProtectedLabels(Struct, frozen=True, forbid_unknown_fields=True):
    """List the labels that only those may set, move and remove who are permitted to."""

    labels: tuple[str, ...]


EXCHANGES: Final[dict[str, tuple[type[Question], Any]]] = {
    "get": (AskPrompt, Prompt),
    "find": (AskNames, PromptPage),
    "history": (AskHistory, PromptHistory),
    "publish": (Publish, Prompt),
    "change": (ChangeLabel, Prompt),
    "delete": (Remove, None),
    "changes": (AskFeed, PromptFeed),
}
"""Every method: the type of its question, and that of its answer."""


def path_of(method: str) -> str:
    """Return the path of a method."""
    return f"{PROMPTS}/{method}"
