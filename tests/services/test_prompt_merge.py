"""Merging lines of two sides: what is exchanged, repeated or left alone, and what nobody but a person can decide."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracecore.services.prompt_merge import Conflicting, Lines, merged, with_markers

lines = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=12)


def joined(pieces: list[Lines | Conflicting]) -> Lines:
    """Return the lines of a merge without conflicts."""
    assert not any(isinstance(piece, Conflicting) for piece in pieces)
    return [line for piece in pieces if isinstance(piece, list) for line in piece]


@given(lines, lines)
def test_what_one_side_alone_did_is_taken(base: Lines, one: Lines) -> None:
    """A side that did nothing, or the same, changes nothing of what the other did."""
    assert joined(merged(base, one, base)) == one
    assert joined(merged(base, base, one)) == one
    assert joined(merged(base, one, one)) == one


@given(lines, lines, lines)
def test_sides_may_be_exchanged(base: Lines, one: Lines, other: Lines) -> None:
    """Exchanged sides give the same lines, and the same conflicts with their sides exchanged."""
    exchanged = [
        Conflicting(piece.base, piece.other, piece.one) if isinstance(piece, Conflicting) else piece
        for piece in merged(base, other, one)
    ]
    assert merged(base, one, other) == exchanged


@given(lines, lines, lines)
def test_nothing_is_invented_or_lost(base: Lines, one: Lines, other: Lines) -> None:
    """What a person takes from one side throughout holds that side's lines and no lines that nobody wrote."""
    pieces = merged(base, one, other)
    taken = [line for piece in pieces for line in (piece.one if isinstance(piece, Conflicting) else piece)]
    assert set(taken) <= {*one, *other}
    assert {line for line in one if line not in base} <= set(taken)
    given_back = [line for piece in pieces for line in (piece.other if isinstance(piece, Conflicting) else piece)]
    assert {line for line in other if line not in base} <= set(given_back)


def test_changes_apart_from_each_other_are_merged() -> None:
    """Two people who changed different lines both get their way."""
    base = ["a\n", "b\n", "c\n", "d\n", "e\n"]
    assert joined(merged(base, ["A\n", *base[1:]], [*base[:4], "E\n", "f\n"])) == [
        "A\n",
        "b\n",
        "c\n",
        "d\n",
        "E\n",
        "f\n",
    ]
    assert joined(merged(base, base[1:], base[:-1])) == ["b\n", "c\n", "d\n"]


def test_neighbours_and_the_same_line_are_conflicts() -> None:
    """Changes of one line, and of lines side by side, are for a person, with what was there before."""
    base = ["a\n", "b\n", "c\n"]
    assert merged(base, ["a\n", "B\n", "c\n"], ["a\n", "bb\n", "c\n"]) == [
        ["a\n"], Conflicting(["b\n"], ["B\n"], ["bb\n"]), ["c\n"],
    ]  # fmt: skip
    assert isinstance(merged(base, ["A\n", *base[1:]], ["a\n", "B\n", "c\n"])[0], Conflicting)
    assert isinstance(merged(base, ["a\n", "x\n", *base[1:]], ["a\n", "c\n"])[1], Conflicting)


def test_markers_are_those_of_git() -> None:
    """A conflict stands between lines that editors know, with its three names."""
    pieces: list[Lines | Conflicting] = [["a\n"], Conflicting(["b\n"], ["B\n"], [])]
    assert "".join(with_markers(pieces, ("this file", "version 1", "version 2"))) == (
        "a\n<<<<<<< this file\nB\n||||||| version 1\nb\n=======\n>>>>>>> version 2\n"
    )


def test_one_line_again_and_again() -> None:
    """A text of one line many times is merged at once, though everything in it is in common with everything."""
    base = ["x\n"] * 50_000
    assert joined(merged(base, ["y\n", *base], [*base, "z\n"])) == ["y\n", *base, "z\n"]
