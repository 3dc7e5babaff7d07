"""The table of guarantees is audited: each promise names tests that exist, and says how often they really try."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tracecore.loss import REASONS

ROOT = Path(__file__).resolve().parents[2]
PROOF = re.compile(r"\[`(\w+)`\]\(((?:tests|benchmarks)/[\w/]+\.py)\)")
TELLS_ROUNDS = """
import json

def pytest_collection_finish(session):
    marks = {item.nodeid.partition("[")[0]: item.get_closest_marker("torture") for item in session.items}
    print("rounds:" + json.dumps({name: mark.args[2] for name, mark in marks.items() if mark is not None}))
"""
FEW_ROUNDS = 10
"""Fewer are not worth a number."""


def promises() -> list[list[str]]:
    """Return the cells of each row of the section, without the heads of its tables."""
    section = (ROOT / "README.md").read_text().partition("\n## Guarantees\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| **")]
    return [[cell.strip() for cell in row] for row in rows]


PROMISES = promises()


def functions_of(path: Path) -> set[str]:
    """Return the names of the functions in a file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Return how many rounds of each named test a full run of the torture tests has."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "tells_rounds.py").write_text(TELLS_ROUNDS)
    files = sorted({path for *_, proofs in PROMISES for _, path in PROOF.findall(proofs) if path.startswith("tests/")})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--torture", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    ended = subprocess.run(
        [*command, "-p", "tells_rounds", *files],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert "rounds:" in ended.stdout, ended.stdout + ended.stderr
    found: dict[str, int] = json.loads(ended.stdout.partition("rounds:")[2].partition("\n")[0])
    return found


def test_there_is_a_table() -> None:
    """Promises are found where they are looked for, each with what it is tried with and what proves it."""
    assert len(PROMISES) > 30
    assert {len(row) for row in PROMISES} == {3}


def test_every_reason_of_a_loss_is_named() -> None:
    """The law of conservation names whatever a record may be counted as; what was sampled out was not lost."""
    [law] = [row[0] for row in PROMISES if row[0].startswith("**Conservation")]
    assert set(REASONS) - {"sampled"} <= set(re.findall(r"`(\w+)`", law))


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[0].split("**")[1])
def test_every_promise_has_a_proof_that_exists(row: list[str]) -> None:
    """Whatever a promise names is a test in the file that it leads to, or a suite of the benchmarks."""
    proofs = PROOF.findall(row[2])
    assert proofs
    assert PROOF.sub("", row[2]).strip(" ,") == "", "nothing else is named"
    for name, path in proofs:
        assert (ROOT / path).is_file(), path
        assert name == Path(path).stem if path.startswith("benchmarks/") else name in functions_of(ROOT / path), name


@pytest.mark.timeout(120)  # whoever is first collects the tests
@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[0].split("**")[1])
def test_every_number_of_rounds_is_the_real_one(row: list[str], rounds: dict[str, int]) -> None:
    """Where a test has many rounds their number is said; where it goes on until nothing fails, that is."""
    said = re.findall(r"\d[\d,]*", row[1].replace(", ", " "))
    for name, path in PROOF.findall(row[2]):
        count = rounds.get(f"{path}::{name}", 0)
        if count >= FEW_ROUNDS and "every n" not in row[1]:
            assert f"{count:,}" in said, f"{name} has {count:,} rounds"
