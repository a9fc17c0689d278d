"""The man pages with real formatters, and in the prefix of a pip installation."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.readme import CRON_PAGE, block
from tests.tools.manpage import LONGER_PAGES

pytestmark = [pytest.mark.shells, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("man/man[0-9]/*"))
EVERY = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        list(map(str, command)),
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_are_pages() -> None:
    """The other tests would pass with an empty list."""
    assert len(PAGES) > 15


@EVERY
@pytest.mark.parametrize("device", ["utf8", "ascii", "ps"])
def test_groff_has_no_warning(page: Path, device: str) -> None:
    """All warnings are enabled, for terminals and for print."""
    done = run("groff", "-man", "-ww", "-z", f"-T{device}", page)
    assert (done.returncode, done.stderr) == (0, "")


@EVERY
def test_mandoc_has_no_warning(page: Path) -> None:
    """Neither an error nor a style warning."""
    done = run("mandoc", "-T", "lint", page)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["obsup", "obsup-upload", "obsup-config-show", *LONGER_PAGES])
def test_man_finds_the_pages_of_a_prefix(prefix: Path, name: str) -> None:
    """Its bin folder in PATH is enough, as after pip install; no MANPATH is needed."""
    path = f"{prefix / 'bin'}:{os.environ['PATH']}"
    environment = {"PATH": path, "MANWIDTH": "80", "MANPAGER": "cat", "MANPATH": ""}
    environment.pop("MANPATH")
    done = run("man", name, **environment)
    assert done.returncode == 0, done.stderr
    assert f"{name.upper()}(" in done.stdout.splitlines()[0]
    # Command lines and examples of checkpoints are not wrapped.
    wide = [line for line in done.stdout.splitlines() if len(line) > 90]
    assert [line for line in wide if "obsup " not in line and '{"partNumber":' not in line] == []


def test_the_page_of_upload_answers_the_questions_of_a_new_user(prefix: Path) -> None:
    """Examples, how to resume after a failure, exit codes."""
    environment = {"PATH": f"{prefix / 'bin'}:{os.environ['PATH']}", "MANWIDTH": "80", "MANPAGER": "cat"}
    text = run("man", "obsup-upload", **environment).stdout
    assert "obsup upload bigfile bucket/key --parts 5" in text
    assert "Run the same command again after a failure: it sends only what is missing." in " ".join(
        text.split()
    )
    assert "OBSUP_PART_SIZE" in text
    assert "run the same command again" in text.partition("EXIT STATUS")[2]


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """systemd-analyze reports nothing for the timer and the service of obsup-cron(7)."""
    script = tmp_path / "obsup-nightly"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    for name in ("obsup-nightly.service", "obsup-nightly.timer"):
        text = block(CRON_PAGE, f"systemd {name}").replace("/usr/local/bin/obsup-nightly", str(script))
        (tmp_path / name).write_text(text)
    done = run("systemd-analyze", "verify", "--man=no", tmp_path / "obsup-nightly.timer")
    assert "obsup-nightly" not in done.stderr, done.stderr
    # Of 100, which a service without any protection comes close to.
    service = tmp_path / "obsup-nightly.service"
    exposed = run("systemd-analyze", "security", "--offline=yes", "--threshold=35", service)
    assert exposed.returncode == 0, exposed.stdout


def test_sh_accepts_the_script_of_the_page(tmp_path: Path) -> None:
    """It needs no bash."""
    script = tmp_path / "obsup-nightly"
    script.write_text(block(CRON_PAGE, "cron script"))
    assert run("sh", "-n", script).returncode == 0
