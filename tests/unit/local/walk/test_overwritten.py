"""Outputs that would replace what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from obsup.local.walk.overwritten import find_overwritten


@pytest.mark.parametrize("is_inside", [True, False])
def test_an_output_that_is_a_link_to_itself(tmp_path: Path, *, is_inside: bool) -> None:
    """Before Python 3.13, pathlib raises RuntimeError for it: exit 70."""
    source = tmp_path / "source"
    source.mkdir()
    link = (source if is_inside else tmp_path) / "list"
    link.symlink_to("list")
    found = find_overwritten(["--failed-list"], {"--failed-list": link}, [source], kept={})
    assert (found is not None) == is_inside
