"""One server for each module of these tests, and what the client programs told about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.serving import Server, serving

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
    with serving(tmp_path_factory.mktemp("compat")) as started:
        yield started
