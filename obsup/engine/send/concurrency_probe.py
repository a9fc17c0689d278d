"""How many connections a line is worth: tried out, by what they carry. Pure: the clock is an argument.

Where each connection is held to a rate of its own, twice as many carry twice as much; where the line is full,
more of them carry nothing more. So twice as many are tried as long as that pays, then a few more or a few less
now and then, and what does not pay is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

from obsup.engine.job.request import INITIAL_JOBS, MAX_JOBS
from obsup.units import MIB
from obsup.value import Value

# What more connections must carry more, and what fewer may carry less, to stay.
MIN_GAIN = 1.08
MAX_LOSS = 0.96
# The step while everything pays, and those of a try after one that did not, or after the store refused.
FAST, UP, DOWN = 2.0, 1.25, 0.75
# Whole parts tell a rate, answers included, after so long at least, in seconds. Where not one is whole by a later
# time, what was sent of them does: so much of each, in bytes.
MEASURE_S, LONG_PART_S = 0.3, 1.0
MEASURE = 4 * MIB
# The beginning of a part goes into this machine's own buffers, at no rate of the line's. Bytes.
BUFFER = 4 * MIB
# How long nothing is tried after a try that did not pay, twice as long each time up to the longest; and after the
# store refused. Seconds.
REST_S, LONGEST_REST_S = 10.0, 120.0
THROTTLED_REST_S = 30.0


@dataclass(slots=True)
class _Part:
    """A part in flight: when it began, since when and from which byte on its pace is looked at, and how far it is."""

    begun_s: float
    from_s: float
    from_byte: int
    sent: int
    sent_s: float


@dataclass(slots=True)
class _Sum:
    """Bytes of parts, and the seconds that these parts took for them, each for itself."""

    size: int = 0
    seconds: float = 0.0
    parts: int = 0


class _Try(Value):
    """Another number is tried: the one that it is compared with, and what that carried in bytes a second."""

    before: int
    rate: float


class ConcurrencyProbe:
    """Says how many parts should be in flight, ``goal``, from how the parts in flight get on."""

    def __init__(self, begin: int = INITIAL_JOBS, most: int = MAX_JOBS) -> None:
        self.goal = min(begin, most)
        self._begin = self.goal
        self._most = most
        self._in_flight: dict[int, _Part] = {}
        self._whole = _Sum()
        self._begun_s = float("-inf")
        self._full_s: float | None = None
        self._try: _Try | None = None
        self._fast = FAST
        self._step = FAST
        self._up_is_next = True
        self._rest_s = REST_S
        self._rests_until = float("-inf")

    def sent(self, number: int, so_far: int, now_s: float) -> None:
        """Take in that *so_far* bytes of a part were handed to the line; fewer than before mean another attempt."""
        part = self._in_flight.get(number)
        if part is None or so_far < part.sent:
            part = self._in_flight[number] = _Part(now_s, now_s, so_far, so_far, now_s)
        part.sent, part.sent_s = so_far, now_s
        if so_far <= BUFFER:
            part.from_s, part.from_byte = now_s, so_far
        if self._full_s is None and len(self._in_flight) == self.goal:
            self._full_s = now_s
            for one in self._in_flight.values():
                one.from_s, one.from_byte = one.sent_s, one.sent
        self._measure(now_s)

    def stored(self, number: int, size: int, now_s: float) -> None:
        """Take in that the store confirmed a part of *size* bytes."""
        part = self._in_flight.pop(number, None)
        if part is not None and part.begun_s >= self._begun_s:
            self._whole.size += size
            self._whole.seconds += now_s - part.begun_s
            self._whole.parts += 1
        self._measure(now_s)

    def failed(self, number: int) -> None:
        """Take in that a part is not in flight any more."""
        self._in_flight.pop(number, None)

    def throttled(self, now_s: float) -> None:
        """Take in that the store refused what is in flight as too much."""
        tried = self._try
        is_more = tried is not None and tried.before < self.goal
        less = tried.before if tried is not None and is_more else max(1, int(self.goal * DOWN))
        self._go_to(less, now_s)
        self._fast = self._step = UP
        self._up_is_next = True
        self._rests_until = now_s + THROTTLED_REST_S

    def _measure(self, now_s: float) -> None:
        """Find what is carried in all, as soon as that can be said: as many times the pace of one as there are."""
        elapsed_s = now_s - self._full_s if self._full_s is not None else 0.0
        found = self._whole
        if not found.parts and elapsed_s >= LONG_PART_S:
            found = self._under_way()
        if elapsed_s < MEASURE_S or 2 * found.parts < self.goal or not found.seconds:
            return
        rate = self.goal * found.size / found.seconds
        self._begin_measure(now_s)
        self._judge(rate, now_s)

    def _under_way(self) -> _Sum:
        moving = [one for one in self._in_flight.values() if one.sent - one.from_byte >= MEASURE]
        size = sum(one.sent - one.from_byte for one in moving)
        return _Sum(size, sum(one.sent_s - one.from_s for one in moving), len(moving))

    def _begin_measure(self, now_s: float) -> None:
        self._begun_s, self._full_s = now_s, None
        self._whole = _Sum()

    def _judge(self, rate: float, now_s: float) -> None:
        tried, self._try = self._try, None
        if tried is not None:
            is_more = self.goal > tried.before
            if rate < tried.rate * (MIN_GAIN if is_more else MAX_LOSS):
                self._step = UP
                self._go_to(tried.before, now_s)
                self._rest(now_s)
                return
            self._rest_s = REST_S
            if is_more:
                self._step, self._up_is_next = self._fast, True
            if not is_more or self.goal == self._most:
                self._rest(now_s)
        if now_s >= self._rests_until:
            before = self.goal
            self._go_to(self._next(), now_s)
            self._try = _Try(before, rate)

    def _next(self) -> int:
        """Return the number to try next: twice as many at first, then a few more and a few less in turn."""
        more = min(self._most, max(self.goal + 1, int(self.goal * self._step)))
        less = max(min(self._begin, self.goal), int(self.goal * DOWN))
        goes_up = self._up_is_next
        self._up_is_next = not goes_up
        if more == self.goal or (less < self.goal and not goes_up):
            return less
        return more

    def _go_to(self, goal: int, now_s: float) -> None:
        self.goal = goal
        self._try = None
        self._begin_measure(now_s)

    def _rest(self, now_s: float) -> None:
        self._rests_until = now_s + self._rest_s
        self._rest_s = min(LONGEST_REST_S, 2 * self._rest_s)
