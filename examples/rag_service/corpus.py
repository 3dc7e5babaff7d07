"""The text that is searched: docstrings of the standard library and descriptions of installed packages.

Rule: nothing is imported to be read. Modules are parsed from their source with ``ast``, so a module that opens a window
or starts a thread on import is as safe as any other; a file that does not parse is left out. The few modules of
``COMPILED`` have no source; they are part of the interpreter and importing them does nothing.

Invariants: the same installation gives the same passages in the same order; there are at most ``limit`` of them; no
passage is longer than ``MAX_CHARACTERS`` unless one of its paragraphs is.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import inspect
import os
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

__all__ = ["Passage", "fingerprint", "load_corpus", "package_passages", "source_passages", "split_text"]

MAX_CHARACTERS: Final = 900
MIN_CHARACTERS: Final = 30
PASSAGES_PER_PACKAGE: Final = 12
# fmt: off
SKIPPED: Final = frozenset([
    "__pycache__", "dist-packages", "distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "msilib", "pydoc_data",
    "site-packages", "test", "tests", "tkinter", "turtle", "turtledemo",
])
# fmt: on
"""Folders and modules that document little, or document what few people ask about."""
COMPILED: Final = ("builtins", "itertools", "math", "sys", "time")

_MARKUP = re.compile(
    r"<[^>\n]*>|!?\[!\[[^\n]*|!\[[^\]]*\]\([^)]*\)|^\s*\.\. [^\n]*|^\s*:[\w-]+:.*$|^\[[^\]\n]+\]: .*$|^\|[^|\n]+\|.*$",
    re.MULTILINE,
)
_LINK = re.compile(r"(?<!!)\[([^!\]\n][^\]\n]*)\]\([^)\s]*\)|`([^`<\n]+?)\s*<[^>\n]*>`__?")
_RULE = re.compile(r"^[=\-~^*#+|][=\-~^*#+| ]{2,}$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n\s*\n")

Progress = Callable[[str, int, int], None]
"""Receives what is being read, how much is done, and how much there is."""


class Passage(Struct, frozen=True):
    """One searchable piece of text: what it documents, where it comes from, and what it says."""

    name: str
    """The dotted name of what is documented, or the package and the number of the piece."""
    source: str
    """The top-level module or the package: what a search can be limited to."""
    kind: Literal["stdlib", "package"]
    text: str
    arguments: str = ""
    """``(name, other)`` for a function, empty for everything else."""

    @property
    def title(self) -> str:
        """Return the name with its arguments, as a reader would write it."""
        return self.name + self.arguments


def load_corpus(*, limit: int = 6_000, progress: Progress | None = None) -> list[Passage]:
    """Read the installed standard library and packages into at most ``limit`` passages.

    When there are more, the shortest are left out: they say least.
    """
    library = Path(sysconfig.get_path("stdlib"))
    modules = sorted(_module_files(library))
    passages: list[Passage] = []
    for done, path in enumerate(modules):
        if progress is not None and done % 16 == 0:
            progress("standard library", done, len(modules))
        passages += source_passages(_module_name(path.relative_to(library)), path.read_bytes())
    passages += _compiled_modules()
    passages += _installed_packages()
    if progress is not None:
        progress("standard library", len(modules), len(modules))
    return _longest(passages, limit)


def fingerprint(passages: Iterable[Passage]) -> str:
    """Return twelve hexadecimal characters that change whenever a passage does."""
    digest = hashlib.sha256()
    for passage in passages:
        digest.update(f"{passage.title}\0{passage.text}\0".encode(errors="surrogatepass"))
    return digest.hexdigest()[:12]


def source_passages(module: str, source: bytes) -> list[Passage]:
    """Return the docstrings of a module's public classes and functions as passages."""
    if b'"""' not in source and b"'''" not in source:
        return []
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    top = module.partition(".")[0]
    return [
        Passage(name, top, "stdlib", piece, arguments)
        for name, arguments, text in _documented(tree, module)
        for piece in split_text(text)
    ]


def package_passages(name: str, description: str) -> list[Passage]:
    """Return the beginning of a package's description as passages, without badges, images and link targets."""
    linked = _LINK.sub(lambda match: match[1] or match[2], description)
    pieces = split_text(_RULE.sub("", _MARKUP.sub("", linked)))[:PASSAGES_PER_PACKAGE]
    return [Passage(f"{name} README {number}", name, "package", piece) for number, piece in enumerate(pieces, 1)]


def split_text(text: str) -> list[str]:
    """Pack whole paragraphs into pieces of at most ``MAX_CHARACTERS``; pieces that say nothing are left out."""
    pieces: list[str] = []
    current = ""
    for paragraph in map(str.strip, _BLANK_LINES.split(text)):
        if current and len(current) + len(paragraph) + 2 > MAX_CHARACTERS:
            pieces.append(current)
            current = ""
        current = f"{current}\n\n{paragraph}" if current else paragraph
    return [piece for piece in [*pieces, current] if len(piece) >= MIN_CHARACTERS]


def _module_files(library: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(library):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith("_")]
        for path in (Path(folder, file) for file in files if file.endswith(".py")):
            if path.stem not in SKIPPED and (path.stem == "__init__" or not path.stem.startswith("_")):
                yield path


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _documented(tree: ast.Module, module: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, arguments and docstring of the module and of everything public in it."""
    if text := ast.get_docstring(tree):
        yield module, "", text
    yield from _documented_in(tree.body, module)


def _documented_in(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str, str]]:
    for node in body:
        match node:
            case ast.If() | ast.Try():
                yield from _documented_in(node.body, prefix)
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("_"):
                name = f"{prefix}.{node.name}"
                if text := ast.get_docstring(node):
                    yield name, _arguments(node), text
                if isinstance(node, ast.ClassDef):
                    yield from _documented_in(node.body, name)
            case _:
                pass


def _arguments(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        return ""
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    names = [argument.arg for argument in every if argument.arg not in {"self", "cls"}]
    return f"({', '.join(names)})"


def _compiled_modules() -> list[Passage]:
    return [
        Passage(name, module, "stdlib", piece)
        for module in COMPILED
        for name, text in _documented_members(importlib.import_module(module), module)
        for piece in split_text(text)
    ]


def _documented_members(owner: object, prefix: str) -> Iterator[tuple[str, str]]:
    for name, member in sorted(vars(owner).items()):
        text = getattr(member, "__doc__", None)
        if name.startswith("_") or not callable(member) or not isinstance(text, str):
            continue
        yield f"{prefix}.{name}", inspect.cleandoc(text)
        owned: object = member
        if isinstance(member, type) and not issubclass(member, BaseException):
            yield from _documented_members(owned, f"{prefix}.{name}")


def _installed_packages() -> list[Passage]:
    descriptions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        fields = distribution.metadata.json
        descriptions.setdefault(str(fields["name"]).lower(), inspect.cleandoc(str(fields.get("description", ""))))
    return [passage for name in sorted(descriptions) for passage in package_passages(name, descriptions[name])]


def _longest(passages: list[Passage], limit: int) -> list[Passage]:
    if len(passages) <= limit:
        return passages
    kept = sorted(range(len(passages)), key=lambda index: (-len(passages[index].text), index))[:limit]
    return [passages[index] for index in sorted(kept)]
