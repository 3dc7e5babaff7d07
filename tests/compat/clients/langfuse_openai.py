"""The OpenAI client behind the Langfuse SDK's drop-in: chat, streams, tools, responses, embeddings and errors."""

from __future__ import annotations

from typing import Any

from langfuse import get_client
from langfuse.openai import AsyncOpenAI, OpenAI
from openai_stub import serve
from telling import case, observations, tell

client = get_client()
URL = serve()
openai = OpenAI(base_url=URL, api_key="none", max_retries=0)
QUESTION = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Grüß die 世界"}]


@case
def chat() -> Any:
    """Complete a chat, with an answer that says what was used."""
    with client.start_as_current_observation(name="root") as root:
        answer = openai.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, temperature=0.3, name="greeting", metadata={"k": "v"}
        )
    return {"answer": answer.choices[0].message.content, "typed": observations(client, root.trace_id)}


@case
def streamed() -> Any:
    """Stream a chat, with the usage at its end."""
    with client.start_as_current_observation(name="root") as root:
        stream = openai.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, stream=True, stream_options={"include_usage": True}, name="streamed"
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    return {"answer": text, "typed": observations(client, root.trace_id)}


@case
async def awaited() -> Any:
    """Complete a chat with the asynchronous client, a tool at hand."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    async with AsyncOpenAI(base_url=URL, api_key="none", max_retries=0) as asynchronous:
        with client.start_as_current_observation(name="root") as root:
            await asynchronous.chat.completions.create(
                model="gpt-4o-mini", messages=QUESTION, tools=[tool], name="with a tool"
            )
    return {"typed": observations(client, root.trace_id)}


@case
def responses() -> Any:
    """Ask the responses API."""
    with client.start_as_current_observation(name="root") as root:
        answer = openai.responses.create(model="gpt-4o-mini", input="Grüß die 世界", name="response")
    return {"answer": answer.output_text, "typed": observations(client, root.trace_id)}


@case
def embeddings() -> Any:
    """Embed a text."""
    with client.start_as_current_observation(name="root") as root:
        openai.embeddings.create(model="text-embedding-3-small", input="Grüße", name="embedded")
    return {"typed": observations(client, root.trace_id)}


@case
def failed() -> Any:
    """Call a model that does not exist."""
    with client.start_as_current_observation(name="root") as root:
        try:
            openai.chat.completions.create(model="no-such-model", messages=QUESTION, name="refused")
        except Exception as error:  # noqa: BLE001 - which one it is, is what is told
            raised = type(error).__name__
    return {"raised": raised, "typed": observations(client, root.trace_id)}


if __name__ == "__main__":
    tell()
    client.shutdown()
