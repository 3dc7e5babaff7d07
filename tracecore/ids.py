"""Trace and span ids: W3C hexadecimal, from a pre-drawn pool.

A trace id is 12 hexadecimal characters of time (milliseconds since the epoch, so that inserts are local) followed by 20
random ones; a span id is 16 random characters. The time part is refreshed by :func:`tick`, not per id: it orders
roughly, it does not date.

Ids come from a list of strings cut from one long random text: popping one costs a tenth of formatting one. The random
source is a seeded Mersenne Twister, because ``os.urandom`` lets go of the GIL and then waits for it (217 us on average
beside a busy thread, against 0.5 us alone). Ids are unique, not secret.
"""

from __future__ import annotations

import random

from tracecore.clock import wall_ns
from tracecore.forks import first_in_child

__all__ = ["new_span_id", "new_trace_id", "tick"]

_POOL_IDS = 512
_SPAN_BYTES = 8
_TRACE_BYTES = 10
_span_pool: list[str] = []
_trace_pool: list[str] = []
_pop_span = _span_pool.pop
_pop_trace = _trace_pool.pop


class _Source:
    """Hold the random source and the time part; seeded at first use, and again in every forked child."""

    def __init__(self) -> None:
        self.random: random.Random | None = None
        self.time_part = ""
        self.hooked = False

    def seeded(self) -> random.Random:
        if self.random is None:
            if not self.hooked:
                self.hooked = True
                # Before all others: what they draw in a forked child, its siblings must not draw too.
                first_in_child(self.reseed)
            self.random = random.Random()  # noqa: S311 - unique, not secret: see the module docstring
        return self.random

    def reseed(self) -> None:
        _span_pool.clear()
        _trace_pool.clear()
        self.random = None


_source = _Source()


def new_span_id() -> str:
    """Return 16 random lower-case hexadecimal characters."""
    while True:
        try:
            return _pop_span()
        except IndexError:
            _refill(_span_pool, _SPAN_BYTES)


def new_trace_id() -> str:
    """Return 32 lower-case hexadecimal characters: 12 of time and 20 random ones."""
    while True:
        try:
            return _source.time_part + _pop_trace()
        except IndexError:
            _refill(_trace_pool, _TRACE_BYTES)


def tick() -> None:
    """Bring the time part of new trace ids up to date."""
    _source.time_part = f"{wall_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF:012x}"


def _refill(pool: list[str], width: int) -> None:
    """Draw the next ids of ``width`` bytes, all in C; two threads may do so at once: then the pool is longer."""
    tick()
    pool.extend(_source.seeded().randbytes(width * _POOL_IDS).hex(" ", width).split(" "))
