"""Which parameter becomes which header in which dialect: the one list that code and documentation share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from obsup.dialects.dialect import Dialect, HeaderNames
from obsup.dialects.registry import DIALECTS
from obsup.value import Value


class Parameter(Value):
    """One property of an object.

    ``field`` is its name in ObjectOptions, ``option`` the one on the command line, ``sdk`` the one in the
    vendor's ``ObsClient.uploadFile`` (empty: it has none). ``header`` picks its header, or the prefix of its
    headers, out of a dialect's names; None where the vendor has none.
    """

    field: str
    option: str
    sdk: str
    header: Callable[[HeaderNames], str | None]


class Row(Value):
    """A line of the table: the parameter's three names, and its header by the name of the dialect."""

    field: str
    option: str
    sdk: str
    headers: Mapping[str, str | None]


def _always(name: str) -> Callable[[HeaderNames], str]:
    return lambda _names: name


OBJECT_PARAMETERS = (
    Parameter("content_type", "--content-type", "headers.contentType", _always("Content-Type")),
    Parameter("content_encoding", "--content-encoding", "", _always("Content-Encoding")),
    Parameter("content_disposition", "--content-disposition", "", _always("Content-Disposition")),
    Parameter("content_language", "--content-language", "", _always("Content-Language")),
    Parameter("cache_control", "--cache-control", "", _always("Cache-Control")),
    Parameter("expires_header", "--expires-header", "", _always("Expires")),
    Parameter("metadata", "--metadata", "metadata", lambda names: names.meta),
    Parameter("tags", "--tag", "", lambda names: names.tagging),
    Parameter("acl", "--acl", "headers.acl", lambda names: names.acl),
    Parameter("grants", "--grant", "headers.extensionGrants", lambda names: names.grant),
    Parameter("storage_class", "--storage-class", "headers.storageClass", lambda names: names.storage_class),
    Parameter(
        "website_redirect", "--website-redirect", "headers.location", lambda names: names.website_redirect
    ),
    Parameter(
        "success_redirect",
        "--success-redirect",
        "headers.successActionRedirect",
        lambda names: names.success_redirect,
    ),
    Parameter("expires_days", "--expires-days", "headers.expires", lambda names: names.expires_days),
    Parameter("sse", "--sse", "headers.sseHeader.encryption", lambda names: names.sse),
    Parameter(
        "sse_kms_key_id", "--sse-kms-key-id", "headers.sseHeader.key", lambda names: names.sse_kms_key_id
    ),
    Parameter(
        "no_overwrite",
        "--no-overwrite",
        "",
        lambda names: names.no_overwrite and names.no_overwrite[0],
    ),
)
"""What ``object_headers`` turns into headers, in the order of ObjectOptions."""

REQUEST_PARAMETERS = (
    Parameter(
        "customer_key", "--sse-c-key-file", "headers.sseHeader (SseCHeader)", lambda names: names.sse_c
    ),
    Parameter("content_md5", "--content-md5", "isAttachMd5", _always("Content-MD5")),
    Parameter("copy_source", "--copy-source", "copySource", lambda names: names.copy_source),
    Parameter("copy_range", "--copy-range", "copySourceRange", lambda names: names.copy_source_range),
)
"""What concerns single requests, for the table."""


def parameter_table() -> list[Row]:
    """Return the table of all parameters over all dialects. A header that ends in ``-`` is a prefix."""
    return [
        Row(
            parameter.field,
            parameter.option,
            parameter.sdk,
            {name: parameter.header(dialect.headers) for name, dialect in DIALECTS.items()},
        )
        for parameter in (*OBJECT_PARAMETERS, *REQUEST_PARAMETERS)
    ]


def providers_with(parameter: Parameter) -> list[str]:
    """Return the titles of the dialects that have a header for *parameter*."""
    return [dialect.title for dialect in DIALECTS.values() if parameter.header(dialect.headers) is not None]


def option_of(field: str) -> str:
    """Return the option of the command line that sets *field* of ObjectOptions."""
    return next(parameter.option for parameter in OBJECT_PARAMETERS if parameter.field == field)


def carries(dialect: Dialect, field: str, operation: str) -> bool:
    """Tell whether the header of *field* goes on *operation* (initiate, put or complete) of *dialect*."""
    if field == "no_overwrite":
        return operation in dialect.no_overwrite_on
    if field == "acl" and dialect.acl_on_complete:
        return operation in ("put", "complete")
    if field == "success_redirect":
        # An Initiate that answers 303 has no upload id. The vendor's client leaves it out of uploadFile too.
        return operation == "put"
    return operation in ("initiate", "put")
