"""Where settings come from: files, the environment and import paths, read as they are and checked elsewhere.

A source is a mapping of keys to raw values and the words that name it in an error (``environment variable
TRACECORE_SAMPLE_RATE``, ``/srv/app/tracecore.toml``). Which of them wins, and what a value may be, is decided in
:mod:`tracecore.config`.

Invariants: nothing is read but the working directory, its parents and what is named; no error shows
credentials.
"""

from __future__ import annotations

import difflib
import importlib
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from tracecore.errors import ConfigError

__all__ = [
    "FILE_VARIABLE",
    "PREFIX",
    "Settings",
    "environment_settings",
    "file_settings",
    "ignored_variables",
    "imported_function",
    "nearest",
]

PREFIX: Final = "TRACECORE_"
FILE_VARIABLE: Final = "TRACECORE_CONFIG"
_OF_THE_SERVER: Final = tuple(PREFIX + name for name in ("INIT_", "PEPPER", "SERVE_"))
"""How variables begin that ``tracecore serve`` reads itself: no settings, however much one looks like ``project``."""
_IMPORT_PATH: Final = "an import path 'package.module:function'"
_FILES: Final = ("pyproject.toml", "tracecore.toml")
_NOT_IN_A_FILE: Final = (
    f"nothing: files are shared; set {PREFIX}SECRET, or let secret_file name a file that holds nothing else"
)
_NEAR: Final = 0.7
"""How alike a name must be to count as a misspelling: ``service_host`` is not one of ``service_name`` (0.67)."""
_LARGEST: Final = 1 << 22
"""Bytes of a file: larger is none of settings, and a device has no end."""

Settings: TypeAlias = tuple[Mapping[str, object], str]
"""Raw values by key, and the name of where they were found."""


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that ``name`` is most likely a misspelling of, or None."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)), None)


def environment_settings(environ: Mapping[str, str], known: Collection[str]) -> list[Settings]:
    """Return one source per variable that is set; a misspelt key keeps its spelling, so that it is refused later."""
    found: list[Settings] = []
    for name, value in environ.items():
        if not name.startswith(PREFIX) or not value or name == FILE_VARIABLE or name.startswith(_OF_THE_SERVER):
            continue
        key = name.removeprefix(PREFIX).lower()
        if key in known or nearest(key, known):
            found.append(({key: value}, f"environment variable {name}"))
    return found


def ignored_variables(environ: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Return the ``TRACECORE_*`` variables that are no key and resemble none, sorted.

    They are left alone rather than refused: Kubernetes, for one, gives every pod ``TRACECORE_PORT`` and
    ``TRACECORE_SERVICE_HOST`` once a service is called tracecore.
    """
    names = {PREFIX + key.upper() for key in known} | {FILE_VARIABLE}
    ours = (name for name in environ if name.startswith(PREFIX) and not name.startswith(_OF_THE_SERVER))
    return sorted(name for name in ours if name.upper() not in names)


def file_settings(environ: Mapping[str, str], directory: Path | None) -> list[Settings]:
    """Return the settings of each file that counts, the stronger last.

    Raises:
        ConfigError: a file cannot be read, is not valid TOML, or holds a secret.
    """
    named = environ.get(FILE_VARIABLE)
    if named:
        return [_read(Path(named), named_by=f"environment variable {FILE_VARIABLE}")]
    found: dict[str, Settings] = {}
    for folder in _folders(directory):
        for name in _FILES:
            path = folder / name
            if name not in found and _is_file(path):
                settings, source = _read(path, named_by="the search for configuration")
                if settings or name != "pyproject.toml":
                    found[name] = settings, source
    return [found[name] for name in _FILES if name in found]


def imported_function(path: str, *, key: str, source: str) -> Callable[..., object]:
    """Return the function that an import path names.

    Raises:
        ConfigError: the path has another form, cannot be imported, or names something that cannot be called.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise ConfigError(key, path, source, _IMPORT_PATH)
    try:
        found: object = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (Exception, SystemExit) as error:  # importing runs the module, which may raise anything; a script exits
        why = f"{_IMPORT_PATH} that can be imported ({type(error).__name__}: {error})"
        raise ConfigError(key, path, source, why) from error
    if not callable(found):
        raise ConfigError(key, path, source, f"{_IMPORT_PATH} of something that can be called")
    return found


def _folders(directory: Path | None) -> list[Path]:
    """Return the working directory and those of its parents in which files count."""
    try:
        folders = [(directory or Path.cwd()).absolute()]
        for parent in folders[0].parents:
            if (folders[-1] / ".git").exists() or parent.stat().st_mode & 0o002:
                break
            folders.append(parent)
    except OSError:  # the working directory was removed, or a parent may not be read
        return []
    return folders


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _read(path: Path, *, named_by: str) -> Settings:
    """Return the settings in a TOML file and where they are."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ConfigError("config", str(path), named_by, f"a file of at most {_LARGEST:,} bytes")
        document: dict[str, Any] = tomllib.loads(content.decode("utf-8-sig"))  # some editors begin with a mark
    except OSError as error:
        raise ConfigError("config", str(path), named_by, f"a TOML file that can be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError with the line, or not UTF-8
        raise ConfigError("config", str(path), named_by, f"valid TOML ({error})") from error
    if path.name != "pyproject.toml":
        return _without_secret(_without_table(document, path), str(path))
    table = _table(_table(document, "tool", path), "tracecore", path)
    return _without_secret(table, f"{path} [tool.tracecore]")


def _without_table(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Refuse the table that only ``pyproject.toml`` needs."""
    for key in ("tool", "tracecore"):
        if isinstance(document.get(key), dict):
            raise ConfigError(key, f"[{key}]", str(path), "settings without a table: only pyproject.toml needs one")
    return document


def _without_secret(settings: dict[str, Any], source: str) -> Settings:
    """Refuse a secret in a file that is shared, as what configures a program is."""
    if "secret" in settings:
        raise ConfigError("secret", "***", source, _NOT_IN_A_FILE)
    return settings, source


def _table(parent: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    found = parent.get(key, {})
    if not isinstance(found, dict):
        raise ConfigError(key, found, str(path), "a table of settings")
    return cast("dict[str, Any]", found)
