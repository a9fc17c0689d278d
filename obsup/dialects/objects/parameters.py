"""The headers that options become in each dialect, and the operations that send them."""

from __future__ import annotations

from collections.abc import Iterable

from obsup.dialects.dialect import Dialect, HeaderNames
from obsup.dialects.registry import DIALECTS
from obsup.options.row import OptionRow
from obsup.options.table import HEADER_OPTIONS, OBJECT_OPTIONS

# Options that become headers that object_headers() renders. --header itself is rendered separately.
OBJECT_PARAMETERS = tuple(row for row in OBJECT_OPTIONS if row.header)


def header_of(row: OptionRow, names: HeaderNames) -> str | None:
    """Return the header of an option, or the prefix of its headers; None if the vendor has none."""
    if row.header[:1].isupper():
        return row.header
    name: str | tuple[str, str] | None = getattr(names, row.header, None)
    return name[0] if isinstance(name, tuple) else name


def row_of(dialect: Dialect, name: str, rows: Iterable[OptionRow] = HEADER_OPTIONS) -> OptionRow | None:
    """Return the option of *rows* that becomes the header *name*, None without one."""
    for row in rows:
        header = (header_of(row, dialect.headers) or "").lower()
        if name.lower() == header or (header.endswith("-") and name.lower().startswith(header)):
            return row
    return None


def providers_with(row: OptionRow) -> list[str]:
    """Return the titles of the dialects that have a header for the option."""
    return [dialect.title for dialect in DIALECTS.values() if header_of(row, dialect.headers) is not None]


def option_of(field: str) -> str:
    """Return the option of the command line that sets *field* of ObjectOptions."""
    return next(row.option for row in OBJECT_OPTIONS if row.parameter == field)


def carries(dialect: Dialect, field: str, operation: str) -> bool:
    """Return whether *operation* (initiate, put or complete) sends the header of *field* in *dialect*."""
    if field == "no_overwrite":
        return operation in dialect.no_overwrite_on
    if field == "acl" and dialect.acl_on_complete:
        return operation in ("put", "complete")
    if field == "success_redirect":
        # A 303 response to Initiate has no upload id. The vendor's client does not send it in uploadFile, either.
        return operation == "put"
    return operation in ("initiate", "put")
