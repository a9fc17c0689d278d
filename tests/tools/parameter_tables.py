"""Generate the table of headers in obsup-parameters(7) from the dialects and the vendors' names."""

from __future__ import annotations

from collections.abc import Sequence

from obsup.dialects.dialect import Dialect
from obsup.dialects.objects.parameters import OBJECT_PARAMETERS, carries, header_of
from obsup.dialects.registry import DIALECTS
from obsup.options.row import OptionRow
from obsup.options.table import HEADER_OPTIONS

_OPERATIONS = {"initiate": "Initiate", "put": "PutObject", "complete": "Complete"}
_USUAL = ["Initiate", "PutObject"]


PARAMETERS = (*OBJECT_PARAMETERS, *(row for row in HEADER_OPTIONS if row not in OBJECT_PARAMETERS))
SDK_NAMES = {
    "content_type": "headers.contentType",
    "metadata": "metadata",
    "acl": "headers.acl",
    "grants": "headers.extensionGrants",
    "storage_class": "headers.storageClass",
    "website_redirect": "headers.location",
    "success_redirect": "headers.successActionRedirect",
    "expires_days": "headers.expires",
    "sse": "headers.sseHeader.encryption",
    "sse_kms_key_id": "headers.sseHeader.key",
    "sse_c_key_file": "headers.sseHeader (SseCHeader)",
    "content_md5": "isAttachMd5",
    "copy_source": "copySource",
    "copy_range": "copySourceRange",
    "copy_source_sse_c_key_file": "sourceSseHeader (SseCHeader)",
}
"""The name of each parameter in the vendor's ``ObsClient.uploadFile``, if it has one."""


def header_table() -> str:
    """Return the header of each parameter per dialect, as a Markdown table. Identical dialects share a column."""
    columns: dict[tuple[str | None, ...], list[str]] = {}
    for name, dialect in DIALECTS.items():
        columns.setdefault(tuple(header_of(row, dialect.headers) for row in PARAMETERS), []).append(name)
    names = list(columns.values())
    rows = [
        (
            _code(row.option),
            _code(SDK_NAMES.get(row.parameter, "")),
            *(_header(row, DIALECTS[group[0]]) for group in names),
        )
        for row in PARAMETERS
    ]
    return _markdown(("option", "OBS SDK", *(", ".join(group) for group in names)), rows)


def _header(row: OptionRow, dialect: Dialect) -> str:
    header = header_of(row, dialect.headers)
    if header is None:
        return "–"
    shown = f"`{header}…`" if header.endswith("-") else f"`{header}`"
    carriers = [
        title
        for operation, title in _OPERATIONS.items()
        if row in OBJECT_PARAMETERS and carries(dialect, row.parameter, operation)
    ]
    return f"{shown} (on {', '.join(carriers)})" if carriers not in ([], _USUAL) else shown


def _code(text: str) -> str:
    return (
        ", ".join(f"`{name}`" for name in text.split(", "))
        if text and " " not in text.replace(", ", "")
        else text
    )


def _markdown(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
