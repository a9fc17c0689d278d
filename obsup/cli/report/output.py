"""What is said at the end: three lines for an error, one JSON object for scripts.

Results go to stdout, talk to stderr.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from obsup.cli.report.next_command import next_line, sentence
from obsup.errors import LocalFailure, ObsupError, run_again
from obsup.text import shielded

FORMAT = 1
# So much of an answer that cannot be printed stands in the error: an upload id, an ETag, the first keys of JSON.
LONGEST = 200


def resume_command(argv: list[str]) -> list[str]:
    """Return the words of the command line that goes on with this work: the same, without what would begin anew."""
    end = argv.index("--") if "--" in argv else len(argv)
    return ["obsup", *(word for word in argv[:end] if word != "--restart"), *argv[end:]]


def error_lines(
    error: ObsupError, *, resume: list[str] | None, stored: tuple[int, int | None] = (0, None)
) -> str:
    """Return what happened, why, and what to do next: three lines, the last with the command to run.

    *resume* is the command line that goes on, in words, None where none can; *stored* counts the parts that the
    store holds, of all.
    """
    lines = [f"Error: {sentence(error.what)}"]
    if error.why:
        lines.append(f"Why:   {sentence(error.why)}")
    step = error.next_step or (run_again() if error.retryable and resume else "")
    if step:
        lines.append(f"Next:  {next_line(step, resume, stored)}")
    return "\n".join(line.replace("\n", "\n       ") for line in lines)


def print_message(text: str) -> None:
    """Say *text* on stderr, where no terminal obeys it; who went away is no error, nor is a full disk: nobody hears."""
    try:
        click.echo(shielded(text), err=True)
    except BrokenPipeError:
        _silence(sys.stderr)
    except OSError:
        pass


def print_result(text: str) -> None:
    """Print a result on stdout. A reader that went away is no error of the work. Raises LocalFailure."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as exc:
        raise LocalFailure(
            "the answer cannot be written to standard output",
            f"{exc.strerror}; what it was to say holds: {text[:LONGEST]}{'…' if len(text) > LONGEST else ''}",
            "make room, or send standard output elsewhere",
        ) from exc


def print_json(fields: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    import json  # here, and not above: --help and --version need none

    print_result(json.dumps({"format": FORMAT, **fields}, ensure_ascii=True))


def print_failure(fields: dict[str, Any]) -> None:
    """Print the JSON object of a failure; that it cannot be printed is said, and does not hide the failure."""
    try:
        print_json(fields)
    except LocalFailure as exc:
        print_message(error_lines(exc, resume=None))


def _silence(stream: Any) -> None:
    """Send what is still to be flushed nowhere, so that the interpreter does not complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
