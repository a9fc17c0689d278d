"""obsup-tutorial(7), run from the first command to the last in one shell, unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.pipes import Bash
from tests.support.readme import TUTORIAL_PAGE, blocks
from tests.support.shell import Shell

MARKS = ("tutorial 1", "tutorial 2", "tutorial 3", "tutorial 4", "tutorial 5", "tutorial 6", "tutorial 7")


@pytest.mark.slow
def test_the_tutorial(tmp_path: Path) -> None:
    """With an empty home, and only the sandbox that the tutorial starts."""
    home = tmp_path / "home"
    home.mkdir()
    bash = Bash.with_folder(Shell(home, {"HOME": str(home)}, timeout_s=110), tmp_path / "bin")
    texts = {one.mark: one.text for one in blocks(TUTORIAL_PAGE)}
    assert tuple(texts) == MARKS
    script = "set -e\n" + "".join(f"echo '=== {mark}'\n{text}" for mark, text in texts.items())
    outcome = bash.run(script)
    assert outcome.code == 0, outcome.err
    output = dict(zip(MARKS, outcome.out.split("=== ")[1:], strict=True))
    assert "exit code 75" in output["tutorial 3"]
    assert "of 4 stored" in output["tutorial 3"]
    finished = json.loads(output["tutorial 3"].splitlines()[-1])
    assert finished["sentParts"] < finished["parts"] == 4
    assert "retry_for\t5m\tprofile nightly" in output["tutorial 4"]
    assert "last-success" in output["tutorial 5"]
    assert output["tutorial 6"].splitlines() == ["tutorial 6"]
    assert output["tutorial 7"].splitlines() == ["tutorial 7"]
