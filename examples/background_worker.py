"""A synchronous worker with threads: ``python examples/background_worker.py [FOLDER]``.

It compresses every Python file of a folder (its own, by default) in a pool of threads and reports the best ratio. The
pool is a :class:`tracecore.ContextExecutor`: what runs in it stays below the span that submitted it. A job that fails
costs that job only, and its span says why. Before the program ends it waits until everything is stored.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import tracecore
from tracecore import ContextExecutor, event, observe, propagate_attributes, span, update_current_span


@observe(as_type="tool")
def compress(path: Path, *, level: int) -> float:
    """Return how many times smaller a file becomes."""
    data = path.read_bytes()
    if not data:
        raise ValueError(f"{path.name} is empty")
    ratio = len(data) / len(zlib.compress(data, level))
    update_current_span(metadata={"bytes": len(data)})
    return ratio


def run_job(folder: Path) -> float:
    """Compress every file of a folder at once and return the best ratio."""
    with (
        propagate_attributes(user_id="nightly-job", tags=["batch"], trace_name="compress-folder"),
        span("job", input={"folder": str(folder)}) as job,
        ContextExecutor(max_workers=4) as pool,
    ):
        best = 0.0
        for future in [pool.submit(compress, path, level=9) for path in sorted(folder.glob("**/*.py"))]:
            try:
                best = max(best, future.result())
            except ValueError as error:
                event("skipped", level="WARNING", status_message=str(error))
        job.update(output={"best_ratio": best})
    return best


if __name__ == "__main__":
    print(f"best ratio: {run_job(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent):.1f}")
    flushed = tracecore.flush(timeout=5)
    print(f"stored in {tracecore.health().location}" if flushed.delivered else f"not stored: {flushed}")
