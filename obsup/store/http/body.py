"""The body of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Body(Protocol):
    """What a request carries: *size* bytes that ``read`` hands out in blocks."""

    size: int

    def read(self, amount: int = ..., /) -> bytes | bytearray | memoryview: ...

    def close(self) -> None: ...


OpenBody = Callable[[], Body]
