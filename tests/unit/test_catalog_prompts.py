"""Prompts in a catalog beyond their contract: others who are first, long histories, protected labels, what is near."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from msgspec import Raw

from tracecore.catalog import CatalogStore, Change
from tracecore.catalog_prompts import CatalogPrompts, prompts_of
from tracecore.errors import AccessDenied, BackendRejected, BackendUnavailable, ConfigError, Conflict, NotFound
from tracecore.memory_catalog import Entries, MemoryCatalog
from tracecore.prompts import Author, LabelMove, Prompt, Rollback, Share, Split, Unlabel, Variable
from tracecore.services.protected_labels import ProtectedLabels
from tracecore.testing.samples import new_prompt

STRANGER = Author("stranger", moves_protected=False)


class Clock:
    """A wall clock that stands, and pauses that only say how long they were to be."""

    def __init__(self) -> None:
        self.now_ns = 1_800_000_000_123_456_789
        self.pauses: list[float] = []
        self.has_waited = asyncio.Event()

    def wall(self) -> int:
        """Return the time."""
        return self.now_ns

    async def pause(self, seconds: float) -> None:
        """Let others run."""
        self.pauses.append(seconds)
        if len(self.pauses) == 10:
            self.has_waited.set()
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def catalog() -> CatalogStore:
    """Return a catalog in memory."""
    entries: Entries = {}
    return MemoryCatalog(lambda: entries, lambda: None)


@pytest.fixture
def store(catalog: CatalogStore, clock: Clock) -> CatalogPrompts:
    """Return prompts in it."""
    return CatalogPrompts(catalog, wall=clock.wall, pause=clock.pause)


async def publish(store: CatalogPrompts, name: str, content: Any = "x", **more: Any) -> Prompt:
    """Publish a version."""
    return await store.publish("p", new_prompt(name, content, **more))


class Contended:
    """A catalog in which somebody else is first a number of times."""

    def __init__(self, catalog: CatalogStore, times: int) -> None:
        self._catalog = catalog
        self.left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    async def commit(self, changes: Sequence[Change]) -> None:
        """Say that somebody was first."""
        if self.left:
            self.left -= 1
            raise Conflict("somebody else was first")
        await self._catalog.commit(changes)


async def test_who_is_second_begins_anew(catalog: CatalogStore, clock: Clock) -> None:
    """A change that meets others is made in the end, after pauses that differ and do not grow without end."""
    contended: Any = Contended(catalog, 50)
    made = await publish(CatalogPrompts(contended, wall=clock.wall, pause=clock.pause), "n")
    assert (made.version, len(clock.pauses)) == (1, 50)
    assert 0 <= min(clock.pauses) < max(clock.pauses) <= 0.05
    assert len(set(clock.pauses)) > 40


async def test_who_is_always_second_is_told(catalog: CatalogStore, clock: Clock) -> None:
    """A change that never comes to be is an error that may pass, and has changed nothing."""
    contended: Any = Contended(catalog, 10**9)
    with pytest.raises(BackendUnavailable, match="try again"):
        await publish(CatalogPrompts(contended, wall=clock.wall, pause=clock.pause), "n")
    with pytest.raises(NotFound):
        await CatalogPrompts(catalog).history("p", "n")


async def test_who_is_in_one_process_does_not_meet(store: CatalogPrompts, clock: Clock) -> None:
    """Of a thousand who publish at once through one store nobody is ever second, and nothing is left of the queue."""
    made = await asyncio.gather(*(publish(store, f"n{number % 7}", labels=("production",)) for number in range(1000)))
    assert clock.pauses == []
    assert len({(one.name, one.version) for one in made}) == (await store.changes("p", 0)).number == 1000
    assert list(store._commits._queues.values()) == [{}]


async def test_a_change_that_is_cancelled_lets_the_next_one_through(catalog: CatalogStore, clock: Clock) -> None:
    """Who gives up while others are first, or while it waits for its turn, holds nobody up."""
    contended: Any = Contended(catalog, 10**9)
    store = CatalogPrompts(contended, wall=clock.wall, pause=clock.pause)
    changing = [asyncio.create_task(publish(store, "n")) for _ in range(3)]
    await clock.has_waited.wait()
    for task in changing[:2]:
        task.cancel()
    contended.left = 0
    assert (await changing[2]).version == 1
    assert [task.cancelled() for task in changing[:2]] == [True, True]
    assert (await publish(store, "n")).version == 2


def test_a_store_is_used_from_several_loops(store: CatalogPrompts) -> None:
    """Each loop has a queue of its own, and a loop that is gone leaves none."""

    async def several() -> list[int]:
        return [one.version for one in await asyncio.gather(*(publish(store, "n") for _ in range(5)))]

    assert [asyncio.run(several()) for _ in range(3)] == [list(range(n, n + 5)) for n in (1, 6, 11)]


async def test_what_an_author_meant_is_no_conflict_of_commits(store: CatalogPrompts, clock: Clock) -> None:
    """A label that is not where its author thinks is told at once, with the moment since when it is where it is."""
    await publish(store, "greeting", labels=("production",))
    await publish(store, "greeting")
    with pytest.raises(Conflict) as told:
        await store.change("p", "greeting", LabelMove(version=2, labels=("production",), expected=4))
    assert str(told.value) == (
        "label 'production' of 'greeting' is on version 1 since 2027-01-15T08:00:00Z, not on 4, and was to move to 2: "
        "somebody moved it"
    )
    assert clock.pauses == []


async def test_the_feed_remembers_a_hundred_changes(store: CatalogPrompts) -> None:
    """Who knows a number of the last hundred learns the names, who knows an older one that each may have changed."""
    for number in range(130):
        await publish(store, f"n{number % 7}" if number < 100 else "late")
    assert (await store.changes("p", 129)).names == ("late",)
    assert (await store.changes("p", 100)).names == ("late",)
    assert set((await store.changes("p", 30)).names or ()) == {f"n{number}" for number in range(7)} | {"late"}
    assert (await store.changes("p", 29)).names is None
    assert (await store.changes("p", 130)).names == ()


async def test_waiting_looks_at_the_feed_now_and_then(store: CatalogPrompts, clock: Clock) -> None:
    """Nobody waits longer than was asked for, and looks each third of a second or so."""
    feed = await store.changes("p", 0, wait=1.0)
    assert (feed.number, feed.names) == (0, ())
    assert clock.pauses == pytest.approx([0.3, 0.3, 0.3, 0.1])
    waiting = asyncio.create_task(store.changes("p", 0, wait=3000))
    await clock.has_waited.wait()
    await publish(store, "n")
    assert (await waiting).names == ("n",)


@pytest.mark.parametrize("wait", [-1.0, float("nan"), float("inf"), 1e9])
async def test_waiting_that_is_none(store: CatalogPrompts, wait: float) -> None:
    """A time that nobody can wait is refused."""
    with pytest.raises(ConfigError, match="wait"):
        await store.changes("p", 0, wait=wait)


async def test_many_who_insert_are_everybody(store: CatalogPrompts) -> None:
    """Where what has changed is inserted in more prompts than are told at once, each may have changed."""
    await publish(store, "part", labels=("production",))
    for number in range(1000):
        await publish(store, f"n{number}", "@@@langfusePrompt:name=part|label=production@@@")
    assert (await store.changes("p", 1000)).names == ("n999",)
    await publish(store, "part", labels=("production",))
    assert (await store.changes("p", 1001)).names is None


@pytest.mark.parametrize(
    "config", [b"", b"{", b"{} {}", b"nothing", b'{"a": }', b"[" * 100_000, b"'x'", b'"\\ud800"', b'"\xff"']
)
async def test_a_configuration_is_json(store: CatalogPrompts, config: bytes) -> None:
    """What is no JSON is refused, for the name could not be read any more; what is stays as it is."""
    await publish(store, "n", config=Raw(b'{"a":1e999,  "b": "\\u0000"}'))
    with pytest.raises(ConfigError, match="config"):
        await publish(store, "n", config=Raw(config))
    assert bytes((await store.get("p", "n", label="latest")).config) == b'{"a":1e999,  "b": "\\u0000"}'


@pytest.mark.parametrize(
    "said",
    [
        {"commit_message": "\ud800"}, {"author": Author("\udc80")}, {"tags": ("\ud800",)},
        {"variables": {"a": Variable(description="\ud800")}}, {"variables": {"a": Variable(enum=("\ud800",))}},
        {"author": Author("x" * 256)},
    ],
)  # fmt: skip
async def test_what_cannot_be_kept_is_refused(store: CatalogPrompts, said: dict[str, Any]) -> None:
    """Half a surrogate pair in whatever is said of a version would make the name unreadable: it is refused."""
    await publish(store, "n", "{{a}}", labels=("production",))
    with pytest.raises(ConfigError):
        await publish(store, "n", "{{a}}", **said)
    author = said.get("author", Author())
    with pytest.raises(ConfigError):
        await store.change("p", "n", Rollback(to=1, reason="\ud800"), author=author)
    if author.name:
        with pytest.raises(ConfigError, match="author"):
            await store.delete("p", "n", author=author)
    assert [move.action for move in (await store.history("p", "n")).moves] == ["label", "publish"]


async def test_a_long_way_back(store: CatalogPrompts) -> None:
    """Rolling back leads back a hundred versions, and no further."""
    for _ in range(120):
        await publish(store, "n", labels=("production",))
    for version in range(119, 19, -1):
        assert (await store.change("p", "n", Rollback())).version == version
    with pytest.raises(NotFound, match="say to which"):
        await store.change("p", "n", Rollback())


async def test_labels_come_and_go_without_end(store: CatalogPrompts, catalog: CatalogStore) -> None:
    """A name has 200 labels at most; those of the past leave little behind."""
    await publish(store, "n")
    await store.change("p", "n", LabelMove(version=1, labels=tuple(f"l{number}" for number in range(200))))
    with pytest.raises(ConfigError, match="at most 200 labels"):
        await store.change("p", "n", LabelMove(version=1, labels=("more",)))
    for number in range(500):
        await store.change("p", "n", Unlabel(label=f"l{number}"))
        await store.change("p", "n", LabelMove(version=1, labels=(f"l{number + 200}",)))
    entry = await catalog.get("p", "prompt", "n")
    assert entry is not None
    assert len(bytes(entry.body)) < 20_000
    await store.change("p", "n", Unlabel(label="l500"))
    assert (await store.change("p", "n", Rollback(label="l499"))).version == 1
    with pytest.raises(NotFound):
        await store.change("p", "n", Rollback(label="l0"))


async def test_a_name_goes_in_slices(store: CatalogPrompts, catalog: CatalogStore) -> None:
    """More versions than one commit removes go in several, and it is said once, in the first, who did it."""
    for _ in range(901):
        await publish(store, "n", labels=("production",))
    commits = 0

    class Stopping(Contended):
        async def commit(self, changes: Sequence[Change]) -> None:
            nonlocal commits
            commits += 1
            if commits > 1:
                raise BackendUnavailable("killed")
            await self._catalog.commit(changes)

    stopping: Any = Stopping(catalog, 0)
    with pytest.raises(BackendUnavailable, match="killed"):
        await CatalogPrompts(stopping).delete("p", "n", author=Author("ann"))
    history = await store.history("p", "n")
    assert [(move.action, move.by) for move in history.moves[:2]] == [("delete", "ann"), ("label", "")]
    assert [one.version for one in history.versions] == [901]
    assert (await store.get("p", "n")).version == 901
    await store.delete("p", "n", author=Author("bob"))
    history = await store.history("p", "n")
    assert [(move.action, move.by) for move in history.moves[:3]] == [
        ("delete", "bob"),
        ("delete", "ann"),
        ("label", ""),
    ]
    assert (await store.changes("p", 0)).number == 903


async def test_protected_labels(store: CatalogPrompts, catalog: CatalogStore) -> None:
    """Who may not move a protected label neither sets nor moves nor splits it, nor deletes what it is on."""
    protected = ProtectedLabels(catalog)
    for _ in range(3):
        await publish(store, "n", labels=("production", "free"))
    assert await protected.get("p") == ()
    await store.change("p", "n", LabelMove(version=2, labels=("production",)), author=STRANGER)
    assert await protected.put("p", ["staging", "production", "staging"], author=Author()) == ("production", "staging")
    assert (await protected.get("p"), await protected.get("q")) == (("production", "staging"), ())
    shares = (Share(2, 1.0), Share(3, 1.0))
    moving: list[Any] = [
        LabelMove(version=1, labels=("free", "production")), LabelMove(version=1, labels=("staging",)), Rollback(),
        Split(label="production", shares=shares), Unlabel(label="production"),
    ]  # fmt: skip
    deleting: list[dict[str, Any]] = [{"version": 2}, {"label": "production"}, {}]
    refused: list[Callable[[], Awaitable[Any]]] = [
        *(partial(store.change, "p", "n", change, author=STRANGER) for change in moving),
        *(partial(store.delete, "p", "n", author=STRANGER, **gone) for gone in deleting),
        partial(publish, store, "n", labels=("production",), author=STRANGER),
        partial(publish, store, "fresh", labels=("staging",), author=STRANGER),
    ]
    before = await store.changes("p", 0)
    for ask in refused:
        with pytest.raises(AccessDenied, match=r"'(production|staging)' is protected"):
            await ask()
    assert await store.changes("p", 0) == before
    await store.change("p", "n", Split(label="production", shares=shares), author=Author("one who may"))
    with pytest.raises(AccessDenied, match="'production'"):
        await store.delete("p", "n", version=3, author=STRANGER)
    # What leaves protected labels where they are is free, also where it names them.
    await store.change("p", "n", LabelMove(version=1, labels=("free",)), author=STRANGER)
    await publish(store, "n", labels=("free",), author=STRANGER)
    await store.delete("p", "n", version=1, author=STRANGER)
    assert (await store.get("p", "n")).version == 2


async def test_who_says_which_labels_are_protected(catalog: CatalogStore) -> None:
    """Only who may move them does; what cannot be a label, and ``latest``, cannot be protected."""
    protected = ProtectedLabels(catalog)
    await protected.put("p", ["production"], author=Author())
    with pytest.raises(AccessDenied):
        await protected.put("p", [], author=STRANGER)
    for wrong in (["latest"], ["NO LABEL"], [""], [f"l{number}" for number in range(201)]):
        with pytest.raises(ConfigError):
            await protected.put("p", wrong, author=Author())
    assert await protected.get("p") == ("production",)
    assert await protected.put("p", [], author=Author()) == ()


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("team/greting", "'team/greeting'"), ("team/Greeting", "'team/greeting'"), ("greeting", "'team/greeting'"),
        ("taem/greeting", "'team/greeting'"), ("other/footers", "'other/footer'"),
    ],
)  # fmt: skip
async def test_names_that_are_near(store: CatalogPrompts, wanted: str, near: str) -> None:
    """A name that is mistyped, or in another folder, is answered by those that there are."""
    for name in ("team/greeting", "team/farewell", "other/footer", "zzz"):
        await publish(store, name)
    with pytest.raises(NotFound, match=near):
        await store.get("p", wanted)


async def test_nothing_near(store: CatalogPrompts) -> None:
    """Where no name is like it, that is said."""
    with pytest.raises(NotFound, match="no name is like it"):
        await store.get("p", "n")


async def test_long_names_are_compared_in_no_time(store: CatalogPrompts) -> None:
    """Names that are made to be compared for long hold nobody up."""
    for number in range(300):
        await publish(store, f"{'ab' * 126}{number:03}")
    began = time.process_time()
    with pytest.raises(NotFound):
        await store.get("p", "ba" * 126)
    assert time.process_time() - began < 2


async def test_versions_with_gaps_are_named_in_short(store: CatalogPrompts) -> None:
    """Versions are named as runs, the last ones where there are many; labels with what they are on."""
    for _ in range(40):
        await publish(store, "n")
    for version in range(2, 36, 3):
        await store.delete("p", "n", version=version)
    with pytest.raises(NotFound, match=r"it has versions …, 9 to 10, 12 to 13, .*, 33 to 34, 36 to 40$"):
        await store.get("p", "n", version=2)
    with pytest.raises(NotFound, match=r"'n label production'; it has 'latest' on version 40$"):
        await store.get("p", "n")


def test_backends_without_a_catalog_keep_no_prompts() -> None:
    """A backend that neither keeps prompts nor a catalog is refused, and the error says what to use."""

    class Bare:
        location = "bare:"

    bare: Any = Bare()
    with pytest.raises(BackendRejected, match="bare: keeps no prompts; use SQLite"):
        prompts_of(bare)


async def test_a_version_that_goes_meanwhile_is_looked_for_anew(catalog: CatalogStore, clock: Clock) -> None:
    """Between reading the head and the version somebody may delete it: then the label is where it is now."""
    store = CatalogPrompts(catalog, wall=clock.wall, pause=clock.pause)
    for _ in range(3):
        await publish(store, "n", labels=("production",))

    class Slow(Contended):
        async def get(self, project: str, kind: str, id: str) -> Any:  # noqa: A002 - the name of the field
            if (kind, id, self.left) == ("prompt-version", "n|3", 1):
                self.left = 0
                await store.delete("p", "n", version=3)
                await store.change("p", "n", Rollback())
            return await self._catalog.get(project, kind, id)

    slow: Any = Slow(catalog, 1)
    assert (await CatalogPrompts(slow).get("p", "n")).version == 2
