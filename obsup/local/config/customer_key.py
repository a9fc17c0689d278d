"""Read the customer key of SSE-C from its file."""

from __future__ import annotations

from pathlib import Path

from obsup.errors import BadConfiguration, NextStep, run_again
from obsup.local.files.content import read_content
from obsup.model import CustomerKey

KEY_BYTES = 32
MAX_FILE_BYTES = 4096


def read_customer_key(path: Path) -> CustomerKey:
    """Return the SSE-C key in the file at *path*: exactly 32 bytes. Raises BadConfiguration."""
    try:
        key = read_content(path, MAX_FILE_BYTES, allow_pipe=True).data
    except OSError as exc:
        raise BadConfiguration(
            f"cannot read the SSE-C key file {path}", exc.strerror or "", run_again("fix --sse-c-key-file")
        ) from exc
    if len(key) != KEY_BYTES:
        raise BadConfiguration(
            f"the SSE-C key file {path} has {len(key)} bytes",
            f"An AES-256 key has exactly {KEY_BYTES} bytes",
            NextStep(f"create a key with head -c {KEY_BYTES} /dev/urandom > KEYFILE"),
        )
    return CustomerKey(key)
