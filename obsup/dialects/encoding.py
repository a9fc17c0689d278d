"""Percent-encoding of keys and queries, as the wire and the signatures want it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

Pairs = Iterable[tuple[str, str | None]]


def encode_key(key: str) -> str:
    """Return *key* as the path of a URL: its UTF-8 bytes, ``A-Za-z0-9-_.~`` and ``/`` kept, else ``%XX``.

    Every slash and every dot segment stays: ``a/../c`` is a key of its own. Raises UnicodeEncodeError for a
    key that is no Unicode text (a lone surrogate); ``names.check_key`` refuses it before, with clear words.
    """
    return quote(key, safe="/")


def encode_value(text: str) -> str:
    """Return *text* as a name or a value of a query: as ``encode_key``, but ``/`` becomes ``%2F``."""
    return quote(text, safe="")


def encode_query(pairs: Pairs) -> str:
    """Return *pairs* of decoded names and values in the form of the wire, in the order given.

    None is a bare name (``uploads``), an empty string is ``uploads=``. A space is ``%20``, never ``+``.
    """
    return "&".join(
        encode_value(name) if value is None else f"{encode_value(name)}={encode_value(value)}"
        for name, value in pairs
    )


def canonical_query(pairs: Pairs, *, bare_when_empty: bool) -> str:
    """Return *pairs* as the V4 signatures want them: encoded, sorted by encoded name and then by value.

    A parameter without a value is ``uploads=`` for AWS4 and ``uploads`` (*bare_when_empty*) for OSS4.
    """
    encoded = sorted((encode_value(name), encode_value(value or "")) for name, value in pairs)
    return "&".join(name if bare_when_empty and not value else f"{name}={value}" for name, value in encoded)
