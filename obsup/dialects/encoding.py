"""Percent-encoding of keys and queries for requests and signatures."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

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
