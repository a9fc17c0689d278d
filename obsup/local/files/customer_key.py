"""Read the customer key of SSE-C from its file."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from obsup.errors import BadConfiguration, NextStep, run_again
from obsup.local.files.content import read_content
from obsup.local.platform.owners import exposure, protect_command
from obsup.local.platform.paths import key_file_command
from obsup.model import CustomerKey

# Of 256 and 512 bits. The dialect decides which of them it accepts.
KEY_BYTES = (32, 64)
MAX_FILE_BYTES = 4096
_HEX = re.compile(rb"[0-9A-Fa-f]+")


def read_customer_key(path: Path) -> CustomerKey:
    """Return the SSE-C key in the file at *path*: raw bytes, hex or Base64. Raises BadConfiguration."""
    try:
        content = read_content(path, MAX_FILE_BYTES, allow_pipe=True)
    except OSError as exc:
        raise BadConfiguration(
            f"cannot read the SSE-C key file {path}", exc.strerror or "", run_again("fix the key file")
        ) from exc
    reason = content.distrust(path)
    if reason:
        raise BadConfiguration(
            f"the SSE-C key file {path} is not used: {reason}",
            "Anyone who can change it can choose a key that others know",
            NextStep("use a key file of your own, with mode 600"),
        )
    reason = exposure(content.status, str(path))
    if reason:
        raise BadConfiguration(
            f"the SSE-C key file {path} is not used: {reason}",
            "Anyone who can read the key can decrypt the objects",
            NextStep("run", command=protect_command(str(path))),
        )
    for key in _readings(content.data):
        if len(key) in KEY_BYTES:
            return CustomerKey(key)
    sizes = " or ".join(map(str, KEY_BYTES))
    raise BadConfiguration(
        f"the SSE-C key file {path} has {len(content.data)} bytes and is not a key",
        f"A key has {sizes} bytes; the file has them as they are, in hex or in Base64",
        NextStep(f"create a key with {key_file_command(KEY_BYTES[0])}"),
    )


def _readings(data: bytes) -> list[bytes]:
    """Return what *data* may mean, the most likely first: 64 hex digits are not the bytes of a random key."""
    if len(data) == KEY_BYTES[0]:
        return [data]
    text = data.strip()
    if _HEX.fullmatch(text) and len(text) % 2 == 0:
        return [bytes.fromhex(text.decode()), data]
    try:
        return [base64.b64decode(text, validate=True), data]
    except binascii.Error:
        return [data]
