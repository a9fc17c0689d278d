"""The commands for many files in README work unchanged."""

from __future__ import annotations

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import make_files
from tests.support.readme import README, block
from tests.support.shell import Shell


def test_the_commands_for_many_files(shell: Shell, sandbox: Sandbox) -> None:
    """The last one has nothing to send, and the excluded file is not uploaded."""
    names = ["photos/2024/a.jpg", "photos/b.jpg", "one.csv", "two.csv", "notes.txt", "left.tmp"]
    make_files(shell, *names)
    outcome = shell.run_script(block(README, "many files"))
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == "0 files to send (0 B), 2 to skip, 0 refused"
    for key, name in (
        ("2026/photos/2024/a.jpg", "photos/2024/a.jpg"),
        ("in/two.csv", "two.csv"),
        ("daily/photos/b.jpg", "photos/b.jpg"),
    ):
        assert sandbox.object_path("backups", key).read_bytes() == (shell.folder / name).read_bytes()
    assert not sandbox.object_path("backups", "daily/left.tmp").exists()
