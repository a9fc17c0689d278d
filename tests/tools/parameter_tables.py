"""Generate the tables of parameters in README.md from the dialects and the vendors' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from obsup.dialects.dialect import Dialect
from obsup.dialects.parameters import OBJECT_PARAMETERS, carries, header_of
from obsup.dialects.registry import DIALECTS
from obsup.options.row import OptionRow
from obsup.options.table import HEADER_OPTIONS

_OPERATIONS = {"initiate": "Initiate", "put": "PutObject", "complete": "Complete"}
_USUAL = ["Initiate", "PutObject"]


@dataclass(frozen=True)
class Named:
    """The vendors' name and obsup's names of a parameter or a field of a result.

    ``option`` is that of the command line or of ``--json``; ``keyword`` that of ``upload_file`` or of its result.
    """

    vendor: str
    option: str
    keyword: str
    note: str = ""


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

# Sources: OBS SDK for Python, "Uploading an Object - Resumable" and "Uploading a Part".
CALLS = (
    Named("bucketName, objectKey", "TARGET", "target", "a key of up to 1,024 characters (OBS) or bytes"),
    Named(
        "uploadFile, object, content, isFile", "SOURCE, or -", "source", "a path or an open file-like object"
    ),
    Named("partSize", "--part-size", "part_size"),
    Named("taskNum", "--jobs", "jobs", "up to 10,000, if the limits of the machine allow it"),
    Named("enableCheckpoint", "--no-checkpoint", "no_checkpoint", "on by default"),
    Named("checkpointFile", "--checkpoint", "checkpoint"),
    Named("checkSum", "--verify-source", "verify_source"),
    Named("metadata", "--metadata", "metadata"),
    Named("progressCallback", "--progress", "progress", "(transferred bytes, total bytes, seconds)"),
    Named("isAttachMd5", "--content-md5", "content_md5"),
    Named(
        "md5",
        "--md5",
        "md5",
        "of `obsup part` and `upload_part`: hex or Base64; another part is rejected before it is sent",
    ),
    Named("isAttachCrc64", "--digest", "digest", "used automatically if the store supports CRC-64"),
    Named("partNumber", "--part-number", "part_number", "of `obsup part` and `upload_part`"),
    Named("uploadId", "--upload-id", "upload_id", "of the steps: part, complete, abort"),
    Named("offset", "--offset", "offset", "of `obsup part` and `upload_part`; alone: to the end of the file"),
    Named("prefix", "BUCKET/PREFIX", "", "of `obsup uploads`, like the next four"),
    Named("delimiter", "--delimiter", ""),
    Named("keyMarker", "--key-marker", ""),
    Named("uploadIdMarker", "--upload-id-marker", ""),
    Named("maxUploads", "--max-uploads", "", "may exceed 1,000"),
    Named("partNumberMarker", "--part-number-marker", "", "of `obsup parts`"),
    Named("maxParts", "--max-parts-listed", "", "of `obsup parts`; may exceed 1,000"),
    Named("autoClose", "", "close"),
    Named("headers", "see below", "options"),
    Named("extensionHeaders", "--header", "headers", "for example who pays; sent with every request"),
    Named("encoding_type", "", "", "sent with every request that lists keys"),
)
RESULTS = (
    Named("status", "httpStatus", "status", "of an error: `error.refusal.status`"),
    Named("errorCode", "errorCode", "refusal.code"),
    Named("errorMessage", "errorMessage", "refusal.message"),
    Named("requestId", "requestId", "request_id", "of an error: `error.refusal.request_id`"),
    Named("hostId", "hostId", "host_id", "of an error: `error.refusal.host_id`"),
    Named("etag", "etag", "etag"),
    Named("versionId", "versionId", "version_id"),
    Named("location, objectUrl", "location", "location"),
    Named("sseKms", "sseKms", "sse_kms"),
    Named("sseKmsKey", "sseKmsKey", "sse_kms_key"),
    Named("sseC", "sseC", "sse_c"),
    Named("sseCKeyMd5", "sseCKeyMd5", "sse_c_key_md5"),
)


def call_table() -> str:
    """Return the vendors' parameters of an upload and ours, as a Markdown table."""
    rows = [_row(names) for names in CALLS]
    return _markdown(("vendors' name", "command line", "`upload_file`", ""), rows)


def result_table() -> str:
    """Return the vendors' fields of a result and ours, as a Markdown table."""
    rows = [_row(names) for names in RESULTS]
    return _markdown(("vendors' name", "`--json`", "result, or error", ""), rows)


def _row(names: Named) -> tuple[str, ...]:
    return (_code(names.vendor), _code(names.option), _code(names.keyword), names.note)


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
