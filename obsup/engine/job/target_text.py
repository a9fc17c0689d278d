"""Split TARGET into scheme, bucket and key."""

from __future__ import annotations

from obsup.errors import WrongUsage
from obsup.vendor_names import PROVIDERS


def split_target(text: str, *, file_name: str | None = None) -> tuple[str | None, str, str]:
    """Return (provider or None, bucket, key) of a TARGET: ``BUCKET/KEY`` or ``obs://BUCKET/KEY``.

    A TARGET that ends in ``/`` gets *file_name* appended. Raises WrongUsage where there is no key.
    """
    scheme, rest = _split_scheme(text)
    bucket, _, key = rest.partition("/")
    if file_name is not None and (not key or key.endswith("/")) and rest.endswith("/"):
        key += file_name
    if not bucket or not key:
        raise WrongUsage(
            f"{text!r} names no key",
            "a target is BUCKET/KEY",
            f"write {bucket or 'BUCKET'}/{file_name or 'KEY'}",
        )
    return scheme, bucket, key


def _split_scheme(text: str) -> tuple[str | None, str]:
    """Return (provider or None, the rest) of a TARGET. Raises WrongUsage for a scheme that is not known."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return None, text
    if scheme not in PROVIDERS:
        raise WrongUsage(
            f"{text!r} is no target: {scheme}:// is not known",
            f"there is {', '.join(one + '://' for one in PROVIDERS)}",
            "write BUCKET/KEY, and the store's address with --endpoint",
        )
    return scheme, rest
