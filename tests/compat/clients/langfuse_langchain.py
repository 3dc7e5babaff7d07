"""LangChain with the Langfuse SDK's callback handler: a chain of a prompt, a model that reports usage, and a tool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langfuse import get_client
from langfuse.langchain import CallbackHandler
from telling import case, observations, tell

client = get_client()
USAGE = {
    "input_tokens": 12, "output_tokens": 5, "total_tokens": 17, "input_token_details": {"cache_read": 3},
    "output_token_details": {"reasoning": 1},
}  # fmt: skip


class Fake(BaseChatModel):
    """Answer always the same and report what it used, also where it streams, which the fakes of LangChain do not."""

    model_name: str = "fake-chat-1"

    @property
    def _llm_type(self) -> str:
        return "fake"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "temperature": 0.2}

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any,
    ) -> ChatResult:  # fmt: skip
        if "explode" in str(messages[-1].content):
            raise RuntimeError("the model exploded")
        message = AIMessage("a joke of 世", usage_metadata=USAGE, response_metadata={"model_name": self.model_name})
        return ChatResult(generations=[ChatGeneration(message=message)], llm_output={"model_name": self.model_name})

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:  # fmt: skip
        for word in ("a ", "joke ", "of 世"):
            chunk = ChatGenerationChunk(message=AIMessageChunk(word))
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=USAGE))


@tool
def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


PROMPT = ChatPromptTemplate.from_messages([("system", "You joke"), ("user", "a joke about {topic}")])
CHAIN = PROMPT | Fake() | RunnableLambda(lambda message: shout.invoke(message.text))


def run(call: Any) -> dict[str, Any]:
    """Run something with a handler, in a session, by a user, with tags."""
    handler = CallbackHandler()
    config = {
        "callbacks": [handler], "run_name": "the chain", "tags": ["plain"],
        "metadata": {
            "langfuse_user_id": "user-l", "langfuse_session_id": "session-l", "langfuse_tags": ["lc"],
            "langfuse_trace_name": "jokes", "own": "word",
        },
    }  # fmt: skip
    raised = ""
    try:
        call(config)
    except RuntimeError as error:
        raised = str(error)
    trace_id = handler.last_trace_id
    return {"trace_id": trace_id, "raised": raised, "typed": observations(client, trace_id)}


@case
def invoked() -> Any:
    """Invoke the chain."""
    return run(lambda config: CHAIN.invoke({"topic": "bears"}, config))


@case
def streamed() -> Any:
    """Stream from the model."""
    return run(lambda config: list((PROMPT | Fake()).stream({"topic": "bears"}, config)))


@case
def failed() -> Any:
    """Let the model raise."""
    return run(lambda config: CHAIN.invoke({"topic": "explode"}, config))


if __name__ == "__main__":
    tell()
    client.shutdown()
