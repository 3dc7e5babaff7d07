"""Prompts as a Python module with functions, so that a type checker sees what each of them wants.

A call that lacks a variable, or gives one of another type than is declared, is an error before the program runs::

    from prompts import support_greeting

    text = support_greeting(customer="Ann", tone="warm")

The module is a real one: its functions ask ``get_prompt`` and compile. What comes from the store stands in it as a
string literal, as text of a docstring, or as an identifier that was made of it: no name, description or enum can become
code. The same prompts make the same module.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from tracecore.composition import texts_of
from tracecore.errors import ConfigError
from tracecore.prompt_text import placeholders_in, variables_in
from tracecore.prompts import Prompt, Variable, VariableType
from tracecore.services.python_text import docstring_text, identifier, string_literal

__all__ = ["stub"]

_WIDTH: Final = 88
"""Columns of a line where it can be broken: what formatters take for granted."""
_SOURCE: Final = "the store"
_TYPES: Final[dict[VariableType, str]] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list[Any] | tuple[Any, ...]",
    "object": "Mapping[str, Any]",
}
_ANYTHING: Final = "object"
"""What a variable takes that is not declared: a value of any type can be made a text."""
_MESSAGES: Final = "Sequence[Mapping[str, Any]]"
_ANSWERS: Final = {"text": "str", "chat": "list[dict[str, Any]]"}
_TAKEN: Final = frozenset({
    "Any", "Literal", "Mapping", "Sequence", "ServedPrompt", "TypeError", "aget_prompt", "annotations", "bool", "dict",
    "float", "get_prompt", "int", "isinstance", "list", "object", "str", "tuple",
})  # fmt: skip
"""Names that the module uses itself."""
_HEAD: Final = '''\
"""Prompts as functions, written by `tracecore prompts stub`: write it again instead.

A function compiles the prompt that `get_prompt` returns for its name, or the one that
is its first argument: one of another label, with a fallback, or that a generation is
given, too. A function whose name begins with an "a" more does not block the loop.
"""

from __future__ import annotations
'''
_LONGEST: Final = 1_000
"""Characters of a description that stand in a docstring."""
_SERVED: Final = "_served: ServedPrompt | None = None"
_HELPERS: Final = {
    "text": """

def _text(served: ServedPrompt, values: dict[str, object]) -> str:
    compiled = served.compile(values)
    if isinstance(compiled, str):
        return compiled
    raise TypeError(f"{served!r} is a chat: write this module again")
""",
    "chat": """

def _chat(served: ServedPrompt, values: dict[str, object]) -> list[dict[str, Any]]:
    compiled = served.compile(values)
    if not isinstance(compiled, str):
        return compiled
    raise TypeError(f"{served!r} is a text: write this module again")
""",
}


class _Parameter(Struct, frozen=True):
    """Describe what a function takes for one variable."""

    variable: str
    name: str
    type: str
    enum: tuple[str, ...] = ()
    optional: bool = False
    description: str = ""

    def lines(self) -> list[str]:
        """Return it as it stands in a signature."""
        if not self.enum:
            return [f"    {self.name}: {self.type}{' | None = None' if self.optional else ''},"]
        texts = [string_literal(text) for text in self.enum]
        line = f"    {self.name}: Literal[{', '.join(texts)}]{' | None = None' if self.optional else ''},"
        if len(line) <= _WIDTH:
            return [line]
        none, default = (["None"], " = None") if self.optional else ([], "")
        return [f"    {self.name}: Literal[", *(f"        {text}," for text in texts + none), f"    ]{default},"]


def stub(prompts: Iterable[Prompt]) -> str:
    """Return the module for prompts, whose texts have everything inserted: one version of each name.

    Raises:
        ConfigError: two of them would be the same function, or two variables of one the same argument; or one is none.
    """
    found = [(prompt, _parameters(prompt)) for prompt in sorted(prompts, key=lambda one: (one.name, one.version))]
    claimed: dict[str, Prompt] = {}
    functions = "".join(_functions(prompt, parameters, claimed) for prompt, parameters in found)
    helpers = "".join(_HELPERS[kind] for kind in _HELPERS if any(prompt.type == kind for prompt, _ in found))
    types = {one.type for _, parameters in found for one in parameters} | {_ANSWERS[prompt.type] for prompt, _ in found}
    return _HEAD + (_imports(types) + functions + helpers if found else "")


def _functions(prompt: Prompt, parameters: list[_Parameter], claimed: dict[str, Prompt]) -> str:
    """Return both functions of a prompt, whose names it claims."""
    name = identifier(prompt.name, "prompt", _TAKEN)
    twin = identifier(f"a{name}", "prompt", _TAKEN)
    for function in (name, twin):
        other = claimed.setdefault(function, prompt)
        if other is not prompt:
            expected = f"prompts that are different functions: both would be {function}; write them into two modules"
            raise ConfigError("names", f"{other.name}, {prompt.name}", _SOURCE, expected)
    return _function(name, prompt, parameters) + _function(twin, prompt, parameters, is_async=True)


def _function(name: str, prompt: Prompt, parameters: list[_Parameter], *, is_async: bool = False) -> str:
    start, ask = ("async def", "await aget_prompt") if is_async else ("def", "get_prompt")
    asked = f"_served or {ask}({string_literal(prompt.name)})"
    answer, helper = _ANSWERS[prompt.type], f"_{prompt.type}"
    if parameters:
        signature = ["    *,", *(line for parameter in parameters for line in parameter.lines())]
        entries = [f"            {string_literal(one.variable)}: {one.name}," for one in parameters]
        values = ["{", *entries, "        },"]
    else:
        signature, values = [], ["{},"]
    lines = [
        "", "", f"{start} {name}(", f"    {_SERVED},", "    /,", *signature, f") -> {answer}:",
        *_docstring(prompt, parameters),
        f"    return {helper}(", f"        {asked},", f"        {values[0]}", *values[1:], "    )", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _docstring(prompt: Prompt, parameters: list[_Parameter]) -> Iterator[str]:
    """Return what is known of a prompt and its variables, each description cut where it is very long."""
    first = f'    """Compile the {prompt.type} prompt {docstring_text(prompt.name)} as of version {prompt.version}.'
    described = [parameter for parameter in parameters if parameter.description]
    if not described:
        yield f'{first}"""'
        return
    yield from (first, "", "    Args:")
    for parameter in described:
        text = f"        {parameter.name}: {docstring_text(parameter.description[:_LONGEST])}"
        yield from textwrap.wrap(
            text, _WIDTH, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False
        )
    yield '    """'


def _parameters(prompt: Prompt) -> list[_Parameter]:
    """Return what the functions of a prompt take: what is declared, in that order, then what else is used."""
    texts, placeholders = _content(prompt)
    declared = prompt.variables or {}
    names = [*declared, *sorted((variables_in(texts) | placeholders) - declared.keys())]
    found: dict[str, _Parameter] = {}
    for variable in names:
        parameter = _parameter(variable, declared.get(variable), is_placeholder=variable in placeholders)
        other = found.setdefault(parameter.name, parameter)
        if other is not parameter:
            expected = f"variables that are different arguments: both would be {other.name}; rename one"
            raise ConfigError("variables", f"{other.variable}, {variable}", f"the prompt {prompt.name}", expected)
    return list(found.values())


def _parameter(variable: str, declared: Variable | None, *, is_placeholder: bool) -> _Parameter:
    name = identifier(variable, "variable", _TAKEN)
    if declared is None:
        return _Parameter(variable, name, _MESSAGES if is_placeholder else _ANYTHING)
    enum = declared.enum if declared.type == "string" and not is_placeholder else ()
    kind = _MESSAGES if is_placeholder else "Literal" if enum else _TYPES[declared.type]
    return _Parameter(variable, name, kind, enum, declared.optional, declared.description)


def _content(prompt: Prompt) -> tuple[list[str], set[str]]:
    """Return the texts of a prompt, and its placeholders."""
    try:
        content: Any = msgspec.json.decode(prompt.prompt, type=str if prompt.type == "text" else list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        expected = f"what a {prompt.type} prompt is ({error}); publish it again"
        raise ConfigError("prompt", prompt.name, _SOURCE, expected) from error
    return texts_of(content), set() if prompt.type == "text" else placeholders_in(content)


def _imports(types: set[str]) -> str:
    """Return the imports that annotations need, and those of every module."""
    lines = [""]
    for module, names in (("collections.abc", ("Mapping", "Sequence")), ("typing", ("Any", "Literal"))):
        if used := [name for name in names if any(name in annotation for annotation in types)]:
            lines.append(f"from {module} import {', '.join(used)}")
    lines += [""] if len(lines) > 1 else []
    return "\n".join([*lines, "from tracecore import ServedPrompt, aget_prompt, get_prompt", ""])
