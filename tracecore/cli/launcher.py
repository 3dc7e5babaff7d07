"""Run a program as Python would, with tracing configured from the environment and a summary at its end.

The program sees what plain ``python`` would have given it: ``sys.argv``, ``sys.path[0]``, a ``__main__`` that is its
own, its exit code, its tracebacks. ``runpy`` is not used: it takes ``__main__`` away again when the code ends, while
threads and exit handlers of the program still run.

Invariants: nothing is configured before the program's folder is on ``sys.path`` (a mask may live there); the summary is
the last exit handler to run and belongs to the process that started the program, not to its forks; no frame of this
file is in a traceback.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Final, NoReturn, cast

from msgspec import Struct

__all__ = ["Program", "end_like_program", "prepare", "run_program"]


class Program(Struct, frozen=True):
    """Name a program as a command line does: a file, folder or archive, or with ``module`` a module name."""

    target: str
    arguments: tuple[str, ...] = ()
    module: bool = False


class _Loaded(Struct, frozen=True):
    """Hold code that is ready to run as ``__main__``, and the attributes of that module."""

    code: CodeType
    attributes: Mapping[str, object]


class _Ending(Struct):
    """Remember how the program ended."""

    interrupted: bool = False


_ending: Final = _Ending()


def prepare(program: Program) -> None:
    """Set ``sys.argv`` and ``sys.path[0]`` to what the program expects."""
    sys.argv[:] = ["-m" if program.module else program.target, *program.arguments]
    if sys.flags.safe_path:
        return
    if program.module:
        first = str(Path.cwd())
    elif _is_container(program.target):
        first = os.path.abspath(program.target)  # noqa: PTH100 - as CPython computes it: symlinks stay
    else:
        first = os.path.dirname(os.path.realpath(program.target))  # noqa: PTH120 - as CPython computes it
    sys.path[0] = first


def run_program(program: Program) -> None:
    """Run the program to its end; what it raises comes out, and will be shown without our frames.

    Raises:
        SystemExit: the program exited, or there is nothing that could be run.
    """
    try:
        loaded = _module(program.target) if program.module else _script(program.target)
        if program.module:
            sys.argv[0] = str(loaded.attributes["__file__"])
        main = ModuleType("__main__")
        vars(main).update(loaded.attributes, __builtins__=builtins, __annotations__={})
        sys.modules["__main__"] = main
        exec(loaded.code, vars(main))  # noqa: S102 - running the program is the purpose
    except SystemExit:
        raise
    except BaseException:
        _hide_our_frames()
        raise


def end_like_program() -> None:
    """Let the process die of Ctrl-C if the program did; to be called last, when the interpreter shuts down.

    CPython remembers that an interrupt ended the program only until the next text is compiled and run, and imports at
    shutdown (dataclasses, named tuples) do that.
    """
    if _ending.interrupted:
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - the one way to say it again


def _hide_our_frames() -> None:
    """Make the hook that shows the exception, also one that the program has set, begin at the program's own frame."""
    show = sys.excepthook

    def shown_from_program(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        while frames is not None and frames.tb_frame.f_code is not run_program.__code__:
            frames = frames.tb_next
        while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
            frames = frames.tb_next
        _ending.interrupted = issubclass(kind, KeyboardInterrupt)
        show(kind, error.with_traceback(frames), frames)

    sys.excepthook = shown_from_program


def _is_ours(file: str) -> bool:
    """Return whether a frame belongs to this file or to the import system below it."""
    return file in {__file__, importlib.util.find_spec.__code__.co_filename} or file.startswith("<frozen importlib")


def _is_container(path: str) -> bool:
    """Return whether ``path`` is a folder or an archive, whose ``__main__`` is run."""
    return pkgutil.get_importer(path) is not None


def _script(path: str) -> _Loaded:
    absolute = os.path.abspath(path)  # noqa: PTH100 - as in prepare()
    if _is_container(absolute):
        return _container(absolute)
    kind = SourcelessFileLoader if absolute.endswith(".pyc") else SourceFileLoader
    loader = kind("__main__", absolute)
    try:
        code = loader.get_code("__main__") if kind is SourcelessFileLoader else _compiled(absolute)
    except OSError as error:
        _cannot(f"can't open file {absolute!r}: [Errno {error.errno}] {error.strerror}", code=2)
    attributes = {"__file__": absolute, "__loader__": loader, "__spec__": None, "__package__": None, "__cached__": None}
    return _Loaded(cast("CodeType", code), attributes)


def _compiled(path: str) -> CodeType:
    """Compile a script without leaving a cache file behind, as Python does for the file it is given."""
    return compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)


def _container(path: str) -> _Loaded:
    importer = pkgutil.get_importer(path)
    spec = importer.find_spec("__main__") if importer is not None else None
    if spec is None:
        _cannot(f"can't find '__main__' module in {path!r}", code=1)
    return _of_spec(spec)


def _module(name: str) -> _Loaded:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            package = name
            spec = importlib.util.find_spec(f"{package}.__main__")
            if spec is None:
                _cannot(
                    f"No module named {package}.__main__; {package!r} is a package and cannot be directly executed",
                    code=1,
                )
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        kind = type(error).__name__
        _cannot(f"Error while finding module specification for {name!r} ({kind}: {error})", code=1)
    if spec is None:
        _cannot(f"No module named {name}", code=1)
    return _of_spec(spec)


def _of_spec(spec: ModuleSpec) -> _Loaded:
    get_code = getattr(spec.loader, "get_code", None)
    code = get_code(spec.name) if get_code is not None else None
    if code is None:
        _cannot(f"No code object available for {spec.name}", code=1)
    attributes = {
        "__file__": spec.origin,
        "__loader__": spec.loader,
        "__spec__": spec,
        "__package__": spec.parent,
        "__cached__": spec.cached,
    }
    return _Loaded(cast("CodeType", code), attributes)


def _cannot(why: str, *, code: int) -> NoReturn:
    """Say why nothing can be run, as Python would."""
    sys.stderr.write(f"{sys.executable}: {why}\n")
    raise SystemExit(code)
