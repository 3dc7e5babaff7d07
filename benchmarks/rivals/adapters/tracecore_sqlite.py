"""tracecore as a service uses it: `@observe`, and a recorder into an SQLite file that is read back and counted."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import RESULT_TEXT, Rival

if TYPE_CHECKING:
    from tracecore import Recorder

__all__ = ["RIVAL", "start"]

_FLUSH_WITHIN_S: Final = 60.0
_NUMBER: Final = "substr(input, nullif(instr(input, '['), 0), 10)"
_COUNT: Final = (
    f"select count(*), count(distinct {_NUMBER}), sum(instr(output, '{RESULT_TEXT.decode()}') > 0) from spans"  # noqa: S608 - made of constants
)

RIVAL: Final = Rival(
    title="tracecore into SQLite",
    remark="Defaults. Stores on disk and indexes what others only send; read back and counted.",
)


class TracecoreSqlite:
    """Record into a new file in a temporary folder."""

    def __init__(self) -> None:
        from tracecore import Config, Recorder

        self._folder = tempfile.TemporaryDirectory(prefix="tracecore-benchmark-")
        self._url = f"sqlite:///{Path(self._folder.name) / 'traces.db'}"
        self._recorder: Recorder = Recorder(Config(backend=self._url)).start()

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, below whatever is open."""
        from tracecore import observe

        return observe(function)

    def observed_root(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, recorded by this recorder."""
        from tracecore import observe

        return observe(recorder=self._recorder)(function)

    def flush(self) -> None:
        """Wait until everything is in the file."""
        result = self._recorder.flush(_FLUSH_WITHIN_S)
        if not result.delivered or result.lost:
            raise RuntimeError(f"{result.pending} records are pending, lost: {result.lost}")

    def delivered(self) -> dict[str, int]:
        """Return what the file holds, as somebody else reads it."""
        return asyncio.run(self._counted())

    async def _counted(self) -> dict[str, int]:
        from tracecore.plugins import open_backend

        reader = open_backend(self._url, access="read")
        await reader.open()
        try:
            assert reader.sql is not None
            [counts] = (await reader.sql.query(_COUNT)).rows
        finally:
            await reader.close()
        return dict(zip(("spans", "inputs", "results"), (int(count or 0) for count in counts), strict=True))

    def close(self) -> None:
        """End the pump and remove the file."""
        self._recorder.shutdown()
        self._folder.cleanup()


def start(collector: str) -> TracecoreSqlite:  # noqa: ARG001 - nothing is sent
    """Import the library and begin to record."""
    return TracecoreSqlite()
