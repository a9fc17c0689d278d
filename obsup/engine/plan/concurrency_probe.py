"""Find how many connections pay, by measuring their throughput. Pure: the clock is an argument.

If the network limits each connection, twice as many transfer twice as much; if one limit applies to all, more
connections gain nothing. So the number is doubled as long as that pays. After that, a few more or a few less are tried
from time to time, and a change that does not pay is reverted.
"""

from __future__ import annotations

from dataclasses import dataclass

from obsup.engine.plan.file_plan import INITIAL_JOBS, MAX_JOBS
from obsup.units import MIB
from obsup.value import Value

# The throughput ratio that more connections must reach to stay, and the ratio that fewer connections must keep.
MIN_GAIN_RATIO = 1.08
MIN_KEPT_RATIO = 0.96
# The growth factor while every step pays; then the factors of a trial upwards and downwards.
FAST_FACTOR, UP_FACTOR, DOWN_FACTOR = 2.0, 1.25, 0.75
# Whole parts are measured, responses included, over at least MEASURE_S. If no part is complete after LONG_PART_S, the
# bytes sent so far are measured, of parts that sent at least MIN_MEASURED_BYTES.
MEASURE_S, LONG_PART_S = 0.3, 1.0
MIN_MEASURED_BYTES = 4 * MIB
# The beginning of a part fills this machine's socket buffers, faster than the network transfers it.
SOCKET_BUFFER_BYTES = 4 * MIB
# The pause after a trial that did not pay, doubled each time up to the maximum, and after the store asked to slow down.
PAUSE_S, MAX_PAUSE_S = 10.0, 120.0
THROTTLED_PAUSE_S = 30.0


@dataclass(slots=True)
class _PartInFlight:
    """Progress of a part; its pace is measured from ``from_byte`` at ``from_s`` on."""

    started_s: float
    from_s: float
    from_byte: int
    sent: int
    sent_s: float


@dataclass(slots=True)
class _Measurement:
    """Bytes of several parts, and the sum of the seconds that each part took."""

    size: int = 0
    seconds: float = 0.0
    parts: int = 0


class _Trial(Value):
    """Another number is being tried; ``before`` is the previous number and ``rate`` its bytes per second."""

    before: int
    rate: float


class ConcurrencyProbe:
    """Computes ``goal``, the number of parts that should be in flight, from the progress of those in flight."""

    def __init__(self, initial: int = INITIAL_JOBS, most: int = MAX_JOBS) -> None:
        self.goal = min(initial, most)
        self._initial = self.goal
        self._most = most
        self._in_flight: dict[int, _PartInFlight] = {}
        self._whole_parts = _Measurement()
        self._started_s = float("-inf")
        self._full_s: float | None = None
        self._trial: _Trial | None = None
        self._fast_factor = FAST_FACTOR
        self._factor = FAST_FACTOR
        self._up_is_next = True
        self._pause_s = PAUSE_S
        self._paused_until_s = float("-inf")

    def sent(self, number: int, so_far: int, now_s: float) -> None:
        """Record that *so_far* bytes of a part were sent; fewer than before mean a new attempt."""
        part = self._in_flight.get(number)
        if part is None or so_far < part.sent:
            part = self._in_flight[number] = _PartInFlight(now_s, now_s, so_far, so_far, now_s)
        part.sent, part.sent_s = so_far, now_s
        if so_far <= SOCKET_BUFFER_BYTES:
            part.from_s, part.from_byte = now_s, so_far
        if self._full_s is None and len(self._in_flight) == self.goal:
            self._full_s = now_s
            for other in self._in_flight.values():
                other.from_s, other.from_byte = other.sent_s, other.sent
        self._measure(now_s)

    def stored(self, number: int, size: int, now_s: float) -> None:
        """Record that the store confirmed a part of *size* bytes."""
        part = self._in_flight.pop(number, None)
        if part is not None and part.started_s >= self._started_s:
            self._whole_parts.size += size
            self._whole_parts.seconds += now_s - part.started_s
            self._whole_parts.parts += 1
        self._measure(now_s)

    def failed(self, number: int) -> None:
        """Record that a part is no longer in flight."""
        self._in_flight.pop(number, None)

    def throttled(self, now_s: float) -> None:
        """Record that the store asked to slow down: revert a trial upwards, or reduce the goal."""
        trial = self._trial
        is_upwards = trial is not None and trial.before < self.goal
        lower = trial.before if trial is not None and is_upwards else max(1, int(self.goal * DOWN_FACTOR))
        self._set_goal(lower, now_s)
        self._fast_factor = self._factor = UP_FACTOR
        self._up_is_next = True
        self._paused_until_s = now_s + THROTTLED_PAUSE_S

    def _measure(self, now_s: float) -> None:
        """Compute the total throughput once enough is known: the pace of one part times the goal."""
        elapsed_s = now_s - self._full_s if self._full_s is not None else 0.0
        measured = self._whole_parts
        if not measured.parts and elapsed_s >= LONG_PART_S:
            measured = self._measure_in_flight()
        if elapsed_s < MEASURE_S or 2 * measured.parts < self.goal or not measured.seconds:
            return
        rate = self.goal * measured.size / measured.seconds
        self._restart_measurement(now_s)
        self._evaluate(rate, now_s)

    def _measure_in_flight(self) -> _Measurement:
        parts = [
            part for part in self._in_flight.values() if part.sent - part.from_byte >= MIN_MEASURED_BYTES
        ]
        size = sum(part.sent - part.from_byte for part in parts)
        return _Measurement(size, sum(part.sent_s - part.from_s for part in parts), len(parts))

    def _restart_measurement(self, now_s: float) -> None:
        self._started_s, self._full_s = now_s, None
        self._whole_parts = _Measurement()

    def _evaluate(self, rate: float, now_s: float) -> None:
        """Keep or revert the current trial, whose throughput is *rate*, and start the next."""
        trial, self._trial = self._trial, None
        if trial is not None:
            is_upwards = self.goal > trial.before
            if rate < trial.rate * (MIN_GAIN_RATIO if is_upwards else MIN_KEPT_RATIO):
                self._factor = UP_FACTOR
                self._set_goal(trial.before, now_s)
                self._pause(now_s)
                return
            self._pause_s = PAUSE_S
            if is_upwards:
                self._factor, self._up_is_next = self._fast_factor, True
            if not is_upwards or self.goal == self._most:
                self._pause(now_s)
        if now_s >= self._paused_until_s:
            before = self.goal
            self._set_goal(self._next_goal(), now_s)
            self._trial = _Trial(before, rate)

    def _next_goal(self) -> int:
        """Return the number to try next: twice as many at first, then a few more and a few less in turn."""
        more = min(self._most, max(self.goal + 1, int(self.goal * self._factor)))
        less = max(min(self._initial, self.goal), int(self.goal * DOWN_FACTOR))
        is_up = self._up_is_next
        self._up_is_next = not is_up
        return less if more == self.goal or (less < self.goal and not is_up) else more

    def _set_goal(self, goal: int, now_s: float) -> None:
        self.goal = goal
        self._trial = None
        self._restart_measurement(now_s)

    def _pause(self, now_s: float) -> None:
        self._paused_until_s = now_s + self._pause_s
        self._pause_s = min(MAX_PAUSE_S, 2 * self._pause_s)
