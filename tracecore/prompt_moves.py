"""What changes a name: a version is published or deleted, a label is put, rolled back, split or taken off.

Each function takes the head that is there and returns the head that is to be, with the moves that say who made it so,
when and why. Nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.prompt_contents import REQUEST
from tracecore.prompt_heads import PromptHead
from tracecore.prompt_hints import no_label, no_version
from tracecore.prompts import (
    LATEST,
    Held,
    LabelChange,
    LabelMove,
    Move,
    MoveAction,
    NewPrompt,
    Rollback,
    Split,
    Unlabel,
)

__all__ = ["Act", "Outcome", "changed", "labels_with", "published", "without"]

_LONGEST_TRAIL: Final = 100
"""Versions that a label was on, as far back as rolling back leads."""
_MOST_LABELS: Final = 200
"""Of a name; and labels that are not there any more, whose trails are kept."""


class Act(Struct, frozen=True):
    """Say who changes something, when and why."""

    at_ns: int
    by: str = ""
    reason: str | None = None

    def move(self, action: MoveAction, **more: Any) -> Move:
        """Return the move that this is."""
        return Move(at_ns=self.at_ns, action=action, by=self.by, reason=self.reason, **more)


class Outcome(Struct, frozen=True, kw_only=True):
    """Say what becomes of a name."""

    head: PromptHead
    """The same object as before where nothing changes."""
    moves: tuple[Move, ...]
    version: int
    """The one that was asked for."""
    label: str | None = None
    """The one label that was asked for."""


def published(name: str, head: PromptHead | None, new: NewPrompt, act: Act, *, inserts: Iterable[str] = ()) -> Outcome:
    """Return what comes of one more version.

    Raises:
        ConfigError: it has another type than those that are there, or the name has too many labels.
        Conflict: there is another newest version than its author knows of.
    """
    there = 0 if head is None else head.versions[-1]
    if new.after not in {None, there}:
        newest = f"the newest version of {name!r} is {there}" if there else f"there is no {name!r}"
        raise Conflict(f"{newest}, and the author knew of {new.after or 'none'}: somebody else changed it first")
    if head is None:
        head = PromptHead(type=new.type, versions=(), newest=0)
    elif head.type != new.type:
        expected = f"{head.type}, as the versions that are there: use another name for a {new.type} prompt"
        raise ConfigError("type", new.type, REQUEST, expected)
    version = head.newest + 1
    head = replace(
        head, versions=(*head.versions, version), newest=version, newest_ns=act.at_ns, last_config=new.config,
        updated_ns=act.at_ns, inserts=tuple(dict.fromkeys((*head.inserts, *inserts))),
    )  # fmt: skip
    if new.tags is not None and set(new.tags) != set(head.tags):
        head = replace(head, tags=tuple(dict.fromkeys(new.tags)), tagged_ns=act.at_ns)
    labels = [label for label in dict.fromkeys(new.labels) if label != LATEST]
    head, moves = _on(head, labels, version, act, "label")
    return Outcome(head=head, moves=(act.move("publish", version=version), *moves), version=version)


def changed(name: str, head: PromptHead, change: LabelChange, act: Act) -> Outcome:
    """Return what comes of a change of labels.

    Raises:
        NotFound: a version or a label is not there, or nothing to roll back to.
        ConfigError: the name would have too many labels, or the label's version has no share.
        Conflict: a label is on another version than the author knows of.
    """
    match change:
        case LabelMove():
            return _moved(name, head, change, act)
        case Rollback():
            return _rolled_back(name, head, change, act)
        case Split():
            return _split(name, head, change, act)
        case Unlabel():
            return _unlabelled(name, head, change, act)


def labels_with(head: PromptHead, numbers: Collection[int]) -> frozenset[str]:
    """Return the labels that are on some versions, or split between them and others."""
    return frozenset(
        label
        for label, held in head.labels.items()
        if held.version in numbers or any(share.version in numbers for share in held.shares)
    )


def without(head: PromptHead, gone: Collection[int], act: Act) -> tuple[PromptHead, tuple[Move, ...]]:
    """Return the head without some versions, of which others are left, and the moves of labels that went with them."""
    left = tuple(version for version in head.versions if version not in gone)
    labels, moves = dict[str, Held](), list[Move]()
    for label, held in head.labels.items():
        if held.version in gone:
            moves.append(act.move("unlabel", label=label, before=held.version))
            continue
        shares = tuple(share for share in held.shares if share.version not in gone)
        shares = shares if len(shares) > 1 else ()
        labels[label] = replace(held, shares=shares)
        if shares != held.shares:
            moves.append(act.move("split", label=label, version=held.version, before=held.version, shares=shares))
    trails = {label: tuple(one for one in trail if one not in gone) for label, trail in head.trails.items()}
    head = replace(
        head, versions=left, labels=labels, trails={label: trail for label, trail in trails.items() if trail},
        updated_ns=act.at_ns, newest_ns=head.newest_ns if left[-1] == head.versions[-1] else act.at_ns,
    )  # fmt: skip
    return head, tuple(moves)


def _moved(name: str, head: PromptHead, change: LabelMove, act: Act) -> Outcome:
    _check_there(name, head, change.version)
    for label in change.labels:
        if change.expected is not None and head.version_of(label) != change.version:
            _check_expected(name, head, label, change.expected, f"was to move to {change.version}")
    head, moves = _on(head, change.labels, change.version, act, "label")
    return Outcome(head=head, moves=moves, version=change.version)


def _rolled_back(name: str, head: PromptHead, change: Rollback, act: Act) -> Outcome:
    label, held = change.label, head.labels.get(change.label)
    if change.expected is not None:
        where = "the version before" if change.to is None else str(change.to)
        _check_expected(name, head, label, change.expected, f"was to go back to {where}")
    trail = head.trails.get(label, ())
    if change.to is not None:
        _check_there(name, head, change.to)
        back = change.to
    elif held is not None and held.shares:
        back = held.version
    else:
        back = _before(name, head, label)
    if back in trail and (held is None or held.version != back):
        trail = trail[: len(trail) - 1 - trail[::-1].index(back)]
    elif held is not None and held.version != back:
        trail = _left(head, label)
    head, moves = _on(head, [label], back, act, "rollback")
    return Outcome(head=_with_trail(head, label, trail), moves=moves, version=back, label=label)


def _before(name: str, head: PromptHead, label: str) -> int:
    """Return the version that a label was on before the one that it is on."""
    held = head.labels.get(label)
    earlier = [one for one in head.trails.get(label, ()) if held is None or one != held.version]
    if not earlier:
        if held is None:
            raise no_label(name, label, head)
        remedy = f"it is on version {held.version}, and no other that it was on is there: say to which it shall go"
        raise NotFound("earlier version", f"{name} label {label}", remedy)
    return earlier[-1]


def _split(name: str, head: PromptHead, change: Split, act: Act) -> Outcome:
    held = head.labels.get(change.label)
    if held is None:
        raise no_label(name, change.label, head)
    for share in change.shares:
        _check_there(name, head, share.version)
    if change.shares and held.version not in {share.version for share in change.shares}:
        expected = f"a share for version {held.version}, which {change.label!r} is on; or move the label first"
        raise ConfigError("shares", [share.version for share in change.shares], REQUEST, expected)
    moves: tuple[Move, ...] = ()
    if held.shares != change.shares:
        labels = {**head.labels, change.label: replace(held, shares=change.shares)}
        head = replace(head, labels=labels, updated_ns=act.at_ns)
        more = {"version": held.version, "before": held.version, "shares": change.shares}
        moves = (act.move("split", label=change.label, **more),)
    return Outcome(head=head, moves=moves, version=held.version, label=change.label)


def _unlabelled(name: str, head: PromptHead, change: Unlabel, act: Act) -> Outcome:
    label, held = change.label, head.labels.get(change.label)
    if held is None:
        raise no_label(name, label, head)
    labels = {other: kept for other, kept in head.labels.items() if other != label}
    head = _with_trail(replace(head, labels=labels, updated_ns=act.at_ns), label, _left(head, label))
    moves = (act.move("unlabel", label=label, before=held.version),)
    return Outcome(head=head, moves=moves, version=held.version, label=label)


def _on(
    head: PromptHead, labels: Iterable[str], version: int, act: Act, action: MoveAction
) -> tuple[PromptHead, tuple[Move, ...]]:
    """Put labels on a version, each whole; return the head and the moves of those that were not on it."""
    moves: list[Move] = []
    for label in dict.fromkeys(labels):
        held = head.labels.get(label)
        before = None if held is None else held.version
        if held is not None and before == version and not held.shares:
            continue
        since_ns = held.since_ns if held is not None and before == version else act.at_ns
        kept = {other: one for other, one in head.labels.items() if other != label}
        moves.append(act.move(action, label=label, version=version, before=before))
        moved = replace(head, labels={**kept, label: Held(version, since_ns)}, updated_ns=act.at_ns)
        head = moved if before == version else _with_trail(moved, label, _left(head, label))
    if moves and len(head.labels) > _MOST_LABELS:
        raise ConfigError("labels", len(head.labels), REQUEST, f"at most {_MOST_LABELS} labels of a name")
    return head, tuple(moves)


def _left(head: PromptHead, label: str) -> tuple[int, ...]:
    """Return the trail of a label that leaves the version that it is on."""
    trail, version = head.trails.get(label, ()), head.version_of(label)
    return trail if version is None or trail[-1:] == (version,) else (*trail, version)


def _with_trail(head: PromptHead, label: str, trail: tuple[int, ...]) -> PromptHead:
    """Return the head with another trail of a label; of labels that are gone the oldest ones are forgotten."""
    if head.trails.get(label, ()) == trail:
        return head
    trails = {other: kept for other, kept in head.trails.items() if other != label}
    if trail:
        trails[label] = trail[-_LONGEST_TRAIL:]
    gone = [other for other in trails if other not in head.labels]
    for other in gone[: max(0, len(gone) - _MOST_LABELS)]:
        del trails[other]
    return replace(head, trails=trails)


def _check_there(name: str, head: PromptHead, version: int) -> None:
    if version not in head.versions:
        raise no_version(name, version, head)


def _check_expected(name: str, head: PromptHead, label: str, expected: int, intent: str) -> None:
    held = head.labels.get(label)
    if (0 if held is None else held.version) == expected:
        return
    where = "no version" if held is None else f"version {held.version}"
    if held is not None and held.since_ns:
        where += f" since {datetime.fromtimestamp(held.since_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"
    was = f"not on {expected or 'none'}"
    raise Conflict(f"label {label!r} of {name!r} is on {where}, {was}, and {intent}: somebody moved it")
