"""``tracecore run`` against plain Python: a program cannot tell the two apart."""

from __future__ import annotations

import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.cli.recorded import Runner, runner, write

PROBE = """
import sys, threading
main = sys.modules["__main__"]
spec = main.__spec__
print(sys.argv, sys.path[0], __name__, main.__file__, main.__package__, spec and (spec.name, spec.origin))
print(type(main.__loader__).__name__, main.__cached__, main.__doc__, __annotations__, sorted(vars(main)))
print(main.__builtins__ is __import__("builtins"), main.__dict__ is globals())
"""


@pytest.fixture
def plain(tmp_path: Path, project_root: Path) -> Runner:
    """Return a function that runs plain Python in an empty folder."""
    return runner(tmp_path, project_root)


@pytest.fixture
def traced(tmp_path: Path, project_root: Path) -> Runner:
    """Return a function that runs a program under tracecore in the same folder."""
    return runner(tmp_path, project_root, "-m", "tracecore", "run", "--backend", "memory:")


def without_summary(text: str) -> str:
    """Return what the program itself wrote to stderr."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("tracecore: "))


def assert_same(plain: Runner, traced: Runner, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run both ways, compare all that can be seen from outside, and return the traced run."""
    expected, actual = plain(*arguments), traced(*arguments)
    assert actual.stdout == expected.stdout
    assert without_summary(actual.stderr) == expected.stderr
    assert actual.returncode == expected.returncode
    return actual


def test_a_script_sees_what_python_would_show(tmp_path: Path, plain: Runner, traced: Runner) -> None:
    """Arguments, path, ``__main__`` and its attributes are those of plain Python."""
    write(tmp_path / "inner" / "app.py", PROBE)
    run = assert_same(plain, traced, "inner/app.py", "-m", "--json", "x")
    assert "['inner/app.py', '-m', '--json', 'x']" in run.stdout
    assert "tracecore: nothing was recorded" in run.stderr


def test_a_script_behind_a_link(tmp_path: Path, plain: Runner, traced: Runner) -> None:
    """The folder of the script that a link points to is on the path."""
    write(tmp_path / "inner" / "app.py", PROBE)
    (tmp_path / "link.py").symlink_to(tmp_path / "inner" / "app.py")
    assert_same(plain, traced, "link.py")


def test_modules_and_packages(tmp_path: Path, plain: Runner, traced: Runner) -> None:
    """``-m`` runs a module, or the ``__main__`` of a package, with the working directory on the path."""
    write(tmp_path / "package" / "__init__.py", "")
    write(tmp_path / "package" / "module.py", PROBE)
    write(tmp_path / "package" / "__main__.py", PROBE)
    assert_same(plain, traced, "-m", "package.module", "a")
    assert_same(plain, traced, "-m", "package", "--backend", "b")


def test_folders_and_archives(tmp_path: Path, plain: Runner, traced: Runner) -> None:
    """A folder or archive with a ``__main__`` is a program."""
    write(tmp_path / "folder" / "__main__.py", PROBE)
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", PROBE)
    assert_same(plain, traced, "folder", "a")
    assert_same(plain, traced, "app.pyz", "a")


@pytest.mark.parametrize(
    "arguments",
    [
        ("missing.py",),
        ("-m", "missing"),
        ("-m", "missing.inner"),
        ("-m", "package"),
        ("empty",),
        ("-m", "package.broken"),
    ],
)
def test_what_cannot_be_run_fails_as_in_python(
    tmp_path: Path, plain: Runner, traced: Runner, arguments: tuple[str, ...]
) -> None:
    """The exit code and the sentence about a missing program are Python's."""
    (tmp_path / "empty").mkdir()
    write(tmp_path / "package" / "__init__.py", "")
    write(tmp_path / "package" / "broken.py", "x = = 1\n")
    expected, actual = plain(*arguments), traced(*arguments)
    assert actual.returncode == expected.returncode != 0
    assert without_summary(actual.stderr).splitlines()[-1] == expected.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit(7)",
        "import sys; sys.exit('a sentence')",
        "import sys; sys.exit()",
        "raise SystemExit(None)",
        "import os; os._exit(5)",
        "def f():\n    1 / 0\nf()",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('é\\n')",
        "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
        "def f(:\n",
        "import sys\nsys.excepthook = lambda kind, error, frames: print('own', kind, frames.tb_lineno)\n1 / 0",
        "import atexit\natexit.register(print, 'at exit')\n1 / 0",
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('thread', __name__))).start()",
        "import no_such_module_anywhere",
        "print(__import__('pickle').dumps(type('A', (), {})))",
        "class A: pass\nimport pickle; print(type(pickle.loads(pickle.dumps(A()))))",
        "import inspect\ndef f(): return 1\nprint(inspect.getsource(f))",
    ],
)
def test_ends_as_in_python(tmp_path: Path, plain: Runner, traced: Runner, code: str) -> None:
    """Exit codes, tracebacks, hooks, threads and exit handlers of a program are the same."""
    write(tmp_path / "app.py", code)
    assert_same(plain, traced, "app.py")


def test_an_interrupt_ends_as_in_python(tmp_path: Path, plain: Runner, traced: Runner) -> None:
    """Ctrl-C shows the program's traceback and the process dies of the signal."""
    write(tmp_path / "app.py", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    run = assert_same(plain, traced, "app.py")
    assert run.returncode == -signal.SIGINT


def test_multiprocessing_finds_the_program(tmp_path: Path, plain: Runner, traced: Runner) -> None:
    """A spawned child imports the program by its file, and prints no summary of its own."""
    write(
        tmp_path / "app.py",
        """
        import multiprocessing

        def square(number):
            return number * number

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(square, [2, 3]))
        """,
    )
    run = assert_same(plain, traced, "app.py")
    assert run.stderr.count("tracecore: ") == 1


def test_a_fork_prints_no_summary(tmp_path: Path, traced: Runner) -> None:
    """The summary belongs to the process that was started."""
    write(tmp_path / "app.py", "import os\npid = os.fork()\nprint(pid > 0, flush=True)\nif pid: os.wait()\n")
    assert traced("app.py").stderr.count("tracecore: nothing was recorded") == 1
