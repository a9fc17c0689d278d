"""What is said while a transfer runs, whatever is drawn beside it: notes, files that failed, and every request."""

from __future__ import annotations

from collections.abc import Callable

from obsup import events
from obsup.cli.display.log_file import RequestLines
from obsup.cli.report.output import print_message
from obsup.text import quoted


def short_reason(reason: str) -> str:
    """Return the end of why an attempt failed, without operation, resource and request id."""
    return reason.partition(" (request id")[0].rpartition(": ")[2]


class Notices:
    """Says what the user should know; *verbose* says every request too. The base that the other displays hold."""

    def __init__(self, *, quiet: bool, verbose: bool, show: Callable[[str], None] = print_message) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._lines = RequestLines()
        self.show = show

    def observe(self, event: events.Event) -> None:
        """Say notes, and every request where asked for."""
        event = events.of_one(event)
        if isinstance(event, events.Noted):
            if not self._quiet:
                self.show(f"Note:  {event.text}.")
        elif isinstance(event, events.FileEnded) and self._is_news(event):
            word = "Failed" if event.how == "failed" else "Skipped"
            self.show(f"{word}: {quoted(event.name)}: {event.why}")
        elif self._verbose and (line := self._lines.line(event)) is not None:
            self.show(line)

    def _is_news(self, event: events.FileEnded) -> bool:
        """Return whether nobody would think that of a file: that it failed, or is none that can be sent."""
        return event.how == "failed" or (event.how == "passed" and not self._quiet)

    def finished(self, text: str) -> None:
        """Say in one line what came of it, where everything is to be said: success is silent else."""
        if self._verbose:
            self.show(text)
