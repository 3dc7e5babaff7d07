"""What the source itself must be: short files and functions, plain names, no suppression without a reason."""

from __future__ import annotations

import ast
import inspect
import io
import re
import statistics
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracecore

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tracecore", "backends", "tests", "benchmarks", "examples")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SHIPPED = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in {"tracecore", "backends"}]
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
MAX_LINES = 500
MAX_MEDIAN = 10
MAX_P90 = 30

SUPPRESSION = re.compile(r"(ruff:|flake8:)?\s*noqa\b|(type|pyright):\s*(ignore|basic|standard)|mypy:|pragma:\s*no\b")
CODED = re.compile(
    r"noqa:\s*[A-Z]+\d+(\s*,\s*[A-Z]+\d+)*|(type|pyright):\s*ignore\[[\w, -]+\]|pragma:\s*no\s*(cover|branch)"
)


def named(path: Path) -> str:
    """Return the path as a person writes it."""
    return str(path.relative_to(ROOT))


def comments_in(text: str) -> Iterator[tuple[int, str]]:
    """Return each comment with its line."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def suppresses(comment: str) -> bool:
    """Return whether a comment turns a warning off, and does not only speak of it."""
    return any(SUPPRESSION.match(part.strip()) for part in comment.split("#"))


def unreasoned_in(text: str) -> list[str]:
    """Return the suppressions that lack a code, or a reason of at least two words, with their line."""
    found: list[str] = []
    for line, comment in comments_in(text):
        rest = CODED.sub("", comment)
        if suppresses(comment) and (suppresses(rest) or len(re.findall(r"\w+", rest)) <= 1):
            found.append(f"{line}: {comment}")
    return found


def lengths_in(tree: ast.AST) -> Iterator[int]:
    """Return the lines of each function without its docstring; a signature without a body does not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and not all(isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) for part in body):
                yield (node.end_lineno or 0) - node.lineno + 1 - (body[0].lineno - node.body[0].lineno)


def is_behaviour(value: object) -> bool:
    """Return whether a member of a class does something, and does not only hold something."""
    return inspect.isroutine(value) or isinstance(value, property | classmethod | staticmethod)


def test_sources_are_found() -> None:
    """The laws below look at something."""
    assert {named(path).split("/")[0] for path in SOURCES} >= {"tracecore", "backends", "tests", "examples"}
    assert len(SHIPPED) > 40


def test_file_names_say_what_is_inside() -> None:
    """No file or folder has a name that means nothing."""
    banned = [named(path) for path in SOURCES if BANNED_NAMES & {part.removesuffix(".py") for part in path.parts}]
    assert banned == []


def test_files_are_short() -> None:
    """No file, tests included, is longer than 500 lines."""
    long = {named(path): lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_functions_are_short() -> None:
    """Half of all shipped functions have at most 10 lines, nine in ten at most 30."""
    lengths = [length for path in SHIPPED for length in lengths_in(ast.parse(path.read_text()))]
    assert statistics.median(lengths) <= MAX_MEDIAN
    assert statistics.quantiles(lengths, n=10)[-1] <= MAX_P90


def test_every_suppression_has_a_code_and_a_reason() -> None:
    """An ignored warning says which one, and why; files and folders are never ignored as a whole."""
    unreasoned = [f"{named(path)}:{found}" for path in SOURCES for found in unreasoned_in(path.read_text())]
    assert unreasoned == []


@pytest.mark.parametrize(
    ("comment", "accepted"),
    [
        ("x = 1  # noqa: S608 - the name is ours", True),
        ("x = 1  # type: ignore[arg-type]  # the stub is wrong", True),
        ("x = 1  # pyright: ignore[reportPrivateUsage] - public since 0.22", True),
        ("x = 1  # type: ignore[arg-type]  # noqa: S608 - one reason for both", True),
        ("x = 1  # a word about noqa in passing", True),
        ("x = 1  # noqa", False),
        ("x = 1  # noqa: S608", False),
        ("x = 1  # noqa: S608 - ok", False),
        ("x = 1  # type: ignore  # the stub is wrong", False),
        ("x = 1  # type: ignore[arg-type]", False),
        ("x = 1  # type: ignore[arg-type]  # noqa: S608", False),
        ("# ruff: noqa", False),
        ("# mypy: ignore-errors", False),
        ("# pyright: basic", False),
        ("x = 1  # pragma: no cover", False),
    ],
)
def test_suppressions_are_told_apart(comment: str, accepted: bool) -> None:  # noqa: FBT001 - pytest passes by name
    """A suppression is accepted with a code and a reason only."""
    assert (unreasoned_in(comment + "\n") == []) is accepted


@pytest.mark.parametrize("name", tracecore.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """Each exported class and function has a docstring, and so has each of their public methods and properties."""
    public = getattr(tracecore, name)
    if isinstance(public, str):  # __version__ speaks for itself
        return
    own = {key: value for key, value in vars(public).items() if not key.startswith("_") and is_behaviour(value)}
    bare = [name for name, value in {name: public, **own}.items() if not (inspect.getdoc(value) or "").strip()]
    assert bare == []
    assert vars(public).get("__doc__", public.__doc__), "inherited from its base"


def test_no_machine_or_registry_is_named() -> None:
    """What is committed for set-up names packages and hashes, never an address or a path of somebody's machine."""
    files = [*(ROOT / "requirements").iterdir(), ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / ".ci" / "run"]
    pattern = re.compile(r"https?://|file:|(?<!no-emit-)(index-url|find-links)|/home/|/root/|/work/|/tmp/")
    named_by = [(path.name, line) for path in files for line in path.read_text().splitlines() if pattern.search(line)]
    assert named_by == []


def test_every_requirement_is_pinned_with_hashes() -> None:
    """Each requirement has one exact version and at least one SHA-256."""
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        entries = re.split(r"\n(?=[A-Za-z0-9])", path.read_text())[1:]
        assert entries
        for entry in entries:
            assert re.match(r"[A-Za-z0-9._-]+==[\w.+-]+( ;.*)? \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry[:80]
