"""Choosing between versions: in proportion, always the same for the same unit, and as before where it can be."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.prompts import Share
from tracecore.rollouts import choose, place_of

SALT = ("greeting", "production")
WEIGHTS = st.floats(1e-6, 1e6)
SPLITS = st.dictionaries(st.integers(1, 50), WEIGHTS, min_size=1, max_size=8).map(
    lambda found: [Share(version, weight) for version, weight in found.items()]
)


@given(SPLITS, st.text(), st.text(), st.text())
def test_a_unit_always_gets_the_same(shares: list[Share], unit: str, name: str, label: str) -> None:
    """The same unit gets the same version whoever asks and in whatever order the shares are, one of those there are."""
    version = choose(shares, unit, (name, label))
    assert version == choose(list(reversed(shares)), unit, (name, label))
    assert version in {share.version for share in shares}


@given(st.text(alphabet=st.characters(), max_size=40))
def test_any_text_has_a_place(unit: str) -> None:
    """Also one that no UTF-8 holds, between 0 and 1."""
    assert 0 <= place_of(unit, SALT) < 1


@pytest.mark.parametrize("weights", [{1: 1, 2: 1}, {1: 90, 2: 10}, {1: 1, 2: 2, 7: 7}, {3: 0.001, 4: 0.999}])
def test_shares_are_in_proportion(weights: dict[int, float]) -> None:
    """Of 20,000 units each version has its share, within four standard deviations."""
    shares = [Share(version, weight) for version, weight in weights.items()]
    count = Counter(choose(shares, f"user-{number}", SALT) for number in range(20_000))
    for version, weight in weights.items():
        part = weight / sum(weights.values())
        assert abs(count[version] - 20_000 * part) <= 4 * (20_000 * part * (1 - part)) ** 0.5 + 1


@given(st.floats(0.01, 0.98), st.floats(0, 0.5), st.text(max_size=20))
def test_a_share_that_grows_takes_nobody_elses(part: float, more: float, unit: str) -> None:
    """Who has the new version keeps it while its share grows, whatever the share is."""
    before = [Share(1, 1 - part), Share(2, part)]
    after = [Share(1, max(1e-9, 1 - part - more)), Share(2, part + more)]
    if choose(before, unit, SALT) == 2:
        assert choose(after, unit, SALT) == 2


def test_prompts_are_split_apart() -> None:
    """Who is early for one prompt is not so for every other."""
    shares = [Share(1, 1), Share(2, 1)]
    both = Counter(
        (choose(shares, str(unit), ("a", "production")), choose(shares, str(unit), ("b", "production")))
        for unit in range(4_000)
    )
    assert all(850 < count < 1_150 for count in both.values())
    assert len(both) == 4


def test_the_places_are_those_of_every_other_process() -> None:
    """They follow from SHA-256 alone; what is stored of a choice stays true."""
    assert [round(place_of(unit, SALT), 6) for unit in ("ada", "bob", "")] == [0.82879, 0.001856, 0.852992]


def test_nothing_to_choose_from() -> None:
    """Without shares there is no choice."""
    with pytest.raises(ValueError, match="not split"):
        choose([], "ada", SALT)
