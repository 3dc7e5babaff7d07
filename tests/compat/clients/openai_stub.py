"""A stand-in for the OpenAI API on a thread: answers as JSON and as a stream, embeddings, and errors.

Shapes: the API reference of OpenAI, chat completions, responses and embeddings. Standard library only.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ANSWER", "MODEL", "serve"]

MODEL = "gpt-4o-mini-2024-07-18"
"""What answers, whatever was asked for."""
ANSWER = "Grüße aus 世界"
USAGE = {
    "prompt_tokens": 19, "completion_tokens": 7, "total_tokens": 26,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}  # fmt: skip


def serve() -> str:
    """Serve until the program ends; return the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def _completion(**choice: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1760000000, "model": MODEL, "choices": [choice],
        "system_fingerprint": "fp_1", "service_tier": "default",
    }  # fmt: skip


def _chat(asked: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": ANSWER, "refusal": None}
    reason = "stop"
    if asked.get("tools"):
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
        message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    return _completion(index=0, message=message, finish_reason=reason, logprobs=None) | {"usage": USAGE}


def _chunks(asked: dict[str, Any]) -> list[dict[str, Any]]:
    pieces = [ANSWER[:3], ANSWER[3:8], ANSWER[8:]]
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
    chunks = [_completion(index=0, delta=delta, finish_reason=None) for delta in deltas]
    chunks.append(_completion(index=0, delta={}, finish_reason="stop"))
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks.append(_completion() | {"choices": [], "usage": USAGE})
    return [chunk | {"object": "chat.completion.chunk"} for chunk in chunks]


def _response() -> dict[str, Any]:
    content = [{"type": "output_text", "text": ANSWER, "annotations": []}]
    usage = {
        "input_tokens": 19, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 26,
    }  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1760000000, "status": "completed", "model": MODEL,
        "output": [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content}],
        "usage": usage, "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [],
        "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto",
        "text": {"format": {"type": "text"}},
    }  # fmt: skip


def _embeddings() -> dict[str, Any]:
    return {
        "object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 5, "total_tokens": 5},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
    }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer one call."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "no-such-model":
            error = {"message": "The model `no-such-model` does not exist", "type": "invalid_request_error"}
            self._send(404, json.dumps({"error": error | {"code": "model_not_found", "param": None}}))
        elif self.path.endswith("/embeddings"):
            self._send(200, json.dumps(_embeddings()))
        elif self.path.endswith("/responses"):
            self._send(200, json.dumps(_response()))
        elif asked.get("stream"):
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(asked)]
            self._send(200, "".join([*lines, "data: [DONE]\n\n"]), "text/event-stream")
        else:
            self._send(200, json.dumps(_chat(asked)))

    def _send(self, status: int, text: str, kind: str = "application/json") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""
