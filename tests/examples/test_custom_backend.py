"""The backend of somebody else is a distribution: built, installed beside tracecore, tested and used there."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tracecore.json_lines import record_in
from tracecore.records import Span

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "custom_backend"
TIME_LIMIT = 110
pytestmark = pytest.mark.timeout(3 * TIME_LIMIT)
PROGRAM = """
import tracecore

@tracecore.observe
def answer(question):
    with tracecore.generation("llm", model="small-1", input=question) as call:
        call.update(output="42", usage_details={"input": 3, "output": 1})
    tracecore.score_current_trace("helpful", 1.0)
    return "42"

with tracecore.propagate_attributes(user_id="user-1", session_id="s-1"):
    answer("why?")
"""

Ended = subprocess.CompletedProcess[str]
Python = Callable[..., Ended]


def run(*command: str, folder: Path, **variables: str) -> Ended:
    """Run a command in a folder, with nothing of the checkout on its path."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    return subprocess.run(
        command, cwd=folder, env=inherited | variables, capture_output=True, text=True, check=False, timeout=TIME_LIMIT
    )


def build(source: Path, into: Path) -> None:
    """Build the wheel of a distribution."""
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into), folder=source)
    assert built.returncode == 0, built.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Return a function that runs Python in a fresh environment which has both wheels, and what they need from ours."""
    folder = tmp_path_factory.mktemp("environment")
    for source in (EXAMPLE.parents[1], EXAMPLE):
        build(source, folder / "wheels")
    made = run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"), folder=folder)
    assert made.returncode == 0, made.stderr
    interpreter = str(folder / "venv" / "bin" / "python")
    # Packages that are not ours come from where the tests run; a path file inside that is not followed again.
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    wheels = sorted(str(path) for path in (folder / "wheels").glob("*.whl"))
    pip = (sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-index", "--no-deps")
    installed = run(*pip, "--force-reinstall", "--disable-pip-version-check", *wheels, folder=folder)
    assert installed.returncode == 0, installed.stderr
    return lambda *arguments, **options: run(interpreter, *arguments, **options)


def test_it_is_installed_and_not_found_in_the_checkout(python: Python, tmp_path: Path) -> None:
    """Both packages come from their wheels, and the scheme is among those that tracecore knows."""
    code = "import tracecore, tracecore_folder as f; from tracecore.plugins import known_schemes as k; print(k())"
    found = python("-c", f"{code}; print(tracecore.__file__, f.__file__, sep='\\n')", folder=tmp_path)
    schemes, *files = found.stdout.splitlines()
    assert "'folder'" in schemes, found.stderr
    assert ["site-packages" in file and str(EXAMPLE.parents[1]) not in file for file in files] == [True, True]


def test_its_own_tests_pass(python: Python, tmp_path: Path) -> None:
    """The published conformance suite, joined in a file of its own, passes; nothing is skipped."""
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    shutil.copy(EXAMPLE / "pyproject.toml", tmp_path)
    ended = python("-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", folder=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    passed = re.search(r"(\d+) passed", ended.stdout)
    assert passed is not None
    assert int(passed[1]) > 80
    assert "skipped" not in ended.stdout


def test_a_program_stores_its_spans_there(python: Python, tmp_path: Path) -> None:
    """One setting is all: a file for the trace, one for the score, and the commands of tracecore read them."""
    (tmp_path / "app.py").write_text(PROGRAM)
    setting = {"TRACECORE_BACKEND": "folder:traces"}
    ended = python("-W", "error", "app.py", folder=tmp_path, **setting)
    assert (ended.returncode, ended.stderr) == (0, "")
    (trace,) = (tmp_path / "traces" / "default" / "traces").iterdir()
    spans = [record_in(line) for line in trace.read_bytes().splitlines()]
    assert sorted(span.name for span in spans if isinstance(span, Span)) == ["answer", "llm"]
    assert len(list((tmp_path / "traces" / "default" / "scores").iterdir())) == 1
    listed = python("-m", "tracecore", "traces", "--user", "user-1", "--json", folder=tmp_path, **setting)
    (item,) = msgspec.json.decode(listed.stdout)["items"]
    assert (item["trace_id"], item["observation_count"]) == (trace.stem, 2)
    shown = python("-m", "tracecore", "show", trace.stem, folder=tmp_path, **setting)
    assert "1 score" in shown.stdout
    assert "helpful" in shown.stdout


def test_it_uses_nothing_but_the_contract() -> None:
    """What it imports of tracecore is what our own backends may import."""
    contracts = tomllib.loads((EXAMPLE.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (allowed,) = [contract["ignore_imports"] for contract in contracts if contract["id"] == "contract-modules"]
    modules = {line.removeprefix("** -> ") for line in allowed}
    imported: set[str] = set()
    for path in (EXAMPLE / "tracecore_folder").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "tracecore":
                imported |= {f"tracecore.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tracecore."):
                imported.add(str(node.module))
    assert "tracecore.backend" in imported
    assert imported <= modules


def test_every_link_of_its_readme_leads_somewhere() -> None:
    """A relative link is a file of the project."""
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", (EXAMPLE / "README.md").read_text())
    assert len(links) > 5
    assert [link for link in links if not (EXAMPLE / link).exists()] == []
