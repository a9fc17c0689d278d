"""Parameters of long matrices: some values run every time, all of them run in the slow lane."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from obsup.dialects.registry import DIALECTS

# One signature per vendor: the others differ in signatures, which the unit tests compare with the vendors' vectors.
EVERY_RUN = ("obs", "s3-v4", "oss-v4")


def every_dialect(names: Iterable[str] = DIALECTS) -> list[Any]:
    """Return the parameters of a test of all dialects (or of *names*), by name."""
    return [pytest.param(name, marks=[] if name in EVERY_RUN else [pytest.mark.slow]) for name in names]
