"""The table of clients in the README names what these tests run: each client, its version, and where it is tried."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)
CLIENT = re.compile(r"`([@a-z][\w@/.-]*)` (\d[\w.]*)")
LINK = re.compile(r"\]\((tests/compat/[\w/.]+)\)")


@pytest.fixture
def section() -> str:
    """Return the section of the README about clients."""
    found = re.search(r"^## Clients\n(.*?)(?=^## )", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def installed() -> set[tuple[str, str]]:
    """Return the names and versions of every client that the tests install."""
    texts = [(ROOT / "requirements" / name).read_text() for name in ("compat.txt", "compat-2.txt", "compat-3.txt")]
    packages = json.loads((HERE / "js" / "package-lock.json").read_text())["packages"]
    lock = {(path.removeprefix("node_modules/"), one["version"]) for path, one in packages.items() if path}
    return lock | {(name, version) for text in texts for name, version in PINNED.findall(text)}


def wanted() -> set[str]:
    """Return the names of the clients that were asked for, rather than came along."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    python = {re.split(r"[<>=~]", one)[0] for name in ("compat", "compat-2", "compat-3") for one in groups[name]}
    return python | set(json.loads((HERE / "js" / "package.json").read_text())["dependencies"])


def test_versions_are_those_that_are_tried(section: str) -> None:
    """Each version in the table is one that the tests install, and no client that they ask for is left out."""
    named = set(CLIENT.findall(section))
    assert named
    assert named <= installed()
    # The API, resources and an SDK come with each exporter, and one package only mends another's requirements.
    beside = {"@opentelemetry/api", "@opentelemetry/resources", "opentelemetry-util-genai"}
    assert {name for name, _ in named} >= wanted() - beside


def test_every_row_has_its_tests(section: str) -> None:
    """Each client's row links to the tests that try it, and each module of tests is linked."""
    rows = [line for line in section.splitlines() if CLIENT.search(line)]
    for row in rows:
        assert LINK.search(row), row
    links = set(LINK.findall(section))
    assert all((ROOT / link).exists() for link in links)
    modules = {path.name for path in HERE.glob("test_*.py")} - {"test_table.py", "test_programs.py"}
    assert links >= {f"tests/compat/{name}" for name in modules}
