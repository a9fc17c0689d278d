"""Every row of the vendors' pages has existing names in each interface, and tests that exist."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from functools import cache
from typing import Any

import click
import pytest

import obsup
from obsup import compat
from obsup.cli.main import cli
from tests.support.readme import ROOT
from tests.tools.vendor_rows import VendorRow, vendor_pages

ROWS = [(page.title, row) for page in vendor_pages() for row in page.rows]
ARGUMENTS = {"SOURCE", "TARGET"}
VARIABLES = {"AccessKeyID", "SecretAccessKey", "SecurityToken"}
CALL = re.compile(r"(\w+)\((\w*)\)")


def source_of(folder: str) -> str:
    """Return the source code below *folder*."""
    return "".join(path.read_text() for path in sorted((ROOT / "obsup" / folder).rglob("*.py")))


CLI_SOURCE, COMPAT_SOURCE = source_of("cli"), source_of("compat")


def test_the_pages_have_all_their_rows() -> None:
    """The numbers of rows were counted on the vendors' pages."""
    found = {page.title: len(page.rows) for page in vendor_pages()}
    assert found == {
        "Uploading a Part": 53,
        "Uploading an Object - Resumable": 87,
        "Upload Part": 37,
        "Multipart Upload Overview": 16,
        "UploadPart": 16,
    }
    for page in vendor_pages():
        names = [row.name for row in page.rows]
        assert sorted(set(names)) == sorted(names)


def is_on_the_command_line(name: str) -> bool:
    word, _, option = name.partition(" ")
    if word == "--json":
        return f'"{option}"' in CLI_SOURCE
    if word in ARGUMENTS | VARIABLES:
        return True
    command = cli.commands.get(word)
    known = {
        text
        for parameter in (command.params if command is not None else ())
        if isinstance(parameter, click.Option)
        for text in (*parameter.opts, *parameter.secondary_opts)
    }
    return command is not None and (not option or option in known)


def has_member(module: Any, name: str) -> bool:
    """Return whether *module* has the function, keyword, class or attribute *name*."""
    if match := CALL.fullmatch(name):
        function = getattr(module, match[1], None)
        return callable(function) and (not match[2] or match[2] in inspect.signature(function).parameters)
    owner, _, attribute = name.partition(".")
    found = getattr(module, owner, None)
    return found is not None and (not attribute or hasattr(found, attribute))


def is_in_the_facade(name: str) -> bool:
    owner, _, field = name.partition(".")
    if owner == "result":
        return field in compat.GetResult.fields
    if owner == "body":
        return re.search(rf'\b{field}=|"{field}"', COMPAT_SOURCE) is not None
    if (match := CALL.fullmatch(name)) is None:
        return has_member(compat, name)
    made = getattr(compat, match[1], None)
    if made is None:
        return has_member(compat.ObsClient, name)
    return match[2] in (getattr(made, "fields", None) or inspect.signature(made).parameters)


@pytest.mark.slow
@pytest.mark.parametrize("title", [page.title for page in vendor_pages()])
def test_every_name_exists(title: str) -> None:
    """On the command line, in the API and in the facade."""
    rows = [row for page, row in ROWS if page == title]
    wrong = [name for row in rows for name in row.cli if not is_on_the_command_line(name)]
    wrong += [name for row in rows for name in row.api if not has_member(obsup, name)]
    wrong += [name for row in rows for name in row.facade if not is_in_the_facade(name)]
    assert wrong == []


@cache
def functions_in(file: str) -> frozenset[str]:
    """Return the names of the test functions of *file*."""
    return frozenset(
        node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)
    )


def test_every_row_has_tests_that_exist() -> None:
    """By the names of their functions; the slow lane collects them with their parameters."""
    assert [row.name for _, row in ROWS if not row.tests] == []
    nodes = {node.partition("[")[0] for _, row in ROWS for node in row.tests}
    assert [
        node for node in nodes if node.partition("::")[2] not in functions_in(node.partition("::")[0])
    ] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_test_of_a_row_can_be_collected() -> None:
    """With its parameters, as pytest names it."""
    nodes = {node for _, row in ROWS for node in row.tests}
    files = sorted({node.partition("::")[0] for node in nodes})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "--collect-only", "-m", "", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    collected = set(done.stdout.splitlines())
    collected |= {node.partition("[")[0] for node in collected}
    assert nodes - collected == set()


@pytest.mark.slow
def test_a_row_of_nothing_is_found() -> None:
    """The checks above fail for names that do not exist."""
    row = VendorRow("name", ("part --colour",), ("upload_part(colour)",), ("uploadPart(colour)",), ())
    assert not is_on_the_command_line(row.cli[0])
    assert not is_on_the_command_line("paint")
    assert not has_member(obsup, row.api[0])
    assert not has_member(obsup, "Result.colour")
    for name in (row.facade[0], "result.colour", "body.colour", "SseCHeader(colour)", "HeadPermission.NONE"):
        assert not is_in_the_facade(name)
