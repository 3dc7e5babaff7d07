"""One observed function and one model call: ``python examples/quickstart.py``, then ``tracecore traces``."""

from __future__ import annotations

import asyncio

from tracecore import generation, observe, propagate_attributes


@observe
async def answer(question: str) -> str:
    """Answer a question; arguments, result, time and errors are recorded."""
    with generation("reply", model="echo-1", input=question) as call:
        reply = question.upper()
        call.update(output=reply, usage_details={"input": len(question.split()), "output": len(reply.split())})
    return reply


with propagate_attributes(user_id="user-123", session_id="first-steps"):
    print(asyncio.run(answer("where did my time go?")))
