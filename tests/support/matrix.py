"""Parameters of long matrices: some values run every time, all of them run in the slow lane."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from obsup.dialects.registry import DIALECTS

# One signature per vendor: the others differ in signatures, which the unit tests compare with the vendors' vectors.
EVERY_RUN = ("obs", "s3-v4", "oss-v4")


def mostly_slow(values: Iterable[object], *every_run: object) -> list[Any]:
    """Return the parameters of a test of all *values*, of which only *every_run* do not wait for the slow lane."""
    return [pytest.param(one, marks=[] if one in every_run else [pytest.mark.slow]) for one in values]


def every_dialect(names: Iterable[str] = DIALECTS) -> list[Any]:
    """Return the parameters of a test of all dialects (or of *names*), by name."""
    return mostly_slow(names, *EVERY_RUN)
