"""Compare the options of an existing object, as HeadObject returns them, with those of a request. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from obsup.dialects.dialect import Dialect
from obsup.dialects.object_headers import object_headers
from obsup.dialects.parameters import OBJECT_PARAMETERS, header_of
from obsup.model import ObjectInfo, ObjectOptions, parse_date
from obsup.value import Value

# Every store returns these if the object has them.
_RETURNED = (
    "content_type",
    "content_encoding",
    "content_disposition",
    "content_language",
    "cache_control",
    "expires_header",
    "metadata",
    "website_redirect",
    "sse",
    "sse_kms_key_id",
)
# These concern the request, not the object.
_OF_REQUEST = ("no_overwrite", "success_redirect")
# Stores return no storage class for objects in this one.
_DEFAULT_STORAGE_CLASS = "STANDARD"


class OptionComparison(Value):
    """The options that ``differ``, and those that HeadObject does not return, by their names on the command line."""

    differ: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def compare_options(dialect: Dialect, options: ObjectOptions, info: ObjectInfo) -> OptionComparison:
    """Compare the *options* that are set with the object *info*. Raises WrongUsage as ``object_headers`` does."""
    differ, unknown = [], []
    for name, value in object_headers(dialect, replace(options, no_overwrite=False), "put").items():
        parameter, option = _option_of(dialect, name)
        if parameter in _OF_REQUEST:
            continue
        shown = info.headers.get(name.lower())
        if shown is None and parameter == "storage_class":
            shown = _DEFAULT_STORAGE_CLASS
        if shown is None and parameter not in _RETURNED:
            unknown.append(option)
        elif shown is None or not _is_same(shown, value, is_exact=parameter == "metadata"):
            differ.append(option)
    return OptionComparison(tuple(dict.fromkeys(differ)), tuple(dict.fromkeys(unknown)))


def _is_same(shown: str, value: str, *, is_exact: bool) -> bool:
    if is_exact:
        return shown == value
    date = parse_date(value)
    return shown.lower() == value.lower() or (date is not None and parse_date(shown) == date)


def _option_of(dialect: Dialect, name: str) -> tuple[str, str]:
    """Return the field of ObjectOptions and the option whose header is *name*."""
    for row in OBJECT_PARAMETERS:
        header = (header_of(row, dialect.headers) or "").lower()
        has_prefix = row.parameter in ("metadata", "grants") and name.lower().startswith(header or "\0")
        if name.lower() == header or has_prefix:
            return row.parameter, row.option
    return "headers", f"--header {name}"
