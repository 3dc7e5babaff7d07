"""One server for each module of these tests, over an SQLite file.

``COMPAT_BACKEND=postgresql pytest tests/compat`` runs the same clients against a server over PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.serving import Server, serving
from tests.postgres_server import admin

__all__ = ["server"]

# Installing is done before; what may take long here is a start beside other tests, and a client that hangs.
LIMIT_S = 180


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test here the time of a client program, for the first of a module waits for it."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that is started from nothing and that only this module's clients use."""
    folder = tmp_path_factory.mktemp("compat")
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder}/served.db"
        if os.environ.get("COMPAT_BACKEND") == "postgresql":
            url = stack.enter_context(admin()).url()
        yield stack.enter_context(serving(folder, url))
