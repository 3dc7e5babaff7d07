"""The commands that find and show: what each filter selects, what each form of answer holds."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.cli.recorded import Cli, Store, raw, span
from tracecore.records import ErrorInfo, Generation, Record, Score, TraceAttributes

HOSTILE = "\x1b]0;owned\x07\u202e\u200b\n"


def ids(items: list[dict[str, str]]) -> list[int]:
    """Return trace ids as the small numbers they were made of."""
    return [int(item["trace_id"], 16) for item in items]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([], [0xC1, 0xB1, 0xA1]),
        (["--user", "u1"], [0xC1, 0xA1]),
        (["--session", "s2"], [0xB1]),
        (["--tag", "web", "--tag", "ios"], [0xC1, 0xA1]),
        (["--tag", "web", "--tag", "none"], []),
        (["--name", "chat"], [0xC1, 0xB1, 0xA1]),
        (["--release", "r1", "--version", "1.2"], [0xC1, 0xA1]),
        (["--environment", "staging"], [0xB1]),
        (["--errors"], [0xB1]),
        (["--running"], [0xC1]),
        (["--min-duration", "2s"], [0xA1]),
        (["--min-cost", "0.01"], [0xA1]),
        (["--search", "WHY"], [0xA1]),
        (["--since", "2023-11-14T22:14:00Z"], [0xC1, 0xB1]),
        (["--until", "2023-11-14T22:14:00Z"], [0xA1]),
        (["--since", "1s"], []),
        (["--limit", "1"], [0xC1]),
        (["--project", "elsewhere"], []),
    ],
)
def test_each_filter_selects(
    cli: Cli, stored: Store, sample: list[Record], filters: list[str], found: list[int]
) -> None:
    """A filter reaches the store; what it selects is what is printed."""
    result = cli("traces", "--json", "--backend", stored(sample), *filters)
    assert (result.code, result.err) == (0, "")
    assert ids(result.json["items"]) == found


def test_the_list_of_traces(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """A line says who, how long, how much and what went wrong; unknown cost is not zero, running is not an end."""
    lines = cli("traces", "--backend", stored(sample)).out.splitlines()
    assert lines[0].split() == [
        "started",
        "trace",
        "name",
        "user",
        "session",
        "duration",
        "spans",
        "errors",
        "tokens",
        "cost",
    ]
    running, failed, whole = (line.split() for line in lines[1:])
    assert running[4:] == ["u1", "s1", "running", "1", "-"]
    assert failed[4:] == ["u2", "s2", "1.00", "s", "2", "1", "7", "unknown"]
    assert whole[4:] == ["u1", "s1", "3.00", "s", "4", "1,234", "$0.0125"]


def test_pages_follow_each_other(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """The cursor that one page names begins the next; the last one names none."""
    url = stored(sample)
    first = cli("traces", "--json", "--limit", "2", "--backend", url).json
    second = cli("traces", "--json", "--limit", "2", "--backend", url, "--cursor", first["next_cursor"]).json
    assert ids(first["items"] + second["items"]) == [0xC1, 0xB1, 0xA1]
    assert second["next_cursor"] is None
    assert "--cursor" in cli("traces", "--limit", "2", "--backend", url).err


def test_nothing_found_is_no_error(cli: Cli, stored: Store) -> None:
    """An empty list is said beside the answer, which is empty."""
    url = stored([])
    assert cli("traces", "--backend", url).out == ""
    assert "no trace of project 'default' matches" in cli("traces", "--backend", url).err
    assert "no session" in cli("sessions", "--backend", url).err


def test_one_trace_is_shown(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """The waterfall names every step with its time, and generations with model, tokens and cost."""
    out = cli("show", f"{0xA1:032x}", "--backend", stored(sample)).out
    assert "user u1  session s1  tags web, ios  release r1  version 1.2" in out
    assert "3.00 s  4 spans  1,000+234 tokens  $0.0125" in out
    assert "├─ retrieve [retriever]" in out
    assert "gpt-x  1,000+234 tok  $0.0125  first token 500 ms" in out
    assert 'in: {"question":"why?"}' in out
    assert "out: because" in out


def test_errors_and_what_runs_are_marked(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """A failed step says why, one without an end says that it runs."""
    url = stored(sample)
    assert "error: ValueError: no such city" in cli("show", f"{0xB1:032x}", "--backend", url).out
    assert "1 running" in cli("show", f"{0xC1:032x}", "--backend", url).out


def test_show_as_json(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """The whole trace is one document: its roll-up and each observation with payloads."""
    answer = cli("show", f"{0xA1:032x}", "--json", "--backend", stored(sample)).json
    assert answer["trace"]["total_cost"] == 0.0125
    assert {item["span_id"][-1] for item in answer["observations"]} == {"1", "2", "3", "4"}
    assert next(item for item in answer["observations"] if item["span_id"][-1] == "1")["input"] == {"question": "why?"}


JUDGED = [
    Score("default", "c2", "tone", 2, "CATEGORICAL", None, "friendly", "EVAL", f"{0xA1:032x}", f"{2:016x}"),
    Score(
        "default", "c1", "quality", 1, value=0.75, trace_id=f"{0xA1:032x}", comment="\x1b[31mno", metadata=raw({"k": 1})
    ),
    Score(
        "default", "c3", "seen", 3, "BOOLEAN", 1.0, trace_id=f"{0xA1:032x}", observation_id="f", author_user_id="ann"
    ),
    Score("default", "c4", "other", 4, value=1.0, trace_id=f"{0xB1:032x}"),
    Score("default", "c5", "of a session", 5, value=1.0, session_id="s1"),
]


def test_scores_of_a_trace_are_shown(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Below the waterfall stands how the trace and its steps were judged, oldest first, and nothing else was."""
    url, trace_id = stored([*sample, *JUDGED]), f"{0xA1:032x}"
    lines = cli("show", trace_id, "--backend", url).out.splitlines()
    at = lines.index("3 scores")
    assert lines[at - 1] == ""
    assert [line.split() for line in lines[at + 1 :]] == [
        ["score", "value", "of", "by", "comment"],
        ["quality", "0.75", "the", "trace", "api", "\\x1b[31mno"],
        ["tone", "friendly", "retrieve", "eval"],
        ["seen", "true", "span", "f", "ann"],
    ]
    answer = cli("show", trace_id, "--json", "--backend", url).json
    assert [score["score_id"] for score in answer["scores"]] == ["c1", "c2", "c3"]
    full = cli("show", trace_id, "--full", "--backend", url).out
    assert '    metadata:\n      {\n        "k": 1\n      }\n' in full
    assert "score" not in cli("show", f"{0xC1:032x}", "--backend", url).out


def test_long_scores_fit_the_terminal(cli: Cli, stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer than the terminal; with ``--full`` no text is cut."""
    said = "very " * 40
    url = stored([span(1, trace=0xA1), replace(JUDGED[1], name=said, comment=said)])
    monkeypatch.setenv("COLUMNS", "80")
    out = cli("show", f"{0xA1:032x}", "--backend", url).out
    assert max(map(len, out.splitlines())) <= 80
    assert cli("show", f"{0xA1:032x}", "--full", "--backend", url).out.count("very " * 39) == 2


def test_sessions(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Sessions come with their user and sums; one of them with its traces."""
    url = stored(sample)
    lines = cli("sessions", "--backend", url).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["s1", "s2"]
    assert cli("sessions", "--user", "u2", "--json", "--backend", url).json["items"][0]["session_id"] == "s2"
    one = cli("sessions", "s1", "--json", "--backend", url).json
    assert (one["session"]["trace_count"], ids(one["traces"])) == (2, [0xC1, 0xA1])
    assert "1,234" in cli("sessions", "s1", "--backend", url).out
    assert cli("sessions", "nobody", "--backend", url).code == 1


def test_sums(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Counts, tokens and cost are added up per model, and steps are ranked by their slow calls."""
    url = stored(sample)
    answer = cli("stats", "--json", "--backend", url).json
    assert (answer["traces"], answer["observations"], answer["errors"], answer["running"]) == (3, 7, 1, 1)
    assert answer["models"]["gpt-x"]["total_cost"] == 0.0125
    assert answer["models"]["gpt-y"] == {
        "calls": 1, "errors": 0, "input_tokens": 7, "output_tokens": 0, "total_tokens": 7, "total_cost": None,
        "calls_without_cost": 1,
    }  # fmt: skip
    assert answer["slowest_steps"][0]["name"] == "step 1"
    out = cli("stats", "--backend", url).out
    assert "3 traces, 7 spans, 1 error, 1 running" in out
    assert ">=$0.0125" in out


def test_a_heading_keeps_its_facts_whole(cli: Cli, stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of a trace is spread over as many lines as it needs; no fact is broken in two by the terminal."""
    about = TraceAttributes(
        user_id="user-123", session_id="s-" + "1" * 20, tags=("web", "ios"), release="r-" + "2" * 20
    )
    monkeypatch.setenv("COLUMNS", "48")
    lines = cli("show", "a1".zfill(32), "--backend", stored([span(1, trace=0xA1, about=about)])).out.splitlines()
    facts = lines[1 : lines.index("")]
    assert all(len(line) <= 48 for line in facts)
    assert facts[1:] == ["user user-123  session s-" + "1" * 20, "tags web, ios  release r-" + "2" * 20]


def test_tail_once_shows_what_is_recent(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """One look reaches back as far as asked; JSON comes as one record a line."""
    url = stored(sample)
    nothing = cli("tail", "--once", "--backend", url)
    assert (nothing.code, nothing.out) == (0, "")
    assert "in the last 10.0 s; --back looks further" in nothing.err
    assert len(cli("tail", "--once", "--json", "--back", "20000d", "--backend", url).out.splitlines()) == 7
    assert "running" in cli("tail", "--once", "--back", "20000d", "--backend", url).out


def test_hostile_names_are_harmless_everywhere(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Names, ids, users and payloads that were made to act on a terminal are shown instead."""
    about = TraceAttributes(
        name=HOSTILE,
        user_id=HOSTILE,
        session_id=HOSTILE,
        tags=(HOSTILE,),
        release=HOSTILE,
        metadata=raw({HOSTILE: HOSTILE}),
    )
    error = ErrorInfo(HOSTILE, HOSTILE, HOSTILE)
    hostile = [
        replace(record, name=HOSTILE, trace=about, error=error, status_message=HOSTILE, input=raw(HOSTILE))
        for record in sample
        if isinstance(record, Generation)
    ]
    url = stored([replace(one, model=HOSTILE) for one in hostile] + [span(9, trace=9, about=about)])
    for command in (
        ["traces"], ["sessions"], ["sessions", HOSTILE], ["show", f"{0xA1:032x}"], ["show", f"{0xA1:032x}", "--full"],
        ["stats"], ["tail", "--once", "--back", "20000d"], ["traces", "--json"], ["show", f"{0xA1:032x}", "--json"],
    ):  # fmt: skip
        result = cli(*command, "--backend", url)
        assert result.out, command
        for character in "\x1b\x07\u202e\u200b":
            assert character not in result.out + result.err, command
    error_text = cli("show", HOSTILE, "--backend", url).err + cli("sessions", HOSTILE * 2, "--backend", url).err
    assert "\x1b" not in error_text


def test_the_command_line_says_the_same_of_a_file(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """What is printed does not depend on the backend that keeps it."""
    memory, file = stored(sample), stored(sample, "sqlite:///traces.db")
    trace = f"{0xA1:032x}"
    for command in (["traces"], ["traces", "--json"], ["sessions"], ["sessions", "s1"], ["show", trace, "--full"]):
        assert cli(*command, "--backend", file) == cli(*command, "--backend", memory)
    sums = [cli("stats", "--json", "--backend", url).json for url in (memory, file)]
    assert sums[1].pop("bytes") > 0
    assert sums[0].pop("bytes") is None
    assert sums[0].pop("location") != sums[1].pop("location")
    assert sums[0] == sums[1]


def test_sql_needs_a_backend_that_speaks_it(cli: Cli, stored: Store) -> None:
    """A backend without a console is named in the error."""
    result = cli("sql", "select 1", "--backend", stored([]))
    assert result.code == 1
    assert "keeps no SQL views that can be read" in result.err
