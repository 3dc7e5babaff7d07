"""The adapters there are: a module each in ``benchmarks/rivals/adapters``, found by its file.

Standard library only: a rival's worker and collector find their adapter here too.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from benchmarks.rivals.adapter import Rival

__all__ = ["OURS", "adapter", "chosen", "names", "path_of", "pins", "rival_of"]

FOLDER = Path(__file__).parent / "adapters"
OURS: Final = "tracecore_sqlite"
"""What the others are compared with."""
_FIRST: Final = (OURS, "opentelemetry", "opentelemetry_bare")
_LAST: Final = ("structlog",)


def names() -> list[str]:
    """Return the adapters' names: ours, then OpenTelemetry, the others by name, and last what is no tracer."""
    found = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    ours = sorted(name for name in found if is_ours(name))
    leading = list(dict.fromkeys(name for name in (OURS, *ours, *_FIRST) if name in found))
    trailing = [name for name in _LAST if name in found]
    return [*leading, *sorted(found - {*leading, *trailing}), *trailing]


def is_ours(name: str) -> bool:
    """Return whether an adapter records with tracecore: run by our own interpreter, and not allowed to lose a span."""
    return name.startswith("tracecore")


def chosen(only: Sequence[str] = ()) -> list[str]:
    """Return the adapters that are meant, in the catalogue's order: all, or those named and what they compare with.

    Raises:
        KeyError: there is no such adapter; the key is its name.
    """
    there = names()
    for name in only:
        if name not in there:
            raise KeyError(name)
    return [name for name in there if not only or name == OURS or name in only]


def path_of(name: str) -> Path:
    """Return the file of an adapter, by its name or by its path."""
    return Path(name) if name.endswith(".py") else FOLDER / f"{name}.py"


def adapter(name: str) -> ModuleType:
    """Return an adapter's module, by its name or by the path of its file.

    Raises:
        ImportError: there is no such file.
    """
    path = path_of(name)
    full = f"{path.parent.name}.{path.stem}"  # never the name by which anybody imports it
    spec = importlib.util.spec_from_file_location(full, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"no adapter at {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def rival_of(name: str) -> Rival:
    """Return what an adapter says of its rival."""
    rival: Rival = adapter(name).RIVAL
    return rival


def pins(only: Sequence[str] = ()) -> dict[str, str]:
    """Return the version of each rival that is meant, by the name of what is installed for it."""
    first = (rival.requirements[0] for name in chosen(only) if (rival := rival_of(name)).requirements)
    return {name: version for name, _, version in (requirement.partition("==") for requirement in first)}
