"""The module that is written for prompts: what type checkers see in it, what it does, and that it stays what it is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tracecore import ConfigError, ServedPrompt
from tracecore.catalog_prompts import prompts_of
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.prompt_registry import REGISTRY
from tracecore.prompting import use_store
from tracecore.prompts import NewPrompt, Prompt, Variable
from tracecore.served_prompts import served
from tracecore.services.prompt_stubs import stub

HISTORY = {"type": "placeholder", "name": "history"}


def prompt(name: str, content: Any, variables: dict[str, Variable] | None = None) -> Prompt:
    """Return the third version of a prompt."""
    kind = "text" if isinstance(content, str) else "chat"
    raw = Raw(msgspec.json.encode(content))
    return Prompt(id=name, name=name, version=3, type=kind, prompt=raw, variables=variables)


GREETING = prompt(
    "support/greeting",
    "Hello {{customer}}, {{tone}} {{count}} {{share}} {{is_new}} {{topics}} {{order}}",
    {
        "customer": Variable(description='Who is "greeted".'),
        "tone": Variable(enum=("warm", "cold"), optional=True),
        "count": Variable(type="integer"),
        "share": Variable(type="number"),
        "is_new": Variable(type="boolean"),
        "topics": Variable(type="array", optional=True),
        "order": Variable(type="object"),
    },
)
CHAT = prompt("chat", [HISTORY, {"role": "user", "content": "{{class}} {{get_prompt}}"}])
LONG = prompt(
    "long", "{{choice}}", {"choice": Variable(enum=tuple(f"the choice {n}" for n in range(9)), optional=True)}
)
PLAIN = prompt("plain", "Hello")
PROMPTS = [GREETING, CHAT, LONG, PLAIN]

PROGRAM = """
import tracecore
from prompts import achat, asupport_greeting, chat, long, plain, support_greeting

text: str = support_greeting(
    customer="Ann", tone="warm", count=1, share=0.5, is_new=True, topics=["a"], order={"id": 1},
)
text = support_greeting(customer="Ann", count=1, share=2, is_new=False, order={})
text = support_greeting(tracecore.get_prompt("x", label="next"), customer="", count=1, share=1, is_new=True, order={})
text = plain() + long() + long(choice="the choice 3")
messages_of_chat = chat(history=[{"role": "user", "content": "Hello"}], class_=1, get_prompt_=None)
first: object = messages_of_chat[0]["role"]
support_greeting(count=1, share=0.5, is_new=True, order={})  # wrong
support_greeting(customer=1, count=1, share=0.5, is_new=True, order={})  # wrong
support_greeting(customer="", count="1", share=0.5, is_new=True, order={})  # wrong
support_greeting(customer="", count=1, share="0.5", is_new=True, order={})  # wrong
support_greeting(customer="", count=1, share=0.5, is_new="yes", order={})  # wrong
support_greeting(customer="", count=1, share=0.5, is_new=True, order=[])  # wrong
support_greeting(customer="", count=1, share=0.5, is_new=True, order={}, topics="a")  # wrong
support_greeting(customer="", count=1, share=0.5, is_new=True, order={}, tone="hot")  # wrong
support_greeting(customer="", count=1, share=0.5, is_new=True, order={}, colour="red")  # wrong
support_greeting("Ann", count=1, share=0.5, is_new=True, order={})  # wrong
long(choice="the choice 10")  # wrong
plain(customer="Ann")  # wrong
chat(history="Hello", class_=1, get_prompt_=None)  # wrong
chat(history=[], get_prompt_=None)  # wrong
number: int = plain()  # wrong


async def beside() -> None:
    text: str = await asupport_greeting(customer="Ann", count=1, share=1, is_new=True, order={})
    print(text, await achat(history=[], class_="", get_prompt_=""))
    await asupport_greeting(count=1, share=1, is_new=True, order={})  # wrong
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the module, a program that calls it, and the lines of that which are right."""
    where = tmp_path_factory.mktemp("stub")
    (where / "prompts.py").write_text(stub(PROMPTS), encoding="utf-8")
    (where / "program.py").write_text(PROGRAM, encoding="utf-8")
    right = "\n".join(line for line in PROGRAM.split("\n") if not line.endswith("# wrong"))
    (where / "right.py").write_text(right, encoding="utf-8")
    return where


def tool(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment."""
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240)


def wrong_lines() -> set[int]:
    """Return the numbers of the lines that are wrong."""
    return {number for number, line in enumerate(PROGRAM.split("\n"), 1) if line.endswith("# wrong")}


@pytest.mark.timeout(300)
def test_mypy_refuses_the_wrong_calls_only(folder: Path, project_root: Path) -> None:
    """Strictly checked, the module and a right program are clean; of a wrong one each wrong line is named."""
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = True\nmypy_path = {project_root}\n", encoding="utf-8")
    options = ("--cache-dir", str(folder / "cache"), "--follow-imports", "silent", "--no-error-summary")
    clean = tool("mypy", *options, "prompts.py", "right.py", cwd=folder)
    assert (clean.returncode, clean.stdout) == (0, "")
    found = tool("mypy", *options, "--output", "json", "program.py", cwd=folder)
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert {line["line"] for line in lines if line["severity"] == "error"} == wrong_lines()


@pytest.mark.timeout(300)
def test_pyright_refuses_the_wrong_calls_only(folder: Path, project_root: Path) -> None:
    """The other checker sees the same."""
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(project_root)], "reportUnusedExpression": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    found = tool("pyright", "--outputjson", "--pythonpath", sys.executable, cwd=folder)
    errors = [one for one in json.loads(found.stdout)["generalDiagnostics"] if one["severity"] == "error"]
    assert [one for one in errors if not one["file"].endswith("program.py")] == []
    assert {one["range"]["start"]["line"] + 1 for one in errors} == wrong_lines()


def test_a_formatter_has_nothing_to_do(folder: Path) -> None:
    """It is laid out as formatters want it, in lines of 88 columns or of 120, and no import is missing or too much."""
    for width in ("88", "120"):
        run = tool("ruff", "format", "--isolated", "--line-length", width, "--diff", "prompts.py", cwd=folder)
        assert run.returncode == 0, run.stdout
    run = tool(
        "ruff", "check", "--isolated", "--select", "E,F,I,D1,D2,UP", "--ignore", "D203,D213", "prompts.py", cwd=folder
    )
    assert run.returncode == 0, run.stdout


# -- what it does ------------------------------------------------------------------------------------------------------


def module_of(*prompts: Prompt, store: dict[str, Prompt] | None = None) -> Any:
    """Return the module of prompts, which asks a dictionary for them."""
    found = types.ModuleType("prompts")
    exec(compile(stub(prompts), "prompts.py", "exec"), found.__dict__)  # noqa: S102 - this is what is tested
    there = store or {one.name: one for one in prompts}

    def get_prompt(name: str) -> ServedPrompt:
        return served(there[name], label=None, source="server", fetched_ns=0)

    async def aget_prompt(name: str) -> ServedPrompt:
        return get_prompt(name)

    found.get_prompt, found.aget_prompt = get_prompt, aget_prompt
    return found


async def test_functions_ask_for_the_prompt_and_compile_it() -> None:
    """Variables have their own names there, whatever the arguments are called; what is optional may be left out."""
    module = module_of(GREETING, CHAT)
    values = {"customer": "Ann", "count": 1, "share": 0.5, "is_new": True, "order": {"id": 2}}
    expected = 'Hello Ann, warm 1 0.5 true  {"id":2}'
    assert module.support_greeting(**values, tone="warm") == expected
    assert await module.asupport_greeting(**values, tone="warm") == expected
    assert "Ann,  1" in module.support_greeting(**values)
    messages = [{"role": "user", "content": "Hello"}, {"role": "user", "content": "1 a"}]
    assert module.chat(history=messages[:1], class_=1, get_prompt_="a") == messages
    assert await module.achat(history=messages[:1], class_=1, get_prompt_="a") == messages


async def test_what_is_published_is_what_the_module_compiles() -> None:
    """From a store to a text: publish, write the module of what was read, call it; a wrong value is named."""
    backend = MemoryBackend(MemoryData(), location="memory:", access="write")
    await backend.open()
    store = prompts_of(backend)
    declared = {"name": Variable(), "tone": Variable(enum=("warm", "cold"), optional=True)}
    content = Raw(b'"Hello {{name}} {{tone}}"')
    await store.publish("default", NewPrompt(name="hello", prompt=content, labels=("production",), variables=declared))
    found = types.ModuleType("prompts")
    exec(compile(stub([await store.get("default", "hello")]), "prompts.py", "exec"), found.__dict__)  # noqa: S102 - as above
    use_store(store)
    try:
        assert await found.ahello(name="{{tone}}", tone="warm") == "Hello {{tone}} warm"
        assert found.hello(name="Ann") == "Hello Ann "
        with pytest.raises(ConfigError, match=r"^name = 3 \(from prompt 'hello' version 1\): expected a text"):
            found.hello(name=3)
    finally:
        use_store(None)
        REGISTRY.close()
        await backend.close()


def test_another_version_may_be_given() -> None:
    """The first argument is compiled instead of the version in production."""
    module = module_of(PLAIN)
    other = served(prompt("plain", "Good morning"), label="next", source="memory", fetched_ns=0)
    assert (module.plain(), module.plain(other)) == ("Hello", "Good morning")


def test_a_prompt_that_became_another_type_is_an_error() -> None:
    """What a function returns is what its annotation says."""
    with pytest.raises(TypeError, match="is a chat: write this module again"):
        module_of(PLAIN, store={"plain": prompt("plain", [])}).plain()
    with pytest.raises(TypeError, match="is a text: write this module again"):
        module_of(prompt("plain", []), store={"plain": PLAIN}).plain()


def test_the_same_prompts_make_the_same_module() -> None:
    """Their order does not matter; without any it is still one."""
    assert stub(PROMPTS) == stub(reversed(PROMPTS))
    assert ast.get_docstring(ast.parse(stub([])))
    assert "get_prompt" not in {node.id for node in ast.walk(ast.parse(stub([]))) if isinstance(node, ast.Name)}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/b", "a_b"], "names = 'a/b, a_b' (from the store): expected prompts that are different functions: both"),
        (["bout", "about"], "both would be about"),
        (["a", "a"], "both would be a;"),
        (["class", "class_"], "both would be class_"),
    ],
)
def test_prompts_that_would_be_one_function_are_refused(names: list[str], said: str) -> None:
    """Both are named, so that one is renamed or left out."""
    with pytest.raises(ConfigError) as caught:
        stub([prompt(name, "text") for name in names])
    assert said in str(caught.value)


def test_variables_that_would_be_one_argument_are_refused() -> None:
    """The prompt is named, too."""
    with pytest.raises(ConfigError, match=r"'class, class_' \(from the prompt a\): .* both would be class_"):
        stub([prompt("a", "{{class}} {{class_}}")])


@pytest.mark.parametrize("kind", ["text", "chat"])
def test_a_prompt_that_is_none_is_refused(kind: Any) -> None:
    """What a foreign store answers may be anything; the prompt is named."""
    for content in (b"{", b"3", b'["text"]', b'"\xff"'):
        with pytest.raises(ConfigError, match=r"^prompt = 'broken'"):
            stub([Prompt(id="1", name="broken", version=1, type=kind, prompt=Raw(content))])


# -- what cannot get into it -------------------------------------------------------------------------------------------

NASTY = st.lists(
    st.sampled_from(
        ['"', "'", '"""', "'''", "\\", "\n", "\r", "\x00", "\x0c", "{", "}", "#", ")", ":", "import os", "N{DASH}"]
    )
    | st.text(max_size=4),
    max_size=8,
).map("".join)
VARIABLE = st.builds(
    Variable,
    type=st.sampled_from(["string", "integer", "array", "object"]),
    description=NASTY,
    enum=st.lists(NASTY, max_size=3).map(tuple),
    optional=st.booleans(),
)


def only_expected(tree: ast.Module, prompts: list[Prompt]) -> None:
    """Check that a module is its docstring, its imports and two functions a prompt, which do one thing."""
    docstring, *rest = tree.body
    assert isinstance(docstring, ast.Expr)
    imports = [node for node in rest if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imports} <= {"__future__", "collections.abc", "typing", "tracecore"}
    functions = [node for node in rest if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert len(imports) + len(functions) == len(rest)
    made = [function for function in functions if function.name not in {"_text", "_chat"}]
    assert len(made) == 2 * len(prompts)
    assert {asked_by(function) for function in made} == {one.name for one in prompts}


def asked_by(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return the name of the prompt that a function asks for, and check that it does nothing else."""
    documented, returned = function.body
    assert isinstance(documented, ast.Expr)
    assert isinstance(documented.value, ast.Constant)
    call: Any = returned.value
    name = [node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)].pop()
    values = zip(call.args[1].keys, function.args.kwonlyargs, strict=True)
    pairs = ", ".join(f"{key.value!r}: {argument.arg}" for key, argument in values)
    asked = "await aget_prompt" if isinstance(function, ast.AsyncFunctionDef) else "get_prompt"
    expected = f"async def f():\n return {call.func.id}(_served or {asked}({name!r}), {{{pairs}}})"
    assert call.func.id in {"_text", "_chat"}
    assert ast.dump(returned) == ast.dump(ast.parse(expected).body[0].body[0])
    allowed = (ast.Name, ast.Subscript, ast.Constant, ast.BinOp, ast.BitOr, ast.Tuple, ast.Load)
    annotations = [argument.annotation for argument in function.args.kwonlyargs]
    assert all(isinstance(node, allowed) for one in annotations if one for node in ast.walk(one))
    assert {node.id for one in annotations if one for node in ast.walk(one) if isinstance(node, ast.Name)} <= {
        "Any", "Literal", "Mapping", "Sequence", "float", "int", "list", "object", "str", "tuple",
    }  # fmt: skip
    defaults = [*function.args.defaults, *(one for one in function.args.kw_defaults if one)]
    assert all(isinstance(one, ast.Constant) and one.value is None for one in defaults)
    return str(name)


@given(
    st.lists(
        st.tuples(NASTY, st.dictionaries(NASTY | st.sampled_from(["a", "def", "Any"]), VARIABLE, max_size=3)),
        max_size=3,
    )
)
def test_nothing_of_a_prompt_becomes_code(found: list[tuple[str, dict[str, Variable]]]) -> None:
    """Whatever names, descriptions and enums are: the module has the expected nodes and no other."""
    prompts = [prompt(name, "{{a}}", variables) for name, variables in found]
    try:
        code = stub(prompts)
    except ConfigError:
        return
    assert code.isprintable() or set(code) - {"\n"} == {one for one in code if one.isprintable()}
    only_expected(ast.parse(code), prompts)
    for one in prompts:
        enums = {
            text for variable in (one.variables or {}).values() if variable.type == "string" for text in variable.enum
        }
        assert enums <= {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)}


@given(NASTY)
def test_a_description_is_read_as_it_was_written(text: str) -> None:
    """In the docstring it is the same text, with single blanks, and escapes for what cannot be seen."""
    code = stub([prompt("a", "{{b}}", {"b": Variable(description=text)})])
    (function,) = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef) and node.name == "a"]
    assert " ".join(f"b: {text}".split()) in " ".join((ast.get_docstring(function) or "").split()) or not text.strip()


def test_a_name_of_any_script_is_an_identifier() -> None:
    """Letters stay, in the form that Python gives them; what cannot begin a name has something before it."""
    tree = ast.parse(stub([prompt(name, "") for name in ("grüße/客服", "1", "__init__", "ﬁ")]))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert names == ["prompt_1", "init__", "grüße_客服", "fi", "_text"]
