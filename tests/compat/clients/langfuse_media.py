"""The Langfuse SDK uploads media out of spans and dataset items, and resolves references to it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from langfuse import Langfuse, LangfuseMedia
from telling import case, observations, tell

client = Langfuse()
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@case
def in_spans() -> Any:
    """Send bytes, a data URI that the SDK finds by itself, and the same bytes again."""
    uri = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    sound = b"RIFF" + bytes(range(256)) * 400
    with client.start_as_current_observation(
        name="pictures", input={"picture": LangfuseMedia(content_bytes=PIXEL, content_type="image/png")},
        output=[{"role": "assistant", "content": uri}],
        metadata={"sound": LangfuseMedia(content_bytes=sound, content_type="audio/wav")},
    ) as root:  # fmt: skip
        pass
    [span] = observations(client, root.trace_id)
    resolved = client.resolve_media_references(obj=span["input"], resolve_with="base64_data_uri")
    media_id = base64.urlsafe_b64encode(hashlib.sha256(PIXEL).digest()).decode()[:22]
    return {
        "trace_id": root.trace_id, "span": span, "resolved": resolved, "uri": uri, "media_id": media_id,
        "media": client.api.media.get(media_id),
        "sound_id": base64.urlsafe_b64encode(hashlib.sha256(sound).digest()).decode()[:22],
        "sound": base64.b64encode(sound).decode(),
    }  # fmt: skip


@case
def in_items() -> Any:
    """Send media in a dataset's item, and read where it is."""
    client.create_dataset(name="pictures")
    made = client.create_dataset_item(
        dataset_name="pictures", input={"see": LangfuseMedia(content_bytes=PIXEL, content_type="image/png")},
        expected_output="a pixel",
        metadata={"also": [1, LangfuseMedia(content_bytes=PIXEL, content_type="image/png")]},
    )  # fmt: skip
    # The SDK puts an object that can fetch it in the place of each reference.
    [item] = client.get_dataset("pictures").items
    return {
        "made": made, "raw": client.api.dataset_items.get(made.id), "fetched": item.input["see"].fetch_bytes() == PIXEL,
        "in_list": item.metadata["also"][1].fetch_bytes() == PIXEL,
    }  # fmt: skip


@case
def unknown() -> Any:
    """Ask for media that nobody has sent."""
    try:
        client.api.media.get("A" * 22)
    except Exception as error:  # noqa: BLE001 - which one it is, is what is told
        return {"status": getattr(error, "status_code", None), "body": getattr(error, "body", None)}
    return {"status": 200}


if __name__ == "__main__":
    tell()
    client.shutdown()
