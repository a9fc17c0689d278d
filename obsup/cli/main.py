"""The command line: the group of commands, and the one place where a failure becomes an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, NoReturn

import click

from obsup.cli.arguments.command import SECTIONS, Commands
from obsup.cli.lazy_commands import LazyCommands
from obsup.cli.report.next_command import resume_command
from obsup.cli.report.output import error_lines, print_message
from obsup.errors import Interrupted, LocalFailure, ObsupError
from obsup.exit_status import BUG
from obsup.version import __version__


@click.group(
    cls=Commands,
    commands=LazyCommands(name for names in SECTIONS.values() for name in names),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="obsup %(version)s")
def cli() -> None:
    """Resumable, proved multipart uploads to OBS, S3 and OSS object stores.

    \b
    obsup upload bigfile bucket/key --parts 5
    obsup sandbox -- sh -c 'obsup upload bigfile bucket/key'

    Run the same command again after any failure: it sends only what is missing.
    """


def main() -> NoReturn:
    """Run the command line and exit with the documented code."""
    if "_OBSUP_COMPLETE" in os.environ:
        from obsup.cli import completion  # noqa: F401 - registers the shells
    try:
        code = _run()
    except click.exceptions.Abort:
        code = Interrupted.exit_code
    _leave(code)


def _run() -> int:
    try:
        outcome: Any = cli.main(standalone_mode=False, prog_name="obsup")
    except click.ClickException as exc:
        said = io.StringIO()
        exc.show(said)  # with words of the command line, whatever they hold
        print_message(said.getvalue().rstrip("\n"))
        return exc.exit_code
    except ObsupError as exc:
        print_message(error_lines(exc, resume=resume_command(sys.argv[1:])))
        return exc.exit_code
    except Exception as exc:  # noqa: BLE001 - the last net: a bug must end in its own code, not in a traceback
        if "-v" in sys.argv or "--verbose" in sys.argv:
            import traceback  # here, and not above: it would take a tenth of --version

            traceback.print_exc()
        print_message(
            f"Error: a bug in obsup: {type(exc).__name__}.\n"
            "Why:   this should not happen; what is stored stays stored.\n"
            "Next:  report it, with what the same command prints with -v."
        )
        return BUG
    return outcome if isinstance(outcome, int) else 0


def _leave(code: int) -> NoReturn:
    """Exit at once: a worker that still waits for the line must not hold the shell."""
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        code = code or LocalFailure.exit_code
    if "mpi4py" in sys.modules:
        # Without MPI_Finalize, which waits for every rank, mpiexec takes the whole job for a failure.
        sys.exit(code)
    os._exit(code)
