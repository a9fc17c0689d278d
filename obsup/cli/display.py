"""What is shown while a transfer runs: a bar on a terminal, a line now and then elsewhere, JSON, or nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from obsup import events
from obsup.cli.report import say
from obsup.engine.order import Result
from obsup.units import format_duration, format_size

LINE_EVERY_S = 30.0


class Display(Protocol):
    """Hears the progress callback and the events of one transfer."""

    def progress(self, transferred: int, total: int | None, seconds: float) -> None: ...

    def observe(self, event: events.Event) -> None: ...

    def finished(self, result: Result) -> None: ...


def summary(result: Result) -> str:
    """Return what came of a transfer in one line: bytes, time, mean rate, what was skipped, what proved it."""
    rate = result.sent_bytes / result.seconds if result.seconds else 0.0
    skipped = result.parts - result.sent_parts
    were_there = f", {skipped} of {result.parts} parts were there already" if skipped else ""
    return (
        f"{result.target}: {format_size(result.size)} in {format_duration(result.seconds)} "
        f"({format_size(rate)}/s){were_there}; verified by {result.verified}"
    )


def short_reason(reason: str) -> str:
    """Return the end of why an attempt failed, without operation, resource and request id."""
    return reason.rpartition(": ")[2].partition(" (request id")[0]


class Talk:
    """Says what the user should know; *verbose* says retries too. The base that the other displays hold."""

    def __init__(self, *, quiet: bool, verbose: bool, show: Callable[[str], None] = say) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self.show = show

    def observe(self, event: events.Event) -> None:
        """Say notes, and retries where asked for."""
        if isinstance(event, events.Noted) and not self._quiet:
            self.show(f"Note:  {event.text}.")
        elif isinstance(event, events.Retried) and self._verbose:
            part = f"part {event.number}, " if event.number is not None else ""
            self.show(f"Retry: {part}attempt {event.attempt}: {event.reason}; again in {event.delay_s:.1f} s")

    def finished(self, result: Result) -> None:
        """Say in one line what came of it, where everything is to be said: success is silent else."""
        if self._verbose:
            self.show(summary(result))


class Silence:
    """Shows no progress."""

    def __init__(self, talk: Talk) -> None:
        self.observe = talk.observe
        self.finished = talk.finished

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Show nothing."""


class Lines:
    """One line every 30 seconds of a long transfer, for logs."""

    def __init__(self, talk: Talk, name: str) -> None:
        self.observe = talk.observe
        self.finished = talk.finished
        self._name = name
        self._next_s = LINE_EVERY_S

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Say how far it is, where it is time."""
        if seconds < self._next_s:
            return
        self._next_s = seconds + LINE_EVERY_S
        of = f" of {format_size(total)} ({transferred / total:.0%})" if total else ""
        say(f"{self._name}: {format_size(transferred)}{of} in {format_duration(seconds)}")


class JsonLines:
    """One JSON object a line on stderr."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._begun: events.Begun | None = None
        self._stored: set[int] = set()

    def observe(self, event: events.Event) -> None:
        """Count parts, and hand on."""
        if isinstance(event, events.Begun):
            self._begun = event
        elif isinstance(event, events.PartStored):
            self._stored.add(event.number)
        self._talk.observe(event)

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Print the documented keys."""
        resumed = self._begun.resumed_parts if self._begun else 0
        fields = {
            "format": 1,
            "event": "progress",
            "transferred": transferred,
            "total": total,
            "seconds": round(seconds, 3),
            "partsDone": resumed + len(self._stored),
            "parts": self._begun.parts if self._begun else None,
        }
        say(json.dumps(fields))

    def finished(self, result: Result) -> None:
        """Nothing more: --json prints the result."""


def choose(mode: str, *, quiet: bool, stderr: TextIO, environ: Mapping[str, str]) -> str:
    """Return bar, lines, json or none. A bar is drawn only where somebody sees it, whatever FORCE_COLOR says."""
    is_terminal = stderr.isatty() and environ.get("TERM", "dumb") not in ("dumb", "")
    if mode == "auto":
        mode = "none" if quiet else "bar"
    return "lines" if mode == "bar" and not is_terminal else mode


@contextmanager
def open_display(values: dict[str, Any], name: str) -> Iterator[Display]:
    """Show a transfer of *name* as the options of the command ask, and leave a clean terminal."""
    mode = choose(values["progress"], quiet=values["quiet"], stderr=sys.stderr, environ=os.environ)
    talk = Talk(quiet=values["quiet"], verbose=values["verbose"])
    if mode == "bar":
        from obsup.cli.bar import Bar

        with Bar(name, quiet=values["quiet"], verbose=values["verbose"]) as bar:
            yield bar
    elif mode == "json":
        yield JsonLines(talk)
    elif mode == "lines":
        yield Lines(talk, name)
    else:
        yield Silence(talk)
