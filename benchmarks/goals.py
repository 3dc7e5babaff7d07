"""What tracecore wants to cost, and whether a run says that it does.

``remark`` is shown where a goal is missed: what remains, and why.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from benchmarks.figures import OTHER, OTHER_CAPTURED
from benchmarks.kept import Kept
from benchmarks.rivals.fleet import AGAINST
from benchmarks.tables import NONE, figure

__all__ = ["GOALS", "Goal", "Verdict", "verdicts"]


class Goal(Struct, frozen=True, kw_only=True):
    """Name a figure of a run and its bound. ``column`` takes one of its ratios instead of its value."""

    what: str
    key: str
    bound: float
    unit: str
    least: bool = False
    """The bound is the least that will do, not the most."""
    column: str | None = None
    minimum: bool = False
    """Compare the minimum over the rounds, not the median."""
    whole: bool = False
    """Judge whole runs only: a quick one does too little for it to mean anything."""
    large: bool = False
    """The figure is that of the large file."""
    remark: str = ""


class Verdict(Struct, frozen=True):
    """Say how a goal fares in a run."""

    goal: Goal
    value: float | None
    outcome: Literal["met", "missed", "not measured"]

    @property
    def cells(self) -> list[str]:
        """Return the cells of a table: what, goal, measured, outcome, why."""
        goal = self.goal
        sign = "≥" if goal.least else "≤"
        measured = NONE if self.value is None else f"{figure(self.value)} {goal.unit}".strip()
        bound = f"{sign} {figure(goal.bound)} {goal.unit}".strip()
        return [goal.what, bound, measured, self.outcome, goal.remark if self.outcome == "missed" else ""]


_CAPTURED_CALL: Final = (
    "`run anatomy/call` takes it apart. Half of it or more is the encoding of arguments and result, and of that only a"
    " third is msgspec: the rest proves in Python, value by value, that what goes to C is plain and small, so that no"
    " argument can stall the program or run its code. The other large pieces are the buffer (exact counts per thread)"
    " and the context variable."
)
_JOURNAL: Final = (
    "Half of it is C: msgspec encodes the span into memory that is there already, a checksum is taken, and both are"
    " copied into the map. The rest is Python that gathers thirteen fields and marks the block as busy meanwhile. What"
    " frees the span comes on top here; from memory it is the pump that does so."
)
_STORED_SPAN: Final = (
    "`run anatomy/store` takes the pump's part apart: a third is SQLite's inserts (three trees for an observation, one"
    " for its payload), a quarter the roll-up of its trace, an eighth the log and its checkpoints, the rest the making"
    " of records and rows in Python. The caller's part is above all the generation (2 KB of prompt and 1 KB of"
    " completion encoded, usage and cost read) and the root with its user and session."
)
_BESIDE_HOST: Final = (
    "After each long statement the pump waits up to 5 ms for the GIL (`sys.getswitchinterval`, which is the host's to"
    " set): some fifteen times for a batch of 4,096; row by row it would be 4,096 times. What it then does with the"
    " GIL, 8 to 10 µs a span of Python and of binding values, is what the host loses."
)
_CLIENT: Final = (
    "The caller's part is in it, and the same wherever spans go: a row of its own. What the pump and the driver take by"
    " themselves is in the rows of the backlog."
)
_SHARED: Final = (
    "Follows from the row above: producer and pump share one GIL, and the machine is shared with the server. The rate"
    " of the pump alone is in the rows of the backlog."
)
_READ: Final = (
    ("newest", "newest traces", 50), ("next", "page after page", 50), ("user", "traces of a user", 50),
    ("session", "traces of a session", 50), ("generations", "newest generations", 50),
    ("trace", "one trace, bodies included", 20), ("rare", "full text: said once", 200),
    ("common", "full text: said everywhere", 200),
)  # fmt: skip


def _reading(spans: str, suite: str = "read", *, large: bool = False) -> list[Goal]:
    """Return the goals of questions to a store of so many spans."""
    return [
        Goal(what=f"{spans}, p95: {what}", key=f"{suite}.{key}", bound=bound, unit="ms", whole=True, large=large)
        for key, what, bound in _READ
    ]


def _sent(where: str, key: str, *, cpu: float, rate: float) -> list[Goal]:
    """Return the goals of the request mix that leaves the process."""
    return [
        Goal(
            what=f"request mix {where}, CPU of the client per span", key=f"{key}.cpu", bound=cpu, unit="µs",
            remark=_CLIENT,
        ),
        Goal(
            what=f"request mix {where}, one process", key=f"{key}.rate", bound=rate, unit="spans/s", least=True,
            remark=_SHARED,
        ),
    ]  # fmt: skip


_MAPPED: Final = (
    "The pages of the journal are in it, and can be taken back by the system; what cannot is in the row of its own."
)
_IDLE: Final = (
    "At this pace the buffer does not fill, and both do the same. With the store away the process has nothing else to"
    " do, and a processor that has slept between traces finds its caches cold: rounds differ by half, the best by a"
    " twentieth, and the journal's went the other way. At full speed, with the buffer full, nothing of it is left."
)
_OUTAGES: Final = {"paced": "1,000 spans/s", "fast": "as fast as possible"}


def _outage(pace: str, label: str, buffer: str) -> list[Goal]:
    """Return the goals of an outage of the store, at a pace, with a buffer."""
    kept = buffer == "journal"
    return [
        Goal(
            what=f"store away, {buffer}, {label}: emit ÷ with the store at work", key=f"outage.{pace}.{buffer}.times",
            bound=1.2, unit="x", whole=True, remark="" if kept or pace != "paced" else _IDLE,
        ),
        Goal(
            what=f"store away, {buffer}, {label}: memory (buffer and 20 MB more)", bound=84, unit="MB", whole=True,
            key=f"outage.{pace}.{buffer}.memory", remark=_MAPPED if kept else "",
        ),
    ]  # fmt: skip


_LAG: Final = (
    "Every flush interval the pump makes rows and binds them, and holds the GIL for 1 to 3 ms at a time: a few ticks in"
    " each hundred. What is due in a stall counts here, tick by tick. Fewer rows at once would shorten the stalls, and"
    " wait for the GIL more often beside a host that computes."
)
GOALS: Final = (
    Goal(
        what="nested async span, arguments and result captured", key="call.nested", bound=1_500, unit="ns",
        remark=_CAPTURED_CALL,
    ),
    Goal(
        what="the same: OpenTelemetry, capturing the same by hand ÷ tracecore", key="call.nested", bound=12, unit="x",
        least=True, column=OTHER_CAPTURED,
    ),
    Goal(
        what="the same: OpenTelemetry, capturing nothing ÷ tracecore", key="call.nested", bound=12, unit="x",
        least=True, column=OTHER, remark="One side encodes 200 bytes of arguments and result, the other does not.",
    ),
    Goal(
        what="the same: Langfuse ÷ tracecore into SQLite", key="rivals.call.langfuse", bound=80, unit="x", least=True,
        column=AGAINST, remark="The other side of the first row: what would meet that would meet this.",
    ),
    Goal(
        what="nothing captured: OpenTelemetry ÷ tracecore", key="call.uncaptured", bound=12, unit="x", least=True,
        column=OTHER,
    ),
    Goal(
        what="tracing disabled", key="call.off", bound=150, unit="ns",
        remark="A wrapper that does nothing at all costs five sixths of it in the same run; the rest is one flag.",
    ),
    Goal(
        what="sampled out", key="call.sampled_out", bound=400, unit="ns",
        remark=(
            "The root of a trace draws an id, decides, counts, and stands in the context, so that everything below it"
            " costs half of the goal and the decision travels on in headers. It is paid once a trace."
        ),
    ),
    Goal(what="sampled out, below a root that was", key="call.sampled_out_nested", bound=400, unit="ns"),
    Goal(
        what="nested async span captured: kept in the journal, over memory", key="call.journal.over", bound=800,
        unit="ns", remark=_JOURNAL,
    ),
    Goal(
        what="request mix into SQLite, CPU of all threads per span", key="store.cpu", bound=20, unit="µs",
        remark=_STORED_SPAN,
    ),
    Goal(
        what="request mix into SQLite, one process", key="store.rate", bound=40_000, unit="spans/s", least=True,
        remark=(
            "Follows from the row above: producer and pump share one GIL, and what runs beside it (SQLite's own work)"
            " is a third of the whole."
        ),
    ),
    Goal(
        what="storing a backlog beside a CPU-bound host, part of the idle rate", key="store.backlog.rate", bound=0.6,
        unit="x", least=True, column="this ÷ idle", remark=_BESIDE_HOST,
    ),
    Goal(
        what="the host's speed meanwhile", key="store.backlog.host", bound=80, unit="%", least=True,
        remark="The other side of the row above: what the host loses is the Python that the pump runs.",
    ),
    Goal(
        what="producer and store beside a CPU-bound host, part of the idle rate", key="store.live.rate", bound=0.6,
        unit="x", least=True, column="this ÷ idle",
        remark="Three threads share one GIL here: the host, the producer of the spans, and the pump.",
    ),
    Goal(
        what="the host's speed meanwhile", key="store.live.host", bound=80, unit="%", least=True,
        remark="The producer's own requests are in it, not only their tracing.",
    ),
    *_sent("into PostgreSQL", "postgres", cpu=12, rate=20_000),
    *_sent("over HTTP to our own server, zstd", "http.native", cpu=12, rate=25_000),
    *_sent("over HTTP to a collector that decodes, not compressed", "http.raw", cpu=9, rate=80_000),
    Goal(
        what="loop lag (p99) caused by 2,000 spans/s, paced", key="lag.paced", bound=1, unit="ms", remark=_LAG,
    ),
    Goal(
        what="loop lag (p99) caused by 10,000 spans/s from 100 tasks", key="lag.crowd", bound=2, unit="ms", remark=_LAG,
    ),
    Goal(what="burst of 200,000 spans: unaccounted for", key="burst.missing", bound=0, unit="spans", whole=True),
    Goal(what="the same: memory (buffer and 50 MB more)", key="burst.memory", bound=114, unit="MB", whole=True),
    Goal(what="the same, store away: unaccounted for", key="burst.away.missing", bound=0, unit="spans", whole=True),
    Goal(what="the same, store away: memory", key="burst.away.memory", bound=114, unit="MB", whole=True),
    Goal(
        what="the same, store away, journal: lost", key="burst.away.journal.lost", bound=0, unit="spans", whole=True
    ),
    Goal(
        what="the same, store away, journal: memory", key="burst.away.journal.memory", bound=114, unit="MB", whole=True,
        remark=_MAPPED,
    ),
    *(
        goal
        for pace, label in _OUTAGES.items() for buffer in ("memory", "journal")
        for goal in _outage(pace, label, buffer)
    ),
    Goal(
        what="64 MiB that a killed process left, spans of 1 KB: until all are stored", key="recovery.1k.stored",
        bound=3, unit="s", whole=True,
    ),
    Goal(what="the same, spans of 3 KB", key="recovery.3k.stored", bound=3, unit="s", whole=True),
    *_reading("1,000,000 spans"),
    *_reading("10,000,000 spans", large=True),
    *_reading("1,000,000 spans in PostgreSQL", "postgres.read"),
    Goal(
        what="`import tracecore` over bare Python", key="import.tracecore", bound=60, unit="ms", minimum=True,
        remark=(
            "msgspec, what it needs of the standard library, and 45 modules of its own, half a millisecond to one each"
            " on this machine; what `import asyncio` takes stands beside it in the table."
        ),
    ),
    Goal(what="distributions that it loads, itself included", key="import.distributions", bound=5, unit=""),
    Goal(
        what="distributions that an installation needs", key="import.installed", bound=5, unit="",
        remark="anyio, msgspec and aiosqlite, what those need (idna, typing_extensions), and tracecore itself.",
    ),
    Goal(
        what="size of an installation, bytecode left out", key="import.size", bound=3, unit="MB",
        remark=(
            "One distribution brings the server, its API, the command line and the suites of `tracecore.testing` too;"
            " `import tracecore` loads none of them."
        ),
    ),
    Goal(what="on disk per span of 1 KB, every index included", key="store.disk_1k", bound=1_638, unit="bytes"),
    Goal(what="prompt cache: a hit", key="prompt.hit", bound=1_000, unit="ns", whole=True),
    Goal(what="prompt cache: a hit inside of a span", key="prompt.hit_span", bound=1_000, unit="ns", whole=True),
    Goal(what="prompt cache: questions of 400 who ask at once", key="prompt.herd", bound=1, unit="", whole=True),
    Goal(
        what="prompt cache: a store that hangs, the longest of 1,000 calls after the first", key="prompt.hung.next",
        bound=1, unit="ms", whole=True,
    ),
    Goal(
        what="prompt cache: until a promotion is served elsewhere, p95", key="prompt.promotion", bound=1_000, unit="ms",
        whole=True,
    ),
    Goal(
        what="server: OTLP protobuf made durable in a new SQLite file, per core", key="server.new.core", bound=15_000,
        unit="spans/s", least=True, whole=True,
    ),
    Goal(
        what="server: a request of 50 spans at half load, p99", key="server.wait.p99", bound=25, unit="ms", whole=True,
    ),
    Goal(what="server: a page of 50 beside it, p95", key="server.list.p95", bound=50, unit="ms", whole=True),
    Goal(what="server: idle, memory", key="server.idle.memory", bound=150, unit="MB", whole=True),
    Goal(what="server: idle, share of a core", key="server.idle.cpu", bound=1, unit="%", whole=True),
    Goal(what="server: memory that 1 MB of bomb takes", key="server.bomb.memory", bound=64, unit="MB", whole=True),
)  # fmt: skip


def verdicts(kept: Kept) -> list[Verdict]:
    """Return how each goal fares in what was measured last."""
    return [_verdict(goal, kept) for goal in GOALS]


def _verdict(goal: Goal, kept: Kept) -> Verdict:
    run = kept.large if goal.large else kept.run_with(goal.key)
    row = None if run is None else run.row(goal.key)
    if run is None or row is None or (goal.whole and run.settings.quick):
        return Verdict(goal, None, "not measured")
    value = row.ratios.get(goal.column) if goal.column else row.minimum if goal.minimum else row.value
    if value is None:
        return Verdict(goal, None, "not measured")
    met = value >= goal.bound if goal.least else value <= goal.bound
    return Verdict(goal, value, "met" if met else "missed")
