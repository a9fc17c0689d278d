"""Print what the user should know while a transfer runs: notes, failed files, and with -v every request."""

from __future__ import annotations

import sys
from collections.abc import Callable

from obsup import events
from obsup.cli.display.log_file import RequestLines
from obsup.cli.display.meter import short_reason
from obsup.cli.report.next_command import with_given_options
from obsup.cli.report.output import print_message
from obsup.text import quoted, shell_line


class Notices:
    """Prints events as messages with *show*. Warnings about single files are printed even if quiet.

    Commands in notes get the connection options of this process.
    *reports_retry*: the first retry is printed at once, for a user at a terminal who sees no bar.
    """

    def __init__(
        self,
        *,
        is_quiet: bool = False,
        is_verbose: bool = False,
        reports_retry: bool = False,
        show: Callable[[str], None] = print_message,
    ) -> None:
        self._is_quiet = is_quiet
        self._is_verbose = is_verbose
        self._reports_retry = reports_retry
        self._lines = RequestLines()
        self.show = show

    def observe(self, event: events.Event) -> None:
        """Print *event* if it is news for the user."""
        event = events.of_one(event)
        if isinstance(event, events.Noted):
            if not self._is_quiet:
                command = with_given_options(event.command, sys.argv[1:]) if event.command else ()
                self.show(f"Note:  {event.text}{': ' if command else '.'}{shell_line(command)}")
        elif isinstance(event, events.FileEnded) and self._is_news(event):
            result = "Failed" if event.how == "failed" else "Skipped"
            self.show(f"{result}: {quoted(event.name)}: {event.why}")
        elif self._is_verbose and (line := self._lines.line(event)) is not None:
            self.show(line)
        if self._reports_retry and isinstance(event, events.Retried):
            self._reports_retry = False
            self.show(f"Note:  {short_reason(event.reason)}; retrying.")

    def _is_news(self, event: events.FileEnded) -> bool:
        return event.how == "failed" or (event.how == "passed" and not self._is_quiet)

    def show_summary(self, text: str) -> None:
        """Print the result in one line if verbose; otherwise success is silent."""
        if self._is_verbose:
            self.show(text)
