"""Refuse options that have no effect on what the command is asked to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from obsup.options.table import GROUPS, is_set

OF_MANY = (
    "recursive",
    "from_list",
    "null",
    "include",
    "exclude",
    "links",
    "fail_fast",
    "fail_if_empty",
    "failed_list",
    "shard",
)
_UNSET: Mapping[str, Any] = {row.parameter: row.unset for _, rows in GROUPS for row in rows}


def check_stream(values: dict[str, Any]) -> None:
    """Raise UsageError for options that do not apply to a stream."""
    leave_out(values, OF_MANY, "applies to many files, not to a stream")
    leave_out(values, ["verify_source"], "reads a file again; a repeated stream is always compared")
    leave_out(values, ["on_change"], "applies to a file that changes; a stream is read only once")
    leave_out(values, ["skip_identical"], "needs the content before it is sent, which a stream does not have")
    leave_out(values, ["presign"], "applies to remote workers; the parts of a stream are sent from here")
    # Given as options, the stream rejects these; as defaults, they are meant for files. The other ranks of an MPI job
    # must not read the stream, too.
    reset_defaults(values, ["parts"])
    if values["executor"].startswith(("processes", "dask:")):
        reset_defaults(values, ["executor"])


def leave_out_many(values: dict[str, Any]) -> None:
    """Raise UsageError for options that need several files."""
    leave_out(values, OF_MANY, "applies to many files: add -r, --from-list or another SOURCE")


def check_many(values: dict[str, Any]) -> None:
    """Raise UsageError for options that do not apply to these files."""
    if not values["recursive"]:
        leave_out(values, ["links"], "applies to links in directories: add -r")
    if values["from_list"] is None and values["failed_list"] is None:
        leave_out(values, ["null"], "applies to lists: add --from-list or --failed-list")


def check_files(values: dict[str, Any]) -> None:
    """Raise UsageError for options that do not apply to files."""
    leave_out(values, ["abort_on_failure"], "applies to streams; the upload of a file is resumed")
    if values["executor"] in ("threads", "inline"):
        leave_out(
            values, ["presign"], "applies to remote workers: add --executor processes, dask:ADDRESS or mpi"
        )


def leave_out(values: dict[str, Any], names: Iterable[str], why: str) -> None:
    """Raise UsageError if the command line has one of the options *names*, which would have no effect.

    If the environment or the configuration file sets one, it is meant for other uploads and is reset in *values*.
    """
    for name in names:
        if is_given(values, name):
            raise click.UsageError(f"--{name.replace('_', '-')} {why}.")
        if name in values:
            values[name] = _UNSET[name]


def reset_defaults(values: dict[str, Any], names: Iterable[str]) -> None:
    """Reset in *values* the options *names* if only the environment or the configuration file sets them."""
    for name in names:
        if not is_given(values, name):
            values[name] = _UNSET[name]


def is_given(values: Mapping[str, Any], name: str) -> bool:
    """Return whether the command line itself sets the option *name* to something other than its default."""
    source = click.get_current_context().get_parameter_source(name)
    is_changed = is_set(values.get(name)) and values[name] != _UNSET[name]
    return source is ParameterSource.COMMANDLINE and is_changed
