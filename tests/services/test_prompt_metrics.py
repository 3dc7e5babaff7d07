"""Metrics of prompts: what comes out is what was worked out by hand, whatever keeps the records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from tests.http_server import room_names, served
from tests.postgres_server import Database
from tests.prompt_uses import EXPECTED, NAME, keep_uses
from tracecore import memory
from tracecore.backend import Backend
from tracecore.errors import BackendRejected, ConfigError, NotFound
from tracecore.plugins import open_backend
from tracecore.services import prompt_metrics
from tracecore.services.prompt_metrics import MOST_VALUES, VersionMetrics, metrics
from tracecore.testing.comparing import same
from tracecore.testing.opening import opened
from tracecore.testing.samples import PROJECT, SECOND, START, generation, score, span_id_of, trace_id_of


@pytest.fixture
def server() -> Iterator[str]:
    """Return the URL of a server."""
    with served() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "postgres", "http"])
async def backend(request: pytest.FixtureRequest, tmp_path: object) -> AsyncIterator[Backend]:
    """Return an open backend of each kind."""
    match request.param:
        case "memory":
            made: Backend = memory.open_backend(f"memory:{next(room_names)}")
        case "sqlite":
            made = open_backend(f"sqlite:///{tmp_path}/a.db")
        case "postgres":
            database: Database = request.getfixturevalue("postgres")
            made = open_backend(database.url())
        case _:
            made = open_backend(f"{request.getfixturevalue('server')}/{next(room_names)}")
    async with opened(made):
        yield made


async def test_what_was_worked_out_by_hand(backend: Backend) -> None:
    """Every figure of every version, the newest first: what is unknown, of something else, or elsewhere is in none."""
    await keep_uses(backend)
    same(await metrics(backend, PROJECT, NAME), EXPECTED)


async def test_within_a_time(backend: Backend) -> None:
    """Generations count by their start, scores by when they were given; versions that are kept are there too."""
    await keep_uses(backend)
    found = await metrics(backend, PROJECT, NAME, since_ns=START + SECOND, until_ns=START + 3 * SECOND)
    same(
        [(one.version, one.generations, len(one.scores)) for one in found], [(4, 0, 0), (3, 0, 0), (2, 1, 0), (1, 1, 0)]
    )
    same((found[-1].errors, found[-1].total_cost, found[-1].unknown_costs), (1, None, 1))
    later = await metrics(backend, PROJECT, NAME, since_ns=START + 9 * SECOND)
    same([(one.generations, [score.values for score in one.scores]) for one in later[-1:]], [(0, [{"blue": 1}])])


@pytest.mark.parametrize("most", [5, 6])
async def test_more_than_one_answer_holds(backend: Backend, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """What takes several answers of the backend is the same as in one: no group is lost or there twice."""
    monkeypatch.setattr(prompt_metrics, "LARGEST_ANSWER", most)
    await keep_uses(backend)
    same(await metrics(backend, PROJECT, NAME), EXPECTED)


async def test_many_versions_in_small_answers(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are read answer by answer, each once, also where one version fills an answer."""
    monkeypatch.setattr(prompt_metrics, "LARGEST_ANSWER", 2)
    used = [generation(n, prompt_name="old", prompt_version=n) for n in range(1, 8)]
    given = [score(f"{n}", name=f"s{n}", value=1.0, trace_id=trace_id_of(1), observation_id=span_id_of(n))
             for n in range(1, 8)]  # fmt: skip
    await backend.write([*used, *given])
    found = await metrics(backend, PROJECT, "old")
    same([(one.version, one.generations, [s.name for s in one.scores]) for one in found],
         [(n, 1, [f"s{n}"]) for n in range(7, 0, -1)])  # fmt: skip


async def test_many_values(backend: Backend) -> None:
    """Of the values of a score the most frequent are told apart; what others there are is counted."""
    values = [f"v{n}" for n in range(MOST_VALUES + 10)] + ["often"] * 3 + ["\ud800", "\0"] * 2
    given = [
        score(f"{n}", name="mood", data_type="CATEGORICAL", string_value=value, trace_id=trace_id_of(1),
              observation_id=span_id_of(1))
        for n, value in enumerate(values)
    ]  # fmt: skip
    await backend.write([generation(1, prompt_name="old", prompt_version=1), *given])
    [[found]] = [one.scores for one in await metrics(backend, PROJECT, "old")]
    same(next(iter(found.values.items())), ("often", 3))
    same({value: found.values[value] for value in ("\ud800", "\0")}, {"\ud800": 2, "\0": 2})
    same((len(found.values), found.count, found.other_values), (MOST_VALUES, len(values), 13))


async def test_a_name_that_is_not_there(backend: Backend) -> None:
    """A name that nobody knows is an error that says what is nearby; in another project it is not there either."""
    await keep_uses(backend)
    with pytest.raises(NotFound, match=NAME):
        await metrics(backend, PROJECT, "support/answr")
    with pytest.raises(NotFound):
        await metrics(backend, "nobody's", NAME)


async def test_a_time_that_ends_before_it_begins(backend: Backend) -> None:
    """It is refused, with both ends."""
    with pytest.raises(ConfigError, match=f"until_ns = {START}.*later than the beginning, {START}"):
        await metrics(backend, PROJECT, NAME, since_ns=START, until_ns=START)


async def test_names_of_any_kind(backend: Backend) -> None:
    """A name is compared as it is: no part of it is a pattern, or SQL."""
    hostile = "a'); DROP TABLE tc_observations; -- %_\\"
    await backend.write([
        generation(1, prompt_name=hostile, prompt_version=1), generation(2, prompt_name="a", prompt_version=1),
        replace(generation(3, prompt_name=hostile, prompt_version=1), project="other"),
    ])  # fmt: skip
    found: list[VersionMetrics] = await metrics(backend, PROJECT, hostile)
    same([(one.version, one.generations) for one in found], [(1, 1)])


async def test_what_measures_nothing_says_so(tmp_path: object) -> None:
    """A backend that only takes records is an error that names what would do."""
    async with opened(open_backend(f"jsonl:{tmp_path}/lines")) as lines:
        with pytest.raises(BackendRejected, match="keeps no measures that can be read"):
            await metrics(lines, PROJECT, NAME)
