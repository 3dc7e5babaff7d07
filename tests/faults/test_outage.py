"""The store is away, or accepts and never answers: the program goes on as before, deadlines and results are true."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.fakes import FakeBackend, accounts_balance, span_record
from tests.faults.oracle import Ledger, deliver_leftovers, each_buffer, environment_of, locked, stored_ids
from tests.faults.processes import running
from tests.sqlite.files import keep
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial
from tracecore import Config, Recorder
from tracecore.records import Record

SECONDS = by_mode(2.0, full=60.0)
RATE = by_mode(8_000, full=1_000)
"""Spans a second; the few seconds of the short form must fill the buffer too."""
CAP_BYTES = by_mode(8 << 20, full=64 << 20)
BESIDES_BYTES = 20 << 20
MOST_TIMES_BASELINE = by_mode(10.0, full=3.0)
"""1.2 is promised, and reported. A busy machine may add to that; who waits for the store takes a thousand times as
long."""

RECORDING = '''
import statistics, sys, time
import tracecore
from tests.faults.telling import Teller
from tracecore import Config, Recorder
from tracecore.errors import BackendUnavailable
from tracecore.plugins import open_backend
from tracecore.testing.faults import FaultyBackend

away, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
PAYLOAD = {"text": "x" * 2_000}
teller = Teller()
refusing = False

async def plan(call, moment):
    if refusing and call == "write" and moment == "before":
        raise BackendUnavailable("the backend is away", "try again")

def resident():
    """Return the memory that is ours alone: a journal is a file that the system may take out of memory."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))

def emitting(seconds):
    costs, most, every = [], 0, 0.01
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        for _ in range(max(1, int(rate * every))):
            began = time.perf_counter_ns()
            opened = tracecore.span("work", input=PAYLOAD)
            took = time.perf_counter_ns() - began
            teller.opened(opened)
            began = time.perf_counter_ns()
            opened.end()
            costs.append(took + time.perf_counter_ns() - began)
            teller.ended(opened)
        most = max(most, resident())
        time.sleep(max(0, now + every - time.monotonic()))
    return statistics.median(costs), most

if away == "refuses":
    config = Config.load()
    backend = FaultyBackend(open_backend(config.backend), plan)
    tracecore.default._default.recorder = Recorder(config, backend=backend).start()
teller.emit("first")
assert teller.flush(20)
emitting(0.5)
baseline, before = emitting(min(2.0, seconds))
assert tracecore.flush(20).delivered
teller.tell("wants an outage", None)
refusing = True
sys.stdin.readline()
during, most = emitting(seconds)
teller.tell("measured", {"baseline": baseline, "during": during, "before": before, "most": most})
refusing = False
sys.stdin.readline()
deadline = time.monotonic() + 30
while tracecore.health().pending and time.monotonic() < deadline:
    teller.flush(1)
tracecore.shutdown()
teller.account()
'''


@torture("T12", "the store is away under load")
@each_buffer
@pytest.mark.parametrize("away", ["refuses", "is locked"])
async def test_away_under_load(trial: Trial, away: str, buffer: str) -> None:
    """Memory is bounded, emitting costs what it did, and afterwards all is delivered or counted."""
    for case in trial.cases():
        with case:
            path = await keep(case.folder / "a.db")
            times, grown = measured(path, away, buffer)
            trial.figures.append(f"{buffer}, {away}: emit {times:.2f} x, {grown / 1e6:+.1f} MB")
            assert times < MOST_TIMES_BASELINE
            assert grown <= CAP_BYTES + BESIDES_BYTES


def measured(path: Path, away: str, buffer: str) -> tuple[float, int]:
    """Let a program record while the store is away; return its median emit over the usual one, and its growth in bytes.

    Afterwards it is held to its ledger.
    """
    folder = path.parent
    with Ledger(folder, buffer) as ledger:
        environment = environment_of(buffer, f"sqlite:///{path}") | ledger.environment
        environment |= {"TRACECORE_BUFFER_BYTES": str(CAP_BYTES), "TRACECORE_SHUTDOWN_TIMEOUT_MS": "20000"}
        arguments = ("-c", RECORDING, away, str(RATE), str(SECONDS))
        with running(*arguments, folder=folder, environment=environment) as program:
            ledger.wait_for(lambda ledger: bool(ledger.heard("wants an outage")))
            with locked(path) if away == "is locked" else nullcontext():
                program.say("go on")
                ledger.wait_for(lambda ledger: bool(ledger.heard("measured")), SECONDS + 30)
            program.say("go on")
            assert program.wait() == 0, program.errors
        deliver_leftovers(buffer, path)
        ledger.check(stored_ids(path))
        (told,) = ledger.heard("measured")
    return told["during"] / told["baseline"], told["most"] - told["before"]


ANSWER_BYTES = 1_000
LATE = by_mode(2.0, full=0.2)
"""Seconds that a result may be late: 0.2 are promised, and a busy machine may add some."""


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """Accept every connection and treat it so; yield the port. Afterwards all of them are closed."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                stack.callback(connection.close)
                stack.callback(ended, connection)
                threads.append(threading.Thread(target=answer, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for thread in threads:
        thread.join()


def ended(connection: socket.socket) -> None:
    """Make whoever waits for a connection, on either side, go on."""
    with suppress(OSError):  # the other side may have closed it
        connection.shutdown(socket.SHUT_RDWR)


def silent(_: socket.socket) -> None:
    """Say nothing, for ever."""


def dribbling(connection: socket.socket) -> None:
    """Send one byte a second, until the connection is closed."""
    over = threading.Event()
    while not over.wait(1.0):
        try:
            connection.send(b".")
        except OSError:
            over.set()


class Client(FakeBackend):
    """Send each batch to a server and wait for its whole answer, in the way of a kind of driver."""

    def __init__(self, port: int, way: str) -> None:
        super().__init__()
        self._port = port
        self._way = way

    async def write(self, batch: Sequence[Record]) -> None:
        """Wait for the answer: in the loop, in a thread, or with the loop standing still."""
        if self._way == "blocks":
            self._ask()
        elif self._way == "in a thread":
            await anyio.to_thread.run_sync(self._ask, abandon_on_cancel=True)
        else:
            async with await anyio.connect_tcp("127.0.0.1", self._port) as connection:
                await connection.send(b"batch")
                left = ANSWER_BYTES
                while left:
                    left -= len(await connection.receive(left))

    def _ask(self) -> None:
        with closing(socket.create_connection(("127.0.0.1", self._port))) as connection:
            connection.sendall(b"batch")
            left = ANSWER_BYTES
            while left:
                if not (said := connection.recv(left)):
                    raise ConnectionError("the server has gone")
                left -= len(said)


@torture("T13", "the store accepts and never answers, or one byte a second")
@pytest.mark.parametrize("answer", [silent, dribbling])
@pytest.mark.parametrize("way", ["waits", "blocks", "in a thread"])
def test_deadlines_with_a_store_that_does_not_answer(answer: Callable[[socket.socket], object], way: str) -> None:
    """A flush of one second and a shutdown of two end in time and say that nothing was delivered."""
    with listening(answer) as port:
        recorder = Recorder(Config(), backend=Client(port, way)).start()
        for _ in range(10):
            recorder.emit(span_record())
        for call, seconds in ((partial(recorder.flush, 1.0), 1.0), (partial(recorder.shutdown, 2.0), 2.0)):
            began = time.monotonic()
            result = call()
            took = time.monotonic() - began
            assert not result.delivered
            assert took < seconds + LATE
            accounts_balance(recorder, emitted=10)
        assert recorder.health().delivered == 0


@torture("T13", "the store is locked by somebody else")
@each_buffer
async def test_deadlines_with_a_locked_file(trial: Trial, buffer: str) -> None:
    """The same with a file whose lock somebody holds: in time, and nothing is called delivered."""
    program = """
import time, tracecore
for number in range(10):
    tracecore.span("work").end()
for call, seconds in ((tracecore.flush, 1.0), (tracecore.shutdown, 2.0)):
    began = time.monotonic()
    result = call(seconds)
    print(time.monotonic() - began - seconds, result.delivered)
health = tracecore.health()
assert health.emitted == 10 and health.delivered == 0, health
"""
    for case in trial.cases():
        with case:
            path = await keep(case.folder / "a.db")
            environment = environment_of(buffer, f"sqlite:///{path}")
            with locked(path), running("-c", program, folder=case.folder, environment=environment) as started:
                assert started.wait() == 0, started.errors
            for line in started.out.splitlines():
                late, delivered = line.split()
                assert float(late) < LATE
                assert delivered == "False"
            deliver_leftovers(buffer, path)
            assert len(stored_ids(path)) == (0 if buffer == "memory" else 10)
