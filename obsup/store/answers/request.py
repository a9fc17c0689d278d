"""One request to the store before it is addressed and signed."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from obsup.store.answers import xml
from obsup.store.http.body import OpenBody
from obsup.store.http.settings import Response
from obsup.text import quoted
from obsup.value import Value

Query = tuple[tuple[str, str | None], ...]


class StoreRequest(Value):
    """One request. ``operation`` is its name in the protocol; ``key`` is None for a request about the bucket.

    ``body`` is the content, or opens it again for each attempt. ``takes_long``: the store works for minutes before it
    responds. ``also_success`` are the statuses that mean success besides 2xx. ``plain_keys``: ask for keys that are not
    URL-encoded. ``is_download``: the body of a success is content of an object, not a document of the store.
    """

    # A signed query is as good as a password, and a header may contain an SSE-C key.
    _hidden = ("query", "headers")

    operation: str
    method: str
    bucket: str
    key: str | None
    query: Query = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: OpenBody | bytes = b""
    takes_long: bool = False
    also_success: frozenset[int] = frozenset()
    plain_keys: bool = False
    is_download: bool = False

    def is_success(self, status: int) -> bool:
        """Return whether *status* means success."""
        return 200 <= status < 300 or status in self.also_success

    def is_done(self, response: Response) -> bool:
        """Return whether *response* is a success: one with <Error> is none, whatever its status."""
        return self.is_success(response.status) and (self.is_download or not xml.is_error(response.body))

    @property
    def resource(self) -> str:
        """The bucket or the object, for messages."""
        return quoted(self.bucket if self.key is None else f"{self.bucket}/{self.key}")
