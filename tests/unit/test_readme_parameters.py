"""The tables of parameters list existing options, keywords and attributes."""

from __future__ import annotations

import inspect

import click
import pytest

from obsup.api import upload_file, upload_part
from obsup.cli.main import cli
from obsup.dialects.registry import DIALECTS
from obsup.engine.job.result import Result
from obsup.errors import Refusal
from obsup.model import ObjectOptions
from obsup.options.table import HEADER_OPTIONS
from tests.support.readme import PARAMETERS_PAGE
from tests.tools.parameter_tables import CALLS, RESULTS, Named, header_table

OPTIONS = {
    word
    for command in cli.commands.values()
    for parameter in command.params
    if isinstance(parameter, click.Option)
    for word in (*parameter.opts, *parameter.secondary_opts)
}
KEYWORDS = (
    set(inspect.signature(upload_file).parameters)
    | set(inspect.signature(upload_part).parameters)
    | {f"options.{field}" for field in ObjectOptions.__struct_fields__}
)
ATTRIBUTES = set(Result.__struct_fields__) | {f"refusal.{field}" for field in Refusal._fields}


@pytest.mark.parametrize(
    "named", [one for one in CALLS if one.option.startswith("--")], ids=lambda one: one.option
)
def test_option_of_a_call_exists(named: Named) -> None:
    assert named.option in OPTIONS


@pytest.mark.parametrize("named", [one for one in CALLS if one.keyword], ids=lambda one: one.keyword)
def test_keyword_of_a_call_exists(named: Named) -> None:
    assert named.keyword in KEYWORDS


@pytest.mark.parametrize("named", RESULTS, ids=lambda one: one.vendor)
def test_field_of_a_result_exists(named: Named) -> None:
    assert named.keyword in ATTRIBUTES


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
