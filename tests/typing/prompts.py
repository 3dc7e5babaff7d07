"""What a type checker sees of prompts through the public names; checked by mypy and pyright, never run.

Each line that is wrong must be refused: the ignore on it fails the check as soon as it is not needed.
"""

from __future__ import annotations

from typing import Any, assert_type

import tracecore
from tracecore import ServedPrompt, TracecoreError, aget_prompt, awarm_prompts, get_prompt, warm_prompts


async def served() -> None:
    """Ask in every way."""
    assert_type(get_prompt("greeting"), ServedPrompt)
    assert_type(
        await aget_prompt("greeting", label="staging", fallback=[{"role": "user", "content": "hi"}]), ServedPrompt
    )
    assert_type(get_prompt("greeting", version=3, ttl=0, timeout=0.5, sticky="user-1"), ServedPrompt)
    assert_type(tracecore.invalidate_prompts("greeting"), None)
    failed = warm_prompts(["greeting", ("answer", "staging"), ("answer", 3)])
    assert_type(failed, dict[str | tuple[str, str | int], TracecoreError])
    assert_type(await awarm_prompts(["greeting"], timeout=1), dict[str | tuple[str, str | int], TracecoreError])

    get_prompt("greeting", version="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] # a label is no version
    get_prompt("greeting", type="image")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] # there is no such type
    get_prompt("greeting", fallback=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] # that is no prompt


def compiled(prompt: ServedPrompt) -> None:
    """Read and compile what was served."""
    assert_type(prompt.compile(customer="Ada"), str | list[dict[str, Any]])
    assert_type(prompt.prompt, str | list[dict[str, Any]])
    assert_type(prompt.version, int | None)
    assert_type(prompt.is_fallback, bool)
    with tracecore.generation("answer", prompt=prompt) as generation:
        generation.update(input=prompt.messages)

    prompt.compile(missing="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] # there is no such way
    prompt.version = 4  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] # others are served it, too
