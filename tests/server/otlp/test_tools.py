"""Calls of tools: looked for only where there may be some, and found as if they were looked for everywhere."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.server.otlp.otlp_requests import one
from tracecore.records import ABSENT
from tracecore.server.otlp.payloads import parsed, payload_of
from tracecore.server.otlp.tools import _calls, _distinct  # pyright: ignore[reportPrivateUsage] # the search itself

words = st.sampled_from(["look", "function_call", "tool", '{"name": "look", "arguments": {}}', "", "é"])
calls = st.fixed_dictionaries(
    {"name": words, "arguments": words | st.just({"q": 1}), "type": st.sampled_from(["function", "tool_use", "text"])}
)
messages = st.recursive(
    st.one_of(words, calls, st.dictionaries(st.sampled_from(["tool_calls", "toolCalls"]), st.lists(calls, max_size=2))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["message", "content", "parts", "tool_call", "function"]), inner, max_size=2),
    ),
    max_leaves=4,
)


@given(messages, st.sampled_from(["", " ", "\n"]))
def test_no_call_is_missed_because_it_was_not_looked_for(message: Any, before: str) -> None:
    """What holds no word of a call is not read, nor is a text, whatever its words are; a text asks for nothing."""
    for text in (before + json.dumps(message), str(message)):
        payload = payload_of(text)
        found = list[dict[str, Any]]()
        if b"tool" in bytes(payload) or b"function_call" in bytes(payload):
            found = _distinct(_calls(parsed(payload), 0))
        record = one({"langfuse.observation.output": text})
        assert record.tool_calls == (payload_of(found) if found else ABSENT)
        assert record.tool_call_names == tuple(dict.fromkeys(call["name"] for call in found))
