"""Split TARGET into scheme, bucket and key."""

from __future__ import annotations

from obsup.errors import NextStep, WrongUsage
from obsup.text import utf8_name, without_password
from obsup.vendor_names import PROVIDERS


def split_target(
    text: str, *, file_name: str | None = None, what: str = "target"
) -> tuple[str | None, str, str]:
    """Return (provider or None, bucket, key) of a TARGET: ``BUCKET/KEY`` or ``obs://BUCKET/KEY``.

    *file_name* is appended to a TARGET that ends in ``/``; *what* names it in messages. Raises WrongUsage if the key is
    missing.
    """
    scheme, rest = split_scheme(text)
    bucket, _, key = rest.partition("/")
    if file_name is not None and (not key or key.endswith("/")) and rest.endswith("/"):
        key += utf8_name(file_name)
    if not bucket or not key:
        raise WrongUsage(
            f"the {what} {text!r} has no {'key' if bucket else 'bucket'}",
            f"A {what} is BUCKET/KEY",
            NextStep(f"use {scheme + '://' if scheme else ''}{bucket or 'BUCKET'}/{file_name or 'KEY'}"),
        )
    return scheme, bucket, key


def split_scheme(text: str) -> tuple[str | None, str]:
    """Return (provider or None, the rest) of a TARGET. Raises WrongUsage for an unknown scheme, and for a password."""
    before, separator, after = text.partition("://")
    scheme, rest = (before, after) if separator else (None, text)
    host = rest.partition("/")[0]
    if without_password(host) != host:
        raise WrongUsage(
            "the target contains a password",
            "obsup reads no keys from its arguments, which other users can see",
            NextStep("use BUCKET/KEY, and set AccessKeyID and SecretAccessKey, or use a profile"),
        )
    if scheme is not None and scheme not in PROVIDERS:
        raise WrongUsage(
            f"invalid target {text!r}: unknown scheme {scheme}://",
            f"The schemes are {', '.join(one + '://' for one in PROVIDERS)}",
            NextStep("use BUCKET/KEY, and give the address of the store with --endpoint"),
        )
    return scheme, rest
