"""The conformance suite of catalogs: what a commit makes, or does not, and lists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tracecore.catalog import (
    INSTALLATION,
    LARGEST_COMMIT,
    CatalogPage,
    CatalogQuery,
    CatalogStore,
    Change,
    Delete,
    Entry,
    Put,
)
from tracecore.errors import BackendRejected, Conflict, TracecoreError
from tracecore.testing.catalog_length_suite import CatalogLengthSuite, catalog_in
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, opened
from tracecore.testing.samples import PROJECT, json_of, span

__all__ = ["CatalogSuite", "catalog_in"]

_KIND: Final = "thing"
_FULL: Final = Entry(
    project=PROJECT, kind=_KIND, id="full", body=json_of({"k": [None, "é"]}), name="a name", parent="of it",
    refs=("trace:1", "label:x"), position=2**62, since_ns=5, until_ns=2**62, attachment=b"\0\xff" * 1000, revision=77,
)  # fmt: skip
"""An entry with every field set to something that is not its default."""


def _thing(id: str, **fields: Any) -> Entry:  # noqa: A002 - the name of the field
    given: dict[str, Any] = {"project": PROJECT, "kind": _KIND, "id": id, "body": json_of({"id": id}), "revision": 1}
    return Entry(**(given | fields))


_THINGS: Final[tuple[Entry, ...]] = (
    _thing("0", position=3, name="apple", parent="p", refs=("r", "s")),
    _thing("1", position=1, name="app", parent="p", refs=("r",), since_ns=10),
    _thing("2", position=1, name="Apple", parent="q", refs=("s", "t"), since_ns=10, until_ns=20),
    _thing("3", position=1, parent="q", since_ns=20),
    _thing("4", position=-5, name="", refs=("r", "s", "t"), until_ns=10),
    _thing("5", position=-(2**63), name="banana", parent="", refs=("",)),
    _thing("6", position=2**63 - 1, name="ap%", since_ns=-(2**63), until_ns=2**63 - 1),
)
"""Seven entries, by whose numbers the conditions below say what they select; in the order of lists: 6 0 3 2 1 4 5."""
_CONDITIONS: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({}, "6032145"),
    ({"parent": "p"}, "01"),
    ({"parent": "q"}, "32"),
    ({"parent": ""}, "5"),
    ({"parent": "nobody"}, ""),
    ({"name": "app"}, "1"),
    ({"name": ""}, "4"),
    ({"name": "APP"}, ""),
    ({"prefix": "app"}, "01"),
    ({"prefix": "ap%"}, "6"),
    ({"prefix": "a"}, "601"),
    ({"prefix": ""}, "602145"),
    ({"prefix": "applesauce"}, ""),
    ({"refs": ("r",)}, "014"),
    ({"refs": ("s", "r")}, "04"),
    ({"refs": ("r", "s", "t")}, "4"),
    ({"refs": ("r", "r")}, "014"),
    ({"refs": ("",)}, "5"),
    ({"refs": ("unknown",)}, ""),
    ({"at_ns": 0}, "6045"),
    ({"at_ns": 9}, "6045"),
    ({"at_ns": 10}, "60215"),
    ({"at_ns": 19}, "60215"),
    ({"at_ns": 20}, "60315"),
    ({"at_ns": 2**63 - 1}, "0315"),
    ({"at_ns": -1}, "6"),
    ({"min_position": 1}, "60321"),
    ({"min_position": 4}, "6"),
    ({"max_position": 1}, "32145"),
    ({"max_position": -(2**63)}, "5"),
    ({"min_position": 1, "max_position": 1}, "321"),
    ({"min_position": 2, "max_position": 1}, ""),
)
"""What is asked for, and the ids of the entries that are found."""


def _puts(entries: Iterable[Entry], expected: int | None = None) -> list[Change]:
    return [Put(entry, expected) for entry in entries]


def _query(conditions: Mapping[str, Any], kind: str = _KIND) -> CatalogQuery:
    return CatalogQuery(kind=kind, **conditions)


def _listed(entry: Entry) -> Entry:
    return replace(entry, attachment=b"")


async def _ids(catalog: CatalogStore, query: CatalogQuery, project: str = PROJECT) -> list[str]:
    return [entry.id for entry in (await catalog.find(project, query)).items]


class _CommitSuite(Contract):
    """Prove that changes are made together or not at all, each on its condition."""

    async def test_an_entry_is_there_as_it_was_put(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """CatalogStore.commit: "returns after they are durable, and visible to reads", also through another backend."""
        expected = replace(_FULL, revision=1)
        async with opened(make()) as backend:
            await catalog_in(backend).commit([Put(_FULL)])
            async with opened(make_reader()) as reader:
                for catalog in (catalog_in(backend), catalog_in(reader)):
                    same(await catalog.get(PROJECT, _KIND, "full"), expected)
                    same(await catalog.named(PROJECT, _KIND, "a name"), expected)
                    page = await catalog.find(PROJECT, CatalogQuery(kind=_KIND))
                    same(page, CatalogPage([_listed(expected)], 1))
        async with opened(make()) as again:
            same(await catalog_in(again).get(PROJECT, _KIND, "full"), expected)

    async def test_a_put_writes_an_entry_as_a_whole(self, make: MakeBackend) -> None:
        """Put: "Write an entry as a whole": nothing of the one before stays, neither reference nor attachment."""
        bare = _thing("full")
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit([Put(_FULL)])
            await catalog.commit([Put(bare)])
            same(await catalog.get(PROJECT, _KIND, "full"), replace(bare, revision=2))
            assert await catalog.named(PROJECT, _KIND, "a name") is None
            for query in ({"refs": ("trace:1",)}, {"parent": "of it"}, {"prefix": ""}, {"min_position": 1}):
                assert await _ids(catalog, _query(query)) == [], query

    async def test_the_store_counts_revisions(self, make: MakeBackend) -> None:
        """Entry.revision: "How often it was written, counted by the store; what a Put says here is ignored"."""
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            for revision in range(1, 4):
                await catalog.commit([Put(_thing("1", revision=9), revision - 1)])
                found = await catalog.get(PROJECT, _KIND, "1")
                assert found is not None
                assert found.revision == revision
            await catalog.commit([Put(_thing("1")), Put(_thing("1"), 4), Delete(PROJECT, _KIND, "1", 5)])
            assert await catalog.get(PROJECT, _KIND, "1") is None
            await catalog.commit([Put(_thing("1"), 0)])
            same(await catalog.get(PROJECT, _KIND, "1"), _thing("1"))

    async def test_an_entry_that_was_deleted_is_gone(self, make: MakeBackend) -> None:
        """Delete: "Remove an entry; one that is not there is no error, unless a revision is expected"."""
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit([Put(_FULL), Put(_thing("kept", refs=("trace:1",)))])
            await catalog.commit([Delete(PROJECT, _KIND, "full"), Delete(PROJECT, _KIND, "nobody")])
            for missing in ("full", "nobody"):
                assert await catalog.get(PROJECT, _KIND, missing) is None
                await catalog.commit([Delete(PROJECT, _KIND, missing), Delete(PROJECT, _KIND, missing, 0)])
                with pytest.raises(Conflict, match="is not there any more, not 1"):
                    await catalog.commit([Delete(PROJECT, _KIND, missing, 1)])
            assert await catalog.named(PROJECT, _KIND, "a name") is None
            assert await _ids(catalog, CatalogQuery(kind=_KIND, refs=("trace:1",))) == ["kept"]

    async def test_who_is_second_is_told(self, make: MakeBackend) -> None:
        """CatalogStore.commit: "Raises Conflict when an entry does not have the revision that was expected"."""
        wrong: tuple[tuple[Change, str], ...] = (
            (Put(_thing("a"), 0), f"there is a {_KIND} 'a' already"),
            (Put(_thing("a"), 1), f"{_KIND} 'a' has revision 2, not 1"),
            (Delete(PROJECT, _KIND, "a", 3), f"{_KIND} 'a' has revision 2, not 3"),
            (Put(_thing("b"), 1), f"{_KIND} 'b' is not there any more, not 1"),
            (Put(_thing("b", name="taken")), f"there is another {_KIND} named 'taken'"),
        )
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit([*_puts([_thing("a", name="taken"), _thing("x")]), Put(_thing("a", name="taken"))])
            before = await catalog.find(PROJECT, CatalogQuery(kind=_KIND))
            for change, message in wrong:
                others = _puts([_thing("new", name="new", refs=("r",), attachment=b"1"), _thing("x", name="x")])
                for changes in ([change], [*others, change], [change, *others], [Delete(PROJECT, _KIND, "x"), change]):
                    with pytest.raises(Conflict, match=message):
                        await catalog.commit(changes)
                    same(await catalog.find(PROJECT, CatalogQuery(kind=_KIND)), before, change)
                    assert await catalog.get(PROJECT, _KIND, "new") is None
                    assert await _ids(catalog, CatalogQuery(kind=_KIND, refs=("r",))) == []
            await catalog.commit([Put(_thing("a"), 2)])

    async def test_changes_are_made_in_their_order(self, make: MakeBackend) -> None:
        """CatalogStore.commit: "Make all changes, in their order": each finds what those before it have made."""
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts([_thing("a", name="one"), _thing("b", name="two")]))
            moved = _thing("c", name="one", refs=("r",))
            await catalog.commit([Delete(PROJECT, _KIND, "a", 1), Put(moved, 0), Put(_thing("a", name="three"), 0)])
            same(await catalog.named(PROJECT, _KIND, "one"), moved)
            # Two change names by way of a third.
            swapped = [_thing("a", name="for now"), _thing("b", name="three"), _thing("a", name="two")]
            await catalog.commit(_puts(swapped))
            same(await catalog.named(PROJECT, _KIND, "two"), replace(swapped[2], revision=3))
            same(await catalog.named(PROJECT, _KIND, "three"), replace(swapped[1], revision=2))
            with pytest.raises(Conflict):
                await catalog.commit(_puts([_thing("b", name="two"), _thing("a", name="three")]))
            await catalog.commit([Put(_thing("d"), 0), Delete(PROJECT, _KIND, "d", 1), Delete(PROJECT, _KIND, "d", 0)])
            assert await catalog.get(PROJECT, _KIND, "d") is None

    async def test_names_are_of_a_project_and_kind(self, make: MakeBackend) -> None:
        """Entry.name: "no two entries of a project and kind have the same"; those of others may, and of one again."""
        others = [
            _thing("1", name="n"), _thing("1", name="n", project="other"), _thing("1", name="n", kind="other"),
            _thing("1", name="n", project=INSTALLATION), _thing("2", name="N"), _thing("3"), _thing("4"),
        ]  # fmt: skip
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts(others, 0))
            await catalog.commit([Put(others[0], 1)])
            with pytest.raises(Conflict, match="named 'n'"):
                await catalog.commit([Put(_thing("3", name="n"))])
            await catalog.commit([Put(_thing("1"))])
            await catalog.commit([Put(_thing("3", name="n"))])
            same(await catalog.named(PROJECT, _KIND, "n"), _thing("3", name="n", revision=2))
            same(await catalog.named("other", _KIND, "n"), others[1])

    async def test_entries_of_projects_and_kinds_stay_apart(self, make: MakeBackend) -> None:
        """Entry: "(project, kind, id) is its identity": nothing that is done to one is done to another."""
        places = [(PROJECT, _KIND), ("other", _KIND), (PROJECT, "other"), (INSTALLATION, _KIND), ("", "")]
        full = [replace(_FULL, project=project, kind=kind, parent=kind, revision=1) for project, kind in places]
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts(full, 0))
            for entry in full:
                same(await catalog.get(entry.project, entry.kind, "full"), entry)
                asked = CatalogQuery(kind=entry.kind, refs=("label:x",), prefix="a", at_ns=5)
                same(await catalog.find(entry.project, asked), CatalogPage([_listed(entry)], 1))
            await catalog.commit([Delete("other", _KIND, "full"), Put(_thing("full", kind="other"))])
            for entry in (full[0], full[3], full[4]):
                same(await catalog.get(entry.project, entry.kind, "full"), entry)
                same((await catalog.find(entry.project, CatalogQuery(kind=entry.kind, refs=("trace:1",)))).total, 1)

    async def test_bodies_are_kept_as_they_are(self, make: MakeBackend) -> None:
        """Entry.body: "JSON, as the service that owns the kind writes it", to the last character."""
        texts = ('{"b": 1,  "a":1}', "[1e400, -0.0, 12345678901234567890123]", '"\\u0000\\ud800"', '"é"', "0", '""')
        bodies = [Raw(text.encode()) for text in texts] + [json_of("\ud800"), json_of({"long": "x" * 500_000})]
        async with opened(make()) as backend:
            await catalog_in(backend).commit(_puts(_thing(str(n), body=body) for n, body in enumerate(bodies)))
            for number, body in enumerate(bodies):
                found = await catalog_in(backend).get(PROJECT, _KIND, str(number))
                assert found is not None
                assert bytes(found.body) == bytes(body)

    async def test_texts_of_entries_are_of_any_kind(self, make: MakeBackend) -> None:
        """Backend: ids and texts are of any kind: NUL, lone surrogates and every script, wherever a text stands."""
        spoken = [
            Entry(
                project=text, kind=text, id=text, body=json_of({text: text}), name=text, parent=text, revision=1,
                refs=(text, "r"), attachment=text.encode("utf-8", "surrogatepass"),
            )
            for text in HOSTILE_TEXTS
        ]  # fmt: skip
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts(spoken, 0))
            for entry in spoken:
                text = entry.project
                same(await catalog.get(text, text, text), entry)
                same(await catalog.named(text, text, text), entry)
                for asked in ({"name": text}, {"parent": text}, {"refs": (text, "r")}, {"prefix": text}):
                    found = await catalog.find(text, _query(asked, text))
                    same(found, CatalogPage([_listed(entry)], 1), asked)
                with pytest.raises(Conflict):
                    await catalog.commit([Put(replace(entry, id=text + "2"))])
            await catalog.commit([Put(replace(entry, refs=()), 1) for entry in spoken])
            await catalog.commit([Delete(text, text, text, 2) for text in HOSTILE_TEXTS])
            assert [await catalog.get(text, text, text) for text in HOSTILE_TEXTS] == [None] * len(HOSTILE_TEXTS)

    async def test_a_commit_has_a_limit(self, make: MakeBackend) -> None:
        """CatalogStore.commit: "BackendRejected for more than LARGEST_COMMIT changes", of which none is made."""
        every = [_thing(f"{n:04}", name=f"n{n}", refs=("r",)) for n in range(LARGEST_COMMIT + 1)]
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            with pytest.raises(BackendRejected, match="a commit of 1001 changes"):
                await catalog.commit(_puts(every))
            assert (await catalog.find(PROJECT, CatalogQuery(kind=_KIND))).total == 0
            await catalog.commit([])
            await catalog.commit(_puts(every[:-1], 0))
            await catalog.commit(_puts(every[:-1], 1))
            page = await catalog.find(PROJECT, CatalogQuery(kind=_KIND, limit=1000, refs=("r",), ascending=True))
            same([entry.id for entry in page.items], [entry.id for entry in every[:-1]])

    async def test_values_out_of_range_are_refused_whole(self, make: MakeBackend) -> None:
        """Backend: "BackendRejected (never will)", where a store cannot hold a value; else it is kept."""
        strange = _thing("strange", position=2**63)
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            try:
                await catalog.commit(_puts([_thing("1"), strange]))
            except BackendRejected:
                assert await _ids(catalog, CatalogQuery(kind=_KIND)) == []
            else:
                same(await catalog.get(PROJECT, _KIND, "strange"), strange)
            await catalog.commit(_puts([_thing("2")]))

    async def test_a_reader_and_a_closed_backend_commit_nothing(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Backend: a reader refuses to change; what is not open raises "for misuse a subclass of TracecoreError"."""
        backend = make()
        catalog = catalog_in(backend)
        asked = (PROJECT, _KIND, "1")
        for attempt in (catalog.commit([Put(_thing("1"))]), catalog.get(*asked), catalog.named(*asked)):
            with pytest.raises(TracecoreError):
                await attempt
        async with opened(backend), opened(make_reader()) as reader:
            with pytest.raises(BackendRejected):
                await catalog_in(reader).commit([Put(_thing("1"))])
            assert await catalog_in(reader).get(*asked) is None


class _TogetherSuite(Contract):
    """Prove that of many who change the same nobody loses a change."""

    async def test_one_of_two_makes_an_entry(self, make: MakeBackend) -> None:
        """Put.expected: "0 where it must not be there": of two that both expect so, one is told that it is second."""
        async with opened(make()) as one, opened(make()) as other:
            for number in range(30):
                mine, theirs = (_thing(str(number), body=json_of(who)) for who in ("one", "other"))
                outcomes = await asyncio.gather(
                    catalog_in(one).commit([Put(mine, 0)]),
                    catalog_in(other).commit([Put(theirs, 0)]),
                    return_exceptions=True,
                )
                assert {type(outcome) for outcome in outcomes} == {Conflict, type(None)}, outcomes
                winner = mine if outcomes[0] is None else theirs
                same(await catalog_in(other).get(PROJECT, _KIND, str(number)), winner)

    async def test_no_change_is_lost(self, make: MakeBackend) -> None:
        """CatalogStore.commit: "Commits of several processes happen one after the other": a counter counts."""
        async with opened(make()) as one, opened(make()) as other:
            await catalog_in(one).commit([Put(_thing("counter", body=json_of(0)))])
            counted = await asyncio.gather(
                *(_count(catalog_in(backend), 50) for backend in (one, other) for _ in range(2))
            )
            found = await catalog_in(other).get(PROJECT, _KIND, "counter")
            assert found is not None
            assert (sum(counted), json.loads(bytes(found.body)), found.revision) == (200, 200, 201)

    async def test_commits_run_beside_each_other_and_beside_writes(self, make: MakeBackend) -> None:
        """CatalogStore: "Commits may run beside each other, and beside reads and writes" of one opened backend."""
        names = [f"n{number}" for number in range(20)]
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await asyncio.gather(
                *(catalog.commit([Put(_thing(name, name=name, refs=("r",)), 0)]) for name in names),
                *(catalog.find(PROJECT, CatalogQuery(kind=_KIND)) for _ in names),
                backend.write([span(number) for number in range(1, 300)]),
            )
            assert sorted(await _ids(catalog, CatalogQuery(kind=_KIND, refs=("r",)))) == sorted(names)


async def _count(catalog: CatalogStore, times: int) -> int:
    """Add one to a counter so many times, each time again until nobody else was first."""
    done = 0
    while done < times:
        found = await catalog.get(PROJECT, _KIND, "counter")
        assert found is not None
        try:
            await catalog.commit([Put(replace(found, body=json_of(json.loads(bytes(found.body)) + 1)), found.revision)])
        except Conflict:
            continue
        done += 1
    return done


class CatalogSuite(_CommitSuite, _TogetherSuite, CatalogLengthSuite):
    """Prove that entries are kept and found as :class:`tracecore.catalog.CatalogStore` says."""

    async def test_every_condition_selects_the_entries_it_names(self, make: MakeBackend) -> None:
        """CatalogQuery: "every condition that is set must hold", alone, with each other one, and counted."""
        asked = [*_CONDITIONS, *_pairs(_CONDITIONS)]
        strangers = [replace(entry, kind="other") for entry in _THINGS] + [
            replace(entry, project="other") for entry in _THINGS
        ]
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts([*_THINGS, *strangers]))
            for conditions, ids in asked:
                page = await catalog.find(PROJECT, _query(conditions))
                same(page, CatalogPage([_THINGS[int(one)] for one in ids], len(ids)), conditions)
            unknown = await catalog.find("nobody's", CatalogQuery(kind=_KIND))
            same((unknown, await catalog.find(PROJECT, CatalogQuery(kind=""))), (CatalogPage([], 0),) * 2)

    async def test_pages_are_numbered(self, make: MakeBackend) -> None:
        """CatalogQuery: "an offset skips that many entries"; ``total`` is "how many the query selects in all"."""
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts(_THINGS))
            for conditions, ids in _CONDITIONS:
                for limit in (1, 2, 1000):
                    for ascending in (False, True):
                        asked = _query({"limit": limit, "ascending": ascending, **conditions})
                        found: list[str] = []
                        for offset in range(0, len(ids) + 2 * limit, limit):
                            page = await catalog.find(PROJECT, replace(asked, offset=offset))
                            assert page.total == len(ids), (asked, offset)
                            assert len(page.items) <= limit
                            found += [entry.id for entry in page.items]
                        same("".join(found), ids[::-1] if ascending else ids, asked)

    async def test_ties_are_by_id(self, make: MakeBackend) -> None:
        """CatalogQuery: "Highest position first, ties by id descending", of every script by code points."""
        ids = ["", " ", "0", "10", "9", "A", "a", "a\0", "a\0b", "ab", "é", "Ж", "日", "\uffff", "\U0010ffff"]
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts(_thing(one, position=7, parent="p", refs=("r",)) for one in ids))
            for more in ({}, {"parent": "p"}, {"refs": ("r",)}):
                same(await _ids(catalog, _query({"ascending": True, **more})), sorted(ids))
                same(await _ids(catalog, _query(more)), sorted(ids, reverse=True))

    async def test_pages_out_of_range_are_refused(self, make: MakeBackend) -> None:
        """CatalogStore.find: "Raises BackendRejected for a limit, offset or length out of range"."""
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts(_THINGS))
            asked = CatalogQuery(kind=_KIND)
            wrong = [replace(asked, limit=limit) for limit in (0, -1, 1001)]
            wrong += [replace(asked, offset=offset) for offset in (-1, 2**63)]
            for query in (*wrong, *(replace(asked, max_bytes=length) for length in (0, -1, 2**63))):
                with pytest.raises(BackendRejected):
                    await catalog.find(PROJECT, query)
            same(await catalog.find(PROJECT, CatalogQuery(kind=_KIND, offset=2**40)), CatalogPage([], len(_THINGS)))

    async def test_a_prefix_is_the_beginning_of_any_text(self, make: MakeBackend) -> None:
        """CatalogQuery: "prefix is the beginning of the name", whatever characters are in either."""
        names = [
            *HOSTILE_TEXTS,
            "before",
            "before\0",
            "\ud800\udc00",
            "e\u0301te",
            "日本",
            "日",
            "\U0010ffff\U0010ffff",
        ]
        things = [_thing(f"{n:02}", name=name, position=n) for n, name in enumerate(names)]
        prefixes = {name[:length] for name in names for length in range(len(name) + 1)}
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts(things, 0))
            for prefix in sorted(prefixes):
                expected = [one for one in things if one.name is not None and one.name.startswith(prefix)]
                found = await catalog.find(PROJECT, CatalogQuery(kind=_KIND, prefix=prefix, ascending=True))
                same(found, CatalogPage(expected, len(expected)), repr(prefix))

    async def test_attachments_come_with_one_entry_only(self, make: MakeBackend) -> None:
        """Entry.attachment: "get and named return them, lists do not"; any bytes, and many of them."""
        attached = [_thing("none"), _thing("big", name="big", attachment=bytes(range(256)) * 8192)]
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit(_puts(attached, 0))
            same(await catalog.get(PROJECT, _KIND, "none"), attached[0])
            same(await catalog.get(PROJECT, _KIND, "big"), attached[1])
            same(await catalog.named(PROJECT, _KIND, "big"), attached[1])
            page = await catalog.find(PROJECT, CatalogQuery(kind=_KIND, ascending=True))
            same(page.items, [_listed(attached[1]), attached[0]])

    async def test_references_are_without_repeats(self, make: MakeBackend) -> None:
        """Entry.refs: "without repeats": a reference that is said twice is there once."""
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit([Put(_thing("1", refs=("b", "a", "b", "c", "a")))])
            await catalog.commit([Put(_thing("1", refs=("c", "c", "a")))])
            same(await catalog.get(PROJECT, _KIND, "1"), _thing("1", refs=("c", "a"), revision=2))
            assert [await _ids(catalog, CatalogQuery(kind=_KIND, refs=(ref,))) for ref in "abc"] == [["1"], [], ["1"]]


def _pairs(conditions: Sequence[tuple[dict[str, Any], str]]) -> Iterable[tuple[dict[str, Any], str]]:
    """Yield every two conditions on different fields, and what both of them select."""
    for (one, ids), (other, theirs) in combinations(conditions, 2):
        if one and other and not one.keys() & other.keys():
            yield one | other, "".join(found for found in ids if found in theirs)
