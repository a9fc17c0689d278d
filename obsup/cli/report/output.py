"""Print results on stdout, and errors and messages on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from obsup.cli.report.next_command import ResumeCommand, capitalised, next_line, next_step, sentence
from obsup.errors import LocalFailure, NextStep, ObsupError
from obsup.local.platform.console import is_closed_pipe, unstopped
from obsup.text import shielded

JSON_FORMAT = 1
# An error quotes this much of a result that could not be printed: enough for an upload id, an ETag or the first keys.
MAX_QUOTED_CHARACTERS = 200


def error_lines(
    error: ObsupError, *, resume: ResumeCommand | None, stored: tuple[int, int | None] = (0, None)
) -> str:
    """Return the text of *error* in three lines: what failed, why, and what to do next.

    *resume* is the command line that resumes the work, None if none does. *stored* counts the parts that the store
    holds, and all parts.
    """
    lines = [f"Error: {sentence(error.what)}"]
    if error.why:
        lines.append(f"Why:   {sentence(capitalised(error.why))}")
    if step := next_step(error, resume):
        lines.append(f"Next:  {next_line(step, resume, stored)}")
    return "\n".join(line.replace("\n", "\n       ") for line in lines)


def print_message(text: str) -> None:
    """Print *text* on stderr, with control characters escaped. A closed pipe or a full disk is ignored."""
    try:
        with unstopped():
            click.echo(shielded(text), err=True)
    except OSError as exc:
        if is_closed_pipe(exc):
            _discard_output(sys.stderr)


def print_result(text: str) -> bool:
    """Print *text* on stdout; return False if the reader of a pipe has just closed it.

    What is printed after that is discarded. Raises LocalFailure if *text* cannot be written.
    """
    try:
        click.echo(text)
        sys.stdout.flush()
    except OSError as exc:
        if is_closed_pipe(exc):
            _discard_output(sys.stdout)
            return False
        quote = text[:MAX_QUOTED_CHARACTERS] + ("…" if len(text) > MAX_QUOTED_CHARACTERS else "")
        raise unwritable(exc, f"; the result is: {quote}") from exc
    return True


def unwritable(exc: OSError, result: str = "") -> LocalFailure:
    """Return the error for a standard output that takes no more; *result* is added to the reason."""
    from obsup.local.state.atomic_file import writing_advice  # help needs no other package

    step = NextStep(f"{writing_advice(exc)}, or redirect standard output to another file")
    why = f"{exc.strerror or type(exc).__name__}{result}"
    return LocalFailure("the result cannot be written to standard output", why, step)


def open_closed_streams() -> None:
    """Redirect standard streams that are closed to the null device.

    Otherwise the next file that is opened, perhaps a checkpoint, would have their number, and output would be written
    to it. Standard input stays unreadable: nothing is not an empty file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_WRONLY), True)  # opened as the lowest free number
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


def print_json(fields: Mapping[str, Any]) -> bool:
    """Print *fields* as one JSON object on stdout; see ``print_result``."""
    import json  # --help and --version do not need it

    return print_result(json.dumps({"format": JSON_FORMAT, **fields}, ensure_ascii=True))


def print_json_failure(fields: Mapping[str, Any]) -> None:
    """Print the JSON object of a failure. If it cannot be written, a message on stderr reports that instead."""
    try:
        print_json(fields)
    except LocalFailure as exc:
        print_message(error_lines(exc, resume=None))


def _discard_output(stream: Any) -> None:
    """Redirect *stream* to the null device, so that flushing it when the interpreter exits raises no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
