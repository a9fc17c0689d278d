"""Keys follow from the bytes of file names, whatever the locale: a file has the same key in cron and in a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import count_operations
from tests.support.locales import ENCODINGS, environment
from tests.support.shell import Shell

NAME = "café 文.txt"  # UTF-8 on disk
CONTENT = b"the right file"
# The last one differs most from UTF-8; the others run in the slow lane.
pytestmark = pytest.mark.parametrize(
    "encoding", [*(pytest.param(one, marks=pytest.mark.slow) for one in ENCODINGS[:-1]), ENCODINGS[-1]]
)


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the locales that were built."""
    return tmp_path_factory.mktemp("locales")


@pytest.fixture
def variables(encoding: str, locales: Path) -> dict[str, str]:
    """The environment of a locale with the encoding."""
    return environment(encoding, locales)


def run(shell: Shell, variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run obsup in a locale; the arguments are UTF-8."""
    return subprocess.run(
        [sys.executable, "-m", "obsup", *arguments],
        cwd=shell.folder,
        env={**os.environ, **shell.environment, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def tree(shell: Shell) -> Path:
    """A folder with the file."""
    folder = shell.folder / "tree"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-r", "tree/", "bucket/p/"), marks=pytest.mark.slow),
        ("-r", "tree/", "bucket/p/", "--include", "caf? ?.txt", "--exclude", "caf??.txt"),
        ("--from-list", "list", "bucket/p/"),
        pytest.param((f"tree/{NAME}", "bucket/p/"), marks=pytest.mark.slow),
        (f"tree/{NAME}", f"bucket/p/{NAME}"),
        pytest.param((f"tree/{NAME}", "list", "bucket/p/"), marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("tree")
def test_the_key_is_the_name_in_utf_8(
    variables: dict[str, str], shell: Shell, sandbox: Sandbox, arguments: tuple[str, ...]
) -> None:
    """As a file of -r, of a list, of several sources, as the single source, and in TARGET."""
    (shell.folder / "list").write_bytes(f"tree/./{NAME}\n".encode())
    done = run(shell, variables, "upload", *arguments)
    assert done.returncode == 0, done.stderr
    assert sandbox.object_path("bucket", f"p/{NAME}").read_bytes() == CONTENT
    before = len(sandbox.requests)
    if arguments[0] != f"tree/{NAME}":
        again = shell.run("upload", *arguments)  # in UTF-8: the same key, the same entry in the journal
        assert again.code == 0, again.err
        assert count_operations(sandbox, before)["put"] == 0


def test_a_list_names_the_file_with_these_bytes(
    variables: dict[str, str], shell: Shell, sandbox: Sandbox
) -> None:
    """The list is read with the bytes that find wrote: in ISO-8859-1, the file with other bytes was sent."""
    right, wrong = os.fsencode("café"), "café".encode("latin-1")
    for name in (right, wrong):
        Path(os.fsdecode(os.fsencode(shell.folder) + b"/" + name)).write_bytes(name)
    (shell.folder / "list").write_bytes(right + b"\n")
    done = run(shell, variables, "upload", "--from-list", "list", "bucket/p/")
    assert done.returncode == 0, done.stderr
    assert sandbox.object_path("bucket", "p/café").read_bytes() == right


def test_a_name_that_is_not_utf_8_is_refused_and_listed(
    variables: dict[str, str], shell: Shell, sandbox: Sandbox
) -> None:
    """In every locale; the list of failed files has its bytes, and those of the others that failed."""
    names = [b"tree/caf\xe9", "tree/größe".encode()]
    (shell.folder / "tree").mkdir()
    for name in names:
        Path(os.fsdecode(os.fsencode(shell.folder) + b"/" + name)).write_bytes(b"content")
    sandbox.add_fault("error=400:InvalidStorageClass,op=put,times=1")
    done = run(shell, variables, "upload", "-r", "tree", "bucket/p/", "--failed-list", "failed")
    assert done.returncode == 69, done.stderr
    assert b"not valid UTF-8" in done.stderr
    listed = (shell.folder / "failed").read_bytes().splitlines()
    assert sorted(listed) == sorted(b"./" + name for name in names)
    done = run(shell, variables, "upload", "--from-list", "failed", "bucket/p/")
    assert done.returncode == 66
    assert sandbox.object_path("bucket", "p/tree/größe").read_bytes() == b"content"
