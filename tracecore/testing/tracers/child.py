"""The process in which cases are run: an order a line on standard input, an outcome a line on standard output.

``python -m tracecore.testing.tracers.child ADAPTER``. It answers first with what the adapter says of its tracer. What
the tracer or a program prints goes to standard error.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import msgspec

from tracecore.testing.tracers.adapter import Tracer
from tracecore.testing.tracers.cases import CASES
from tracecore.testing.tracers.reports import About, Order
from tracecore.testing.tracers.running import run_here

__all__ = ["loaded", "main"]


def main(reference: str) -> None:
    """Serve orders until standard input is closed."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    tracer = loaded(reference)
    about = About(tracer.title, tracer.version, tracer.offers)
    answers.write(msgspec.json.encode(about) + b"\n")
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        outcome = run_here(CASES[order.case], tracer, order.loop)
        answers.write(msgspec.json.encode(outcome) + b"\n")


def loaded(reference: str) -> Tracer:
    """Return a new tracer of an adapter, which is named ``package.module:name`` or ``path/to/file.py:name``.

    Raises:
        ValueError: there is no name after a colon.
        ImportError: there is no such module or file.
        AttributeError: it has no such name.
    """
    place, colon, name = reference.rpartition(":")
    if not colon or not name:
        raise ValueError(f"adapter {reference!r}: expected package.module:name or path/to/file.py:name")
    module = _file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    tracer: Tracer = getattr(module, name)()
    return tracer


def _file(path: Path) -> ModuleType:
    # Under a name that nobody imports: an adapter may be called like the package that it adapts.
    spec = importlib.util.spec_from_file_location(f"tracer_adapter_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"there is no adapter at {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1])
