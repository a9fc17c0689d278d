"""The command line: the group of commands, and how an unhandled error becomes an exit code."""

from __future__ import annotations

import atexit
import contextlib
import errno
import io
import os
import sys
from itertools import takewhile
from typing import Any, NoReturn

import click

from obsup.cli.arguments.command import Commands
from obsup.cli.arguments.command_names import SHORT_HELPS
from obsup.cli.lazy_commands import LazyCommands
from obsup.cli.report.next_command import resume_command
from obsup.cli.report.output import (
    error_lines,
    open_closed_streams,
    print_json,
    print_message,
    unwritable,
)
from obsup.cli.run.signals import ignore_signals, interrupt_on_signals, stopped_by
from obsup.errors import (
    NO_DESCRIPTOR,
    BadConfiguration,
    Interrupted,
    LocalFailure,
    NextStep,
    ObsupError,
    OtherRank,
    SourceUnreadable,
    WrongUsage,
    limit_reached,
    run_again,
    too_many_files,
)
from obsup.exit_status import BUG
from obsup.local.platform.console import make_printable
from obsup.local.platform.signals import default_child_signals
from obsup.text import quoted
from obsup.version import __version__

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class _Bug(ObsupError, exit_code=BUG, reason="bug"):
    """An exception that nothing in obsup expects."""


@click.group(
    cls=Commands,
    commands=LazyCommands(SHORT_HELPS),
    context_settings={"max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="obsup %(version)s")
def cli() -> None:
    """Resumable, verified multipart uploads to OBS, S3 and OSS object stores.

    \b
    obsup upload bigfile bucket/key --parts 5
    obsup sandbox -- sh -c 'obsup upload bigfile bucket/key'

    Run the same command again after any failure: it sends only what is missing.
    """


def main() -> NoReturn:
    """Run the command line and exit with the documented code."""
    open_closed_streams()
    make_printable()
    default_child_signals()
    interrupt_on_signals()
    try:
        code = _run()
    except KeyboardInterrupt as exc:
        code = _report(stopped_by(*exc.args))
    _leave(code)


def _run() -> int:
    try:
        outcome: Any = cli.main(standalone_mode=False, prog_name="obsup")
    except click.ClickException as exc:
        message = io.StringIO()
        exc.show(message)  # it may quote control characters of the command line, which print_message escapes
        print_message(message.getvalue().rstrip("\n"))
        if isinstance(exc, click.UsageError):
            _print_json(WrongUsage(exc.format_message().rstrip(".")))
        return exc.exit_code
    except click.exceptions.Abort as exc:
        cause = exc.__cause__
        if isinstance(cause, KeyboardInterrupt):
            return _report(stopped_by(*cause.args))
        print_message("")  # the cursor is behind the question
        return _report(
            Interrupted("a question was not answered", "Ctrl-C, or the end of the input, ended obsup")
        )
    except ObsupError as exc:
        return _report(exc)
    except OSError as exc:
        return _report_system_error(exc)
    except Exception as exc:  # noqa: BLE001 - a bug has its own exit code and prints no traceback
        known = limit_reached(exc) or _incomplete_installation(exc)
        return _report_bug(exc) if known is None else _report(known)
    return outcome if isinstance(outcome, int) else 0


def _incomplete_installation(exc: Exception) -> BadConfiguration | None:
    """Return the error for a package that is missing; None if *exc* is another one, or that of a module of obsup."""
    name = (exc.name or "").partition(".")[0] if isinstance(exc, ModuleNotFoundError) else ""
    if name in ("", "obsup"):
        return None
    return BadConfiguration(
        f"the Python package {name} is missing",
        "The installation of obsup is incomplete",
        NextStep("install obsup again, with its dependencies"),
    )


def _report_system_error(exc: OSError) -> int:
    """Report an error that no command handles itself: of a path, a limit or the output of Click."""
    if exc.errno == errno.ENOENT and not _has_current_directory():
        return _report(
            SourceUnreadable(
                "the current directory does not exist",
                "It was removed or replaced since the shell entered it",
                run_again("change to a directory that exists"),
            )
        )
    if exc.errno == errno.ENAMETOOLONG:
        name = quoted(str(exc.filename)[:40])
        return _report(
            WrongUsage(f"the path {name}… is too long", exc.strerror or "", NextStep("shorten it"))
        )
    if limit := limit_reached(exc):
        return _report(limit)
    if exc.errno in NO_DESCRIPTOR:
        return _report(too_many_files("a file cannot be opened"))
    # Click prints help itself. All other output has its own error handling.
    return _report(unwritable(exc)) if exc.errno in _FULL else _report_bug(exc)


def _has_current_directory() -> bool:
    try:
        return bool(os.getcwd())  # noqa: PTH109 - Path would do the same
    except OSError:
        return False


def _report(error: ObsupError) -> int:
    if not isinstance(error, OtherRank):
        print_message(error_lines(error, resume=resume_command(sys.argv[1:])))
        _print_json(error)
    return error.exit_code


def _print_json(error: ObsupError) -> None:
    """Print *error*, which no command has reported, as JSON if the command has --json, and that is given."""
    from obsup.options.table import rows_of  # --help and --version need none of this

    words = sys.argv[1:]
    command = words[: 2 if words[:1] == ["config"] else 1]
    is_given = "--json" in takewhile(lambda word: word != "--", words)
    has_json = any(row.option == "--json" for _, row in rows_of("-".join(command)))
    if has_json and (is_given or _is_json_set()):
        from obsup.cli.report.fields import failure_fields, tally_fields
        from obsup.engine.job.progress import ProgressTally

        failure = failure_fields(error, command=" ".join(command), resume=resume_command(words))
        counts = tally_fields(ProgressTally(None)) if command == ["upload"] else {}
        with contextlib.suppress(LocalFailure):  # the message on stderr has been printed
            print_json({**failure, **counts})


def _is_json_set() -> bool:
    """Return whether the environment has --json, as Click reads a flag."""
    try:
        return bool(click.BOOL.convert(os.environ.get("OBSUP_JSON") or "false", None, None))
    except click.BadParameter:
        return False


def _report_bug(exc: Exception) -> int:
    if "-v" in sys.argv or "--verbose" in sys.argv:
        import traceback  # a module-level import would slow down --version

        traceback.print_exception(exc)
    return _report(
        _Bug(
            f"a bug in obsup: {type(exc).__name__}",
            "This is an error in obsup, not in your command. Stored parts are kept",
            NextStep("report it with the output of the same command with -v"),
        )
    )


def _leave(code: int) -> NoReturn:
    """Exit at once, without waiting for workers that still wait for the network."""
    ignore_signals()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        code = code or LocalFailure.exit_code
    if "mpi4py.MPI" in sys.modules:
        # mpi4py first waits for the other ranks, then runs this.
        atexit.register(_leave_mpi, code)
        sys.exit(code)
    os._exit(code)


def _leave_mpi(code: int) -> NoReturn:
    """Exit as a rank that has finished, so that mpiexec returns *code*.

    mpi4py itself calls MPI_Abort for an exit code other than 0. That kills mpiexec's own server of
    the ranks in the middle of its work, and now and then mpiexec then crashes itself.
    """
    from mpi4py import MPI

    MPI.Finalize()
    os._exit(code)
