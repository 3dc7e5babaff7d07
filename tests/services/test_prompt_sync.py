"""Pulling and pushing: every way in which a file and the store can differ, and that neither loses what it alone has."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tracecore.catalog_prompts import CatalogPrompts
from tracecore.errors import BackendUnavailable, NotFound
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.prompts import Author, LabelMove, NewPrompt, Prompt, Rollback, Variable
from tracecore.services.prompt_folders import PromptFolder
from tracecore.services.prompt_outcomes import Outcome
from tracecore.services.prompt_pulling import pull
from tracecore.services.prompt_pushing import Publishing, push


class Desk:
    """A store and a folder, and what is done with them."""

    def __init__(self, path: Path, store: CatalogPrompts) -> None:
        self.path = path
        self.store = store

    async def publish(self, name: str, text: Any, *labels: str, **about: Any) -> Prompt:
        """Publish a text, or a chat."""
        kind = "text" if isinstance(text, str) else "chat"
        new = NewPrompt(name=name, type=kind, prompt=Raw(msgspec.json.encode(text)), labels=labels, **about)
        return await self.store.publish("p", new)

    async def pull(self, *names: str, **how: Any) -> dict[str, Outcome]:
        """Pull, and return the outcomes by path."""
        return {one.path: one for one in await pull(self.store, "p", PromptFolder(self.path), names=names, **how)}

    async def push(self, **how: Any) -> dict[str, Outcome]:
        """Push, and return the outcomes by path."""
        return {one.path: one for one in await push(self.store, "p", PromptFolder(self.path), Publishing(**how))}

    async def text(self, name: str, **which: Any) -> Any:
        """Return what the store has."""
        return msgspec.json.decode((await self.store.get("p", name, **which)).prompt)

    def edit(self, path: str, old: str, new: str) -> None:
        """Change a file as an editor does."""
        text = (self.path / path).read_text()
        assert old in text
        (self.path / path).write_text(text.replace(old, new))


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    """Return a store with nothing in it, and an empty folder."""
    backend = MemoryBackend(MemoryData(), location="memory:", access="write")
    await backend.open()
    ticks = count(1)
    return Desk(tmp_path, CatalogPrompts(backend.catalog, wall=lambda: next(ticks)))


def actions(outcomes: dict[str, Outcome]) -> dict[str, str]:
    """Return what was done to each file."""
    return {path: outcome.action for path, outcome in outcomes.items()}


async def test_there_and_back(desk: Desk) -> None:
    """What is pulled is in files, pulled again it is unchanged, and what is edited is published after it."""
    await desk.publish("support/hi", "Hello\n", "production", tags=("t",), commit_message="first")
    await desk.publish("draft", "unfinished")
    assert actions(await desk.pull()) == {"support/hi.md": "new"}
    assert actions(await desk.pull()) == {"support/hi.md": "unchanged"}
    assert actions(await desk.push()) == {"support/hi.md": "unchanged"}
    desk.edit("support/hi.md", "Hello\n", "Hello you\n")
    assert actions(await desk.pull()) == {"support/hi.md": "changed here"}
    assert actions(await desk.push(dry_run=True)) == {"support/hi.md": "to publish"}
    outcomes = await desk.push(labels=("production",), author=Author("ann"))
    assert outcomes == {"support/hi.md": Outcome("support/hi", "support/hi.md", "published", 2, 1)}
    made = await desk.store.get("p", "support/hi")
    assert (made.version, made.created_by, made.tags, made.commit_message) == (2, "ann", ("t",), None)
    assert msgspec.json.decode(made.prompt) == "Hello you\n"
    assert "version = 2\n" in (desk.path / "support/hi.md").read_text()
    assert actions(await desk.push()) == {"support/hi.md": "unchanged"}
    assert actions(await desk.pull()) == {"support/hi.md": "unchanged"}


async def test_a_new_file(desk: Desk) -> None:
    """A file that somebody wrote becomes the first version, with all that it says, and its comments stay."""
    (desk.path / "hi.md").write_text("+++\n# ours\ntags = ['a']\nmessage = 'why'\n[variables]\nx = {}\n+++\nHi {{x}}\n")
    assert (await desk.push())["hi.md"].version == 1
    made = await desk.store.get("p", "hi", label="latest")
    assert (made.tags, made.commit_message, list(made.variables or ())) == (("a",), "why", ["x"])
    assert (desk.path / "hi.md").read_text().startswith('+++\nversion = 1\nmessage = "why"\n# ours\n')
    desk.edit("hi.md", "Hi {{x}}", "Ho {{x}}")
    await desk.push(message="better")
    assert (await desk.store.get("p", "hi", label="latest")).commit_message == "better"
    desk.edit("hi.md", "Ho", "He")
    await desk.push()
    assert (await desk.store.get("p", "hi", label="latest")).commit_message is None
    desk.edit("hi.md", "version = 3\n", "version = 3\nmessage = 'own'\n")
    desk.edit("hi.md", "He", "Hu")
    await desk.push()
    assert (await desk.store.get("p", "hi", label="latest")).commit_message == "own"


async def test_only_the_store_changed(desk: Desk) -> None:
    """A file that nobody edited becomes what the store has, and cannot be pushed over it."""
    await desk.publish("hi", "one", "production")
    await desk.pull()
    await desk.publish("hi", "two", "production")
    assert actions(await desk.push()) == {"hi.md": "behind"}
    assert (await desk.pull())["hi.md"] == Outcome("hi", "hi.md", "updated", 2, 1)
    assert (desk.path / "hi.md").read_text().endswith("\n\ntwo\n")


async def test_both_changed_apart(desk: Desk) -> None:
    """Where somebody was faster a push is refused and loses nothing; pulled, both changes are in the file."""
    await desk.publish("hi", "a\nb\nc\nd", "production", config=Raw(b'{"t":1}'))
    await desk.pull()
    desk.edit("hi.md", "\na\n", "\nA\n")
    desk.edit("hi.md", "version = 1\n", "version = 1\nmessage = 'mine'\n")
    await desk.publish("hi", "a\nb\nc\nD", "production", config=Raw(b'{"t":2}'), author=Author("bob"))
    refused = (await desk.push())["hi.md"]
    assert refused.action == "conflict"
    assert "version 2 was published since by bob" in refused.reason
    assert "`tracecore prompts pull --into DIR --label latest`" in refused.reason
    assert await desk.text("hi", label="latest") == "a\nb\nc\nD"
    assert (await desk.pull())["hi.md"] == Outcome("hi", "hi.md", "merged", 2, 1)
    assert (await desk.push())["hi.md"].version == 3
    made = await desk.store.get("p", "hi", version=3)
    assert (msgspec.json.decode(made.prompt), msgspec.json.decode(made.config)) == ("A\nb\nc\nD", {"t": 2})
    assert made.commit_message == "mine"


async def test_both_changed_the_same_lines(desk: Desk) -> None:
    """A conflict leaves the file alone unless it is asked for; then it is not pushed until somebody has decided."""
    await desk.publish("hi", "a\nb\nc", "production")
    await desk.pull()
    desk.edit("hi.md", "\nb\n", "\nmine\n")
    before = (desk.path / "hi.md").read_bytes()
    await desk.publish("hi", "a\ntheirs\nc", "production")
    outcome = (await desk.pull())["hi.md"]
    assert (outcome.action, outcome.version, outcome.is_trouble) == ("conflict", 1, True)
    assert "--merge" in outcome.reason
    assert (desk.path / "hi.md").read_bytes() == before
    assert (await desk.pull(mark=True))["hi.md"].version == 2
    marked = "a\n<<<<<<< this file\nmine\n||||||| version 1\nb\n=======\ntheirs\n>>>>>>> version 2\nc\n"
    assert (desk.path / "hi.md").read_text() == f'+++\nversion = 2\nconflict = true\ntype = "text"\n+++\n\n{marked}'
    assert actions(await desk.push()) == {"hi.md": "refused"}
    assert actions(await desk.pull(mark=True)) == {"hi.md": "conflict"}
    desk.edit("hi.md", marked, "a\nours\nc\n")
    assert (await desk.push())["hi.md"].version == 3
    assert await desk.text("hi", version=3) == "a\nours\nc"
    assert "conflict" not in (desk.path / "hi.md").read_text()


async def test_a_merge_of_lines_that_are_no_file_together(desk: Desk) -> None:
    """Two who declared the same variable in two places did not agree, though no line is in the other's way."""
    declared = {"variables": {"m": Variable(), "n": Variable()}}
    await desk.publish("hi", "{{m}}\nand\n{{n}}", "production", **declared)
    await desk.pull()
    desk.edit("hi.md", "[variables]\n", '[variables]\nx = {type = "string"}\n')
    desk.edit("hi.md", "\n{{m}}", "\n{{x}}{{m}}")
    before = (desk.path / "hi.md").read_bytes()
    declared["variables"]["x"] = Variable(type="integer")
    await desk.publish("hi", "{{m}}\nand\n{{n}}{{x}}", "production", **declared)
    assert actions(await desk.pull()) == {"hi.md": "conflict"}
    assert (desk.path / "hi.md").read_bytes() == before


async def test_lines_that_end_as_those_of_windows_do(desk: Desk) -> None:
    """Texts in which something is spelt are merged as those are in which nothing is."""
    await desk.publish("hi", "a\r\nb\r\nc\r\nd", "production", tags=("t",))
    await desk.pull()
    desk.edit("hi.md", "\na\\r", "\nA\\r")
    await desk.publish("hi", "a\r\nb\r\nc\r\nD", "production", tags=("u",))
    assert (await desk.pull())["hi.md"] == Outcome("hi", "hi.md", "merged", 2, 1, "its tags were t")
    await desk.push()
    assert await desk.text("hi", version=3) == "A\r\nb\r\nc\r\nD"
    assert (await desk.store.get("p", "hi", version=3)).tags == ("u",)
    desk.edit("hi.md", "\nA\\r", "\nAA\\r")
    await desk.publish("hi", "A\nb\nc\nD", "production")
    await desk.pull(mark=True)
    assert "escaped = true" in (desk.path / "hi.md").read_text()


async def test_a_conflict_in_what_is_known(desk: Desk) -> None:
    """Where both changed one entry of the configuration, the markers are there, and the file says what to do."""
    await desk.publish("hi", "a", "production", config=Raw(b'{"t":1}'))
    await desk.pull()
    desk.edit("hi.md", '"t": 1', '"t": 2')
    await desk.publish("hi", "a", "production", config=Raw(b'{"t":3}'))
    await desk.pull(mark=True)
    outcome = (await desk.push())["hi.md"]
    assert outcome.action == "refused"
    assert "<<<<<<<" in outcome.reason


async def test_both_did_the_same(desk: Desk) -> None:
    """Two who made the same change agree: the file is given the number of the version that says it."""
    await desk.publish("hi", "one", "production")
    for way in (desk.push, desk.pull):
        await desk.pull(label="latest")
        desk.edit("hi.md", "one", "one more")
        await desk.publish("hi", "one more", "production")
        assert actions(await way()) == {"hi.md": "noted"}
        assert (await desk.push())["hi.md"].action == "unchanged"
        await desk.publish("hi", "one", "production")


async def test_a_version_that_is_not_the_newest(desk: Desk) -> None:
    """After a rollback the file is the older version, knows of the newer one, and what is edited comes after both."""
    await desk.publish("hi", "good", "production")
    await desk.publish("hi", "bad", "production")
    await desk.store.change("p", "hi", Rollback())
    await desk.pull()
    assert (desk.path / "hi.md").read_text().startswith("+++\nversion = 1\nnewest = 2\n")
    desk.edit("hi.md", "good", "better")
    assert (await desk.push())["hi.md"].version == 3
    assert await desk.text("hi", version=3) == "better"
    await desk.publish("hi", "draft")
    desk.edit("hi.md", "better", "best")
    assert "write `newest = 4`" in (await desk.push())["hi.md"].reason
    desk.edit("hi.md", "version = 3\n", "version = 3\nnewest = 4\n")
    assert (await desk.push())["hi.md"].version == 5


async def test_nothing_is_published_where_one_cannot_be(desk: Desk) -> None:
    """A push publishes every file or says why none, before it begins."""
    (desk.path / "a.md").write_text("+++\n+++\nfine")
    (desk.path / "b.md").write_text("+++\ntype = 'chat'\n+++\n+++ placeholder 1x\n")
    (desk.path / "c.md").write_text("+++\nversion = 3\n+++\ngone")
    (desk.path / "d.md").write_bytes(b"+++\n+++\n\xff")
    (desk.path / "e.md").write_text("+++\n[variables]\nx = {}\n+++\n{{y}}")
    (desk.path / "f.md").write_text("+++\ntags = ['']\n+++\n")
    (desk.path / "README.md").write_text("# About")
    await desk.publish("g", [])
    (desk.path / "g.md").write_text("+++\nversion = 1\n+++\ntext")
    outcomes = await desk.push()
    assert outcomes.pop("a.md").action == "to publish"
    assert set(actions(outcomes).values()) == {"refused"}
    assert len(outcomes) == 7
    assert "never becomes a text" in outcomes["g.md"].reason
    assert "y" in outcomes["e.md"].reason
    assert set(actions(await desk.push(labels=("NO",))).values()) == {"refused"}
    assert "take out `version = 3`" in outcomes["c.md"].reason
    with pytest.raises(NotFound):
        await desk.store.get("p", "a", label="latest")


async def test_a_name_that_is_there_already(desk: Desk) -> None:
    """A new file is not published over a prompt that its author never saw, and a pull does not take its place."""
    await desk.publish("hi", "theirs", "production")
    (desk.path / "hi.md").write_text("+++\n+++\nmine")
    assert "there is a prompt of this name already" in (await desk.push())["hi.md"].reason
    for mark in (False, True):
        assert actions(await desk.pull(mark=mark)) == {"hi.md": "conflict"}
    assert (desk.path / "hi.md").read_text() == "+++\n+++\nmine"
    (desk.path / "hi.md").write_text("+++\n+++\ntheirs")
    assert actions(await desk.push()) == {"hi.md": "noted"}


async def test_what_the_store_has_no_more(desk: Desk) -> None:
    """A file whose prompt has gone stays and is named; one whose version has gone is not guessed at."""
    await desk.publish("gone", "x", "production")
    await desk.publish("cut", "x", "production")
    await desk.pull()
    (desk.path / "fresh.md").write_text("+++\n+++\nmine")
    await desk.store.delete("p", "gone")
    await desk.publish("cut", "y", "production")
    await desk.store.delete("p", "cut", version=1)
    desk.edit("cut.md", "\nx\n", "\nz\n")
    outcomes = await desk.pull()
    assert actions(outcomes) == {"cut.md": "conflict", "gone.md": "stays", "fresh.md": "changed here"}
    assert "version 1, from which the file was made, is not there any more" in outcomes["cut.md"].reason
    assert sorted(path.name for path in desk.path.iterdir()) == ["cut.md", "fresh.md", "gone.md"]
    assert "is not there any more" in (await desk.push())["cut.md"].reason


async def test_what_is_inserted_comes_first(desk: Desk) -> None:
    """New prompts are published after those that they insert, whatever their files are called."""
    tag = "@@@langfusePrompt:name={}|label=production@@@".format
    (desk.path / "a.md").write_text(f"+++\n+++\n{tag('b')} {tag('c')}")
    (desk.path / "b.md").write_text(f"+++\n+++\n{tag('c')}")
    (desk.path / "c.md").write_text("+++\n+++\nC")
    assert set(actions(await desk.push(labels=("production",))).values()) == {"published"}
    assert await desk.text("a") == "C C"
    desk.edit("c.md", "C", tag("a"))
    assert "a" in (await desk.push(labels=("production",)))["c.md"].reason
    assert await desk.text("a") == "C C"


async def test_tags(desk: Desk) -> None:
    """Tags that somebody edited are published; those that the store was given since are taken, and old ones named."""
    await desk.publish("hi", "x", "production", tags=("a",))
    await desk.pull()
    desk.edit("hi.md", '["a"]', '["a", "b"]')
    assert actions(await desk.pull()) == {"hi.md": "changed here"}
    assert (await desk.push(labels=("production",)))["hi.md"].version == 2
    assert set((await desk.store.get("p", "hi")).tags) == {"a", "b"}
    await desk.publish("hi", "y", "production", tags=("c",))
    outcome = (await desk.pull())["hi.md"]
    assert (outcome.action, outcome.reason) == ("updated", "its tags were a, b")
    await desk.publish("hi", "z", tags=("d",))
    assert (await desk.pull())["hi.md"].reason == "its tags were c"
    assert actions(await desk.push()) == {"hi.md": "unchanged"}


async def test_names_and_folders(desk: Desk) -> None:
    """Some prompts alone are pulled by name, or by the folder they are in; a name that is not there is an error."""
    for name in ("f/a", "f/g/b", "c", "fa"):
        await desk.publish(name, name, "production")
    assert sorted(actions(await desk.pull("f/", "f/a"))) == ["f/a.md", "f/g/b.md"]
    assert sorted(actions(await desk.pull("c"))) == ["c.md"]
    with pytest.raises(NotFound):
        await desk.pull("fa", "fb")
    assert not (desk.path / "fa.md").exists()
    for wanted in ("c", "f/"):
        with pytest.raises(NotFound):
            await desk.pull(wanted, label="staging")


NAMES = (
    "..", "../x", "x/../y", "%2e%2e", "a%", "a?b#c", "con", "nul/x", "\u00e9", "\u65e5\u672c\u8a9e/\u63d0\u793a",
    "a.md/b", "-rf", "$HOME", "c:\\d", "*", "x" * 200, "p/" * 100 + "z", "\U0001f600", "a+b&c=d", ".git/hooks",
)  # fmt: skip


async def test_names_as_people_never_think_of_them(desk: Desk) -> None:
    """Whatever the name of a prompt is, it has a file of its own inside the folder, which is pushed under that name."""
    for name in NAMES:
        await desk.publish(name, f"I am {name}", "production")
    inside = Desk(desk.path / "inside", desk.store)
    assert set(actions(await inside.pull()).values()) == {"new"}
    assert [path.name for path in desk.path.iterdir()] == ["inside"]
    for path in inside.path.rglob("*.md"):
        path.write_text(path.read_text().replace("I am", "I was"))
    outcomes = await inside.push()
    assert {one.name for one in outcomes.values() if one.action == "published"} == set(NAMES)
    for name in NAMES:
        assert await desk.text(name, label="latest") == f"I was {name}"


async def test_two_names_that_are_one_file_elsewhere(desk: Desk) -> None:
    """Of two names that differ by case alone one is written, and the other refused."""
    await desk.publish("hi", "1", "production")
    await desk.publish("HI", "2", "production")
    assert sorted(outcome.action for outcome in (await desk.pull()).values()) == ["new", "refused"]
    assert len(list(desk.path.iterdir())) == 1


async def test_interrupted_and_gone_on_with(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails halfway stops a push; done again it publishes the rest and nothing twice."""
    for name in "abc":
        (desk.path / f"{name}.md").write_text(f"+++\n+++\n{name}")
    publish = desk.store.publish

    async def failing(project: str, new: NewPrompt) -> Prompt:
        made = await publish(project, new)
        if new.name == "b":  # published, but nobody hears of it
            raise BackendUnavailable("the connection broke", "try again")
        return made

    with monkeypatch.context() as patched:
        patched.setattr(desk.store, "publish", failing)
        outcomes = await desk.push()
    assert actions(outcomes) == {"a.md": "published", "b.md": "refused", "c.md": "refused"}
    assert outcomes["c.md"].reason.startswith("not tried")
    assert actions(await desk.push()) == {"a.md": "unchanged", "b.md": "noted", "c.md": "published"}
    for name in "abc":
        assert (await desk.store.get("p", name, label="latest")).version == 1


async def test_somebody_publishes_while_we_do(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is published between our look and our push is not passed over."""
    await desk.publish("hi", "one", "production")
    await desk.pull()
    desk.edit("hi.md", "one", "mine")
    publish = desk.store.publish

    async def faster(project: str, new: NewPrompt) -> Prompt:
        monkeypatch.setattr(desk.store, "publish", publish)
        await desk.publish("hi", "theirs")
        return await publish(project, new)

    monkeypatch.setattr(desk.store, "publish", faster)
    outcome = (await desk.push())["hi.md"]
    assert (outcome.action, outcome.version) == ("conflict", 1)
    assert "2" in outcome.reason
    assert await desk.text("hi", label="latest") == "theirs"


async def test_an_edit_while_it_is_published(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody types into a file while it is being published stays in the file, and is there for the next push."""
    (desk.path / "hi.md").write_text("+++\n+++\none\n")
    publish = desk.store.publish

    async def slow(project: str, new: NewPrompt) -> Prompt:
        desk.edit("hi.md", "one", "one more")
        return await publish(project, new)

    with monkeypatch.context() as patched:
        patched.setattr(desk.store, "publish", slow)
        await desk.push()
    assert await desk.text("hi", label="latest") == "one"
    assert (await desk.push())["hi.md"].version == 2
    assert await desk.text("hi", label="latest") == "one more"


@pytest.mark.parametrize("seed", range(30))
async def test_nobody_loses_a_word(desk: Desk, seed: int) -> None:
    """Two people with folders of their own, who edit, merge and push at random, lose no line that either wrote."""
    chance = random.Random(seed)  # noqa: S311 - a replay, no secret
    desks = [Desk(desk.path / name, desk.store) for name in ("ann", "bob")]
    await desks[0].publish("hi", "\n".join(f"line {i}" for i in range(6)), "production")
    words = count()
    typed: set[str] = set()
    for one in desks:
        await one.pull()

    def types(desk: Desk) -> None:
        lines = (desk.path / "hi.md").read_text().split("\n")
        word = f"w{next(words)}"
        typed.add(word)
        lines.insert(chance.randrange(lines.index("+++", 1) + 2, len(lines)), word)
        (desk.path / "hi.md").write_text("\n".join(lines))

    async def settles(desk: Desk) -> None:
        outcome = (await desk.pull(label="latest", mark=True))["hi.md"]
        if outcome.action == "conflict":  # takes both sides
            kept = [
                line for line in (desk.path / "hi.md").read_text().split("\n")
                if not line.startswith(("<<<<<<<", "|||||||", "=======", ">>>>>>>"))
            ]  # fmt: skip
            (desk.path / "hi.md").write_text("\n".join(kept))

    steps: list[Callable[[Desk], Awaitable[Any]]] = [settles, lambda desk: desk.push()]
    for _ in range(25):
        one = chance.choice(desks)
        if chance.random() < 0.4:
            types(one)
        else:
            await chance.choice(steps)(one)
    for one in desks * 2:
        await settles(one)
        await one.push()
    assert typed
    assert typed <= set((await desks[0].text("hi", label="latest")).split())


async def test_moved_labels(desk: Desk) -> None:
    """A label that moves brings its version into the file, and back."""
    await desk.publish("hi", "one", "production")
    await desk.publish("hi", "two")
    await desk.pull()
    await desk.store.change("p", "hi", LabelMove(version=2, labels=("production",)))
    assert (await desk.pull())["hi.md"] == Outcome("hi", "hi.md", "updated", 2, 1)
    await desk.store.change("p", "hi", Rollback())
    assert (await desk.pull())["hi.md"] == Outcome("hi", "hi.md", "updated", 1, 2)


async def test_into_another_store(desk: Desk, tmp_path: Path) -> None:
    """Files of one store are published in another that has no such names, if that is asked for; and begin with 1."""
    await desk.publish("part", "first")
    await desk.publish("part", "second", "production", commit_message="why")
    await desk.publish("whole", "@@@langfusePrompt:name=part|label=production@@@", "production")
    await desk.pull()
    backend = MemoryBackend(MemoryData(), location="memory:", access="write")
    await backend.open()
    other = Desk(tmp_path, CatalogPrompts(backend.catalog))
    refused = (await other.push())["part.md"]
    assert (refused.action, "--new" in refused.reason) == ("refused", True)
    await other.push(moves=True, labels=("production",))
    assert await other.text("whole", label="production") == "second"
    assert (await other.store.get("p", "part", label="production")).commit_message == "why"
    assert actions(await other.push(moves=True)) == {"part.md": "unchanged", "whole.md": "unchanged"}
    other.edit("part.md", "second", "third")
    assert (await other.push(moves=True))["part.md"].version == 2
