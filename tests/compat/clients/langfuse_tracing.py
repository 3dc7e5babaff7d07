"""The Langfuse SDK traces: decorator, context managers, propagation, every type, errors, ids, and unusual values."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from langfuse import Langfuse, get_client, observe, propagate_attributes
from langfuse.api import LangfuseAPI
from telling import case, observations, tell

client = Langfuse(environment="staging", release="r-7")
SCRIPTS = "Grüße, 世界, שלום, مرحبا, नमस्ते, 👩‍👩‍👧‍👦 🏳️‍🌈, e\u0301, \u200b|\u202e|\ufeff, \\ \" ' \n\t"


@case
def key() -> Any:
    """Check the key and look at what it opens."""
    trace_id = client.create_trace_id(seed="a url")
    return {
        "ok": client.auth_check(), "projects": client.api.projects.get(), "health": client.api.health.health(),
        "url": client.get_trace_url(trace_id=trace_id), "trace_id": trace_id,
    }  # fmt: skip


@case
def wrong_key() -> Any:
    """Ask with a secret that is none, and with a key that nobody has."""
    told = {}
    for public, secret in {"pk-lf-compat": "sk-lf-wrong", "pk-lf-nobody": "sk-lf-compat-secret-of-the-tests"}.items():
        # One client for each public key is all there is in a process: the API is asked directly.
        api = LangfuseAPI(base_url=os.environ["LANGFUSE_BASE_URL"], username=public, password=secret)
        try:
            api.projects.get()
        except Exception as error:  # noqa: BLE001 - which one it is, is what is told
            told[public] = [type(error).__name__, getattr(error, "status_code", None), getattr(error, "body", None)]
    return told


@observe
def plain_function(question: str, *, depth: int = 1) -> dict[str, Any]:
    """Return something structured."""
    return {"answer": question.upper(), "depth": depth}


@observe(name="awaited", as_type="chain")
async def coroutine(question: str) -> str:
    """Call a nested function."""
    await asyncio.sleep(0)
    plain_function(question, depth=2)
    return f"{question}!"


@observe
def letters(count: int) -> Iterator[str]:
    """Yield letters."""
    yield from "abcdef"[:count]


@observe
async def numbers(count: int) -> AsyncIterator[int]:
    """Yield numbers."""
    for number in range(count):
        await asyncio.sleep(0)
        yield number


@observe(capture_input=False, capture_output=False)
def silent(secret: str) -> str:
    """Be seen without what it was given."""
    return secret


@case
def decorated() -> Any:
    """Observe functions of every kind below one root."""

    async def consume() -> list[int]:
        return [number async for number in numbers(3)]

    with client.start_as_current_observation(name="decorated") as root:
        asyncio.run(coroutine("why"))
        list(letters(4))
        asyncio.run(consume())
        silent("hidden")
    return {"trace_id": root.trace_id, "typed": observations(client, root.trace_id)}


@case
def types() -> Any:
    """Nest every type of observation."""
    with client.start_as_current_observation(name="an agent", as_type="agent", input={"goal": "help"}) as agent:
        with agent.start_as_current_observation(name="a chain", as_type="chain"):
            for kind in ("tool", "retriever", "embedding", "guardrail", "evaluator", "span"):
                with client.start_as_current_observation(name=f"a {kind}", as_type=kind, input=kind, output=[kind]):
                    pass
        agent.create_event(name="an event", input="happened", metadata={"n": 1}, level="WARNING", status_message="look")
        with client.start_as_current_observation(name="a generation", as_type="generation"):
            pass
        agent.update(output="done")
    return {"trace_id": agent.trace_id, "typed": observations(client, agent.trace_id)}


@case
def generation() -> Any:
    """Say everything that a generation can say."""
    client.create_prompt(name="compat/linked", prompt="Say {{it}}", labels=["production"])
    prompt = client.get_prompt("compat/linked")
    began = datetime.now(UTC)
    with client.start_as_current_observation(
        name="complete", as_type="generation", model="gpt-4o-mini", model_parameters={"temperature": 0.5, "stop": "x"},
        input=[{"role": "user", "content": "hi"}], metadata={"k": {"deep": [1, 2]}, "text": "word"}, version="v2",
        prompt=prompt,
    ) as complete:  # fmt: skip
        complete.update(
            completion_start_time=began + timedelta(seconds=1), output={"role": "assistant", "content": "hello"},
            usage_details={"input": 100, "output": 20, "input_cached_tokens": 30},
            cost_details={"input": 0.01, "output": 0.02},
        )  # fmt: skip
        with client.start_as_current_observation(name="priced by the server", as_type="generation") as priced:
            client.update_current_generation(model="gpt-4o-mini", usage_details={"input": 1000, "output": 1000})
        with client.start_as_current_observation(name="no generation", as_type="span"):
            client.update_current_span(metadata={"late": True}, output="updated", level="DEBUG", status_message="fine")
    typed = observations(client, complete.trace_id)
    return {"trace_id": complete.trace_id, "typed": typed, "began": began.isoformat(), "priced": priced.id}


@case
def propagated() -> Any:
    """Say once what every observation below carries."""
    with (
        propagate_attributes(
            user_id="user-1", session_id="session-1", tags=["a", "b"], metadata={"tenant": "acme"}, version="7.1",
            trace_name="a trace", environment="blue",
        ),
        client.start_as_current_observation(name="outer") as root,
        propagate_attributes(tags=["c"], metadata={"more": "yes"}),
        client.start_as_current_observation(name="inner", as_type="generation"),
    ):  # fmt: skip
        client.set_current_trace_as_public()
    typed = observations(client, root.trace_id)
    by_session = client.api.observations.get_many(session_id="session-1", fields="core,basic")
    by_user = client.api.observations.get_many(user_id="user-1", fields="core,basic")
    return {"trace_id": root.trace_id, "typed": typed, "by_session": by_session, "by_user": by_user}


@case
def errors() -> Any:
    """Let a function raise, and say of a step that it failed."""

    @observe
    def failing() -> None:
        raise ValueError("no such thing: 42")

    with client.start_as_current_observation(name="root") as root:
        with contextlib.suppress(ValueError):
            failing()
        with root.start_as_current_observation(name="marked", as_type="tool") as tool:
            tool.update(level="ERROR", status_message="said so")
    return {"trace_id": root.trace_id, "typed": observations(client, root.trace_id)}


@case
def ids() -> Any:
    """Take ids from seeds, and go on below a parent of another process that is not sent here."""
    trace_id = client.create_trace_id(seed="order-17")
    context = {"trace_id": trace_id, "parent_span_id": "00f067aa0ba902b7"}
    with client.start_as_current_observation(name="remote child", trace_context=context) as child:
        plain_function("inside")
    plain_function("decorated", langfuse_trace_id=trace_id, langfuse_parent_observation_id=child.id)
    rootless = client.create_trace_id(seed="order-18")
    with client.start_as_current_observation(name="no parent", trace_context={"trace_id": rootless}):
        pass
    return {
        "trace_id": trace_id, "child": child.id, "rootless": rootless, "again": client.create_trace_id(seed="order-17"),
        "typed": observations(client, trace_id), "typed_rootless": observations(client, rootless),
    }  # fmt: skip


@case
def unusual() -> Any:
    """Send what breaks naive stores."""
    values = {
        "scripts": SCRIPTS, "big": 2**63, "huge": 10**40, "negative": -(2**63) - 1, "exact": 2**53 + 1, "nan": math.nan,
        "infinite": [math.inf, -math.inf], "float": 0.1 + 0.2, "tiny": 5e-324, "none": None, "empty": [{}, [], ""],
        "bytes": b"\x00\xff", "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "set": {1}, "nul": "a\x00b",
        "deep": {"a": {"b": {"c": {"d": [[[[1]]]]}}}},
    }  # fmt: skip
    with client.start_as_current_observation(
        name=SCRIPTS, input=values, output=SCRIPTS, metadata={SCRIPTS: SCRIPTS}
    ) as root:
        client.create_event(name="numbers as text", input="123", output="null")
    return {"trace_id": root.trace_id, "scripts": SCRIPTS, "typed": observations(client, root.trace_id)}


@case
def large() -> Any:
    """Send ten million characters that compress badly, and as many as are kept of one text, and read them back."""
    text = "".join(f"{number:x}世" for number in range(1_600_000))[:10_000_000]
    kept = text[: 1 << 20]
    with client.start_as_current_observation(name="large", input=text, output=kept) as root:
        pass
    read = observations(client, root.trace_id)[0]
    return {"trace_id": root.trace_id, "cut": read["input"], "text": text, "whole": read["output"] == kept}


@case
def burst() -> Any:
    """Send more spans than one request takes, and read them all page by page with a cursor."""
    with client.start_as_current_observation(name="burst") as root:
        for number in range(700):
            root.start_observation(name=f"step {number}").end()
    client.flush()
    names, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = client.api.observations.get_many(trace_id=root.trace_id, fields="core,basic", limit=300, cursor=cursor)
        names += [one.name for one in page.data]
        cursor, pages = page.meta.cursor, pages + 1
    return {"trace_id": root.trace_id, "names": names, "pages": pages}


@case
async def asynchronous() -> Any:
    """Read through the asynchronous typed client."""
    with client.start_as_current_observation(name="read by await") as root:
        pass
    client.flush()
    answer = await client.async_api.observations.get_many(trace_id=root.trace_id, fields="core,basic")
    return {"trace_id": root.trace_id, "typed": answer}


@case
def deleted() -> Any:
    """Delete a trace, and read what is left."""
    with client.start_as_current_observation(name="short-lived") as root:
        pass
    before = observations(client, root.trace_id)
    answer = client.api.trace.delete(root.trace_id)
    return {"trace_id": root.trace_id, "before": len(before), "answer": answer}


if __name__ == "__main__":
    assert get_client() is not None
    tell()
    client.shutdown()
