"""The conformance suite of prompts: what :mod:`tracecore.prompts` says, as tests, whatever keeps the prompts.

A backend that keeps a catalog, or is :class:`~tracecore.prompts.Prompting`, joins ``PromptSuite``. Each test quotes the
paragraph that it proves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Final

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tracecore.errors import ConfigError, Conflict, NotFound, TracecoreError
from tracecore.prompts import LabelMove, Prompt, PromptQuery, PromptStore, Rollback, Split, Unlabel, Variable
from tracecore.testing.comparing import same
from tracecore.testing.contract import Contract
from tracecore.testing.opening import MakeBackend, opened, prompts_in
from tracecore.testing.prompt_label_suite import PromptLabelSuite, on, publish
from tracecore.testing.samples import PROJECT, new_prompt

__all__ = ["PromptSuite"]

_CHAT: Final = [
    {"role": "system", "content": "You are {{what}}", "more": [1, None]},
    {"type": "placeholder", "name": "history"},
    {"role": "user", "content": "世界 \U0001f600 \x00"},
]
_NAMES: Final = (
    "plain", "grüße 世界", "folder/sub folder/name", "100%", "a?b#c&d=e", "a%2Fb", "'; DROP TABLE x; --", '"quoted"',
    "back\\slash", "..", "a.b/../c", "latest", "x" * 255,
)  # fmt: skip
"""Names that some address or statement could break at."""


def _uses(name: str, by: str = "label=production") -> str:
    return f"@@@langfusePrompt:name={name}|{by}@@@"


async def _names(store: PromptStore, **query: Any) -> list[str]:
    return [one.name for one in (await store.find(PROJECT, PromptQuery(**query))).items]


def _numbers(prompts: Iterable[Prompt]) -> list[int]:
    return [prompt.version for prompt in prompts]


class _VersionSuite(Contract):
    """Prove that versions are what was published, are numbered, and never change."""

    async def test_a_version_is_there_as_it_was_published(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Prompt: "Describe one version": every member of what was published, also through another backend."""
        full = new_prompt(
            "folder/n", _CHAT, config=Raw(b'{"b":1, "a":12345678901234567890123}'), labels=("production", "a.b-c_1"),
            tags=("t", "世"), commit_message="why", variables={"what": Variable(description="x", enum=("a", "b"))},
        )  # fmt: skip
        async with opened(make()) as backend:
            made = await prompts_in(backend).publish(PROJECT, full)
            async with opened(make_reader()) as reader:
                for store in (prompts_in(backend), prompts_in(reader)):
                    same(await store.get(PROJECT, "folder/n"), made)
            assert (made.name, made.version, made.type) == ("folder/n", 1, "chat")
            assert (bytes(made.prompt), bytes(made.config)) == (bytes(full.prompt), bytes(full.config))
            assert (made.labels, made.tags) == (("production", "a.b-c_1", "latest"), ("t", "世"))
            assert (made.variables, made.commit_message, made.shares) == (full.variables, "why", ())
            assert made.created_ns > 0
            assert (made.updated_ns, made.graph) == (made.created_ns, None)
        async with opened(make()) as again:
            same(await prompts_in(again).get(PROJECT, "folder/n", version=1), made)

    async def test_versions_count_up_and_never_change(self, make: MakeBackend) -> None:
        """PromptStore.publish: "Make the next version of a prompt, or the first one of a new"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            first = await publish(store, "n", "one", tags=("a",), commit_message="first", config=Raw(b"[1]"))
            second = await publish(store, "n", "two")
            assert (first.version, second.version, second.tags, second.commit_message) == (1, 2, ("a",), None)
            await publish(store, "n", "three", tags=("b", "b"), labels=("production", "latest", "production"))
            got = await store.get(PROJECT, "n", version=1)
            same(got, replace(first, labels=(), tags=("b",), updated_ns=got.updated_ns))
            assert (await store.get(PROJECT, "n")).labels == ("production", "latest")
            assert (await publish(store, "other", "x")).version == 1
            other = await store.get(PROJECT, "other", label="latest")
            same(len({one.id for one in (first, second, other)}), 3)

    async def test_a_version_is_found_by_number_or_label(self, make: MakeBackend) -> None:
        """PromptStore.get: "by its number, or by a label, which is production unless one is named"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", labels=("production",))
            await publish(store, "n", "2", labels=("blue",))
            await publish(store, "n", "3")
            asked: list[dict[str, Any]] = [{}, {"label": "blue"}, {"label": "latest"}, {"version": 2}]
            assert _numbers([await store.get(PROJECT, "n", **one) for one in asked]) == [1, 2, 3, 2]
            with pytest.raises(ConfigError):
                await store.get(PROJECT, "n", version=1, label="production")

    async def test_what_is_not_there_says_what_is(self, make: MakeBackend) -> None:
        """PromptStore: "NotFound what exists nearby": names, versions and labels."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "team/greeting", "1", "2", "3", labels=("blue",))
            await publish(store, "team/other", "1")
            await store.delete(PROJECT, "team/greeting", version=2)
            with pytest.raises(NotFound, match="team/greeting"):
                await store.get(PROJECT, "team/greting")
            with pytest.raises(NotFound, match="team/greeting"):
                await store.get(PROJECT, "greeting", version=1)
            for version in (0, -1, 2, 4, 10**12):
                with pytest.raises(NotFound, match=r"versions 1.* 3"):
                    await store.get(PROJECT, "team/greeting", version=version)
            for label in ("production", "red", "NO LABEL"):
                with pytest.raises(NotFound, match=r"'blue'.*'latest'"):
                    await store.get(PROJECT, "team/greeting", label=label)
            for asked in (store.history, store.delete):
                with pytest.raises(NotFound, match="team/greeting"):
                    await asked(PROJECT, "team/greetin")
            absent: list[dict[str, Any]] = [{"version": 2}, {"label": "red"}]
            for gone in absent:
                with pytest.raises(NotFound):
                    await store.delete(PROJECT, "team/greeting", **gone)

    async def test_who_publishes_second_is_told(self, make: MakeBackend) -> None:
        """NewPrompt.after: "Conflict where it is another one now"; the error names it, and nothing is published."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1", after=0)
            await publish(store, "n", "2", after=1)
            for after in (0, 1, 3):
                with pytest.raises(Conflict, match="2"):
                    await publish(store, "n", "3", after=after)
            with pytest.raises(Conflict, match="nobody"):
                await publish(store, "nobody's", "1", after=4)
            same((await publish(store, "n", "3", after=2)).version, 3)

    async def test_what_cannot_be_published(self, make: MakeBackend) -> None:
        """PromptStore: "ConfigError says what of a request cannot be", and nothing is kept of it."""
        wrong: list[dict[str, Any]] = [
            {"name": ""}, {"name": "a|b"}, {"name": "/a"}, {"name": "a//b"}, {"name": "a\0"}, {"name": "x" * 256},
            {"name": "n", "labels": ("A",)}, {"name": "n", "labels": ("x" * 37,)},
            {"name": "n", "labels": tuple(f"l{number}" for number in range(201))},
            {"name": "n", "tags": ("",)}, {"name": "n", "commit_message": "x" * 501},
            {"name": "n", "content": _CHAT}, {"name": "m", "content": [{"content": "no role"}]},
            {"name": "m", "content": _uses("nobody")}, {"name": "n", "content": _uses("n", "label=latest")},
        ]  # fmt: skip
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1")
            for fields in wrong:
                with pytest.raises(ConfigError):
                    await store.publish(PROJECT, new_prompt(**fields))
            with pytest.raises(ConfigError):
                await store.publish(PROJECT, replace(new_prompt("m"), prompt=Raw(b"{}")))
            assert await _names(store) == ["n"]
            assert (await store.changes(PROJECT, 0)).number == 1

    async def test_declared_variables_are_those_that_are_used(self, make: MakeBackend) -> None:
        """Prompt.variables: "What was declared when it was published": all that are used, in inserted texts, too."""
        one, both = {"a": Variable()}, {"a": Variable(), "b": Variable(type="integer", optional=True)}
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "part", "{{b}}", labels=("production",))
            inserting = f"{{{{a}}}} {_uses('part')}"
            for content, declared, named in [
                ("{{a}} {{b}}", one, "b"), ("{{a}}", both, "b"), (inserting, one, "b"), ("none", one, "a"),
                ([{"role": "user", "content": "{{a}}{{c}}"}], one, "c"),
            ]:  # fmt: skip
                with pytest.raises(ConfigError, match=f"{named}"):
                    await publish(store, "n", content, variables=declared)
            for content, given in [("{{a}} {{b}}", both), (inserting, both), ("{{a}} {{zzz}}", None)]:
                await publish(store, "n", content, variables=given)
                assert (await store.get(PROJECT, "n", label="latest")).variables == given

    async def test_names_and_texts_of_any_kind(self, make: MakeBackend) -> None:
        """NewPrompt.name, prompt: whatever is printable is a name, and whatever JSON holds is a text."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            for name in _NAMES:
                text = f'{name} \0 " \\ \u2028 %_ {"ä" * 3000}'
                await publish(store, name, text, labels=("production",), tags=(name[:9],))
                same((await store.get(PROJECT, name)).prompt, new_prompt(name, text).prompt)
                await store.change(PROJECT, name, LabelMove(version=1, labels=("moved",)))
                assert [move.label for move in (await store.history(PROJECT, name)).moves] == [
                    "moved",
                    "production",
                    None,
                ]
                assert await _names(store, name=name) == [name]
            assert sorted(await _names(store)) == sorted(_NAMES)
            for name in _NAMES:
                await store.delete(PROJECT, name)
            assert await _names(store) == []

    async def test_projects_stay_apart(self, make: MakeBackend) -> None:
        """PromptStore: "Keep the prompts of projects": the same name is another prompt, and nothing is told of it."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "ours", labels=("production",))
            await publish(store, "secret", "ours")
            other = "another"
            for name in ("n", "secret"):
                with pytest.raises(NotFound) as told:
                    await store.get(other, name)
                assert str(told.value).count("secret") == (name == "secret")
            with pytest.raises(NotFound):
                await store.change(other, "n", LabelMove(version=1, labels=("a",)))
            assert (await store.find(other, PromptQuery())).items == []
            assert (await store.changes(other, 0)).number == 0
            theirs = await publish(store, "n", "theirs", labels=("production",), project=other)
            assert theirs.version == 1
            await store.delete(other, "n")
            assert bytes((await store.get(PROJECT, "n")).prompt) == b'"ours"'


class _ListSuite(Contract):
    """Prove what lists, histories and feeds say."""

    async def test_names_are_listed_by_what_they_have(self, make: MakeBackend) -> None:
        """PromptQuery: "every condition that is set must hold. The one that changed last comes first"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "a/b/one", "1", labels=("production",), tags=("t", "u"))
            await publish(store, "a/b/two", "1", tags=("t",))
            await publish(store, "a/bc", "1", labels=("production",))
            await publish(store, "a", "1")
            await publish(store, "a/b/one", "2", config=Raw(b"[2]"))
            both = ["a/b/one", "a/b/two"]
            for query, expected in [
                ({}, ["a/b/one", "a", "a/bc", "a/b/two"]), ({"name": "a"}, ["a"]), ({"name": "A"}, []),
                ({"folder": "a"}, ["a/b/one", "a/bc", "a/b/two"]), ({"folder": "a/b"}, both),
                ({"folder": "a/b/"}, both), ({"folder": "b"}, []), ({"tag": "t"}, both),
                ({"tag": "t", "label": "production"}, ["a/b/one"]),
                ({"label": "latest", "folder": "a/b"}, both), ({"label": "production"}, ["a/b/one", "a/bc"]),
                ({"tag": "nobody's"}, []), ({"tag": "%"}, []),
            ]:  # fmt: skip
                assert await _names(store, **query) == expected, query
            [one] = (await store.find(PROJECT, PromptQuery(name="a/b/one"))).items
            held = {label: held.version for label, held in one.labels.items()}
            assert (one.versions, held, one.tags) == ((1, 2), {"production": 1, "latest": 2}, ("t", "u"))
            assert (one.type, bytes(one.last_config)) == ("text", b"[2]")
            assert all(0 < held.since_ns <= one.updated_ns for held in one.labels.values())
            since, before = {"since_ns": one.updated_ns}, {"until_ns": one.updated_ns}
            assert ("a/b/one" in await _names(store, **since), "a/b/one" in await _names(store, **before)) == (
                True,
                False,
            )

    async def test_pages(self, make: MakeBackend) -> None:
        """PromptPage: "Hold one page of names, and how many the query selects in all"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            for number in range(5):
                await publish(store, f"n{number}", "1")
            found: list[str] = []
            for offset in (0, 2, 4, 6):
                page = await store.find(PROJECT, PromptQuery(limit=2, offset=offset))
                same(page.total, 5)
                found += [one.name for one in page.items]
            assert found == ["n4", "n3", "n2", "n1", "n0"]
            for wrong in (PromptQuery(limit=0), PromptQuery(limit=1001), PromptQuery(offset=-1)):
                with pytest.raises(TracecoreError):
                    await store.find(PROJECT, wrong)

    async def test_history_is_newest_first(self, make: MakeBackend) -> None:
        """PromptStore.history: "Return the newest versions and moves of a name, up to limit of each"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "part", "inserted", labels=("production",))
            await publish(store, "n", "1", "2", _uses("part"), labels=("blue",))
            await store.delete(PROJECT, "n", version=2)
            whole = await store.history(PROJECT, "n")
            same(whole.versions, [await store.get(PROJECT, "n", version=v, resolve=False) for v in (3, 1)])
            assert [(move.action, move.version) for move in whole.moves[:2]] == [("delete", 2), ("label", 3)]
            same(len(whole.moves), 7)
            short = await store.history(PROJECT, "n", limit=1)
            assert (short.versions, short.moves) == (whole.versions[:1], whole.moves[:1])
            with pytest.raises(TracecoreError):
                await store.history(PROJECT, "n", limit=0)

    async def test_the_feed_counts_every_change(self, make: MakeBackend) -> None:
        """PromptFeed.number: "Of the last change: grows by one with each", and with nothing else."""
        changes = (
            LabelMove(version=1, labels=("production", "a", "b")), Split(label="a", shares=()), Unlabel(label="b"),
            LabelMove(version=2, labels=("production",)), Rollback(), LabelMove(version=1, labels=("production",)),
        )  # fmt: skip
        async with opened(make()) as backend:
            store = prompts_in(backend)
            assert ((await store.changes(PROJECT, 0)).number, (await store.changes(PROJECT, 0)).names) == (0, ())
            await publish(store, "n", "1", "2", labels=("x",))
            await publish(store, "m", "1")
            numbers = [(await store.changes(PROJECT, 0)).number]
            for change in changes:
                await store.change(PROJECT, "n", change)
                numbers.append((await store.changes(PROJECT, 0)).number)
            assert numbers == [
                3,
                4,
                4,
                5,
                6,
                7,
                7,
            ]  # splitting what is whole into nothing, and where it is, is no change
            await store.delete(PROJECT, "n", version=2)
            await store.delete(PROJECT, "n")
            for since, names in [(9, ()), (7, ("n",)), (2, ("m", "n")), (0, ("n", "m"))]:
                feed = await store.changes(PROJECT, since)
                assert (feed.number, set(feed.names or ())) == (9, set(names)), since

    async def test_a_feed_that_is_not_known(self, make: MakeBackend) -> None:
        """PromptFeed.names: "None where it is not known any more, so that each may have"."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "1")
            for unknown in (2, 10**12, -1):
                feed = await store.changes(PROJECT, unknown)
                assert (feed.number, feed.names) == (1, None), unknown

    async def test_those_who_insert_change_too(self, make: MakeBackend) -> None:
        """PromptFeed.names: "Whose" prompts have changed: those too that read differently now."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "part", "1", labels=("production",))
            await publish(store, "inner", _uses("part"), labels=("production",))
            await publish(store, "outer", _uses("inner"))
            await publish(store, "apart", "1")
            number = (await store.changes(PROJECT, 0)).number
            await publish(store, "part", "2", labels=("production",))
            feed = await store.changes(PROJECT, number)
            assert set(feed.names or ()) == {"part", "inner", "outer"}

    async def test_who_waits_is_told(self, make: MakeBackend) -> None:
        """PromptStore.changes: "…or wait up to so many seconds until something has"."""
        async with opened(make()) as backend, opened(make()) as other:
            store = prompts_in(backend)
            await publish(store, "n", "1")
            feed = await store.changes(PROJECT, 1, wait=0.05)
            assert (feed.number, feed.names) == (1, ())
            waiting = asyncio.create_task(store.changes(PROJECT, 1, wait=30))
            await asyncio.sleep(0.05)
            assert not waiting.done(), waiting.result()
            await publish(prompts_in(other), "m", "1")
            feed = await waiting
            assert (feed.number, feed.names) == (2, ("m",))
            same((await store.changes(PROJECT, 0, wait=30)).number, 2)


class _InsertedSuite(Contract):
    """Prove how prompts are inside prompts, what may be deleted, and what many do at once."""

    async def test_one_prompt_inside_another(self, make: MakeBackend) -> None:
        """Prompt.graph: "What is inserted, where it was inserted"; with ``resolve=False`` the tags stay."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            deep = await publish(store, "deep", 'a "quoted" \\ 世')
            part = await publish(store, "part", f"[{_uses('deep', 'version=1')}]", labels=("production",))
            whole = await publish(store, "whole", [{"role": "user", "content": _uses("part") * 2}])
            got = await store.get(PROJECT, "whole", version=1)
            inside = '[a "quoted" \\ 世]'
            assert json.loads(bytes(got.prompt)) == [{"role": "user", "content": inside * 2}]
            assert got.graph is not None
            assert (got.graph.root.name, got.graph.root.id) == ("whole", whole.id)
            held = {key: [one.name for one in parts] for key, parts in got.graph.dependencies.items()}
            assert held == {whole.id: ["part"], part.id: ["deep"]}
            assert got.graph.dependencies[part.id][0].id == deep.id
            same(await store.get(PROJECT, "whole", version=1, resolve=False), whole)
            await publish(store, "part", "new", labels=("production",))
            assert b"newnew" in bytes((await store.get(PROJECT, "whole", version=1)).prompt)

    async def test_circles_are_refused(self, make: MakeBackend) -> None:
        """PromptStore: "ConfigError says what of a request cannot be": also a label that would close a circle."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "a", "leaf", labels=("l",))
            await publish(store, "b", _uses("a", "label=l"))
            with pytest.raises(ConfigError, match="b"):
                await publish(store, "a", _uses("b", "version=1"), labels=("l",))
            await publish(store, "c", "leaf", labels=("l",))
            await publish(store, "a", _uses("c", "label=l"))
            await publish(store, "c", _uses("b", "version=1"))
            await store.change(PROJECT, "a", LabelMove(version=2, labels=("l",)))
            for change in (LabelMove(version=2, labels=("l",)), Rollback(label="l", to=2)):
                with pytest.raises(ConfigError, match="inside itself"):
                    await store.change(PROJECT, "c", change)
            assert (await on(store, "c", "l"), (await store.get(PROJECT, "c", label="l")).version) == (1, 1)

    async def test_deleting(self, make: MakeBackend) -> None:
        """PromptStore.delete: "Remove one version, or with neither number nor label all"; no number is used again."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            for number, label in [(1, "a"), (2, "b"), (3, "c")]:
                await publish(store, "n", "x", labels=(label,), config=Raw(b"%d" % number))
            await store.delete(PROJECT, "n", version=3)
            [listed] = (await store.find(PROJECT, PromptQuery())).items
            assert (listed.versions, bytes(listed.last_config)) == ((1, 2), b"2")
            same((await publish(store, "n", "x")).version, 4)
            await store.delete(PROJECT, "n", label="a")
            assert _numbers((await store.history(PROJECT, "n")).versions) == [4, 2]
            with pytest.raises(ConfigError):
                await store.delete(PROJECT, "n", version=4, label="b")
            await store.delete(PROJECT, "n", version=4)
            await store.delete(PROJECT, "n", version=2)
            assert await _names(store) == []
            with pytest.raises(NotFound):
                await store.delete(PROJECT, "n")
            await publish(store, "n", _CHAT)
            await store.delete(PROJECT, "n")
            with pytest.raises(NotFound):
                await store.get(PROJECT, "n", version=1)

    async def test_what_others_insert_is_not_deleted(self, make: MakeBackend) -> None:
        """PromptStore.delete: "refused while other prompts insert it"; the error names which does."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "part", "1", labels=("l",))
            await publish(store, "part", "2", "3")
            await publish(store, "whole", _uses("part", "label=l") + _uses("part", "version=2"))
            refused: list[dict[str, Any]] = [{"version": 1}, {"label": "l"}, {"version": 2}, {}]
            for gone in refused:
                with pytest.raises(ConfigError, match="whole"):
                    await store.delete(PROJECT, "part", **gone)
            assert _numbers((await store.history(PROJECT, "part")).versions) == [3, 2, 1]
            await store.delete(PROJECT, "part", version=3)
            await store.change(PROJECT, "part", LabelMove(version=2, labels=("l",)))
            await store.delete(PROJECT, "part", version=1)
            await store.delete(PROJECT, "whole")
            await store.delete(PROJECT, "part")

    async def test_many_publish_at_once(self, make: MakeBackend) -> None:
        """PromptStore: "two who publish at once get two versions"; none is lost, and each has its moves and number."""
        async with opened(make()) as backend, opened(make()) as other:
            stores = [prompts_in(one) for one in (backend, other)]
            made = await asyncio.gather(
                *(publish(stores[n % 2], "ab"[n % 3 == 0], f"{n}", labels=("production",)) for n in range(12))
            )
            for name, count in (("a", 8), ("b", 4)):
                assert sorted(one.version for one in made if one.name == name) == list(range(1, count + 1))
                history = await stores[0].history(PROJECT, name)
                assert _numbers(history.versions) == list(range(count, 0, -1))
                assert [move.version for move in history.moves if move.action == "publish"] == list(range(count, 0, -1))
                befores = [move.before for move in history.moves if move.action == "label"]
                assert befores == [*range(count - 1, 0, -1), None]
                assert await on(stores[1], name, "production") == count
            same((await stores[1].changes(PROJECT, 0)).number, 12)


class PromptSuite(_VersionSuite, _ListSuite, _InsertedSuite, PromptLabelSuite):
    """Prove that a store of prompts keeps the contract."""
