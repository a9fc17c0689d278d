"""The modules that a command loads: it starts fast because it loads only what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

MakeFile = Callable[..., Path]

PROGRAM = """
import json, os, sys
import obsup.cli.main as main
sys.argv = ["obsup", *sys.argv[1:]]
try:
    code = main.cli.main(standalone_mode=False, prog_name="obsup")
except SystemExit as exc:
    code = exc.code
print(json.dumps([code or 0, sorted(sys.modules)]))
"""


def loaded_by(shell: Shell, *arguments: str) -> set[str]:
    """Return the modules that ``obsup ARGUMENTS`` has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


ENGINE = {
    "requests",
    "urllib3",
    "rich",
    "ssl",
    "obsup.engine",
    "obsup.store",
    "obsup.dialects.registry",
    "obsup.local.files",
    "obsup.local.source",
    "obsup.local.state",
}


@pytest.mark.parametrize("arguments", ["--version", "--help", "upload --help", "gc --help"])
def test_help_does_not_load_the_engine(arguments: str, shell: Shell) -> None:
    """Help needs only click and the definitions of the commands."""
    assert not loaded_by(shell, *arguments.split()) & ENGINE


def test_a_command_does_not_load_other_commands(shell: Shell) -> None:
    """--version and the list of commands load none, and a command loads only its own module."""
    commands = {
        f"obsup.cli.commands.{name}" for name in ("upload", "part", "complete", "gc", "doctor", "sandbox")
    }
    assert not loaded_by(shell, "--version") & commands
    assert not loaded_by(shell, "--help") & {*commands, "obsup.options", "pathlib"}
    assert loaded_by(shell, "gc", "--help") & commands == {"obsup.cli.commands.gc"}


def test_the_version_needs_no_option(shell: Shell) -> None:
    """The options are loaded for a command, or after a failure for the command line that continues."""
    unused = {
        "obsup.options",
        "obsup.cli.arguments.options",
        "obsup.cli.arguments.types",
        "pathlib",
        "shutil",
    }
    assert not loaded_by(shell, "--version") & unused


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_alone_is_printed_without_click(option: str, shell: Shell) -> None:
    """It is the same text."""
    command = [sys.executable, "-X", "importtime", "-m", "obsup"]
    environ = {**os.environ, **shell.environment}
    alone, by_click = (
        subprocess.run([*command, *words], env=environ, capture_output=True, text=True, check=True)
        for words in ([option], [option, "--help"])
    )
    assert alone.stdout == by_click.stdout
    assert " click\n" not in alone.stderr
    assert " click\n" in by_click.stderr


def test_a_small_upload_loads_what_it_needs(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """An upload in one request, without a terminal, loads no Rich, XML, workers, parts, walk or vendor files.

    What handles failures is loaded before: after one, for example of open files, modules may not be readable.

    requests and urllib3, with http.client and the email package, are only loaded for a proxy.
    """
    make_file(1024 * 1024)
    loaded = loaded_by(shell, "upload", "bigfile", "bucket/key")
    assert sandbox.object_path("bucket", "key").exists()
    assert "obsup.store.http.connection" in loaded
    assert not loaded & {
        "rich",
        "requests",
        "urllib3",
        "http.client",
        "email",
        "multiprocessing",
        "random",
        "shutil",
        "stringprep",
        "tempfile",
        "subprocess",
        "defusedxml",
        "xml.sax",
        "tomllib",
        "configparser",
        "obsup.cli.run.metrics",
        "obsup.engine.plan.concurrency_probe",
        "obsup.engine.send.workers",
        "obsup.engine.send.remote_task",
        "obsup.engine.upload.resume",
        "obsup.engine.upload.send_loop",
        "obsup.local.config.instance_metadata",
        "obsup.local.config.vendor_files",
        "obsup.local.walk",
        "obsup.sandbox",
    }
