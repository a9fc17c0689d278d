"""Names in calls of the vendors' SDK: the bucket and key of an object, and the host of the store."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from obsup.errors import NextStep, WrongUsage
from obsup.vendor_names import DEFAULT_PROVIDER


def target_of(bucket: str, key: str, *, is_file: bool = False) -> str:
    """Return the target of a call. Raises WrongUsage if it would be another object than the one that is named."""
    if "/" in bucket:
        raise WrongUsage(f"invalid bucket name {bucket!r}", "It must not have a slash")
    if is_file and (not key or key.endswith("/")):
        raise WrongUsage(
            f"invalid key {key!r} for a file",
            "The name of the file would be appended to a key that is empty or ends in a slash",
            NextStep("Give the whole key"),
        )
    return f"{DEFAULT_PROVIDER}://{bucket}/{key}"


def is_address(endpoint: str) -> bool:
    """Return whether the host is an IP address: then the SDK puts the bucket into the path."""
    try:
        ipaddress.ip_address(urlsplit(endpoint).hostname or "")
    except ValueError:
        return False
    return True
