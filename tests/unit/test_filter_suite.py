"""The suite of conditions finds what it is there to find: each mistake that is planted in what they mean fails it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from tracecore import filtering
from tracecore.backend import ObservationQuery
from tracecore.conditions import Condition
from tracecore.memory import MemoryBackend, open_backend
from tracecore.phrase import Phrase
from tracecore.testing.filter_suite import FilterSuite

numbers = count()
Patch = pytest.MonkeyPatch


def failures(backend: Callable[[str], Any] = open_backend) -> Iterator[str]:
    """Yield the names of the tests that fail."""
    for name, test in inspect.getmembers(FilterSuite, inspect.iscoroutinefunction):
        if not name.startswith("test_"):
            continue
        url = f"memory:filters{next(numbers)}"
        given = {"make": lambda url=url: backend(url)} if "make" in inspect.signature(test).parameters else {}
        try:
            asyncio.run(test(FilterSuite(), **given))
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a plant may fail in any way
            yield name


def no_default_environment(patch: Patch) -> None:
    """An observation without an environment is in none."""
    patch.setitem(filtering._TEXTS, "environment", lambda span: span.trace.environment)


def own_version_only(patch: Patch) -> None:
    """The version of a trace is not that of its observations."""
    patch.setitem(filtering._TEXTS, "version", lambda span: span.version)


def whole_milliseconds(patch: Patch) -> None:
    """A latency is cut off."""
    patch.setitem(filtering._NUMBERS, "latency", lambda span: (span.duration_ns or 0) // 10**6 * 10**6)


def unknown_is_nothing(patch: Patch) -> None:
    """What runs has lasted no time."""
    patch.setitem(filtering._NUMBERS, "latency", lambda span: span.duration_ns or 0)


def no_cost_is_none(patch: Patch) -> None:
    """Costs that are unknown are 0."""
    patch.setattr(
        filtering, "cost_of", lambda costs, direction: sum(v for k, v in (costs or {}).items() if direction in k)
    )


def binary_seconds(patch: Patch) -> None:
    """A tenth of a second is the float next to it."""
    patch.setattr(filtering, "seconds", lambda value: value * 1e9 * (1 + 2e-16))


def any_part_of_a_word(patch: Patch) -> None:
    """A part of a word is a match."""
    patch.setattr(filtering, "_phrase", lambda text: Phrase(""))
    patch.setattr(Phrase, "stands_in", lambda self, text: True)


def case_of_bodies(patch: Patch) -> None:
    """Case counts everywhere."""
    matches = filtering._matches
    patch.setattr(filtering, "_matches", lambda text, condition, *, any_case: matches(text, condition, any_case=False))


def case_of_members(patch: Patch) -> None:
    """Case counts nowhere."""
    matches = filtering._matches
    patch.setattr(filtering, "_matches", lambda text, condition, *, any_case: matches(text, condition, any_case=True))


def first_member(patch: Patch) -> None:
    """What is said of a trace does not lie over what the observation says."""
    meets = filtering.metadata_meets
    patch.setattr(filtering, "metadata_meets", lambda own, of_trace, condition: meets(of_trace, own, condition))


def texts_as_json(patch: Patch) -> None:
    """A payload that is a text is compared with its quotes."""
    patch.setattr(filtering, "_text_of", lambda encoded: encoded)


def truth_is_one(patch: Patch) -> None:
    """A boolean is a number."""
    patch.setattr(filtering, "_number_in", {"true": 1}.get)


def one_tag_for_all(patch: Patch) -> None:
    """One tag is enough for all of them."""
    meets: Any = filtering.tags_meet

    def lenient(tags: tuple[str, ...], condition: Condition) -> bool:
        operator = "any of" if condition.operator == "all of" else condition.operator
        return bool(meets(tags, Condition("tags", operator, condition.value)))

    patch.setattr(filtering, "tags_meet", lenient)


PLANTS = [
    no_default_environment, own_version_only, whole_milliseconds, unknown_is_nothing, no_cost_is_none, binary_seconds,
    any_part_of_a_word, case_of_bodies, case_of_members, first_member, texts_as_json, truth_is_one, one_tag_for_all,
]  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_mistake_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """Some test fails for every mistake."""
    plant(monkeypatch)
    assert list(failures()), plant.__doc__


def test_a_backend_that_forgets_a_condition_is_found() -> None:
    """A backend that looks at the first condition only, or hands out payloads, fails."""

    class First(MemoryBackend):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            find = self.observations.find

            async def forgetful(project: str, query: ObservationQuery) -> Any:
                return await find(
                    project, ObservationQuery(limit=query.limit, cursor=query.cursor, where=query.where[:1])
                )

            vars(self.observations)["find"] = forgetful

    honest = open_backend("memory:first")
    found = set(failures(lambda url: First(honest._data.__class__(), location=url, access="write")))
    assert "test_conditions_stand_beside_everything_else" in found


def test_an_honest_backend_passes() -> None:
    """Without a mistake nothing fails."""
    assert list(failures()) == []
