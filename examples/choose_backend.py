"""One program, any backend: ``TRACECORE_BACKEND=postgresql://me@db/traces python examples/choose_backend.py``.

Nothing here says where the records go. It records a few answers, reads them back through the stores of whatever backend
is configured, where that has any, and prints what became of them.
"""

from __future__ import annotations

import asyncio
import os
import sys

import tracecore
from tracecore.backend import TraceQuery
from tracecore.plugins import open_to_read

QUESTIONS = ("What did I buy?", "When will it come?", "Can I send it back?")


@tracecore.observe(as_type="agent")
async def answer(question: str) -> str:
    """Answer one question."""
    with tracecore.generation("llm", model="small-1", input=question) as call:
        reply = question[::-1]  # your model goes here
        call.update(output=reply, usage_details={"input": len(question), "output": len(reply)})
    tracecore.score_current_trace("helpful", 1.0)
    return reply


async def read_back(session: str) -> str:
    """Return what the backend has of a session, in words."""
    async with asyncio.timeout(30):
        backend = open_to_read(tracecore.Config.load())
        if backend.traces is None:
            return "it is read elsewhere"
        await backend.open()
        try:
            found = (await backend.traces.find("default", TraceQuery(session_id=session))).items
        finally:
            await backend.close()
        return f"{len(found)} traces with {sum(trace.observation_count for trace in found)} spans are in it"


async def main() -> int:
    """Record, flush, read back; return 0 if everything was delivered."""
    session = f"support-{os.getpid()}"
    with tracecore.propagate_attributes(user_id="user-123", session_id=session):
        await asyncio.gather(*map(answer, QUESTIONS))
    result = await tracecore.aflush(timeout=10)
    print(f"{tracecore.health().location}: {'delivered' if result.delivered else 'NOT delivered'} ({result.level})")
    print(await read_back(session))
    return 0 if result.delivered else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
