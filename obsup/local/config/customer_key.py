"""Read the customer key of SSE-C from its file."""

from __future__ import annotations

from pathlib import Path

from obsup.errors import BadConfiguration
from obsup.model import CustomerKey


def read_customer_key(path: Path) -> CustomerKey:
    """Return the SSE-C key in the file at *path*: exactly 32 bytes. Raises BadConfiguration."""
    try:
        key = path.read_bytes()
    except OSError as exc:
        raise BadConfiguration(
            f"the SSE-C key file {path} cannot be read", exc.strerror or "", "check --sse-c-key-file"
        ) from exc
    if len(key) != 32:
        raise BadConfiguration(
            f"the SSE-C key file {path} has {len(key)} bytes",
            "an AES-256 key has exactly 32",
            f"make one with: head -c 32 /dev/urandom > {path}",
        )
    return CustomerKey(key)
