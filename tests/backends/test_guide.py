"""The guide for authors of backends: its code runs as printed and keeps the contract; it leaves nothing out."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tracecore.backend import Capabilities
from tracecore.testing import backend_suite, faults

BLOCK = re.compile(r"^```python\n# (?P<file>\S+)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def guide(project_root: Path) -> str:
    """Return the text of the guide."""
    return (project_root / "backends" / "README.md").read_text()


def run_pytest(folder: Path, project_root: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder in a process of their own, without our configuration."""
    path = os.pathsep.join(map(str, (project_root, project_root / "backends", folder)))
    # The one setting that pytest-asyncio itself asks for.
    settings = ("-p", "no:cacheprovider", "-p", "no:anyio", "-o", "asyncio_default_fixture_loop_scope=function")
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", *settings, "."]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        timeout=50,
    )  # fmt: skip


def write_blocks(guide: str, folder: Path) -> None:
    """Write each Python block into the file that its first line names."""
    for match in BLOCK.finditer(guide):
        (folder / match["file"]).write_text(match["code"])


def test_the_backend_of_the_guide_keeps_the_contract(guide: str, project_root: Path, tmp_path: Path) -> None:
    """The backend and its test file, copied as they are printed, pass every test of the parts that they join."""
    write_blocks(guide, tmp_path)
    run = run_pytest(tmp_path, project_root)
    assert run.returncode == 0, run.stdout + run.stderr
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None
    assert int(passed[1]) > 20
    assert "skipped" not in run.stdout


def test_the_test_file_of_the_guide_finds_a_mistake(guide: str, project_root: Path, tmp_path: Path) -> None:
    """The same test file fails for the same backend without its merging."""
    merging = "merge(changed[key], record) if key in changed else record"
    assert merging in guide
    write_blocks(guide.replace(merging, "record"), tmp_path)
    run = run_pytest(tmp_path, project_root)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "test_running_never_overrides_ended" in run.stdout


def test_every_part_and_capability_is_named(guide: str) -> None:
    """The guide names each capability and each part of the suite that proves one."""
    parts = {part.__name__ for part in backend_suite._PARTS.values()}
    for name in (*Capabilities.__struct_fields__, *parts, "BackendSuite", "CapabilitySuite", "SinkSuite"):
        assert f"`{name}`" in guide, name


def joins_the_suite(path: Path) -> bool:
    """Return whether a test file joins what every backend joins."""
    bases = {
        base.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    return bool(bases & {"BackendSuite", "CapabilitySuite"})


def test_a_backend_joins_with_a_short_file(guide: str, project_root: Path) -> None:
    """The test file of each of our backends, and of the example's, has fewer than 60 lines, as the guide says."""
    folders = (project_root / "tests" / "backends", project_root / "examples" / "custom_backend" / "tests")
    joining = {path.name: path for folder in folders for path in folder.glob("test_*.py") if joins_the_suite(path)}
    assert {"test_memory.py", "test_sqlite.py", "test_jsonl.py", "test_tracecore_folder.py"} <= joining.keys()
    assert "fewer than 60 lines" in guide
    assert {name: lines for name, path in joining.items() if (lines := len(path.read_text().splitlines())) >= 60} == {}


def test_every_scheme_and_plan_is_named(guide: str, project_root: Path) -> None:
    """The guide says when to use each backend of ours, and names every plan of ``faults``."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    schemes = set(project["entry-points"]["tracecore.backends"]) - {"http", "postgres"}  # other names of the same
    assert sorted(scheme for scheme in schemes if f"| `{scheme}:" not in guide) == []
    plans = set(faults.__all__) - {"FaultyBackend", "Moment", "Plan"}
    assert sorted(plan for plan in plans if f"| `{plan}(" not in guide) == []


def test_every_link_of_the_guide_leads_somewhere(guide: str, project_root: Path) -> None:
    """A relative link is a file of the project."""
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", guide)
    assert links
    assert [link for link in links if not (project_root / "backends" / link).exists()] == []
