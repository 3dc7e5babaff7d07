"""The README is executed and audited: its code runs as printed, and no setting, command or public name is left out."""

from __future__ import annotations

import ast
import os
import re
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from typing import get_args

import click
import pytest

import tracecore
from tracecore.backend import Level
from tracecore.cli.app import app
from tracecore_sql.views import VIEWS

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"TRACECORE_[A-Z][A-Z0-9_]*")
SETTINGS = {f"TRACECORE_{key.upper()}" for key in tracecore.Config.__struct_fields__}


@pytest.fixture
def readme() -> str:
    """Return the README's text; there is no project without one."""
    return (ROOT / "README.md").read_text()


def blocks_of(text: str, language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    return [match["code"] for match in BLOCK.finditer(text) if match["language"] == language]


def rows_of(text: str) -> list[str]:
    """Return the rows of every table."""
    return [line for line in text.splitlines() if line.startswith("|")]


def test_two_commands_come_first(readme: str) -> None:
    """The two commands that do everything are shown before any code, and exist."""
    first_code = readme.index("```python")
    makefile = (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert 0 < readme.index(f"make {command}") < first_code
        assert f"\n{command}:" in makefile


def run_blocks(blocks: list[str], folder: Path) -> None:
    """Run each Python block as a program of its own in one folder, with warnings as errors."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'backends'}", "PYTHONWARNINGS": "error"}
    for number, code in enumerate(blocks, 1):
        (folder / f"block_{number}.py").write_text(code)
        command = [sys.executable, f"block_{number}.py"]
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=50
        )
        assert (run.returncode, run.stderr) == (0, ""), f"block {number}:\n{code}\n{run.stderr}"


def test_code_and_sql_run_as_printed(readme: str, tmp_path: Path) -> None:
    """Each Python block ends well without a word on standard error; each SQL query finds what the blocks recorded."""
    run_blocks(blocks_of(readme, "python"), tmp_path)
    statements = [part.strip() for block in blocks_of(readme, "sql") for part in block.split(";") if part.strip()]
    assert statements
    with closing(sqlite3.connect(tmp_path / "tracecore.db")) as connection:
        for statement in statements:
            assert connection.execute(statement).fetchall(), statement


def test_every_toml_block_is_a_configuration(readme: str, tmp_path: Path) -> None:
    """What is shown as a file can be used as it is, and says what it seems to say."""
    blocks = blocks_of(readme, "toml")
    assert blocks
    for number, block in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "pyproject.toml").write_text(block)
        config = tracecore.Config.load(environ={}, directory=folder)
        said = tomllib.loads(block)["tool"]["tracecore"]
        assert {key: getattr(config, key) for key in said} == said


def test_the_ladder_has_every_level_in_its_order(readme: str) -> None:
    """Each level that a result may have stands on the ladder, the safer the lower."""
    rungs = [found[1] for row in rows_of(readme) if (found := re.match(r"\| `(\w+)` \(L\d\)", row))]
    assert rungs == list(get_args(Level))


def spellings_of(value: object) -> set[str]:
    """Return how a document may write a default: sizes in MiB too, nothing or ``none`` for what is not set."""
    if value is None:
        return {"", "none"}
    if isinstance(value, bool):
        return {str(value).lower()}
    return {str(value), f"{value >> 20} MiB"} if isinstance(value, int) and value >= 1 << 20 else {str(value)}


@pytest.mark.parametrize("key", tracecore.Config.__struct_fields__)
def test_every_default_is_the_real_one(key: str, readme: str) -> None:
    """The README's table and the docstring of each setting give the default that the setting has."""
    allowed = spellings_of(getattr(tracecore.Config(), key))
    [row] = [row for row in rows_of(readme) if row.startswith(f"| `{key}` |")]
    assert row.split("|")[2].strip().strip("`") in allowed
    source = (ROOT / "tracecore" / "config.py").read_text()
    [said] = re.findall(rf'^    {key}: .*?"""(.*?)"""', source, re.MULTILINE | re.DOTALL)
    default = re.search(r"Default: (.+)\.\Z", said)
    assert default is not None
    assert default[1] in allowed


@pytest.mark.parametrize("variable", sorted(SETTINGS))
def test_every_setting_is_in_the_table(variable: str, readme: str) -> None:
    """Each setting has a row in a table, under the name that the environment and the files use."""
    key = variable.removeprefix("TRACECORE_").lower()
    assert any(re.search(rf"`{key}`|\b{variable}\b", row) for row in rows_of(readme)), f"{key} has no row"


def test_every_variable_of_the_source_is_documented(readme: str) -> None:
    """A variable that the source reads is in the README, and the README names none that does not exist."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tracecore").rglob("*.py")]
    constants = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    read = {value for value in constants if isinstance(value, str) and VARIABLE.fullmatch(value)}
    shown = set(VARIABLE.findall(readme))
    known = read | SETTINGS
    assert shown <= known, f"unknown: {shown - known}"
    assert read - SETTINGS <= shown, f"undocumented: {read - SETTINGS - shown}"


@pytest.mark.parametrize("name", [name for name in tracecore.__all__ if not name.startswith("_")])
def test_every_public_name_is_shown(name: str, readme: str) -> None:
    """Each name that ``import tracecore`` gives stands somewhere as code."""
    code = [*blocks_of(readme, "python"), *re.findall(r"`[^`\n]+`", readme)]
    assert any(re.search(rf"\b{name}\b", part) for part in code)


@pytest.mark.parametrize("command", [*app.list_commands(click.Context(app)), "run"])
def test_every_command_is_shown(command: str, readme: str) -> None:
    """Each command of the command line appears with the program's name before it."""
    assert re.search(rf"tracecore {command}\b", readme)


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_of_a_view_is_listed(view: str, readme: str) -> None:
    """The table of views names the columns that each has, in their order, and no others."""
    [row] = [row for row in rows_of(readme) if row.startswith(f"| `{view}` |")]
    assert re.findall("`([^`]+)`", row.split("|")[3]) == list(VIEWS[view])


def test_every_link_leads_somewhere(readme: str) -> None:
    """A relative link, and a test that is named as a proof, is a file of the project."""
    named = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", readme) + re.findall(r"`(tests/[\w/]+\.py)`", readme)
    assert [path for path in named if not (ROOT / path).exists()] == []
