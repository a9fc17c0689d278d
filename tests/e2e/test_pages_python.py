"""obsup-python(7): its programs run as they are printed, and it names everything that is public."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import obsup
from obsup.sandbox.sandbox import Sandbox
from tests.support.readme import PYTHON_PAGE, blocks

PROGRAMS = [one.text for one in blocks(PYTHON_PAGE) if one.kind == "python"]


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_page(
    number: int,
    sandbox: Sandbox,
    make_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the endpoint and the credentials in the environment; it prints no error."""
    source = make_file(1_000_000, "bigfile")
    monkeypatch.chdir(source.parent)
    monkeypatch.setenv("OBSUP_ENDPOINT", sandbox.endpoint)
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    values: dict[str, object] = {}
    exec(PROGRAMS[number], values)
    if "result" in values:
        assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
        assert "Error" not in capsys.readouterr().out


def test_the_page_names_everything_that_is_public() -> None:
    named = set(re.findall(r"\w+", PYTHON_PAGE.read_text()))
    assert set(obsup.__all__) - named - {"__version__"} == set()
