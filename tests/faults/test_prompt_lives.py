"""``get_prompt`` in processes that fork, end, start again and share a disk, and over the stores that come with us."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest
from msgspec import Raw

import tracecore
from tests.programs import Ended, run_program
from tracecore.catalog_prompts import prompts_of
from tracecore.plugins import open_backend
from tracecore.prompt_registry import REGISTRY
from tracecore.prompting import get_prompt
from tracecore.prompts import LabelMove, NewPrompt, PromptStore, Share, Split

LENT = """
import asyncio
from tests.prompt_stores import FakeStore, a_prompt, waiting
from tracecore.prompting import aget_prompt, get_prompt, use_store, warm_prompts

store = FakeStore(a_prompt(), a_prompt("other"))

def serve(**settings):
    return use_store(store, config=Config(**settings))

def hang():
    store.before = waiting

def be_slow():
    store.before = lambda: asyncio.sleep(0.3)
"""
FORKING = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
"""Python 3.12 warns of every fork beside threads: that it is safe for us is what is tested."""


def run(program: str, folder: Path, *, python: tuple[str, ...] = ("-W", "error")) -> Ended:
    """Run a program that has a store of prompts."""
    return run_program(LENT + dedent(program), folder, python=python)


def test_a_child_keeps_what_was_known_and_asks_for_itself(tmp_path: Path) -> None:
    """Children of every generation serve what their parent knew without a question, and ask for the rest themselves."""
    ended = run(
        """
        serve()
        get_prompt("greeting")
        def child(depth):
            assert get_prompt("greeting").source == "memory"
            asked = len(store.asked)
            assert get_prompt("other", ttl=0).version == 1
            assert len(store.asked) == asked + 1
            if depth:
                fork(lambda: child(depth - 1))
        def fork(work):
            pid = os.fork()
            if pid == 0:
                work()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        for _ in range(5):
            fork(lambda: child(2))
        assert get_prompt("other").version == 1
        """,
        tmp_path,
        python=FORKING,
    )
    assert ended.quiet, ended.stderr


def test_a_fork_in_the_middle(tmp_path: Path) -> None:
    """Whatever the parent's thread and callers are doing, no child hangs or waits for a flight of its parent."""
    ended = run(
        """
        serve(prompt_wait_ms=20_000)
        stop = threading.Event()
        def asking():
            number = 0
            while not stop.is_set():
                number += 1
                get_prompt(f"p{number % 50}", fallback="x", ttl=0)
                get_prompt("greeting", ttl=0)
        threads = [threading.Thread(target=asking, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(60):
            pid = os.fork()
            if pid == 0:
                assert get_prompt("greeting", ttl=0).version == 1
                assert get_prompt(f"p{number}", fallback="x").is_fallback
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0, number
        stop.set()
        for thread in threads:
            thread.join()
        """,
        tmp_path,
        python=FORKING,
    )
    assert ended.code == 0, ended.stderr


def test_no_child_has_the_half_of_a_module(tmp_path: Path) -> None:
    """A fork waits while the thread that fetches imports a driver: the child would keep the half of it for ever."""
    (tmp_path / "driver.py").write_text("import time\ntime.sleep(0.7)\nREADY = True\n")
    ended = run(
        """
        from tracecore.prompt_registry import REGISTRY
        sys.path.insert(0, str(Path(__file__).parent))
        def make_source():
            import driver
            raise OSError("no source")
        cache = REGISTRY.new_cache(make_source, Config())
        cache.ask(("greeting", None, "production"))
        while "driver" not in sys.modules:
            time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            import driver
            os._exit(0 if driver.READY else 1)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
        python=FORKING,
    )
    assert ended.quiet, ended.stderr


@pytest.mark.parametrize(
    "asking",
    [
        "get_prompt('none', fallback='x', timeout=0.05)",
        "asyncio.run(aget_prompt('none', fallback='x', timeout=0.05))",
        "threading.Thread(target=lambda: get_prompt('none', fallback='x', timeout=20), daemon=True).start()",
        "store.tells = True; store.before = None; get_prompt('greeting')",
        "atexit.register(lambda: get_prompt('none', fallback='x', timeout=0.05))",
    ],
)
def test_a_program_ends_with_a_question_under_way(tmp_path: Path, asking: str) -> None:
    """It waits for no store that hangs: what the end takes beside the program's own time is said by itself."""
    ended = run(
        f"""
        hang()
        serve()
        began = [time.monotonic()]
        atexit.register(lambda: print(time.monotonic() - began[0]))
        import asyncio
        get_prompt("other", fallback="x", timeout=0.01)
        {asking}
        began[0] = time.monotonic()
        """,
        tmp_path,
    )
    assert ended.code == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "never awaited" not in ended.stderr
    assert "destroyed" not in ended.stderr
    assert ended.seconds < 10


def test_a_restart_with_a_dead_server(tmp_path: Path) -> None:
    """What was served last is served from the disk, by label and by version; of another server nothing is."""
    settings = f"prompt_cache_dir={str(tmp_path / 'copies')!r}, prompt_wait_ms=300"
    first = run(f"serve({settings}); get_prompt('greeting'); get_prompt('greeting', version=1)", tmp_path)
    assert first.quiet, first.stderr
    again = run(
        f"""
        async def dead():
            raise OSError("connection refused")
        store.before = dead
        serve({settings})
        found = [get_prompt("greeting"), get_prompt("greeting", version=1), get_prompt("greeting")]
        print([(one.text, one.version, one.source) for one in found])
        print(get_prompt("other", fallback="x").source)
        use_store(store, location="another", config=Config({settings}))
        print(get_prompt("greeting", fallback="x").source)
        """,
        tmp_path,
    )
    assert again.code == 0, again.stderr
    assert again.stdout.splitlines() == [str([("hello", 1, "disk")] * 3), "fallback", "fallback"]
    alive = run(
        f"""
        store.put(a_prompt(version=2, content="new"))
        be_slow()
        cache = serve({settings})
        print(get_prompt("greeting").source)
        while cache.flights():
            time.sleep(0.01)
        print(get_prompt("greeting").text)
        """,
        tmp_path,
    )
    assert alive.stdout.splitlines() == ["disk", "new"], alive.stderr


def test_what_is_deleted_is_not_served_after_a_restart(tmp_path: Path) -> None:
    """Its copy goes with it."""
    settings = f"prompt_cache_dir={str(tmp_path / 'copies')!r}"
    assert run(f"serve({settings}); get_prompt('greeting')", tmp_path).quiet
    gone = run(
        f"""
        store.labels.clear()
        be_slow()
        cache = serve({settings})
        print(get_prompt("greeting").source)
        while cache.flights():
            time.sleep(0.01)
        print(get_prompt("greeting", fallback="x").source)
        """,
        tmp_path,
    )
    assert gone.stdout.splitlines() == ["disk", "fallback"], gone.stderr
    assert list((tmp_path / "copies").iterdir()) == []


def new(text: str, *labels: str) -> NewPrompt:
    """Return what is published."""
    return NewPrompt(name="greeting", prompt=Raw(msgspec.json.encode(text)), labels=labels)


@pytest.fixture(params=["sqlite", "memory", "object", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where prompts are kept."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return {"sqlite": f"sqlite:///{tmp_path}/p.db", "memory": f"memory:{tmp_path.name}", "object": ""}[request.param]


def test_over_our_own_stores(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published is served, a promotion and a split within seconds though prompts may live for an hour."""
    from tracecore.memory import MemoryBackend, MemoryData

    data = MemoryData()
    object_ = MemoryBackend(data, location="memory:", access="write")
    backend = open_backend(store_url) if store_url else MemoryBackend(data, location="memory:", access="write")

    async def at_the_store(work: Callable[[PromptStore], object]) -> None:
        await backend.open()
        try:
            await work(prompts_of(backend))  # type: ignore[misc]  # each gives a coroutine
        finally:
            await backend.close()

    asyncio.run(at_the_store(lambda store: store.publish("default", new("one {{name}}", "production"))))
    if store_url:
        tracecore.configure(backend=store_url, prompt_ttl_s=3_600, prompt_wait_ms=20_000)
    else:
        recorder = tracecore.Recorder(tracecore.Config(prompt_ttl_s=3_600, prompt_wait_ms=20_000), backend=object_)
        monkeypatch.setattr(tracecore.default._default, "recorder", recorder.start())
    try:
        assert get_prompt("greeting").compile(name="Ada") == "one Ada"
        with pytest.raises(tracecore.NotFound, match="greeting"):
            get_prompt("greetings")
        asyncio.run(at_the_store(lambda store: store.publish("default", new("two"))))
        assert get_prompt("greeting").version == 1
        move = LabelMove(version=2, labels=("production",))
        asyncio.run(at_the_store(lambda store: store.change("default", "greeting", move)))
        _until(lambda: get_prompt("greeting").text == "two")
        split = Split(label="production", shares=(Share(1, 1), Share(2, 1)))
        asyncio.run(at_the_store(lambda store: store.change("default", "greeting", split)))
        _until(lambda: {get_prompt("greeting", sticky=unit).version for unit in range(40)} == {1, 2})
    finally:
        assert REGISTRY.close(10)
        tracecore.shutdown()


def test_where_no_backend_keeps_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which setting leads to one; of several backends the first that keeps some is asked."""
    monkeypatch.setattr(tracecore.default._default, "recorder", None)
    lines = f"jsonl:{tmp_path}/out.jsonl"
    try:
        tracecore.configure(backend=lines)
        with pytest.raises(tracecore.BackendRejected, match="`prompts`"):
            get_prompt("greeting")
        tracecore.configure(backend=f"{lines}+memory:{tmp_path.name}")
        with pytest.raises(tracecore.NotFound):
            get_prompt("greeting")
        tracecore.configure(backend=lines, prompts=f"memory:{tmp_path.name}")
        with pytest.raises(tracecore.NotFound):
            get_prompt("greeting")
        tracecore.configure(backend=lines, prompts="nosuch:x")
        with pytest.raises(tracecore.ConfigError, match="nosuch"):
            get_prompt("greeting")
        assert get_prompt("greeting", fallback="x").is_fallback
    finally:
        assert REGISTRY.close(10)
        tracecore.shutdown()


def _until(condition: Callable[[], object]) -> None:
    """Wait until something holds, twenty seconds at most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
