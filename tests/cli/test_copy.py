"""Copying: the same on both sides, twice equals once, and what cannot be copied is said."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.cli.copies import MINUTE, PROJECT, everything, everything_at, kept_at, opened, records
from tests.cli.recorded import SECOND, START, Cli, raw, span
from tests.sqlite.files import ROOT
from tracecore.backend import Batch, Receipt
from tracecore.cli import copy_source, copying
from tracecore.cli.copy_progress import Lines
from tracecore.cli.copy_source import Selection
from tracecore.cli.copy_state import CopyState
from tracecore.cli.copying import Copier
from tracecore.cli.patience import Patience
from tracecore.errors import BackendRejected
from tracecore.json_lines import record_in
from tracecore.memory import MemoryBackend
from tracecore.plugins import open_backend
from tracecore.records import LedgerEntry, Record, Score, Span
from tracecore.testing import strategies

_names = itertools.count()
PAIRS = [("memory", "sqlite"), ("sqlite", "memory"), ("sqlite", "sqlite"), ("memory", "memory"), ("sqlite", "jsonl")]


def url_of(scheme: str, folder: Path) -> str:
    """Return the URL of a new place."""
    name = f"copy{next(_names)}"
    return {"memory": f"memory:{name}", "sqlite": f"sqlite:///{folder / name}.db", "jsonl": f"jsonl:{folder / name}"}[
        scheme
    ]


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the positions of copies in a folder of the test, and read and write in many small steps."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(copy_source, "_PAGE", 3)
    monkeypatch.setattr(copying, "_MOST_ITEMS", 7)
    return tmp_path / "state" / "tracecore" / "copy"


def readable_parts(found: dict[str, list[Any]], scheme: str) -> dict[str, list[Any]]:
    """Return what a place of a scheme can hold: a file of lines is given no ledger."""
    return {name: [] if scheme == "jsonl" and name == "ledger" else items for name, items in found.items()}


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_everything_is_on_the_other_side(
    cli: Cli, tmp_path: Path, source: str, target: str, state_folder: Path
) -> None:
    """Every record is there as it was, and so is what follows from them; copying again changes nothing."""
    here, there = url_of(source, tmp_path), url_of(target, tmp_path)
    anyio.run(kept_at, here, records())
    expected = readable_parts(everything_at(here), target)
    for _ in range(2):
        answer = cli("copy", here, there, "--json", "--verify")
        assert answer.code == 0, answer.err
        assert everything_at(there) == expected
        assert answer.json["complete"] is True
        assert answer.json["copied"]["observations"] == len(expected["spans"]) == 16
        assert list(state_folder.glob("*")) == []  # of a copy that came to its end no position is left
    assert everything_at(here) == readable_parts(everything_at(here), source)
    assert [span.project for span in everything_at(here, "another")["spans"]] == ["another"]
    if target != "jsonl":
        assert answer.json["compared"]["records"] == sum(answer.json["copied"].values())
        assert not any(everything_at(there, "another").values())


@given(st.lists(st.one_of(strategies.records, strategies.entries), max_size=25), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_records(tmp_path: Path, batch: list[Record], to_memory: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
    """Whatever a backend can hold, every project of it is the same on the other side."""
    here, there = url_of("memory", tmp_path), url_of("memory" if to_memory else "sqlite", tmp_path)
    # What the source rejects is not there to be copied.
    anyio.run(kept_at, here, [one for one in batch if _fits(one)])

    async def copied(project: str) -> None:
        source, target = open_backend(here), open_backend(there)
        async with opened(source), opened(target):
            state = await Copier(source, target, Selection(project), Patience(0, None)).copy(CopyState(begun_ns=0))
            assert not state.rejected
            assert state.position.part is None
            assert await everything(target, project) == await everything(source, project)

    for project in ("p", "q"):
        anyio.run(copied, project)


def _fits(record: Record) -> bool:
    """Return whether every backend takes a record: SQLite refuses integers beyond 64 bits."""
    usage: dict[str, int] = getattr(record, "usage_details", None) or {}
    return all(abs(number) < 2**63 for number in usage.values())


@pytest.mark.parametrize("source", ["memory", "sqlite"])
def test_a_time_is_copied_in_whole_traces(cli: Cli, tmp_path: Path, source: str) -> None:
    """A trace that started in the time comes with all its spans, also later ones; no other trace has a span there."""
    here, there = url_of(source, tmp_path), url_of("memory", tmp_path)
    kept = records()
    anyio.run(kept_at, here, kept)
    since, until = "2023-11-14T22:13:22Z", "2023-11-14T22:13:24Z"  # the second and third second
    answer = cli("copy", here, there, "--since", since, "--until", until, "--json", "--verify")
    assert answer.code == 0, answer.err
    found, all_of_it = everything_at(there), everything_at(here)
    inside = {
        trace.trace_id for trace in all_of_it["traces"] if START + 2 * SECOND <= trace.start_ns < START + 4 * SECOND
    }
    assert len(inside) >= 2
    assert found["spans"] == [one for one in all_of_it["spans"] if one.trace_id in inside]
    assert found["traces"] == [one for one in all_of_it["traces"] if one.trace_id in inside]
    # Two times that meet leave nothing out.
    for arguments in (("--until", since), ("--since", until)):
        assert cli("copy", here, there, *arguments).code == 0
    again = everything_at(there)
    assert (again["spans"], again["scores"], again["ledger"]) == (
        all_of_it["spans"], all_of_it["scores"], all_of_it["ledger"],
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [[], ["--since", "1d"], ["--until", "2001-01-01"]])
def test_nothing_to_copy(cli: Cli, tmp_path: Path, arguments: list[str]) -> None:
    """A project that has nothing, or nothing in the time, is copied at once."""
    here, there = url_of("memory", tmp_path), url_of("sqlite", tmp_path)
    anyio.run(kept_at, here, records() if arguments else [])
    answer = cli("copy", here, there, "--json", "--verify", *arguments)
    assert answer.code == 0, answer.err
    assert answer.json["copied"]["observations"] == 0
    assert everything_at(there)["spans"] == []


def test_a_huge_trace_is_copied_in_slices(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch is larger than a batch may be, in number and in bytes, and a record that is larger comes alone."""
    monkeypatch.setattr(copying, "_MOST_BYTES", 1000)
    here, there = url_of("memory", tmp_path), url_of("memory", tmp_path)
    spans = [span(n, trace=1, after_s=n, input="x" * (5000 if n == 9 else 300)) for n in range(1, 40)]
    anyio.run(kept_at, here, spans)
    batches: list[list[Span]] = []
    write = MemoryBackend.write

    async def watched(self: MemoryBackend, batch: Batch) -> None:
        batches.append([record for record in batch if isinstance(record, Span)])
        await write(self, batch)

    monkeypatch.setattr(MemoryBackend, "write", watched)
    for arguments in ([], ["--since", "2023-01-01"]):
        batches.clear()
        assert cli("copy", here, there, *arguments).code == 0
        assert sum(map(len, batches)) == len(spans)
        sizes = [sum(len(bytes(one.input)) for one in batch) for batch in batches]
        assert all(size <= 1000 or len(batch) == 1 for size, batch in zip(sizes, batches, strict=True))
    assert everything_at(there) == everything_at(here)


class _Picky(MemoryBackend):
    """Reject every record that is named so, and with it the batch it is in."""

    async def write(self, batch: Batch) -> None:
        """Refuse the whole batch, as a database does."""
        if any(getattr(record, "name", "") == "poison" for record in batch):
            raise BackendRejected("a poison", "never")
        await super().write(batch)


class _Partial(MemoryBackend):
    """Take a batch in part, and say how much was rejected."""

    async def write(self, batch: Batch) -> Receipt | None:  # type: ignore[override]  # it says more
        """Keep what is not poison."""
        good = [record for record in batch if getattr(record, "name", "") != "poison"]
        await super().write(good)
        return Receipt(len(batch) - len(good), "poison is not kept") if len(good) < len(batch) else None


@pytest.mark.parametrize("kind", [_Picky, _Partial])
def test_what_the_target_rejects_is_counted_and_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[MemoryBackend]
) -> None:
    """Everything beside it is copied, the summary says how many and why, and the exit code is 1."""
    here, there = url_of("memory", tmp_path), url_of("memory", tmp_path)
    poison = [span(n, trace=n, name="poison") for n in (901, 902)]
    anyio.run(kept_at, here, [*records(), *poison])
    expected = [one for one in everything_at(here)["spans"] if one.name != "poison"]
    monkeypatch.setattr("tracecore.memory.MemoryBackend", kind)
    answer = cli("copy", here, there, "--json")
    assert answer.code == 1
    assert answer.json["rejected"]["records"] == 2
    assert answer.json["complete"] is False
    assert answer.json["copied"]["observations"] == len(expected)
    assert all("poison" in named for named in answer.json["rejected"]["named"])
    assert everything_at(there)["spans"] == expected
    said = cli("copy", here, there)
    assert said.code == 1
    assert "REJECTED by the target, and not copied: 2 records" in said.out
    if kind is _Picky:
        assert f"span {901:016x} of trace {901:032x}: a poison" in said.out


def test_a_target_that_rejects_everything_is_given_up(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody waits for a million refusals: it ends with the first reason."""
    monkeypatch.setattr(copying, "_HOPELESS", 10)
    here, there = url_of("memory", tmp_path), url_of("memory", tmp_path)
    anyio.run(kept_at, here, [span(n, trace=n, name="poison") for n in range(1, 100)])
    monkeypatch.setattr("tracecore.memory.MemoryBackend", _Picky)
    result = cli("copy", here, there)
    assert (result.code, result.out) == (1, "")
    assert "rejected all of 18 records" in result.err
    assert "a poison" in result.err


def test_without_the_ledger(cli: Cli, tmp_path: Path) -> None:
    """It is left out where that is asked for, and that is said."""
    here, there = url_of("memory", tmp_path), url_of("memory", tmp_path)
    anyio.run(kept_at, here, records())
    answer = cli("copy", here, there, "--no-ledger", "--json")
    assert answer.json["left_out"] == {"ledger": "--no-ledger was given"}
    found = everything_at(there)
    assert found["ledger"] == []
    assert found["scores"] == everything_at(here)["scores"]


def test_a_target_that_cannot_be_read_is_not_called_verified(cli: Cli, tmp_path: Path) -> None:
    """A file of lines is written whole, and nobody claims to have looked."""
    here, there = url_of("memory", tmp_path), url_of("jsonl", tmp_path)
    anyio.run(kept_at, here, records())
    result = cli("copy", here, there, "--verify")
    assert result.code == 0
    assert "not verified: one of the two cannot be asked what it has" in result.out
    assert "left out: ledger entries, because" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("memory:one", "memory:one"), 1, "cannot be copied into itself"),
        (("sqlite:///a.db", "sqlite:///./a.db"), 1, "cannot be copied into itself"),
        (("sqlite:///missing.db", "memory:x"), 1, "or name where they are with FROM"),
        (("jsonl:/tmp/none", "memory:x"), 1, "does not exist"),
        (("jsonl:none", "jsonl:./none"), 1, "cannot be copied into itself"),
        (("sqlte:///a.db", "memory:x"), 1, "from the argument FROM"),
        (("memory:x", "sqlte:///a.db"), 1, "from the argument TO"),
        (("memory:x", "memory:y+memory:z"), 1, "one URL here"),
        (("memory:x",), 2, "Missing argument 'TO'"),
        (("memory:x", "memory:y", "--since", "yesterday"), 2, "'yesterday' is not a time"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(cli: Cli, arguments: tuple[str, ...], code: int, why: str) -> None:
    """Places that are one, or are not there, or are none, are refused before anything is written."""
    result = cli("copy", *arguments)
    assert result.code == code
    assert why in result.err
    assert "Traceback" not in result.err


def test_what_cannot_be_read_is_no_source(cli: Cli) -> None:
    """Standard output is written to, and not copied from."""
    result = cli("copy", "jsonl:-", "memory:x")
    assert result.code == 1
    assert "stdout: gives nothing back" in result.err


@pytest.mark.parametrize("target", ["sqlite", "memory", "jsonl"])
def test_lines_are_copied_from_beginning_to_end(cli: Cli, tmp_path: Path, target: str) -> None:
    """A file of lines that was written to again and again, and exported, amounts to the same on the other side."""
    here, there = url_of("jsonl", tmp_path), url_of(target, tmp_path)
    early = [replace(one, name="early") if isinstance(one, Span) else one for one in records()]
    for batch in (early, records(), [span(1, trace=1, output="only later")]):
        anyio.run(kept_at, here, batch)
    expected = readable_parts(everything_at(here), target)
    for _ in range(2):
        answer = cli("copy", here, there, "--json")
        assert answer.code == 0, answer.err
        assert everything_at(there) == expected
    assert answer.json["copied"] == {
        "observations": 33, "scores": 10, "sessions": 4, **({} if target == "jsonl" else {"ledger": 6}),
    }  # fmt: skip
    assert [one.output for one in expected["spans"] if one.span_id == f"{1:016x}"] == [raw("only later")]
    assert not any(everything_at(there, "another").values())
    refused = cli("copy", here, there, "--since", "1d")
    assert refused.code == 1
    assert "from beginning to end" in refused.err


def test_a_line_that_is_no_record(cli: Cli, tmp_path: Path) -> None:
    """A damaged line ends the copy with its place; a rest of a line at the end is none."""
    here, there = url_of("jsonl", tmp_path), url_of("memory", tmp_path)
    anyio.run(kept_at, here, records())
    path = Path(here.partition(":")[2])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"record": "sp')
    assert cli("copy", here, there).code == 0
    path.write_bytes(whole + b"no record\n" + whole)
    result = cli("copy", here, url_of("memory", tmp_path))
    assert result.code == 1
    assert f"the line at byte {len(whole):,} of {path} is not a record" in result.err


def test_the_secret_goes_to_the_only_place_that_lacks_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two places that lack one are refused, and no message shows the secret or a password."""
    monkeypatch.setenv("TRACECORE_SECRET", "hush")
    result = cli("copy", "sqlite://one/a.db", "sqlite://two/b.db")
    assert result.code == 1
    assert "add ?secret_file=PATH" in result.err
    other = cli("copy", "memory:x", "sqlite://me:own@two/b.db")
    assert "hush" not in result.err + other.err
    assert "own@" not in other.err


def test_a_difference_is_found(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are missing or are others are counted and named, by number and one by one."""
    here, there = url_of("memory", tmp_path), url_of("memory", tmp_path)
    kept = records()
    anyio.run(kept_at, here, kept)
    write = MemoryBackend.write

    async def forgetful(self: MemoryBackend, batch: Batch) -> None:
        changed = [
            replace(record, name="other") if isinstance(record, Span) and record.span_id == f"{20:016x}" else record
            for record in batch
            if getattr(record, "span_id", "") != f"{31:016x}" and getattr(record, "score_id", "") != "c2"
        ]
        await write(self, changed)

    monkeypatch.setattr(MemoryBackend, "write", forgetful)
    result = cli("copy", here, there, "--verify")
    assert result.code == 1
    assert "FEWER in the target: 15 spans of 16, 4 scores of 5" in result.out
    assert "NOT THE SAME: 2 missing and 1 different of" in result.out
    assert f"span {31:016x} of trace {3:032x} is missing" in result.out
    assert f"span {20:016x} of trace {2:032x} is different" in result.out
    assert "score c2 is missing" in result.out


def test_what_is_recorded_meanwhile_is_a_matter_of_the_next_copy(cli: Cli, tmp_path: Path) -> None:
    """A span that comes while the copy runs does not disturb it; the next copy has it, and the end of one that ran."""
    here, there = url_of("memory", tmp_path), url_of("memory", tmp_path)
    anyio.run(kept_at, here, records())

    async def busy() -> None:
        source, target = open_backend(here), open_backend(there)
        async with opened(source), opened(target):
            numbers = itertools.count(900)
            write = target.write

            async def beside(batch: Batch) -> None:
                await source.write([span(n := next(numbers), trace=n, after_s=n)])
                await write(batch)

            target.write = beside  # type: ignore[method-assign]  # of this one only
            await Copier(source, target, Selection(PROJECT), Patience(0, None)).copy(CopyState(begun_ns=START))
            assert next(numbers) > 902
            kept, came = await everything(target), await everything(source)
            assert [one for one in came["spans"] if int(one.span_id, 16) < 900] == kept["spans"]
            await source.write([span(7, trace=5, after_s=2)])

    anyio.run(busy)
    assert cli("copy", here, there, "--verify").code == 0
    assert everything_at(there) == everything_at(here)


def test_progress_is_shown_to_who_watches(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar moves on stderr, the answer is the same, and without rich there are lines."""
    here, there = url_of("memory", tmp_path), url_of("memory", tmp_path)
    anyio.run(kept_at, here, records())
    plain = cli("copy", here, there)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    watched = cli("copy", here, there)
    assert watched.code == 0
    assert watched.out.splitlines()[:2] == plain.out.splitlines()[:2]
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    assert cli("copy", here, there).code == 0


def test_the_entry_of_a_minute_that_is_not_over_is_not_called_lost(cli: Cli) -> None:
    """It is copied, and not counted, for it still grows: the sentence says of which minutes the number is."""
    here, there = "memory:this-minute", "memory:this-minute-too"
    minute_ns = time.time_ns() // MINUTE * MINUTE + MINUTE  # the clock may step into the next one meanwhile
    anyio.run(kept_at, here, [LedgerEntry(PROJECT, "p", minute_ns, emitted=1, delivered=1)])
    result = cli("copy", here, there)
    assert result.code == 0
    assert "1 ledger entry of project" in result.out
    assert "0 ledger entries of minutes that were over" in result.out


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_two_names_of_one_file_are_one_place(cli: Cli, tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    """SQLite would keep two logs of one file under its two names, so it is refused before the second is opened."""
    anyio.run(kept_at, "sqlite:///a.db", records())
    link(tmp_path / "a.db", tmp_path / "b.db")
    before = sorted(os.listdir(tmp_path))  # noqa: PTH208 - names are enough
    result = cli("copy", "sqlite:///a.db", "sqlite:///b.db")
    assert (result.code, result.out) == (1, "")
    assert "a.db cannot be copied into itself" in result.err
    assert sorted(os.listdir(tmp_path)) == before  # noqa: PTH208 - as above


COPY_TO_STDOUT = """
import sys
from tests.cli.copies import kept_at, records
import anyio
from tracecore.cli.main import main
anyio.run(kept_at, "memory:printed", records(int(sys.argv[1])))
sys.exit(main(["copy", "memory:printed", "stdout:", *sys.argv[2:]]))
"""


def on_stdout(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a program that copies records to its stdout."""
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"}
    command = [sys.executable, "-c", COPY_TO_STDOUT, *arguments]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_records_and_words_do_not_mix(form: list[str]) -> None:
    """Of a copy to stdout every line there is a record; the answer is on stderr."""
    with on_stdout("5", *form) as process:
        out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert len([record_in(line) for line in out.splitlines()]) == 23
    assert err.startswith(b'{"from":"memory:printed"' if form else b"copied 16 spans, ")


def test_a_reader_that_leaves_ends_a_copy_silently() -> None:
    """Nobody waits for another reader of a pipe: none can come."""
    with on_stdout("2000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"record":')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(40) == 0


def test_scores_alone(cli: Cli, tmp_path: Path) -> None:
    """A project without a span has nothing but its scores to be copied."""
    here, there = url_of("memory", tmp_path), url_of("sqlite", tmp_path)
    anyio.run(kept_at, here, [Score(PROJECT, "c", "good", START, value=1.0)])
    assert cli("copy", here, there, "--verify").code == 0
    assert everything_at(there)["scores"] == everything_at(here)["scores"]
    assert os.listdir(tmp_path)  # noqa: PTH208 - the file is there


def test_who_does_not_watch_is_told_now_and_then() -> None:
    """A line every five seconds of the clock, with the sums so far."""
    said: list[str] = []
    now = [0]
    lines = Lines(clock=lambda: now[0], say=said.append)
    for second in range(12):
        now[0] = second * SECOND
        lines.tell("observations", 1000)
    lines.tell("ledger", 1)
    assert said == ["still copying: 6,000 spans", "still copying: 11,000 spans"]
    now[0] += 5 * SECOND
    lines.tell("ledger", 1)
    assert said[2:] == ["still copying: 12,000 spans, 2 ledger entries"]
