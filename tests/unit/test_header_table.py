"""The table of headers lists existing options, and has a column for each dialect."""

from __future__ import annotations

import click
import pytest

from obsup.cli.main import cli
from obsup.dialects.registry import DIALECTS
from obsup.errors import WrongUsage
from obsup.options.table import HEADER_OPTIONS, object_values
from tests.support.readme import PARAMETERS_PAGE
from tests.tools.parameter_tables import header_table

OPTIONS = {
    word
    for command in cli.commands.values()
    for parameter in command.params
    if isinstance(parameter, click.Option)
    for word in (*parameter.opts, *parameter.secondary_opts)
}


@pytest.mark.parametrize("option", [one.option for one in HEADER_OPTIONS])
def test_option_of_a_header_exists(option: str) -> None:
    assert option in OPTIONS


def test_every_dialect_has_its_column_and_every_parameter_its_row() -> None:
    """The columns are the header names of the dialects: a change of one changes the page."""
    head, _, *rows = header_table().splitlines()
    assert {name for cell in head.split("|")[3:-1] for name in cell.strip().split(", ")} == set(DIALECTS)
    assert len(rows) == len(HEADER_OPTIONS)
    text = PARAMETERS_PAGE.read_text()
    for dialect in DIALECTS.values():
        assert f"`{dialect.headers.meta}…`" in text
        assert f"`{dialect.headers.storage_class}`" in text


@pytest.mark.parametrize("parameter", ["metadata", "tags"])
def test_a_name_has_one_value(parameter: str) -> None:
    """The store would get only one of two; the same one twice changes nothing."""
    assert object_values({parameter: (("a", "1"), ("a", "1"))})[parameter] == {"a": "1"}
    with pytest.raises(WrongUsage, match="gives 'a' twice"):
        object_values({parameter: (("a", "1"), ("a", "2"))})
