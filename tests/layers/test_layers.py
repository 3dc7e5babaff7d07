"""The laws of the house: which module may import which, and what importing tracecore may cost.

The import contracts themselves are in pyproject.toml; here they run as a test, together with the laws that a contract
cannot state.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# What every import of the kernel may load: msgspec itself takes typing_extensions where it is installed.
EAGER = {"msgspec", "typing_extensions"}
# What kernel files may name: a running pump needs anyio.
NAMED = {"msgspec", "anyio"}

LOOK = """
import json, os, sys, threading
asked = []
class Environment(type(os.environ)):
    def __getitem__(self, name):
        asked.append(name)
        return super().__getitem__(name)
os.environ.__class__ = Environment
before = set(sys.modules)
import tracecore
print(json.dumps({
    "loaded": sorted(set(sys.modules) - before),
    "threads": [thread.name for thread in threading.enumerate()],
    "asked": [name for name in asked if name.startswith("TRACECORE")],
}))
"""


@pytest.fixture
def fresh_import(project_root: Path) -> dict[str, list[str]]:
    """Import tracecore in a fresh interpreter and return what that did."""
    path = [str(project_root), str(project_root / "backends")]
    code = f"import sys; sys.path[:0] = {path!r}\n{LOOK}"
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=30)
    found: dict[str, list[str]] = json.loads(run.stdout)
    return found


def test_import_contracts_hold(project_root: Path) -> None:
    """Every module keeps to its layer, backends to the contract modules, and nothing imports tests or examples."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    run = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False, timeout=50)
    assert run.returncode == 0, run.stdout + run.stderr
    assert ", 0 broken." in run.stdout


def test_import_loads_the_standard_library_msgspec_and_the_kernel_only(fresh_import: dict[str, list[str]]) -> None:
    """No driver, no server, no HTTP client and no folder of ours is loaded by ``import tracecore``."""
    own = {name for name in fresh_import["loaded"] if name.split(".")[0] == "tracecore"}
    foreign = {name.split(".")[0] for name in fresh_import["loaded"]} - sys.stdlib_module_names - EAGER - {"tracecore"}
    assert not foreign
    assert "tracecore.recorder" in own
    assert {name for name in own if name.count(".") > 1} == set()


def test_import_starts_no_thread_and_reads_no_setting(fresh_import: dict[str, list[str]]) -> None:
    """Nothing happens at import time: the environment is asked when the first recorder is made."""
    assert fresh_import["threads"] == ["MainThread"]
    assert fresh_import["asked"] == []


def test_import_reads_settings_where_it_should(project_root: Path) -> None:
    """The check above sees a setting that is read: making a configuration asks for one."""
    code = LOOK.replace("import tracecore\n", "import tracecore\ntracecore.Config.load()\n")
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(project_root)!r})\n{code}"],
        env={"TRACECORE_PROJECT": "p"}, cwd=project_root, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert "TRACECORE_PROJECT" in json.loads(run.stdout)["asked"]


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Return the top-level names that a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which layer is meant"
            yield str(node.module).split(".")[0]


def test_kernel_needs_nothing_else_even_later(project_root: Path) -> None:
    """A kernel file imports the standard library, msgspec and anyio, also inside its functions."""
    allowed = sys.stdlib_module_names | NAMED | {"tracecore"}
    kernel = sorted((project_root / "tracecore").glob("*.py"))
    imported = {(path.name, name) for path in kernel for name in imports_of(ast.parse(path.read_text()))}
    foreign = {(file, name) for file, name in imported if name not in allowed}
    assert len(kernel) > 20
    assert foreign == set()
