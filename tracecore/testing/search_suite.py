"""The conformance suite of searching: phrases of any script, in everything that is searched, always up to date."""

from __future__ import annotations

from typing import Final

from tracecore.backend import Backend, ObservationQuery, TraceQuery
from tracecore.phrase import contains
from tracecore.records import ErrorInfo, TraceAttributes
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, observations_in, opened_with, pages_of, traces_in
from tracecore.testing.samples import PROJECT, generation, json_of, span, span_id_of, trace_id_of

__all__ = ["SearchSuite"]

_MOST_SLICES: Final = 10_000

_TEXTS: Final[tuple[str, ...]] = (
    "The quick brown fox",
    "quick, brown! foxes",
    "Crème brûlée et naïveté",
    "ПРИВЕТ, мир",
    "東京都に行きました",
    "京都で会いましょう",
    "안녕하세요 여러분",
    "สวัสดีครับ",
    "नमस्ते दुनिया",
    "fire🔥works🔥",
    "snake_case camelCase 3.14 v2",
    "STRASSE oder Straße",
    "line one\nline two\ttabbed",
    'she said "hello" \\ there',
    "e\u0301te\u0301 and \ufb01ne",
    "مرحبا بالعالم",
    "a\0nul",
    "half \ud800 pair",
)
_PHRASES: Final[tuple[str, ...]] = (
    "quick", "QUICK BROWN", "brown quick", "quick brown fox", "fox", "foxes", "qui", "ick", "creme brulee", "CRÈME",
    "naivete", "привет", "мир", "ми", "東京", "京都", "京", "都に", "東都", "行きました", "안녕", "하세요", "สวัสดี",
    "नमस्ते", "fire works", "fire", "🔥", "snake case", "snake_case", "camelcase", "case", "3 14", "3.14", "v2",
    "strasse", "straße", "one line", "line one line two", "tabbed", "said hello there", "été", "fine", "مرحبا", "nul",
    "a nul", "pair", "half pair", "", "!?", "\0", "\ud800", '"', "quick OR nothing", "quick*", "NEAR(quick)",
    "quick -fox", "nothing like this", "x" * 500,
)  # fmt: skip


class SearchSuite(Contract):
    """Prove ``Capabilities.search``: words of any script are found in payloads, by the rules of tracecore.phrase."""

    async def test_phrases_of_any_script_are_found(self, make: MakeBackend) -> None:
        """TraceQuery.search: "a phrase of words (tracecore.phrase) that must occur"; "case and accents are ignored"."""
        records = [span(n, within=n, after_s=n, input=json_of({"t": text})) for n, text in enumerate(_TEXTS, 1)]
        async with opened_with(make(), records) as backend:
            for _ in range(2):
                for phrase in _PHRASES:
                    # The name of the field is a word of the payload, too: hence the word before the text.
                    expected = [n for n, text in enumerate(_TEXTS, 1) if contains(f"t {_readable(text)}", phrase)]
                    same(await _found(backend, phrase), expected[::-1], repr(phrase))
                await _keep_house(backend)

    async def test_everything_that_is_searched(self, make: MakeBackend) -> None:
        """TraceQuery.search: "in the input, output, metadata, status message or error (type, message or stack)"."""
        word = json_of({"deep": [["needle"]]})
        places = [
            span(1, within=1, after_s=1, input=word),
            span(2, within=2, after_s=2, output=word),
            span(3, within=3, after_s=3, metadata=word),
            span(4, within=4, after_s=4, status_message="a needle here"),
            span(5, within=5, after_s=5, error=ErrorInfo("Needle")),
            span(6, within=6, after_s=6, error=ErrorInfo("E", "no needle")),
            span(7, within=7, after_s=7, error=ErrorInfo("E", "m", "at needle line 3")),
            span(8, within=8, after_s=8, name="needle", version="needle", trace=TraceAttributes(user_id="needle")),
            generation(9, within=9, after_s=9, model="needle", tool_calls=word, model_parameters=word),
            span(10, within=10, after_s=10, input=json_of({"needle": 1})),
        ]
        async with opened_with(make(), places) as backend:
            for _ in range(2):
                same(await _found(backend, "needle"), [10, 7, 6, 5, 4, 3, 2, 1])
                await _keep_house(backend)

    async def test_a_phrase_stands_in_one_text(self, make: MakeBackend) -> None:
        """TraceQuery.search: the phrase occurs in one text "of one observation", never across two."""
        records = [
            span(1, input=json_of("alpha"), output=json_of("beta")),
            span(2, input=json_of("alpha")),
            span(3, output=json_of("beta gamma")),
        ]
        async with opened_with(make(), records) as backend:
            for _ in range(2):
                same(await _found(backend, "alpha beta"), [])
                same((await _traces(backend, "alpha gamma")), [])
                same((await _traces(backend, "beta gamma")), [1])
                await _keep_house(backend)

    async def test_what_was_just_written_is_found(self, make: MakeBackend) -> None:
        """Sink.write: what was written "is then visible to reads": a search never waits for housekeeping."""
        async with opened_with(make(), [span(1, status="running", input=json_of("before"))]) as backend:
            for kept in (False, True):
                if kept:
                    await _keep_house(backend)
                await backend.write([span(2, after_s=1, input=json_of(f"fresh {kept}"))])
                same(await _found(backend, f"fresh {kept}"), [2])
            await backend.write([span(1, output=json_of("after"))])
            same(await _found(backend, "before"), [1])
            same(await _found(backend, "after"), [1])
            same(await _found(backend, "fresh false"), [])
            await _keep_house(backend)
            same(await _found(backend, "fresh false"), [])
            same(await _found(backend, "after"), [1])

    async def test_search_joins_other_conditions_and_pages(self, make: MakeBackend) -> None:
        """TraceQuery: "every condition that is set must hold", and lists of finds have pages like any other."""
        records = [
            span(
                n,
                within=n,
                after_s=n,
                input=json_of("needle" if n % 2 else "hay"),
                trace=TraceAttributes(user_id=f"u{n % 3}"),
            )
            for n in range(1, 31)
        ]
        expected = [n for n in range(30, 0, -1) if n % 2 and n % 3 == 0]
        async with opened_with(make(), records) as backend:
            for limit in (1, 2, 100):
                query = TraceQuery(search="needle", user_id="u0", limit=limit)
                pages = await pages_of(traces_in(backend).find, PROJECT, query)
                same([trace.trace_id for page in pages for trace in page], [trace_id_of(n) for n in expected])
                mine = ObservationQuery(search="needle", user_id="u0", limit=limit)
                found = await pages_of(observations_in(backend).find, PROJECT, mine)
                same([one.span_id for page in found for one in page], [span_id_of(n) for n in expected])

    async def test_search_stays_in_its_project(self, make: MakeBackend) -> None:
        """Backend: "Every read names its project": a phrase of another project is not found."""
        theirs = [span(1, project="other", input=json_of("needle")), span(2, project="other", input=json_of("needle"))]
        async with opened_with(make(), [span(1, input=json_of("hay")), *theirs]) as backend:
            for _ in range(2):
                same(await _found(backend, "needle"), [])
                same(await _traces(backend, "needle"), [])
                page = await traces_in(backend).find("other", TraceQuery(search="needle"))
                assert [trace.observation_count for trace in page.items] == [2]
                await _keep_house(backend)

    async def test_no_phrase_is_an_error(self, make: MakeBackend) -> None:
        """TraceQuery.search: a phrase is words and nothing else: no text of a person is taken for a query language."""
        async with opened_with(make(), [span(1, input=json_of("harmless"))]) as backend:
            for phrase in (*HOSTILE_TEXTS, '"', "*", "a AND", "NOT", "(", "col:x", "^a", "a*", "a + b", "{a b}"):
                same(await _found(backend, phrase), [])
                same(await _traces(backend, phrase), [])


def _readable(text: str) -> str:
    """Return a text as its JSON holds it to be read: control characters are escapes, and escapes separate."""
    return "".join(" " if char < " " or "\ud800" <= char <= "\udfff" else char for char in text)


async def _found(backend: Backend, phrase: str) -> list[int]:
    """Return the numbers of the observations in which a phrase is found."""
    page = await observations_in(backend).find(PROJECT, ObservationQuery(search=phrase))
    return [int(one.span_id, 16) for one in page.items]


async def _traces(backend: Backend, phrase: str) -> list[int]:
    page = await traces_in(backend).find(PROJECT, TraceQuery(search=phrase))
    return [int(trace.trace_id, 16) for trace in page.items]


async def _keep_house(backend: Backend) -> None:
    """Give a backend, by writing and housekeeping, every reason to index what it holds."""
    await backend.write([span(n, project="filling", within=n, input=json_of(f"filling {n}")) for n in range(1, 300)])
    for _ in range(_MOST_SLICES):
        if not await backend.maintain():
            return
    raise AssertionError(f"maintain() still returns True after {_MOST_SLICES} calls with no write between")
