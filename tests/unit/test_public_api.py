"""What ``import tracecore`` gives: every name is there, typed and said what it is, and nothing else is loaded."""

from __future__ import annotations

import ast
import inspect
import pickle
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import tracecore
from tracecore import TracecoreError

PUBLIC = [name for name in tracecore.__all__ if not name.startswith("_")]
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(tracecore, name))]
CLASSES = [name for name in PUBLIC if inspect.isclass(getattr(tracecore, name))]
NEVER_LOADED = (
    *("aiosqlite", "sqlite3", "asyncio", "anyio", "trio", "ssl", "http", "http.client", "urllib.request", "httpx"),
    *("requests", "starlette", "fastapi", "uvicorn", "psycopg", "asyncpg", "opentelemetry", "langfuse", "pydantic"),
    *("rich", "typer", "click", "tracecore_sqlite", "tracecore_sql", "tracecore.cli", "tracecore.testing"),
    *("tracecore.integrations", "multiprocessing", "concurrent.futures.process"),
)


@pytest.mark.parametrize("name", tracecore.__all__)
def test_every_name_is_there(name: str) -> None:
    """Each exported name exists, also after ``from tracecore import *``, and is listed by ``dir``'s reader once."""
    assert getattr(tracecore, name) is not None
    assert tracecore.__all__.count(name) == 1
    namespace: dict[str, Any] = {}
    exec("from tracecore import *", namespace)  # noqa: S102 - what a program may write
    assert namespace[name] is getattr(tracecore, name)


def test_names_are_sorted_and_nothing_public_is_left_out() -> None:
    """The list is in order, and whatever the module itself imports to be used is on it."""
    assert tracecore.__all__ == sorted(tracecore.__all__)
    tree = ast.parse(Path(tracecore.__file__).read_text())
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported - {"annotations", "TYPE_CHECKING"} <= set(tracecore.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Asking for what does not exist fails as it does with any module."""
    with pytest.raises(AttributeError, match="no attribute 'spam'"):
        _ = tracecore.spam
    assert not hasattr(tracecore, "spam")


def routines_of(name: str) -> list[Any]:
    """Return a function, or the public methods and properties of a class that are ours."""
    public = getattr(tracecore, name)
    if not inspect.isclass(public):
        return [public]
    own = {
        key: value
        for base in public.__mro__
        if base.__module__.startswith("tracecore")
        for key, value in vars(base).items()
    }
    found = [value for key, value in own.items() if not key.startswith("_") or key == "__init__"]
    found = [value.fget if isinstance(value, property) else getattr(value, "__func__", value) for value in found]
    return [value for value in found if inspect.isfunction(value)]


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_name_is_typed(name: str) -> None:
    """Each parameter and each result of the public functions and methods has an annotation that can be resolved."""
    for routine in routines_of(name):
        signature = inspect.signature(routine)
        untyped = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty and parameter.name not in {"self", "cls"}
        ]
        assert untyped == [], routine
        assert signature.return_annotation is not signature.empty, routine


ERRORS: list[TracecoreError] = [
    tracecore.AccessDenied("no"), tracecore.BackendError("it broke", "mend it"), tracecore.BackendRejected("never"),
    tracecore.BackendUnavailable("not now"), tracecore.Closed("gone"), tracecore.Conflict("too late"),
    tracecore.DiskFull("no space"),
    tracecore.ConfigError("key", "value", "source", "what was expected"), tracecore.NotFound("trace", "x", "look"),
    tracecore.MissingDriver("postgresql", "postgres", "code"), TracecoreError("any"),
]  # fmt: skip


def test_every_error_is_looked_at() -> None:
    """The errors below are all there are."""
    assert {type(error).__name__ for error in ERRORS} == {
        name for name in CLASSES if issubclass(getattr(tracecore, name), BaseException)
    }


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_travel(error: TracecoreError) -> None:
    """Every error of ours is caught by one base, and comes whole from a worker process, which sends it as a pickle."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_the_version_is_that_of_the_package(project_root: Path) -> None:
    """``__version__`` follows semantic versioning, and is the one of the build."""
    assert len(tracecore.__version__.split(".")) == 3
    text = (project_root / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in text or f'version = "{tracecore.__version__}"' in text


def test_types_travel_with_the_package(project_root: Path) -> None:
    """Type checkers of other programs read our annotations."""
    assert (project_root / "tracecore" / "py.typed").exists()


def test_importing_is_light(project_root: Path) -> None:
    """No driver, server, HTTP client, event loop or part of ours that stands on the kernel is loaded."""
    code = f"import sys; sys.path.insert(0, {str(project_root)!r}); import tracecore; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=30)
    loaded = set(said.stdout.split())
    assert "tracecore.observe" in loaded
    assert loaded.isdisjoint(NEVER_LOADED)


def test_hints_of_the_capturing_functions_resolve() -> None:
    """Editors and frameworks may ask for the types of what a program calls most."""
    for function in (tracecore.span, tracecore.event, tracecore.generation, tracecore.create_score, tracecore.flush):
        assert "return" in typing.get_type_hints(function)
