"""Turn the parsed options of a batch into typed values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from obsup.engine.job.option_values import fields_of
from obsup.local.walk.walk import Links
from obsup.shard import Shard
from obsup.value import Value


class BatchOptions(Value):
    """The options that select the files of a batch and say what to do with files that fail."""

    recursive: bool
    links: Links
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    from_list: Path | None
    null: bool
    fail_fast: bool
    fail_if_empty: bool
    failed_list: Path | None
    shard: Shard | None = None

    @property
    def separator(self) -> bytes:
        """What separates the names in lists of files."""
        return b"\0" if self.null else b"\n"


def batch_options_from(values: dict[str, Any]) -> BatchOptions:
    """Return the options of a batch as typed values."""
    return BatchOptions(**fields_of(BatchOptions, values))
