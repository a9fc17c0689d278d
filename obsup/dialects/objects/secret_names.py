"""Which headers and parameters have a secret as their value, by their names."""

from __future__ import annotations

import re
from functools import lru_cache

_SECRET_NAME = re.compile(r"(?i)authorization|secret|password|signature|cookie|(token|key)$")


@lru_cache(maxsize=256)
def names_secret(name: str) -> bool:
    """Return whether the value of the header or parameter *name* is a secret."""
    return _SECRET_NAME.search(name) is not None
