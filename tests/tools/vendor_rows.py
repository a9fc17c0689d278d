"""Generate the tables of obsup-parameters(7) from vendor_rows.toml: the vendors' pages, row by row."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

NOTHING = "-"


@dataclass(frozen=True)
class VendorRow:
    """One parameter, field, header, limit or error: its names in each of the three ways, and its tests."""

    name: str
    cli: tuple[str, ...]
    api: tuple[str, ...]
    facade: tuple[str, ...]
    tests: tuple[str, ...]
    """Node ids of pytest, relative to the root of the repository."""


@dataclass(frozen=True)
class VendorPage:
    """A page of a vendor, by its title."""

    title: str
    vendor: str
    rows: tuple[VendorRow, ...]


def vendor_pages() -> list[VendorPage]:
    """Return the pages with their rows."""
    data = tomllib.loads(Path(__file__).with_name("vendor_rows.toml").read_text())
    files = data["files"]
    return [
        VendorPage(page["title"], page["vendor"], tuple(_row(files, *row) for row in page["rows"]))
        for page in data["page"]
    ]


def _row(files: dict[str, str], name: str, cli: str, api: str, facade: str, tests: str) -> VendorRow:
    ids = (one.partition("::") for one in tests.split())
    nodes = tuple(f"tests/{files[short]}::{test}" for short, _, test in ids)
    return VendorRow(name, _names(cli), _names(api), _names(facade), nodes)


def _names(cell: str) -> tuple[str, ...]:
    return () if cell == NOTHING else tuple(cell.split(", "))


def vendor_tables() -> str:
    """Return a section per page, with its rows as a Markdown table."""
    return "\n\n".join(_section(page) for page in vendor_pages())


def _section(page: VendorPage) -> str:
    lines = [f"### {page.title} ({page.vendor})", ""]
    lines += ["|  | command line | Python | `obsup.compat` | test |", "| --- | --- | --- | --- | --- |"]
    for row in page.rows:
        cells = (row.name, *(_code(names) for names in (row.cli, row.api, row.facade)), _tests(row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _tests(row: VendorRow) -> str:
    """Return the tests with their files, each file once."""
    by_file: dict[str, list[str]] = {}
    for node in row.tests:
        file, _, test = node.partition("::")
        by_file.setdefault(Path(file).name, []).append(test)
    return "; ".join(f"{_code(tuple(tests))} in `{file}`" for file, tests in by_file.items())
