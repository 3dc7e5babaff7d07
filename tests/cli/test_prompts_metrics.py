"""``tracecore prompts metrics``: figures for people and for programs, and the differences that are worth a look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest

from tests.cli.recorded import Cli
from tests.http_server import room_names, served
from tests.prompt_uses import EXPECTED, NAME, keep_uses
from tracecore.backend import Backend
from tracecore.catalog_prompts import prompts_of
from tracecore.plugins import open_backend
from tracecore.prompts import LabelMove
from tracecore.services.prompt_metrics import VersionMetrics
from tracecore.testing.comparing import same
from tracecore.testing.opening import opened, opened_with
from tracecore.testing.samples import PROJECT, generation, new_prompt, score, span_id_of, trace_id_of


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def server() -> Iterator[str]:
    """Return the URL of a server."""
    with served() as url:
        yield url


def kept(url: str) -> str:
    """Keep the uses that were worked out by hand, and return the URL."""

    async def keep() -> None:
        async with opened(open_backend(url)) as backend:
            await keep_uses(backend)

    anyio.run(keep)
    return url


@pytest.mark.parametrize("kind", ["memory", "sqlite", "http"])
def test_for_programs(cli: Cli, tmp_path: Path, server: str, kind: str) -> None:
    """``--json`` has every figure of every version, whatever keeps them."""
    room = next(room_names)
    url = kept({"memory": f"memory:{room}", "sqlite": f"sqlite:///{tmp_path}/a.db", "http": f"{server}/{room}"}[kind])
    result = cli("prompts", "metrics", NAME, "--backend", url, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json["name"] == NAME
    same(msgspec.convert(result.json["versions"], list[VersionMetrics]), EXPECTED)


def test_for_people(cli: Cli, tmp_path: Path) -> None:
    """Versions stand below each other with their labels; what is unknown is a dash, a cost of a part at least that."""
    result = cli("prompts", "metrics", NAME, "--backend", kept(f"sqlite:///{tmp_path}/a.db"))
    assert result.code == 0, result.err
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    third = "2026-09-21 14:13:23"
    assert lines[1:6] == [
        "9 1 0, 0.0% 1.00 s 1.00 s - - - $0.25 $0.25 2026-09-21 14:13:24 2026-09-21 14:13:24",
        "4 latest 0 - - - - - - - - - -",
        f"3 production 0.25 1 1, 100.0% [+100 points] 2.00 s 2.00 s - - - $0.00 $0.00 {third} {third}",
        "2 production 0.75, stable 1 0, 0.0% - - - - - - unknown 2026-09-21 14:13:22 2026-09-21 14:13:22",
        "1 2 1, 50.0% [+50 points] 2.00 s 2.90 s 500 ms 7 4 $0.75 >=$0.75 2026-09-21 14:13:20 2026-09-21 14:13:21",
    ]
    assert lines[8:] == [
        "good 1 3 66.7% true true 2, false 1", "mood 1 3 - blue 2, red 1", "note 1 1 -", "quality 3 1 2",
        "quality 1 2 1",
    ]  # fmt: skip
    assert "difference to version 2, which has production" in result.err


async def _two_versions(backend: Backend) -> None:
    """Record two versions of which the second is slower by 19 % at the median, and much else."""
    prompts = prompts_of(backend)
    await prompts.publish(PROJECT, new_prompt("p", "one"))
    await prompts.publish(PROJECT, new_prompt("p", "two"))
    await prompts.publish(PROJECT, new_prompt("p", "three"))
    await prompts.publish(PROJECT, new_prompt("p", "four"))
    await prompts.change(PROJECT, "p", LabelMove(version=1, labels=("production",)))


def test_what_is_large(cli: Cli, tmp_path: Path) -> None:
    """Only differences from 20 % or 5 points on are marked, up or down, and never of the version in production."""
    url, ms = f"sqlite:///{tmp_path}/a.db", 10**6
    used = {"input": 100, "output": 100}
    about = {"trace_id": trace_id_of(1)}
    records = [
        generation(1, prompt_name="p", prompt_version=1, duration_ns=100 * ms, total_cost=1.0, usage_details=used),
        generation(2, prompt_name="p", prompt_version=2, duration_ns=119 * ms, total_cost=0.8,
                   usage_details={"input": 120, "output": 81}),
        score("a", value=-1.0, observation_id=span_id_of(1), **about),
        score("b", value=-0.5, observation_id=span_id_of(2), **about),
        score("c", name="ok", data_type="BOOLEAN", value=1.0, observation_id=span_id_of(1), **about),
        score("d", name="ok", data_type="BOOLEAN", value=0.0, observation_id=span_id_of(2), **about),
        score("e", name="new", value=3.0, observation_id=span_id_of(2), **about),
    ]  # fmt: skip

    async def keep() -> None:
        async with opened_with(open_backend(url), records) as backend:
            await _two_versions(backend)

    anyio.run(keep)
    result = cli("prompts", "metrics", "p", "--backend", url)
    rows = [line.split("  ") for line in result.out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    second, first = cells[2], cells[3]
    assert first[:8] == ["1", "production", "1", "0, 0.0%", "100 ms", "100 ms", "-", "100"]
    assert second[:9] == ["2", "1", "0, 0.0%", "119 ms", "119 ms", "-", "120 [+20 %]", "81", "$0.80 [-20 %]"]
    assert cells[6:] == [
        ["new", "2", "1", "3"],
        ["ok", "2", "1", "0.0% true [-100 points]", "false 1"], ["ok", "1", "1", "100.0% true", "true 1"],
        ["quality", "2", "1", "-0.5 [+50 %]"], ["quality", "1", "1", "-1"],
    ]  # fmt: skip
    assert "1 version without a use or a label not shown" in result.err


def test_prompts_that_are_kept_elsewhere(
    cli: Cli, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels are those of the setting ``prompts``, uses those of the backend."""
    monkeypatch.setenv("TRACECORE_PROMPTS", kept(f"{server}/{next(room_names)}"))
    monkeypatch.setenv("TRACECORE_BACKEND", f"sqlite:///{tmp_path}/a.db")

    async def keep() -> None:
        used = generation(1, prompt_name=NAME, prompt_version=3)
        async with opened_with(open_backend(f"sqlite:///{tmp_path}/a.db"), [used]):
            pass

    anyio.run(keep)
    versions = cli("prompts", "metrics", NAME, "--json").json["versions"]
    assert [(one["version"], one["generations"], one["labels"]) for one in versions] == [
        (4, 0, ["latest"]), (3, 1, []), (2, 0, ["production", "stable"]), (1, 0, []),
    ]  # fmt: skip


def test_what_is_not_there(cli: Cli, tmp_path: Path) -> None:
    """A name that nobody knows is an error that says what is nearby; so is a time that ends before it begins."""
    url = kept(f"sqlite:///{tmp_path}/a.db")
    result = cli("prompts", "metrics", "support/answr", "--backend", url)
    assert (result.code, result.out) == (1, "")
    assert NAME in result.err
    result = cli("prompts", "metrics", NAME, "--backend", url, "--since", "1h", "--until", "2h")
    assert result.code
    assert "later than the beginning" in result.err


def test_texts_are_made_visible(cli: Cli, tmp_path: Path) -> None:
    """Names and values of scores do nothing to a terminal."""
    url = f"sqlite:///{tmp_path}/a.db"
    hostile = score("a", name="\x1b[31mred", data_type="CATEGORICAL", string_value="\x1b[2J", trace_id=trace_id_of(1),
                    observation_id=span_id_of(1))  # fmt: skip

    async def keep() -> None:
        async with opened_with(open_backend(url), [generation(1, prompt_name="p", prompt_version=1), hostile]):
            pass

    anyio.run(keep)
    result = cli("prompts", "metrics", "p", "--backend", url)
    assert result.code == 0, result.err
    assert "\x1b" not in result.out + result.err
    assert "red" in result.out


def test_nothing_used_it(cli: Cli, tmp_path: Path) -> None:
    """Where no generation names a prompt, what is missing in the program is said; where one does, nothing is."""
    url = kept(f"sqlite:///{tmp_path}/a.db")
    missing = "a generation names its prompt by"
    assert missing in cli("prompts", "metrics", NAME, "--until", "2001-01-01", "--backend", url).err
    assert missing not in cli("prompts", "metrics", NAME, "--backend", url).err
