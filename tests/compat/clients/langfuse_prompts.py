"""The Langfuse SDK manages prompts: versions, labels, fallbacks, its cache, and text and chat."""

from __future__ import annotations

import os
from typing import Any

import httpx
from langfuse import Langfuse
from langfuse.api import CreateTextPromptRequest, NotFoundError
from telling import case, plain, tell

client = Langfuse()


def shown(prompt: Any) -> dict[str, Any]:
    """Return what a prompt object of the SDK holds."""
    names = ("name", "version", "prompt", "config", "labels", "tags", "is_fallback", "commit_message")
    return {name: plain(getattr(prompt, name)) for name in names}


def fetched(name: str, **options: Any) -> dict[str, Any]:
    """Return a prompt as the server has it, past the cache."""
    return shown(client.get_prompt(name, cache_ttl_seconds=0, **options))


@case
def text() -> Any:
    """Make two versions of a text, and move a label."""
    first = client.create_prompt(
        name="folder/greeting ü", prompt="Hello {{name}}, {{unknown}}", labels=["production", "blue"], tags=["t1"],
        config={"model": "m", "temperature": 0.1}, commit_message="first",
    )  # fmt: skip
    second = client.create_prompt(name="folder/greeting ü", prompt="Hi {{name}}", tags=["t1", "t2"])
    name = "folder/greeting ü"
    told = {
        "first": shown(first), "second": shown(second), "default": fetched(name),
        "latest": fetched(name, label="latest"), "one": fetched(name, version=1),
        "blue": fetched(name, label="blue"), "compiled": first.compile(name="Ada"),
        "variables": first.variables,
    }  # fmt: skip
    client.update_prompt(name=name, version=2, new_labels=["production"])
    return told | {"moved": fetched(name), "left": fetched(name, version=1)}


@case
def chat() -> Any:
    """Make a chat with a placeholder."""
    client.create_prompt(
        name="chat", type="chat", labels=["production"],
        prompt=[
            {"role": "system", "content": "You are {{what}}"}, {"type": "placeholder", "name": "history"},
            {"role": "user", "content": "世界?"},
        ],
    )  # fmt: skip
    prompt = client.get_prompt("chat", type="chat", cache_ttl_seconds=0)
    history = [{"role": "user", "content": "before"}]
    return {"prompt": shown(prompt), "compiled": prompt.compile(what="kind", history=history)}


@case
def missing() -> Any:
    """Ask for a prompt that nobody made: an error, or the fallback."""
    try:
        client.get_prompt("nobody/made/this", max_retries=0)
    except NotFoundError as error:
        raised = {"status": error.status_code, "body": error.body}
    else:
        raised = {}
    fallback = client.get_prompt("nobody/made/this", fallback="Hello {{name}}", max_retries=0)
    return {"raised": raised, "fallback": shown(fallback), "compiled": fallback.compile(name="x")}


@case
def chat_fallback() -> Any:
    """Use a fallback that is a chat, and one for a label that the prompt has not."""
    messages = [{"role": "user", "content": "Hi {{name}}"}]
    chat = client.get_prompt("nobody/made/this", type="chat", fallback=messages, max_retries=0)
    client.create_prompt(name="unlabelled", prompt="x")
    text = client.get_prompt("unlabelled", label="production", fallback="Hello {{name}}", max_retries=0)
    return {
        "chat": [chat.is_fallback, plain(chat.compile(name="Ada"))],
        "text": [text.is_fallback, text.compile(name="Ada")],
        "latest": fetched("unlabelled", label="latest"),
    }  # fmt: skip


@case
def linked() -> Any:
    """Link generations to what they were made with: the object, a version that is not the newest, and a fallback."""
    for number in (1, 2):
        client.create_prompt(
            name="linked/ü", prompt=f"{number} {{{{x}}}}", labels=["production"] if number == 1 else []
        )
    prompts = {
        "production": client.get_prompt("linked/ü", cache_ttl_seconds=0),
        "latest": client.get_prompt("linked/ü", label="latest", cache_ttl_seconds=0),
        "fallback": client.get_prompt("nobody's", fallback="x", max_retries=0),
    }
    with client.start_as_current_observation(name="root") as root:
        for name, prompt in prompts.items():
            with client.start_as_current_observation(name=name, as_type="generation", prompt=prompt, model="m") as call:
                call.update(output=prompt.compile(x="y"))
    client.flush()
    return {"trace_id": root.trace_id}


@case
def split() -> Any:
    """Read a prompt whose label was split by somebody else: the SDK knows nothing of it, and passes over it."""
    for text in ("one", "two"):
        client.create_prompt(name="split", prompt=text, labels=["production"])
    shares = [{"version": 1, "weight": 1}, {"version": 2, "weight": 3}]
    question = {"project": "", "name": "split", "change": {"type": "split", "label": "production", "shares": shares}}
    address = f"{os.environ['LANGFUSE_BASE_URL']}/api/tracecore/v1/prompts/change"
    auth = (os.environ["LANGFUSE_PUBLIC_KEY"], os.environ["LANGFUSE_SECRET_KEY"])
    changed = httpx.post(address, json=question, auth=auth, timeout=60)
    return {"status": changed.status_code, "got": fetched("split"), "typed": client.api.prompts.get("split")}


@case
def cached() -> Any:
    """Read through the cache: what changed is seen when the cache is passed, or after a change by this client."""
    client.create_prompt(name="cached", prompt="one", labels=["production"])
    before = client.get_prompt("cached").prompt
    # Made past this client, so that its cache does not know.
    client.api.prompts.create(request=CreateTextPromptRequest(name="cached", prompt="two", labels=["production"]))
    stale, fresh = client.get_prompt("cached").prompt, client.get_prompt("cached", cache_ttl_seconds=0).prompt
    client.create_prompt(name="cached", prompt="three", labels=["production"])
    return {"before": before, "stale": stale, "fresh": fresh, "after": client.get_prompt("cached").prompt}


@case
def composed() -> Any:
    """Insert one prompt into another."""
    client.create_prompt(name="part", prompt="Be brief.", labels=["production"])
    client.create_prompt(
        name="whole", prompt="@@@langfusePrompt:name=part|label=production@@@ Answer {{q}}", labels=["production"]
    )
    return {
        "resolved": fetched("whole"), "typed": client.api.prompts.get("whole"),
        "raw": client.api.prompts.get("whole", resolve=False),
    }  # fmt: skip


@case
def listed() -> Any:
    """List prompts by name, label and tag, and page through them."""
    for number in range(3):
        client.create_prompt(name=f"listed/{number}", prompt=f"{number}", tags=["listed"], labels=["green"])
    return {
        "all": client.api.prompts.list(limit=2, page=1, tag="listed"),
        "second": client.api.prompts.list(limit=2, page=2, tag="listed"),
        "named": client.api.prompts.list(name="listed/1"),
        "labelled": client.api.prompts.list(label="green"),
    }  # fmt: skip


@case
def removed() -> Any:
    """Delete one version, then all."""
    for text in ("one", "two", "three"):
        client.create_prompt(name="removed", prompt=text, labels=["production"])
    client.api.prompts.delete("removed", version=3)
    left = client.api.prompts.list(name="removed")
    latest = fetched("removed", label="latest")
    client.api.prompts.delete("removed")
    try:
        client.api.prompts.get("removed", version=1)
    except NotFoundError as error:
        return {"left": left, "latest": latest, "status": error.status_code}
    return {"left": left, "latest": latest, "status": 200}


@case
def refused() -> Any:
    """Try what is not allowed."""
    told = {}
    attempts = {
        "latest": lambda: client.api.prompt_version.update("refused", 1, new_labels=["latest"]),
        "label": lambda: client.create_prompt(name="refused", prompt="x", labels=["Not Allowed"]),
        "type": lambda: client.create_prompt(name="refused", prompt=[{"role": "user", "content": "x"}], type="chat"),
        "version": lambda: client.api.prompt_version.update("refused", 99, new_labels=["x"]),
    }
    client.create_prompt(name="refused", prompt="x")
    for name, attempt in attempts.items():
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 - which one it is, is what is told
            told[name] = [type(error).__name__, getattr(error, "status_code", None), getattr(error, "body", None)]
    return told


if __name__ == "__main__":
    tell()
    client.shutdown()
