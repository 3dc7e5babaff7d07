"""What the example service reads, and how it cuts it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from examples.rag_service.corpus import (
    MAX_CHARACTERS,
    MIN_CHARACTERS,
    fingerprint,
    load_corpus,
    package_passages,
    source_passages,
    split_text,
)

SOURCE = b'''
"""The module's own docstring, long enough to be kept."""

import a_module_that_does_not_exist

class Public:
    """What the class is for, in a sentence."""

    def method(self, first, *, second=1):
        """What the method does, in a sentence."""

    def _private(self):
        """What nobody should call, in a sentence."""

async def fetch(url, /):
    """Fetch something from somewhere, in a sentence."""

def undocumented(): ...
'''


def test_docstrings_are_read_without_importing_the_module() -> None:
    """Public docstrings become passages with dotted names and arguments; the module is never run."""
    passages = source_passages("package.module", SOURCE)
    assert [passage.title for passage in passages] == [
        "package.module",
        "package.module.Public",
        "package.module.Public.method(first, second)",
        "package.module.fetch(url)",
    ]
    assert {passage.source for passage in passages} == {"package"}


def test_source_that_does_not_parse_is_left_out() -> None:
    """A broken file costs itself only."""
    assert source_passages("broken", b'def broken(:\n    """Text."""') == []
    assert source_passages("binary", b'\x00"""') == []


def test_package_descriptions_lose_their_markup() -> None:
    """Badges, images, tags and link targets are not text."""
    description = "[![badge](https://x/y.svg)](https://x)\n\n<p>A package that [does things](https://x/docs) well.</p>"
    (passage,) = package_passages("thing", description)
    assert passage.text == "A package that does things well."
    assert passage.name == "thing README 1"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), max_size=MAX_CHARACTERS), max_size=12))
def test_splitting_keeps_paragraphs_whole_and_pieces_bounded(paragraphs: list[str]) -> None:
    """Every piece is within its bounds, and consists of paragraphs of the text in their order."""
    pieces = split_text("\n\n".join(paragraphs))
    assert all(MIN_CHARACTERS <= len(piece) <= MAX_CHARACTERS for piece in pieces)
    kept = [paragraph for piece in pieces for paragraph in piece.split("\n\n")]
    remaining = iter(paragraphs)
    assert all(paragraph in remaining for paragraph in kept)


def test_the_corpus_of_this_machine_is_bounded_and_deterministic() -> None:
    """The same installation gives the same passages, the longest when there are too many, and says how far it is."""
    progress: list[tuple[int, int]] = []
    whole = load_corpus(progress=lambda _, done, total: progress.append((done, total)))
    assert 1_000 < len(whole) <= 6_000
    assert progress[-1][0] == progress[-1][1]
    assert {"asyncio", "builtins", "msgspec"} <= {passage.source for passage in whole}
    fewer = load_corpus(limit=100)
    longest = sorted(whole, key=lambda passage: len(passage.text), reverse=True)[:100]
    assert fingerprint(fewer) == fingerprint(passage for passage in whole if passage in longest)
    assert fingerprint(fewer) != fingerprint(whole)
