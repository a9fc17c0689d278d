"""One request to the store before it is signed, and where the store lives."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from obsup.store.http.body import OpenBody
from obsup.text import quoted
from obsup.value import Value

Query = tuple[tuple[str, str | None], ...]


class StoreRequest(Value):
    """One request. ``operation`` is the protocol's name; ``key`` is None for a request about the bucket.

    ``body`` is what is sent, or opens it anew for each attempt. ``takes_long``: the store works for minutes before
    it answers. ``also_success`` are the statuses that mean success besides 2xx.
    """

    _hidden = ("query", "headers")

    operation: str
    method: str
    bucket: str
    key: str | None
    # In no repr: a signed query is as good as a password, and a header may hold an SSE-C key.
    query: Query = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: OpenBody | bytes = b""
    takes_long: bool = False
    also_success: frozenset[int] = frozenset()

    def is_answered_by(self, status: int) -> bool:
        """Return whether *status* is success."""
        return 200 <= status < 300 or status in self.also_success

    @property
    def resource(self) -> str:
        """What the request is about, for messages."""
        return quoted(self.bucket if self.key is None else f"{self.bucket}/{self.key}")

    @property
    def copies(self) -> bool:
        """Whether the request has a source in the store, which may be missing too."""
        return self.operation == "UploadPartCopy"

    @property
    def is_about_upload(self) -> bool:
        """Whether the request names an upload id."""
        return any(name == "uploadId" for name, _ in self.query)
