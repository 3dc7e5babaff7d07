"""``tracecore project``: the projects of a server, made, listed, renamed and erased."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from tests.cli.recorded import Cli, Store, span
from tracecore.backend import TraceQuery
from tracecore.catalog import CatalogQuery, Entry, Put
from tracecore.cli.commands.project import _wait_for_servers
from tracecore.kinds import Kind, catalog_of
from tracecore.plugins import open_backend
from tracecore.records import Score
from tracecore.services.annotation_queues import AnnotationQueue
from tracecore.services.stores import scores_of, traces_of


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a store that is not there yet."""
    return f"sqlite:///{tmp_path}/a.db"


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long was waited for servers, without waiting."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(sys.modules[_wait_for_servers.__module__], "sleep", sleep)
    return found


def test_projects_are_made_listed_and_renamed(cli: Cli, url: str) -> None:
    """A project is listed under its id, with the name that people gave it."""
    assert "tracecore key create --project shop" in cli("project", "create", "shop", "--backend", url).out
    made = cli("project", "create", "lab", "--name", "The lab 世", "--json", "--backend", url).json
    assert (made["id"], made["name"]) == ("lab", "The lab 世")
    assert cli("project", "rename", "shop", "The shop", "--backend", url).code == 0
    listed = cli("project", "list", "--json", "--backend", url).json["projects"]
    assert [(one["id"], one["name"]) for one in listed] == [("lab", "The lab 世"), ("shop", "The shop")]
    assert "The shop" in cli("project", "list", "--backend", url).out


def test_what_cannot_be_is_said(cli: Cli, url: str) -> None:
    """An id that is taken or none, and a project that is not there, are errors in one sentence."""
    cli("project", "create", "shop", "--backend", url)
    for arguments, said in (
        (["create", "shop"], "there is a project 'shop' already"),
        (["create", "../x"], "expected 1 to 200 characters"),
        (["rename", "shpo", "x"], "no project 'shpo'"),
        (["delete", "shpo", "--yes"], "no project 'shpo'"),
    ):
        result = cli("project", *arguments, "--backend", url)
        assert (result.code, result.out) == (1, "")
        assert said in result.err


def test_nothing_is_there_yet(cli: Cli, url: str, tmp_path: Path) -> None:
    """To look makes no file, and to delete neither."""
    assert cli("project", "list", "--backend", url).code == 1
    assert cli("project", "delete", "shop", "--yes", "--backend", url).code == 1
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_there_to_be_asked(cli: Cli, url: str) -> None:
    """Without a terminal nothing is erased unless ``--yes`` is said."""
    cli("project", "create", "shop", "--backend", url)
    assert cli("project", "delete", "shop", "--backend", url).code == 2
    assert [one["id"] for one in cli("project", "list", "--json", "--backend", url).json["projects"]] == ["shop"]


def test_a_project_is_erased_with_everything(cli: Cli, stored: Store, url: str) -> None:
    """Its traces, scores and managed objects are gone and its keys hold no more; other projects keep all of theirs."""
    spans = [replace(span(n, trace=n), project=name) for n in range(1, 6) for name in ("shop", "other")]
    scores = [Score(name, "s1", "q", 5, trace_id=f"{1:032x}") for name in ("shop", "other")]
    stored([*spans, *scores], url)
    for name in ("shop", "other"):
        cli("project", "create", name, "--backend", url)
        cli("key", "create", "--project", name, "--backend", url)
    anyio.run(_manage, url)
    result = cli("project", "delete", "shop", "--yes", "--json", "--backend", url)
    assert (result.code, result.json) == (0, {"project": "shop", "revoked_keys": 1})
    assert anyio.run(_left, url, "shop") == (0, 0, 0)
    assert anyio.run(_left, url, "other") == (5, 1, 1)
    assert [one["id"] for one in cli("project", "list", "--json", "--backend", url).json["projects"]] == ["other"]
    keys = {name: cli("key", "list", "--json", "--project", name, "--backend", url).json for name in ("shop", "other")}
    assert {name: [one["state"] for one in said["keys"]] for name, said in keys.items()} == {
        "shop": ["revoked"], "other": ["holds"],
    }  # fmt: skip


def test_what_a_server_writes_meanwhile_is_erased(
    cli: Cli, stored: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server admits a revoked key for a moment: what it writes in that moment does not outlive the project."""
    stored([replace(span(1), project="shop")], url)
    cli("project", "create", "shop", "--backend", url)
    cli("key", "create", "--project", "shop", "--backend", url)

    async def sleep(seconds: float) -> None:
        assert 0 < seconds <= 5
        server = open_backend(url)
        await server.open()
        await server.write([replace(span(2), project="shop")])
        await server.close()

    monkeypatch.setattr(sys.modules[_wait_for_servers.__module__], "sleep", sleep)
    assert cli("project", "delete", "shop", "--yes", "--backend", url).code == 0
    assert anyio.run(_left, url, "shop") == (0, 0, 0)


def test_nobody_waits_where_no_key_was_revoked(cli: Cli, stored: Store, url: str, waited: list[float]) -> None:
    """Only a key that was revoked just now may still be admitted."""
    stored([replace(span(1), project="shop")], url)
    cli("project", "create", "shop", "--backend", url)
    assert cli("project", "delete", "shop", "--yes", "--backend", url).code == 0
    assert not waited


def test_what_was_recorded_without_a_server_is_erased(cli: Cli, stored: Store, url: str) -> None:
    """A project with traces and no entry can be erased; after that it is none."""
    stored([replace(span(1), project="loose")], url)
    assert cli("project", "delete", "loose", "--yes", "--backend", url).code == 0
    assert cli("project", "delete", "loose", "--yes", "--backend", url).code == 1


_QUEUES = Kind("annotation_queue", AnnotationQueue)


async def _manage(url: str) -> None:
    """Keep a managed object in each project."""
    backend = open_backend(url)
    await backend.open()
    body = _QUEUES.body(AnnotationQueue(name="q"))
    for name in ("shop", "other"):
        await catalog_of(backend).commit([Put(Entry(project=name, kind=_QUEUES.name, id="1", body=body))])
    await backend.close()


async def _left(url: str, project: str) -> tuple[int, int, int]:
    """Return how many traces, scores and managed objects a project has."""
    backend = open_backend(url, access="read")
    await backend.open()
    query = TraceQuery()
    traces = (await traces_of(backend).find(project, query)).items
    score = await scores_of(backend).get(project, "s1")
    entries = await catalog_of(backend).find(project, CatalogQuery(kind=_QUEUES.name))
    await backend.close()
    return len(traces), int(score is not None), entries.total
