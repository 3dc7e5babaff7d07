"""Homes of dead processes are adopted a few at a time, and nothing is remembered of those that are gone."""

from __future__ import annotations

from pathlib import Path

from tests.journals import adopted, begun, delivered_from, emitter


def test_nothing_is_remembered_of_homes_that_are_gone(tmp_path: Path) -> None:
    """Of however many processes came and went, only the names that are still in the directory are known."""
    for number in range(6):
        dead = begun(tmp_path, f"dead-{number}")
        emitter(dead)(f"{number}")
        dead.closed = True
        dead.end()
    reader = begun(tmp_path, "reader")
    found: list[str] = []
    now = 0
    while reader.recovering:
        now += 10**11
        reader.housekeep(now)
        found += [name for lane in adopted(reader) for name in delivered_from(lane)]
        reader.farewells.clear()
    reader.housekeep(now + 10**11)
    assert sorted(found) == [f"{number}" for number in range(6)]
    home = reader._home
    assert home is not None
    assert reader._adoption.known == {home.path.name}
    reader.closed = True
    reader.end()
    assert list(tmp_path.iterdir()) == []
