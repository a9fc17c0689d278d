"""Repeatable options from the environment: the separator of values."""

from __future__ import annotations

import pytest

from obsup.cli.main import cli


@pytest.mark.parametrize(
    ("variable", "text", "name", "expected"),
    [
        ("OBSUP_METADATA", "a=1 b=2", "metadata", (("a", "1"), ("b", "2"))),
        ("OBSUP_METADATA", "a='one two' b=2", "metadata", (("a", "one two"), ("b", "2"))),
        ("OBSUP_HEADER", "X-One: 1", "headers", (("X-One", "1"),)),
        ("OBSUP_HEADER", "X-One: a b\nX-Two: 2\n", "headers", (("X-One", "a b"), ("X-Two", "2"))),
    ],
)
def test_variable_may_contain_several_values(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, expected: object
) -> None:
    """Pairs are split like shell words; headers, which contain spaces, by line."""
    monkeypatch.setenv(variable, text)
    ctx = cli.commands["upload"].make_context("upload", ["f", "b/k"])
    assert tuple(ctx.params[name]) == expected
