"""The properties of an object: which option sets each of them, and which header sends it in each dialect."""

from __future__ import annotations

from collections.abc import Callable

from obsup.dialects.dialect import Dialect, HeaderNames
from obsup.dialects.registry import DIALECTS
from obsup.value import Value


class Parameter(Value):
    """One property of an object.

    ``field`` is its name in ObjectOptions, ``option`` the one on the command line. ``header`` returns the name of its
    header, or the prefix of its headers, from the names of a dialect; None if the vendor has no such header.
    """

    field: str
    option: str
    header: Callable[[HeaderNames], str | None]


def _always(name: str) -> Callable[[HeaderNames], str]:
    return lambda _names: name


OBJECT_PARAMETERS = (
    Parameter("content_type", "--content-type", _always("Content-Type")),
    Parameter("content_encoding", "--content-encoding", _always("Content-Encoding")),
    Parameter("content_disposition", "--content-disposition", _always("Content-Disposition")),
    Parameter("content_language", "--content-language", _always("Content-Language")),
    Parameter("cache_control", "--cache-control", _always("Cache-Control")),
    Parameter("expires_header", "--expires-header", _always("Expires")),
    Parameter("metadata", "--metadata", lambda names: names.meta),
    Parameter("tags", "--tag", lambda names: names.tagging),
    Parameter("acl", "--acl", lambda names: names.acl),
    Parameter("grants", "--grant", lambda names: names.grant),
    Parameter("storage_class", "--storage-class", lambda names: names.storage_class),
    Parameter("website_redirect", "--website-redirect", lambda names: names.website_redirect),
    Parameter("success_redirect", "--success-redirect", lambda names: names.success_redirect),
    Parameter("expires_days", "--expires-days", lambda names: names.expires_days),
    Parameter("sse", "--sse", lambda names: names.sse),
    Parameter("sse_kms_key_id", "--sse-kms-key-id", lambda names: names.sse_kms_key_id),
    Parameter("no_overwrite", "--no-overwrite", lambda names: names.no_overwrite and names.no_overwrite[0]),
)
"""The properties that ``object_headers`` turns into headers, in the order of ObjectOptions."""


def providers_with(parameter: Parameter) -> list[str]:
    """Return the titles of the dialects that have a header for *parameter*."""
    return [dialect.title for dialect in DIALECTS.values() if parameter.header(dialect.headers) is not None]


def option_of(field: str) -> str:
    """Return the command-line option that sets *field* of ObjectOptions."""
    return next(parameter.option for parameter in OBJECT_PARAMETERS if parameter.field == field)


def carries(dialect: Dialect, field: str, operation: str) -> bool:
    """Return whether *operation* (initiate, put or complete) of *dialect* sends the header of *field*."""
    if field == "no_overwrite":
        return operation in dialect.no_overwrite_on
    if field == "acl" and dialect.acl_on_complete:
        return operation in ("put", "complete")
    if field == "success_redirect":
        # A response 303 to Initiate contains no upload id. The vendor's uploadFile does not send this header either.
        return operation == "put"
    return operation in ("initiate", "put")
