"""The body of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from obsup.model import Checksum
from obsup.value import Value


class Body(Protocol):
    """The content of a request: ``read`` returns its *size* bytes in blocks.

    A body may also have ``can_sendfile``, ``sent`` and ``send_to(descriptor)`` if the kernel can send it from a file.
    """

    size: int

    def read(self, amount: int = ..., /) -> bytes | bytearray | memoryview: ...

    def close(self) -> None: ...


OpenBody = Callable[[], Body]
"""Opens the body again for each attempt."""


class BodyDigests(Value):
    """The digests in the headers of a request with a body: Content-MD5 in Base64, and a checksum. None is not sent."""

    content_md5: str | None = None
    checksum: Checksum | None = None


NO_DIGESTS = BodyDigests()
