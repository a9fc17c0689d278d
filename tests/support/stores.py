"""Open an HttpStore with a real Transport and given credentials and clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

from msgspec.structs import replace

from obsup.dialects.dialect import Addressing, Dialect
from obsup.dialects.registry import DIALECTS
from obsup.model import Credentials, CustomerKey, Target
from obsup.store.answers.server_clock import ServerClock
from obsup.store.client import HttpStore
from obsup.store.endpoint_route import Location, Route
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.transport import Transport
from obsup.store.signed_exchange import SignedExchange

KEYS = Credentials("TESTACCESSKEY", "a-secret-for-tests")


@dataclass
class GivenKeys:
    """A CredentialSource that returns *now*, and after each refresh the next of *later*."""

    now: Credentials
    later: list[Credentials] = field(default_factory=list)
    refreshed: int = 0

    def current(self) -> Credentials:
        return self.now

    def refresh(self, stale: Credentials) -> Credentials:
        assert stale is not None
        self.refreshed += 1
        if self.later:
            self.now = self.later.pop(0)
        return self.now


class BytesBody:
    """A Body in memory. It raises *failure* after *fails_after* bytes."""

    def __init__(
        self, content: bytes, *, fails_after: int | None = None, failure: Exception | None = None
    ) -> None:
        self.size = len(content)
        self.is_closed = False
        self._stream = BytesIO(content)
        self._fails_after = fails_after
        self._failure = failure or RuntimeError("the body broke")

    def read(self, amount: int = -1, /) -> bytes:
        if self._fails_after is not None and self._stream.tell() >= self._fails_after:
            raise self._failure
        if self._fails_after is not None:
            amount = min(amount, self._fails_after)
        return self._stream.read(amount)

    def close(self) -> None:
        self.is_closed = True


def bytes_body(content: bytes) -> Callable[[], BytesBody]:
    """Return a function that opens a body of *content*."""
    return lambda: BytesBody(content)


def small_pages(dialect: Dialect, page: int = 2) -> Dialect:
    """Return *dialect* with lists of *page* entries per page."""
    return replace(dialect, limits=replace(dialect.limits, page=page))


def target(endpoint: str, key: str = "key", *, bucket: str = "bucket", provider: str = "obs") -> Target:
    """Return the Target of a key at *endpoint*."""
    return Target(provider, endpoint, bucket, key)


@contextmanager
def open_store(
    dialect: Dialect | str,
    endpoint: str,
    *,
    keys: Credentials | GivenKeys = KEYS,
    region: str = "eu-test-1",
    addressing: Addressing = "path",
    line: ConnectionSettings | None = None,
    clock: Callable[[], float] = time.time,
    server_clock: ServerClock | None = None,
    customer_key: CustomerKey | None = None,
) -> Iterator[HttpStore]:
    """Open a store, and close its connections at the end of the block."""
    transport = Transport(line or ConnectionSettings(connect_timeout_s=10, stall_timeout_s=20))
    try:
        exchange = SignedExchange(
            DIALECTS[dialect] if isinstance(dialect, str) else dialect,
            Route(Location(endpoint, region, addressing)),
            transport=transport,
            credentials=keys if isinstance(keys, GivenKeys) else GivenKeys(keys),
            clock=server_clock or ServerClock(clock),
        )
        yield HttpStore(exchange, customer_key=customer_key)
    finally:
        transport.close()
