"""Compare the options of an existing object, as HeadObject returns them, with those of a request. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from obsup.dates import parse_date
from obsup.dialects.dialect import Dialect
from obsup.dialects.objects.parameters import OBJECT_PARAMETERS, row_of
from obsup.engine.proof.encryption import is_same_kms_key
from obsup.model import ObjectInfo
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
# These lock the object.
LOCK_OPTIONS = ("retention", "retain_until", "legal_hold")
# These concern the request, not the object.
_OF_REQUEST = ("no_overwrite", "success_redirect")
# Their values mean the same in upper and lower case, with and without blanks.
_WORDS = (
    "content_encoding",
    "content_language",
    "cache_control",
    "storage_class",
    "sse",
    "retention",
    "legal_hold",
)
# Stores return no storage class for objects in this one.
_DEFAULT_STORAGE_CLASS = "STANDARD"


class OptionComparison(Value):
    """The options that ``differ``, and those that HeadObject does not return, by their names on the command line."""

    differ: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def lock_headers(dialect: Dialect, headers: Mapping[str, str]) -> dict[str, str]:
    """Return those of *headers* that lock the object: retention and legal hold."""
    return {name: value for name, value in headers.items() if _option_of(dialect, name)[0] in LOCK_OPTIONS}


def compare_options(
    dialect: Dialect,
    headers: Mapping[str, str],
    info: ObjectInfo,
    *,
    is_new: bool = False,
    customer_key_md5: str = "",
) -> OptionComparison:
    """Compare the *headers* of the options that are set with the object *info*.

    HeadObject shows the number of tags, and that an object expires. If the object *is_new*, that is enough, and an
    object without it differs. The tags of an object that others may have made are unknown. *customer_key_md5*: the
    object must be encrypted with this key (SSE-C). Some stores ignore the key of HeadObject, so the response
    must name it.
    """
    differ, unknown = [], []
    if customer_key_md5 and not _has_customer_key(dialect, info, customer_key_md5):
        differ.append("--sse-c-key-file")
    for name, value in headers.items():
        parameter, option = _option_of(dialect, name)
        if parameter in _OF_REQUEST:
            continue
        same = _compare(dialect, parameter, value, info, name=name.lower(), is_new=is_new)
        if same is None:
            unknown.append(option)
        elif not same:
            differ.append(option)
    return OptionComparison(tuple(dict.fromkeys(differ)), tuple(dict.fromkeys(unknown)))


def _compare(
    dialect: Dialect, parameter: str, value: str, info: ObjectInfo, *, name: str, is_new: bool
) -> bool | None:
    """Return whether the object has the *value* of the header *name*, None if HeadObject does not show that."""
    if parameter == "tags":
        count = info.headers.get(f"{dialect.prefix}tagging-count")
        is_right = count == str(len(value.split("&")))
        return is_right if is_new or not (is_right or count is None) else None
    if parameter == "expires_days" and is_new:
        return f"{dialect.prefix}expiration" in info.headers or name in info.headers
    shown = info.headers.get(name)
    if shown is None and parameter == "storage_class":
        shown = _DEFAULT_STORAGE_CLASS
    if shown is None:
        return False if parameter in (*_RETURNED, *LOCK_OPTIONS) else None
    if parameter == "retain_until":
        # A store may have extended it; every store keeps whole seconds.
        return (parse_date(shown) or 0.0) >= (parse_date(value) or 0.0)
    if parameter == "sse_kms_key_id":
        # A store may return the whole name of the key, which an alias is not a part of.
        return None if "alias/" in value else is_same_kms_key(value, shown)
    if parameter == "content_type":
        return _media_type(shown) == _media_type(value)
    if parameter == "expires_header" and (date_s := parse_date(value)) is not None:
        return parse_date(shown) == date_s
    return _is_same(shown, value, are_words=parameter in _WORDS)


def _has_customer_key(dialect: Dialect, info: ObjectInfo, key_md5: str) -> bool:
    prefix = (dialect.headers.sse_c or "").lower()
    shown = [info.headers.get(f"{prefix}{name}", "") for name in ("algorithm", "key-md5")]
    return bool(prefix) and (shown[0].upper(), shown[1]) == ("AES256", key_md5)


def _is_same(shown: str, value: str, *, are_words: bool) -> bool:
    if are_words:
        return "".join(shown.lower().split()) == "".join(value.lower().split())
    return shown.strip() == value.strip()


def _media_type(text: str) -> list[str]:
    """Return the parts of a Content-Type, in lower case except for the values of parameters other than charset."""
    first, *parameters = (" ".join(part.split()) for part in text.split(";"))
    parts = [first.lower()]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        folded = name.strip().lower()
        parts.append(f"{folded}={value.strip().lower() if folded == 'charset' else value.strip()}")
    return parts


def _option_of(dialect: Dialect, name: str) -> tuple[str, str]:
    """Return the field of ObjectOptions and the option whose header is *name*."""
    row = row_of(dialect, name, OBJECT_PARAMETERS)
    return (row.parameter, row.option) if row is not None else ("headers", f"--header {name}")
