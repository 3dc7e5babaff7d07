"""Texts that no terminal and no UTF-8 can hold: every command answers, in words and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.recorded import Cli, Store, generation, span
from tracecore.records import Session, TraceAttributes

ODD = "\x1b]0;title\x07\u202e half\ud800 wide \u65e5\u672c"


@pytest.mark.parametrize("place", ["", "sqlite"])
@pytest.mark.parametrize(
    "command",
    [
        ("traces",),
        ("show", "0000"),
        ("sessions",),
        ("sessions", ODD),
        ("stats",),
        ("tail", "--once", "--back", "999w"),
    ],
)
def test_odd_texts_are_answered(cli: Cli, stored: Store, tmp_path: Path, place: str, command: tuple[str, ...]) -> None:
    """Half a surrogate pair keeps no command from answering, and no control character reaches the terminal."""
    about = TraceAttributes(name=ODD, user_id=ODD, session_id=ODD, tags=(ODD,))
    records = [
        span(1, name=ODD, about=about),
        generation(2, parent=1, name=ODD, model=ODD, about=about),
        Session("default", ODD, bookmarked=True),
    ]
    url = stored(records, place and f"sqlite:///{tmp_path}/odd.db")
    for more in ((), ("--json",)):
        answer = cli(*command, "--backend", url, *more)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out
        assert not {"\x1b", "\x07", "\u202e", "\ud800"} & set(answer.out)
