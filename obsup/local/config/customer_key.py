"""Read the customer key of SSE-C from its file."""

from __future__ import annotations

from pathlib import Path

from obsup.errors import BadConfiguration, NextStep, run_again
from obsup.model import CustomerKey


def read_customer_key(path: Path) -> CustomerKey:
    """Return the SSE-C key in the file at *path*: exactly 32 bytes. Raises BadConfiguration."""
    try:
        key = path.read_bytes()
    except OSError as exc:
        raise BadConfiguration(
            f"cannot read the SSE-C key file {path}",
            exc.strerror or "",
            run_again("check the path of --sse-c-key-file"),
        ) from exc
    if len(key) != 32:
        raise BadConfiguration(
            f"the SSE-C key file {path} has {len(key)} bytes",
            "An AES-256 key has exactly 32 bytes",
            NextStep(f"create a key with: head -c 32 /dev/urandom > {path}"),
        )
    return CustomerKey(key)
