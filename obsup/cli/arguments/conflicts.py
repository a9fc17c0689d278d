"""Which options fit what a command is asked to do: none is taken and then without effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.core import ParameterSource

OF_MANY = ("recursive", "from_list", "null", "include", "exclude", "links", "fail_fast", "failed_list")
# What an option has where nobody asks for it; a flag has False.
_UNASKED: Mapping[str, Any] = {
    "digest": "auto",
    "exclude": (),
    "if_running": "fail",
    "include": (),
    "links": "follow",
    "on_change": "fail",
}


def check_stream(values: dict[str, Any]) -> None:
    """Raise UsageError for what cannot be done with a stream."""
    leave_out(values, OF_MANY, "is about many files, and a stream is one")
    leave_out(values, ["verify_source"], "reads a file again; what a stream repeats is compared anyway")
    leave_out(values, ["on_change"], "is about a file that changes; a stream is read once")
    leave_out(
        values, ["skip_identical"], "cannot be asked for a stream, which is known once it has been read"
    )
    leave_out(values, ["presign"], "is for workers elsewhere; the parts of a stream are sent from here")


def check_one(values: dict[str, Any]) -> None:
    """Raise UsageError for what is not about one file."""
    leave_out(values, OF_MANY, "is about many files: add -r, --from-list or another SOURCE")
    check_files(values)


def check_many(values: dict[str, Any]) -> None:
    """Raise UsageError for what is without effect on these many files."""
    if not values["recursive"]:
        leave_out(values, ["links"], "is about links in folders: add -r")
    if values["from_list"] is None and values["failed_list"] is None:
        leave_out(values, ["null"], "is about lists: add --from-list or --failed-list")
    check_files(values)


def check_files(values: dict[str, Any]) -> None:
    """Raise UsageError for what is without effect on files."""
    leave_out(values, ["abort_on_failure"], "is about streams; what is stored of a file is gone on with")
    if values["executor"] in ("threads", "inline"):
        leave_out(values, ["presign"], "is for workers elsewhere: add --executor processes, dask:… or mpi")


def check_copy(values: dict[str, Any]) -> None:
    """Raise UsageError for what is without effect on a part that the store copies."""
    names = ("parts", "part_size", "offset", "content_md5", "digest", "limit_rate")
    leave_out(values, names, "has no effect on --copy-source: nothing is sent from here")


def check_source(values: dict[str, Any], names: Iterable[str]) -> None:
    """Raise UsageError for options that are about a SOURCE, where there is none."""
    leave_out(values, names, "needs SOURCE")


def check_together(values: dict[str, Any]) -> None:
    """Raise UsageError for two options of one command line that contradict each other."""
    for first, second in (
        ("checkpoint", "checkpoint_dir"),
        ("no_checkpoint", "checkpoint"),
        ("no_checkpoint", "checkpoint_dir"),
        ("no_verify_tls", "ca_bundle"),
        ("quiet", "verbose"),
    ):
        if is_given(values, first) and is_given(values, second):
            raise click.UsageError(f"{_name(first)} and {_name(second)} exclude each other: leave out one.")


def leave_out(values: dict[str, Any], names: Iterable[str], why: str) -> None:
    """Raise UsageError where the command line has one of these options, which here would be without effect.

    From the environment or the configuration they are for other uploads, and are left out of *values*.
    """
    for name in names:
        if is_given(values, name):
            raise click.UsageError(f"{_name(name)} {why}.")
        if name in values and _is_asked(values, name):
            values[name] = _UNASKED.get(name, False if values[name] is True else None)


def _is_asked(values: Mapping[str, Any], name: str) -> bool:
    value = values[name]
    return value is not None and value is not False and value != _UNASKED.get(name)  # 0 is asked for


def is_given(values: Mapping[str, Any], name: str) -> bool:
    """Return whether the command line itself asks for it."""
    source = click.get_current_context().get_parameter_source(name)
    return name in values and source is ParameterSource.COMMANDLINE and _is_asked(values, name)


def _name(name: str) -> str:
    return f"--{name.replace('_', '-')}"
