"""The console: the bar, Ctrl-C, and the signal of Ctrl-Break. Wine shows a console on a terminal of Linux."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for
from tests.windows.windows_machine import (
    FOLDER,
    SCRIPTS,
    WINE,
    WindowsMachine,
    windows_path,
    wine_environment,
)

pytestmark = [pytest.mark.windows, pytest.mark.xdist_group("windows")]

MakeFile = Callable[..., Path]
UPLOAD = ("upload", "bigfile", "bucket/key", "--parts", "8", "-j", "1")


@contextmanager
def console(windows: WindowsMachine, *arguments: str) -> Iterator[Terminal]:
    """Start ``python.exe ARGUMENTS`` in a console."""
    command = (WINE, str(FOLDER / "python" / "python.exe"), *arguments)
    environment = wine_environment() | dict(windows.environment)
    with Terminal(
        command, folder=windows.folder, environment=environment, columns=100, timeout_s=windows.timeout_s
    ) as terminal:
        yield terminal


def test_the_bar_and_ctrl_c(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The bar shows what was sent; Ctrl-C keeps it, exits with 130, and the next run sends the rest."""
    source = make_file(900_000)
    sandbox.add_fault("delay=600,op=part,part=5,times=1")
    with console(windows, "-m", "obsup", *UPLOAD) as terminal:
        terminal.wait_for(lambda: terminal.shows("50%"))
        terminal.type("\x03")
        assert terminal.finish() == 130, "\n".join(terminal.lines())
        assert terminal.shows("Next:"), "\n".join(terminal.lines())
    sandbox.clear_faults()
    done = windows.run(*UPLOAD, "--json")
    assert done.code == 0, done
    assert done.json["sentParts"] == 4
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_ctrl_break(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """As the end of a console or of a session does, it ends obsup with 143; what was sent is kept."""
    make_file(900_000)
    sandbox.add_fault("delay=600,op=part,part=5,times=1")
    process = windows.start_python(windows_path(SCRIPTS / "ctrl_break.py"), *UPLOAD)
    wait_for(lambda: sandbox.injected_faults, within_s=300, process=process)
    outcome = windows.outcome(process, b"\n")
    assert outcome.code == 143, outcome
    assert "\nNext: " in outcome.err
    assert len(sandbox.uploads()) == 1
