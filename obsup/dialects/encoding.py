"""Percent-encoding of keys and queries, and the headers, dates and keys that both signature algorithms use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from obsup import dates
from obsup.errors import Denied, run_again
from obsup.model import Credentials

Pairs = Iterable[tuple[str, str | None]]


def encode_key(key: str) -> str:
    """Return *key* as the path of a URL: UTF-8, where bytes other than ``A-Za-z0-9-_.~`` and ``/`` become ``%XX``.

    Slashes and dot segments are kept: ``a/../c`` is a valid key. Raises UnicodeEncodeError for a lone surrogate, which
    ``names.check_key`` rejects with a proper message.
    """
    return quote(key, safe="/")


def encode_value(text: str) -> str:
    """Return *text* as a name or value in a query: as ``encode_key``, but ``/`` becomes ``%2F``."""
    return quote(text, safe="")


def encode_query(pairs: Pairs) -> str:
    """Return the query string of *pairs* of decoded names and values, in their order.

    None is a name without ``=`` (``uploads``), an empty string is ``uploads=``. A space is ``%20``, never ``+``.
    """
    return "&".join(
        encode_value(name) if value is None else f"{encode_value(name)}={encode_value(value)}"
        for name, value in pairs
    )


def canonical_query(pairs: Pairs, *, bare_when_empty: bool) -> str:
    """Return the canonical query of V4 signatures: encoded, sorted by encoded name and then by value.

    A parameter without a value is ``uploads=`` for AWS4 and ``uploads`` (*bare_when_empty*) for OSS4.
    """
    encoded = sorted((encode_value(name), encode_value(value or "")) for name, value in pairs)
    return "&".join(name if bare_when_empty and not value else f"{name}={value}" for name, value in encoded)


def lower_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* by lower-case name with trimmed values; names that differ only in case are joined by a comma."""
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        lowered[key] = f"{lowered[key]},{value.strip()}" if key in lowered else value.strip()
    return lowered


def http_date(now: datetime) -> str:
    """Return *now* as an RFC 1123 date in GMT, in English in every locale."""
    return dates.http_date(_utc(now).replace(microsecond=0))


def basic_date(now: datetime) -> str:
    """Return *now* in the ISO 8601 basic format in UTC, ``20260314T150926Z``. The first 8 characters are the day."""
    moment = _utc(now)
    return f"{moment:%Y%m%dT%H%M%SZ}"


def secret_bytes(credentials: Credentials, prefix: str = "") -> bytes:
    """Return *prefix* and the secret key as bytes. Raises Denied if the key is not ASCII."""
    # Checked in advance, because a UnicodeEncodeError would contain the secret.
    if not credentials.secret_key.isascii():
        raise Denied(
            "the secret access key is not ASCII text",
            f"The credentials ({credentials.origin}) are damaged",
            run_again("set the secret access key again"),
        )
    return (prefix + credentials.secret_key).encode("ascii")


def _utc(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise ValueError("the time of a signature must have a time zone")
    return now.astimezone(UTC)
