"""The rate of a bandwidth limit: constant, or a timetable by the local time of day."""

from __future__ import annotations

import re
from typing import NamedTuple

from obsup.units import exact_size, parse_size

_ENTRY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9]),(\S+)")


class RateStep(NamedTuple):
    """The rate in bytes per second from a minute of the day on; None for no limit."""

    minute: int
    bytes_per_s: float | None


class Rate(NamedTuple):
    """The steps of one day, in the order of time. The last one lasts until the first one of the next day."""

    steps: tuple[RateStep, ...]

    def at(self, minute: int) -> float | None:
        """Return the bytes per second in this *minute* of the local day; None for no limit."""
        begun = [step for step in self.steps if step.minute <= minute]
        return (begun or self.steps)[-1].bytes_per_s

    def divided(self, count: float) -> Rate:
        """Return the share of one of *count* workers."""
        return Rate(
            tuple(
                step._replace(bytes_per_s=step.bytes_per_s and step.bytes_per_s / count)
                for step in self.steps
            )
        )

    def __str__(self) -> str:
        """Return the RATE that parses back to the same steps."""
        if len(self.steps) == 1:
            return _rate_text(self.steps[0])
        return " ".join(
            f"{step.minute // 60:02}:{step.minute % 60:02},{_rate_text(step)}" for step in self.steps
        )


def constant_rate(bytes_per_s: float) -> Rate:
    """Return the rate that is the same all day."""
    return Rate((RateStep(0, bytes_per_s),))


def parse_rate(text: str) -> Rate:
    """Return a RATE: a SIZE per second, or a timetable such as ``08:00,2M 18:00,off`` in local time.

    Raises ValueError, also for a rate of 0.
    """
    if "," not in text:
        return constant_rate(_parse_bytes(text))
    entries = [_ENTRY.fullmatch(entry) for entry in text.split()]
    steps = [
        RateStep(
            int(entry[1]) * 60 + int(entry[2]), None if entry[3].lower() == "off" else _parse_bytes(entry[3])
        )
        for entry in entries
        if entry is not None
    ]
    if len(steps) < len(entries) or len({step.minute for step in steps}) < len(steps):
        raise ValueError(
            f'invalid timetable {text!r}: use times of the day, for example "08:00,2M 18:00,off"'
        )
    return Rate(tuple(sorted(steps)))


def _parse_bytes(text: str) -> int:
    bytes_per_s = parse_size(text)
    if not bytes_per_s:
        raise ValueError("a rate of 0 would send nothing: use for example 500K or 10M, or leave it out")
    return bytes_per_s


def _rate_text(step: RateStep) -> str:
    return "off" if step.bytes_per_s is None else exact_size(round(step.bytes_per_s))
