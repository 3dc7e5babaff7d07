"""Export: every record once, readable again, and a file that is whole or not there."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.cli.recorded import SECOND, START, Cli, Store, span
from tracecore.cli.commands import export
from tracecore.json_lines import record_in
from tracecore.records import Observation, Record, Score, Session, Span, decode_record


def test_every_record_comes_once_and_can_be_read_again(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Each line is a record that equals the stored one; sessions follow the observations."""
    result = cli("export", "--backend", stored(sample))
    records = [decode_record(line) for line in result.out.splitlines()]
    exported = {record.span_id: record for record in records if isinstance(record, Span)}
    assert exported == {record.span_id: record for record in sample if isinstance(record, Span)}
    assert [record.session_id for record in records if isinstance(record, Session)] == ["s1", "s2"]
    assert Counter(type(record) for record in records)[Session] == 2


def test_scores_come_last(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Every score is a line, whatever it judges, newest first; a time selects those that were given in it."""
    scores = [Score("default", f"c{n}", "tone", START + n * SECOND, value=n / 2, session_id="s1") for n in range(3)]
    url = stored([*sample, *scores])
    lines = cli("export", "--backend", url).out.splitlines()
    assert [decode_record(line) for line in lines[-3:]] == scores[::-1]
    out = cli("export", "--since", "2023-11-14T22:13:21Z", "--until", "2023-11-14T22:13:22Z", "--backend", url).out
    assert [found for line in out.splitlines() if isinstance(found := decode_record(line), Score)] == [scores[1]]


def test_what_utf_8_cannot_hold_comes_out(cli: Cli, stored: Store, tmp_path: Path) -> None:
    """Lone surrogates and line breaks inside payloads are one line, which says the same, on stdout and in a file."""
    odd = span(1, name="half \ud800", input="x")
    odd = replace(odd, input=Raw(b'"\xed\xa0\x80"'), output=Raw(b'{"a":\n1}'))
    url, out = stored([odd]), tmp_path / "odd.jsonl"
    printed = cli("export", "--backend", url).out.splitlines()
    cli("export", "--out", str(out), "--backend", url)
    assert record_in(out.read_bytes()) == odd
    found = record_in("".join(printed).encode())
    assert found == replace(odd, input=Raw(b'"\\ud800"'))


def test_a_time_and_a_project_limit_it(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Only what started inside the time, and only what is of the project, is written."""
    url = stored(sample)
    out = cli("export", "--since", "2023-11-14T22:14:00Z", "--until", "2023-11-14T22:15:00Z", "--backend", url).out
    found = [decode_record(line) for line in out.splitlines()]
    assert {record.trace_id for record in found if isinstance(record, Observation)} == {f"{0xB1:032x}"}
    assert cli("export", "--project", "elsewhere", "--backend", url).out == ""


def test_a_file_is_written_whole(cli: Cli, stored: Store, sample: list[Record], tmp_path: Path) -> None:
    """The file holds what stdout would have, and what was written is said beside it."""
    url = stored(sample)
    out = tmp_path / "all.jsonl"
    result = cli("export", "--out", str(out), "--backend", url)
    assert (result.code, result.out) == (0, "")
    assert "9 records in" in result.err
    assert out.read_text() == cli("export", "--backend", url).out
    assert [path.name for path in tmp_path.iterdir()] == ["all.jsonl"]


def test_what_is_no_file_is_not_replaced(cli: Cli, stored: Store, tmp_path: Path) -> None:
    """A pipe or a device keeps its place, whatever is asked for: a file renamed over ``/dev/null`` would end it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    result = cli("export", "--out", str(pipe), "--force", "--backend", stored([span(1)]))
    assert (result.code, result.out) == (1, "")
    assert "no regular file" in result.err
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_file_that_exists_is_kept(cli: Cli, stored: Store, sample: list[Record], tmp_path: Path) -> None:
    """Nothing is overwritten unless that is asked for."""
    url = stored(sample)
    out = tmp_path / "precious.db"
    out.write_text("precious")
    refused = cli("export", "--out", str(out), "--backend", url)
    assert (refused.code, out.read_text()) == (1, "precious")
    assert "--force" in refused.err
    assert cli("export", "--out", str(out), "--force", "--json", "--backend", url).json["records"] == 9


def test_progress_is_shown_to_who_watches(
    cli: Cli, stored: Store, sample: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a bar moves on stderr, and the file is the same."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    result = cli("export", "--out", "all.jsonl", "--backend", stored(sample))
    assert "exporting" in result.err
    assert "9 records in" in result.err
    assert len(Path("all.jsonl").read_text().splitlines()) == 9


def test_a_terminal_gets_harmless_lines(cli: Cli, stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records written to a terminal mean the same and do nothing to it."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = cli("export", "--backend", stored([span(1, name="\u202e")])).out
    assert "\u202e" not in out
    record = decode_record(out)
    assert isinstance(record, Span)
    assert record.name == "\u202e"


def test_what_fails_half_way_leaves_no_file(
    cli: Cli, stored: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written file is removed, and one that was to be replaced stays."""
    out = tmp_path / "all.jsonl"
    out.write_text("before")
    written = iter(range(3))

    def fails_in_the_end(record: Record) -> bytes:
        if next(written, None) is None:
            raise KeyboardInterrupt
        return repr(record).encode()

    monkeypatch.setattr(export, "line_of", fails_in_the_end)
    result = cli("export", "--out", str(out), "--force", "--backend", stored([span(n, trace=n) for n in range(1, 9)]))
    assert result.code == 130
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_folder_that_is_not_there_is_one_sentence(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """What the file system refuses is said without a traceback."""
    result = cli("export", "--out", "no/such/folder/all.jsonl", "--backend", stored(sample))
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "No such file or directory" in result.err
