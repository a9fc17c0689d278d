"""``obsup sandbox``: start the local test server, a separate program that shares no code with the uploader."""

from __future__ import annotations

import runpy
import sys
from typing import Any

import click

from obsup.cli.arguments.command import command
from obsup.options.table import is_set, rows_of

# Runs the sandbox of this obsup, even if that is in an archive (zipapp), where -m would not find it. Python's own
# modules come first, another installed obsup last.
PROGRAM = """
import os, runpy, sys
library = os.path.dirname(os.__file__)
sys.path.insert(sys.path.index(library) + 1 if library in sys.path else len(sys.path), sys.argv.pop(1))
runpy.run_module("obsup.sandbox", run_name="__main__", alter_sys=True)
"""


@command("sandbox", context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sandbox(command: tuple[str, ...], **values: Any) -> None:
    """Run a local object store that supports all dialects, and run COMMAND against it.

    \b
    obsup sandbox -- sh -c 'obsup upload bigfile bucket/key --parts 5'
    obsup sandbox --fault error=503:SlowDown,op=part,times=3 -- ./nightly-backup.sh

    The environment of COMMAND has the endpoint and temporary credentials; the exit code is that of COMMAND.
    Without COMMAND, prints export lines and serves until Ctrl-C.
    """
    words: list[str] = []
    for _, row in rows_of("sandbox"):
        value = values[row.parameter]
        for one in value if row.kind.is_list else [value]:
            if is_set(one):
                words += [row.option] if one is True else [row.option, str(one)]
    if command:
        words += ["--", *command]
    if getattr(sys, "frozen", False):
        # One executable (PyInstaller) has no other interpreter to run the program in.
        sys.argv = ["obsup sandbox", *words]
        runpy.run_module("obsup.sandbox", run_name="__main__", alter_sys=True)
    from obsup.local.platform.processes import replace_process
    from obsup.local.processes.interpreter import (  # --help starts no process
        interpreter_command,
        package_root,
    )

    sys.exit(replace_process(interpreter_command(PROGRAM, package_root(), *words)))
