"""The driver, asyncpg: imported when a backend is opened, for nobody pays for it who does not use it.

It has no types, so it is Any here, and :class:`tracecore_postgres.connection.Connection` says what we use of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["driver"]


def driver() -> Any:
    """Return the module of the driver."""
    return import_module("asyncpg")
