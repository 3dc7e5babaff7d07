"""The conformance suite of prompts, second part: labels that move, go back, are split and taken off, and who did it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.prompts import (
    Author,
    LabelChange,
    LabelMove,
    Move,
    Prompt,
    PromptQuery,
    PromptStore,
    Rollback,
    Share,
    Split,
    Unlabel,
)
from tracecore.testing.comparing import same
from tracecore.testing.contract import Contract
from tracecore.testing.opening import MakeBackend, opened, prompts_in
from tracecore.testing.samples import PROJECT, new_prompt

__all__ = ["PromptLabelSuite", "on", "publish"]

_HALVES = (Share(1, 1.0), Share(2, 3.0))


async def publish(store: PromptStore, name: str, *contents: Any, project: str = PROJECT, **more: Any) -> Prompt:
    """Publish versions of a name; return the last one."""
    made = [await store.publish(project, new_prompt(name, content, **more)) for content in contents]
    return made[-1]


async def on(store: PromptStore, name: str, label: str) -> int | None:
    """Return the version that a label is on, which reads and lists agree about."""
    [found] = (await store.find(PROJECT, PromptQuery(name=name))).items
    held = found.labels.get(label)
    try:
        version = (await store.get(PROJECT, name, label=label)).version
    except NotFound:
        version = None
    history = await store.history(PROJECT, name, limit=1000)
    labelled = [one.version for one in history.versions if label in one.labels]
    assert labelled == ([] if version is None else [version]), f"{label!r} is on {labelled}, and reads as {version}"
    assert (None if held is None else held.version) == version, f"{label!r} is listed on {held}, and reads as {version}"
    return version


def _short(move: Move) -> tuple[str, str | None, int | None, int | None]:
    return move.action, move.label, move.version, move.before


class PromptLabelSuite(Contract):
    """Prove what becomes of labels."""

    def said_by(self, name: str) -> str:
        """Return who is said to have changed something, where ``author`` has this name; a server may know better."""
        return name

    async def test_a_label_is_on_one_version(self, make: MakeBackend) -> None:
        """LabelMove: "Put labels on a version, from whatever other version they were on; those it has besides stay"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "one", "two", labels=("production", "blue"))
            assert [await on(store, "n", label) for label in ("production", "blue", "latest")] == [2, 2, 2]
            moved = await store.change(PROJECT, "n", LabelMove(version=1, labels=("production", "new")))
            assert (moved.version, set(moved.labels)) == (1, {"production", "new"})
            back = await store.change(PROJECT, "n", LabelMove(version=2, labels=("production",)))
            assert (back.version, set(back.labels)) == (2, {"production", "blue", "latest"})
            assert [await on(store, "n", label) for label in ("production", "new", "blue")] == [2, 1, 2]

    async def test_who_moves_second_is_told(self, make: MakeBackend) -> None:
        """LabelMove.expected: "Conflict where it is on another one, unless that is version already"; both are named."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "one", "two", "three", labels=("production",))
            wrong = LabelMove(version=1, labels=("production",), expected=2)
            with pytest.raises(Conflict, match=r"'production' of 'n' is on version 3.* not on 2, and was to .* 1"):
                await store.change(PROJECT, "n", wrong)
            with pytest.raises(Conflict, match=r"on no version.* not on 2"):
                await store.change(PROJECT, "n", LabelMove(version=1, labels=("new",), expected=2))
            with pytest.raises(Conflict, match=r"on version 3.* not on none"):
                await store.change(PROJECT, "n", LabelMove(version=1, labels=("new", "production"), expected=0))
            with pytest.raises(Conflict, match=r"version 3.* not on 1"):
                await store.change(PROJECT, "n", Rollback(expected=1))
            assert [await on(store, "n", label) for label in ("production", "new")] == [3, None]
            await store.change(PROJECT, "n", LabelMove(version=1, labels=("new",), expected=0))
            for _ in range(2):
                await store.change(PROJECT, "n", LabelMove(version=1, labels=("production",), expected=3))
            assert await on(store, "n", "production") == 1

    async def test_of_two_who_move_at_once_one_is_told(self, make: MakeBackend) -> None:
        """PromptStore: "Every change of a name is one step", and ``Conflict`` says what somebody else changed first."""
        async with opened(make()) as backend, opened(make()) as other:
            await publish(prompts_in(backend), "n", "one", "two", "three", "four")
            await prompts_in(backend).change(PROJECT, "n", LabelMove(version=1, labels=("production",)))
            changes = [LabelMove(version=to, labels=("production",), expected=1) for to in (2, 3, 4)]
            stores = [prompts_in(one) for one in (backend, other, backend)]
            found = await asyncio.gather(
                *(store.change(PROJECT, "n", change) for store, change in zip(stores, changes, strict=True)),
                return_exceptions=True,
            )
            winners = [one.version for one in found if isinstance(one, Prompt)]
            same(sum(isinstance(one, Conflict) for one in found), 2, found)
            assert [await on(prompts_in(backend), "n", "production")] == winners

    async def test_rolling_back(self, make: MakeBackend) -> None:
        """Rollback: "Put a label back on the version that it was on before"; again and again it leads further back."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", "2", "3", "4", labels=("production",))
            back = [(await store.change(PROJECT, "n", Rollback())).version for _ in range(2)]
            assert (back, await on(store, "n", "production")) == ([3, 2], 2)
            await store.change(PROJECT, "n", LabelMove(version=4, labels=("production",)))
            same((await store.change(PROJECT, "n", Rollback(expected=4))).version, 2)
            same((await store.change(PROJECT, "n", Rollback())).version, 1)
            with pytest.raises(NotFound, match="production"):
                await store.change(PROJECT, "n", Rollback())
            same((await store.change(PROJECT, "n", Rollback(to=3))).version, 3)
            same((await store.change(PROJECT, "n", Rollback())).version, 1)
            assert await on(store, "n", "production") == 1

    async def test_rolling_back_past_what_is_gone(self, make: MakeBackend) -> None:
        """Rollback: "…past what is deleted; a label that was taken off comes back"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", "2", "3", "4", "5", labels=("production",))
            await store.delete(PROJECT, "n", version=4)
            same((await store.change(PROJECT, "n", Rollback())).version, 3)
            await store.delete(PROJECT, "n", label="production")
            assert await on(store, "n", "production") is None
            same((await store.change(PROJECT, "n", Rollback())).version, 2)
            await store.change(PROJECT, "n", Unlabel(label="production"))
            same((await store.change(PROJECT, "n", Rollback())).version, 2)
            same((await store.change(PROJECT, "n", Rollback())).version, 1)
            for change in (Rollback(to=4), Rollback(label="nobodys"), Rollback()):
                with pytest.raises(NotFound):
                    await store.change(PROJECT, "n", change)

    async def test_splitting(self, make: MakeBackend) -> None:
        """Split: "Split a label between 2 to 10 versions"; who cannot choose gets the version that the label is on."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", "2", "3", labels=("blue",))
            await store.change(PROJECT, "n", LabelMove(version=2, labels=("production",)))
            made = await store.change(PROJECT, "n", Split(label="production", shares=_HALVES))
            got = await store.get(PROJECT, "n")
            assert (made.version, made.shares, got.version, got.shares) == (2, _HALVES, 2, _HALVES)
            assert (await store.get(PROJECT, "n", version=2)).shares == ()
            assert (await store.get(PROJECT, "n", label="blue")).shares == ()
            [listed] = (await store.find(PROJECT, PromptQuery(name="n"))).items
            assert (listed.labels["production"].shares, listed.labels["blue"].shares) == (_HALVES, ())
            again = (Share(2, 1.0), Share(3, 0.5))
            assert (await store.change(PROJECT, "n", Split(label="production", shares=again))).shares == again
            await store.change(PROJECT, "n", Split(label="production"))
            assert ((await store.get(PROJECT, "n")).shares, await on(store, "n", "production")) == ((), 2)

    async def test_what_makes_a_label_whole(self, make: MakeBackend) -> None:
        """LabelMove: "one that was split is whole again"; Rollback: "split goes back to being whole first"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", "2", labels=("production",))
            changes: list[tuple[LabelChange, int]] = [
                (LabelMove(version=2, labels=("production",)), 2), (Rollback(), 2), (Rollback(to=2), 2),
                (LabelMove(version=1, labels=("production",)), 1), (Rollback(to=2), 2),
            ]  # fmt: skip
            for change, version in changes:
                await store.change(PROJECT, "n", Split(label="production", shares=_HALVES))
                made = await store.change(PROJECT, "n", change)
                got = await store.get(PROJECT, "n")
                assert (made.version, got.version, got.shares) == (version, version, ()), change
            await store.change(PROJECT, "n", Split(label="production", shares=_HALVES))
            await store.delete(PROJECT, "n", version=1)
            assert ((await store.get(PROJECT, "n")).version, (await store.get(PROJECT, "n")).shares) == (2, ())
            await publish(store, "n", "3")
            await store.change(PROJECT, "n", Split(label="production", shares=(Share(2, 1.0), Share(3, 1.0))))
            await publish(store, "n", "4", labels=("production",))
            assert ((await store.get(PROJECT, "n")).version, (await store.get(PROJECT, "n")).shares) == (4, ())

    async def test_changes_that_cannot_be(self, make: MakeBackend) -> None:
        """PromptStore: "ConfigError says what of a request cannot be, NotFound what exists nearby"; nothing changes."""
        twice = (Share(1, 1.0), Share(1, 2.0))
        wrong: list[tuple[Any, type[Exception]]] = [
            (LabelMove(version=1, labels=("latest",)), ConfigError),
            (LabelMove(version=1, labels=("fine", "NOT FINE")), ConfigError),
            (LabelMove(version=1, labels=("fine",), reason="x" * 501), ConfigError),
            (LabelMove(version=7, labels=("fine",)), NotFound),
            (LabelMove(version=0, labels=("fine",)), NotFound),
            (Rollback(label="latest"), ConfigError),
            (Unlabel(label="latest"), ConfigError),
            (Unlabel(label="fine"), NotFound),
            (Split(label="latest", shares=_HALVES), ConfigError),
            (Split(label="fine", shares=_HALVES), NotFound),
            (Split(label="production", shares=_HALVES[:1]), ConfigError),
            (Split(label="production", shares=twice), ConfigError),
            (Split(label="production", shares=tuple(Share(n, 1.0) for n in range(1, 12))), ConfigError),
            (Split(label="production", shares=(Share(2, 1.0), Share(9, 1.0))), NotFound),
            (Split(label="production", shares=(Share(1, 1.0), Share(3, 1.0))), ConfigError),
            *(
                (Split(label="production", shares=(Share(1, 1.0), Share(2, weight))), ConfigError)
                for weight in (0.0, -1.0, 1e7)
            ),
        ]
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", "2", "3")
            await store.change(PROJECT, "n", LabelMove(version=2, labels=("production",)))
            before = await store.history(PROJECT, "n"), (await store.changes(PROJECT, 0)).number
            for change, error in wrong:
                with pytest.raises(error):
                    await store.change(PROJECT, "n", change)
                with pytest.raises(NotFound if error is NotFound else (ConfigError, NotFound)):
                    await store.change(PROJECT, "nobody's", change)
            after = await store.history(PROJECT, "n"), (await store.changes(PROJECT, 0)).number
            same(after, before)

    async def test_taking_a_label_off(self, make: MakeBackend) -> None:
        """Unlabel: "Take a label off"; change returns the version that it was on; refused while others insert it."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", labels=("a", "b"))
            await publish(store, "whole", "@@@langfusePrompt:name=n|label=b@@@")
            was = await store.change(PROJECT, "n", Unlabel(label="a"))
            assert (was.version, set(was.labels)) == (1, {"b", "latest"})
            assert await on(store, "n", "a") is None
            with pytest.raises(ConfigError, match="whole"):
                await store.change(PROJECT, "n", Unlabel(label="b"))
            assert await on(store, "n", "b") == 1

    async def test_who_did_what_and_why(self, make: MakeBackend) -> None:
        """Move: "Say who changed a name, when, how and why": each change has one, and one for each label it moves."""
        ann, bob = Author("ann"), Author("bob")
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", "2", labels=("production", "a"), author=ann, commit_message="because")
            await store.change(PROJECT, "n", LabelMove(version=1, labels=("a", "b"), reason="try"), author=bob)
            await store.change(PROJECT, "n", LabelMove(version=1, labels=("a", "b"), reason="again"), author=bob)
            await store.change(PROJECT, "n", Rollback(reason="broken"), author=bob)
            await store.change(PROJECT, "n", Split(label="production", shares=_HALVES, reason="some"), author=ann)
            await store.delete(PROJECT, "n", version=2, author=bob)
            await store.change(PROJECT, "n", Unlabel(label="a", reason="done"), author=ann)
            moves = (await store.history(PROJECT, "n")).moves
            assert [_short(move) for move in reversed(moves)] == [
                ("publish", None, 1, None), ("label", "production", 1, None), ("label", "a", 1, None),
                ("publish", None, 2, None), ("label", "production", 2, 1), ("label", "a", 2, 1),
                ("label", "a", 1, 2), ("label", "b", 1, None), ("rollback", "production", 1, 2),
                ("split", "production", 1, 1), ("delete", None, 2, None), ("split", "production", 1, 1),
                ("unlabel", "a", None, 1),
            ]  # fmt: skip
            assert [move.by for move in moves[:3]] == [self.said_by(name) for name in ("ann", "bob", "bob")]
            assert moves[-1].by == self.said_by("ann")
            assert [moves[at].reason for at in (0, 3, 4, 5, -1)] == ["done", "some", "broken", "try", "because"]
            assert [(moves[at].shares) for at in (1, 3)] == [(), _HALVES]
            assert sorted((move.at_ns for move in moves), reverse=True) == [move.at_ns for move in moves]
            assert moves[-1].at_ns > 0

    async def test_moves_outlive_what_they_moved(self, make: MakeBackend) -> None:
        """PromptStore.history: "The moves of a name that was deleted are still there", and go on when it is back."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", "2", labels=("production",))
            await store.delete(PROJECT, "n", author=Author("ann"))
            gone = await store.history(PROJECT, "n")
            assert ([_short(move) for move in gone.moves[:2]], gone.versions) == (
                [("delete", None, None, None), ("label", "production", 2, 1)], [],
            )  # fmt: skip
            assert gone.moves[0].by == self.said_by("ann")
            await publish(store, "n", [{"role": "user", "content": "1"}], labels=("blue",))
            back = await store.history(PROJECT, "n")
            assert [one.version for one in back.versions] == [1]
            assert [_short(move) for move in back.moves[:3]] == [
                ("label", "blue", 1, None), ("publish", None, 1, None), ("delete", None, None, None),
            ]  # fmt: skip
            assert back.moves[2:] == gone.moves
            with pytest.raises(NotFound):
                await store.change(PROJECT, "n", Rollback())

    async def test_labels_of_deleted_versions(self, make: MakeBackend) -> None:
        """PromptStore.delete: "Remove one version": its labels go with it, ``latest`` is on the newest that is left."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", "2", "3", labels=("a",))
            await store.change(PROJECT, "n", LabelMove(version=1, labels=("b",)))
            await store.delete(PROJECT, "n", version=3)
            assert [await on(store, "n", label) for label in ("a", "b", "latest")] == [None, 1, 2]
            moves = (await store.history(PROJECT, "n")).moves
            assert [_short(move) for move in moves[:2]] == [("unlabel", "a", None, 3), ("delete", None, 3, None)]
