"""The suite of prompts finds what it is there to find: every planted bug fails it, and the reference does not.

Each plant is the store over a catalog with one mistake that somebody could make.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.test_testing_suites import failures
from tracecore import prompt_commits
from tracecore.catalog_prompts import CatalogPrompts
from tracecore.errors import ConfigError, NotFound
from tracecore.memory import MemoryBackend
from tracecore.prompt_heads import PromptHead
from tracecore.prompts import (
    LabelMove,
    NewPrompt,
    Prompt,
    PromptFeed,
    PromptHistory,
    PromptPage,
    PromptQuery,
    Rollback,
    Split,
    Unlabel,
)
from tracecore.testing.prompt_suite import PromptSuite


class Renumbering(CatalogPrompts):
    """The number of the newest version is used again when it was deleted."""

    async def _without(self, *args: Any, **kwargs: Any) -> Any:
        plan = await super()._without(*args, **kwargs)
        return plan if plan.head is None else replace(plan, head=replace(plan.head, newest=plan.head.versions[-1]))


class Toggling(CatalogPrompts):
    """A second rollback goes back to where the first one came from."""

    async def change(self, project: str, name: str, change: Any, **more: Any) -> Prompt:
        """Make the mistake."""
        if isinstance(change, Rollback) and change.to is None:
            moves = (await self.history(project, name)).moves
            before = next((move.before for move in moves if move.label == change.label and move.before), None)
            change = replace(change, to=before)
        return await super().change(project, name, change, **more)


class Unconditional(CatalogPrompts):
    """What an author expects does not matter."""

    async def change(self, project: str, name: str, change: Any, **more: Any) -> Prompt:
        """Make the mistake."""
        careless = replace(change, expected=None) if isinstance(change, LabelMove | Rollback) else change
        return await super().change(project, name, careless, **more)


class Overwriting(CatalogPrompts):
    """What an author knows of does not matter."""

    async def publish(self, project: str, new: NewPrompt) -> Prompt:
        """Make the mistake."""
        return await super().publish(project, replace(new, after=None))


class Undeclared(CatalogPrompts):
    """Declared variables are kept, whatever they are."""

    async def _check_text(self, project: str, prompt: Prompt, head: PromptHead) -> None:
        await super()._check_text(project, replace(prompt, variables=None), head)


class Breaking(CatalogPrompts):
    """What others insert may go."""

    async def _check_unused(self, *_: Any) -> None:
        pass


class Circular(CatalogPrompts):
    """A label moves wherever it is sent."""

    async def change(self, project: str, name: str, change: Any, **more: Any) -> Prompt:
        """Make the mistake."""
        version = self._version

        async def without_uses(*args: Any) -> Any:
            return replace(await version(*args), uses=())

        self._version = without_uses  # type: ignore[method-assign]  # a mistake on purpose
        try:
            return await super().change(project, name, change, **more)
        finally:
            self._version = version  # type: ignore[method-assign]  # as it was


class Wide(CatalogPrompts):
    """A folder is whatever a name begins with."""

    async def find(self, project: str, query: PromptQuery) -> PromptPage:
        """Make the mistake."""
        if query.folder is None:
            return await super().find(project, query)
        page = await super().find(project, replace(query, folder=None))
        return PromptPage([one for one in page.items if one.name.startswith(query.folder)], page.total)


class Narrow(CatalogPrompts):
    """The total is that of the page."""

    async def find(self, project: str, query: PromptQuery) -> PromptPage:
        """Make the mistake."""
        page = await super().find(project, query)
        return PromptPage(page.items, len(page.items))


class Whole(CatalogPrompts):
    """Nobody is told that a label is split."""

    async def get(self, *args: Any, **kwargs: Any) -> Prompt:
        """Make the mistake."""
        return replace(await super().get(*args, **kwargs), shares=())


class Spilling(CatalogPrompts):
    """A version says how a label is split, whoever asks for it."""

    async def get(self, project: str, name: str, *, version: int | None = None, **more: Any) -> Prompt:
        """Make the mistake."""
        found = await super().get(project, name, version=version, **more)
        head = await self._head(project, name)
        shares = [held.shares for held in head.labels.values() if held.version == found.version] if head else []
        return replace(found, shares=next((one for one in shares if one), ()))


class Lopsided(CatalogPrompts):
    """A label that moves stays split."""

    async def change(self, project: str, name: str, change: Any, **more: Any) -> Prompt:
        """Make the mistake."""
        head = await self._head(project, name)
        label = change.labels[0] if isinstance(change, LabelMove) and change.labels else ""
        held = None if head is None else head.labels.get(label)
        made = await super().change(project, name, change, **more)
        if held is not None and held.shares and made.version == held.version:
            await super().change(project, name, Split(label=label, shares=held.shares))
        return made


class Mute(CatalogPrompts):
    """It is not said what is nearby."""

    async def _missing(self, project: str, wanted: Any) -> NotFound:
        return NotFound("prompt", str(wanted))


class Backwards(CatalogPrompts):
    """The oldest is first."""

    async def history(self, project: str, name: str, *, limit: int = 100) -> PromptHistory:
        """Make the mistake."""
        found = await super().history(project, name, limit=limit)
        return PromptHistory(found.versions[::-1], found.moves[::-1])


class Forgetting(CatalogPrompts):
    """What became of a name is forgotten with it."""

    async def history(self, project: str, name: str, *, limit: int = 100) -> PromptHistory:
        """Make the mistake."""
        found = await super().history(project, name, limit=limit)
        if not found.versions:
            raise NotFound("prompt", name)
        return found


class Anonymous(CatalogPrompts):
    """Nobody did it."""

    async def history(self, project: str, name: str, *, limit: int = 100) -> PromptHistory:
        """Make the mistake."""
        found = await super().history(project, name, limit=limit)
        return PromptHistory(found.versions, [replace(move, by="", reason=None) for move in found.moves])


class Hasty(CatalogPrompts):
    """Nobody waits."""

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Make the mistake."""
        return await super().changes(project, since, wait=0 if wait else wait)


class Sure(CatalogPrompts):
    """Who knows a number that never was is told that nothing has changed."""

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Make the mistake."""
        feed = await super().changes(project, since, wait=wait)
        return PromptFeed(feed.number, feed.names or ())


class Shallow(CatalogPrompts):
    """Who inserts what has changed is not told."""

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Make the mistake."""
        feed = await super().changes(project, since, wait=wait)
        names = feed.names if feed.names is None else tuple(one for one in feed.names if one in {"n", "m", "part"})
        return PromptFeed(feed.number, names)


class Plain(CatalogPrompts):
    """Nothing is inserted."""

    async def get(self, *args: Any, **kwargs: Any) -> Prompt:
        """Make the mistake."""
        return await super().get(*args, **kwargs | {"resolve": False})


class Lenient(CatalogPrompts):
    """Of a version and a label the label counts."""

    async def get(self, *args: Any, version: int | None = None, label: str | None = None, **more: Any) -> Prompt:
        """Make the mistake."""
        return await super().get(*args, version=None if label else version, label=label, **more)


class Crossing(CatalogPrompts):
    """All projects have the same prompts."""

    async def publish(self, project: str, new: NewPrompt) -> Prompt:
        """Make the mistake."""
        return await super().publish("default", new)

    async def find(self, project: str, query: PromptQuery) -> PromptPage:
        """Make the mistake."""
        return await super().find("default", query)


class Clinging(CatalogPrompts):
    """A label that is taken off says so, and stays."""

    async def change(self, project: str, name: str, change: Any, **more: Any) -> Prompt:
        """Make the mistake."""
        if isinstance(change, Unlabel):
            if change.label == "latest":
                raise ConfigError("label", change.label, "the request", "another")
            return await self.get(project, name, label=change.label, resolve=False)
        return await super().change(project, name, change, **more)


PLANTS = [
    Renumbering, Toggling, Unconditional, Overwriting, Undeclared, Breaking, Circular, Wide, Narrow, Whole, Spilling,
    Lopsided, Mute, Backwards, Forgetting, Anonymous, Hasty, Sure, Shallow, Plain, Lenient, Crossing, Clinging,
]  # fmt: skip


def _with(store: type[CatalogPrompts]) -> type[MemoryBackend]:
    """Return a backend whose prompts are kept by a store."""
    return type("Plant", (MemoryBackend,), {"prompts": property(lambda backend: store(backend.catalog))})


@pytest.mark.parametrize("store", PLANTS)
def test_a_bug_is_found(store: type[CatalogPrompts]) -> None:
    """The suite fails for each store with a mistake."""
    assert next(failures(_with(store), PromptSuite), None) is not None, store.__doc__


def test_a_feed_that_does_not_count_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite fails where changes are kept without their number."""
    put = prompt_commits.put_of_feed
    monkeypatch.setattr(prompt_commits, "put_of_feed", lambda project, _, known: put(project, "n", known))
    assert next(failures(MemoryBackend, PromptSuite), None) is not None


def test_moves_of_labels_that_are_lost_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite fails where a label that comes with a version has no move."""
    make = prompt_commits.PromptCommits.make

    def first_only(self: Any, project: str, name: str, author: Any, step: Any) -> Any:
        async def fewer(entry: Any) -> Any:
            plan = await step(entry)
            return replace(plan, moves=plan.moves[:1])

        return make(self, project, name, author, fewer)

    monkeypatch.setattr(prompt_commits.PromptCommits, "make", first_only)
    assert next(failures(MemoryBackend, PromptSuite), None) is not None


def test_an_honest_one_passes() -> None:
    """The suite finds nothing wrong with the reference."""
    assert list(failures(_with(CatalogPrompts), PromptSuite)) == []
