"""Fixtures for the tests of the store."""

from __future__ import annotations

import pytest

from tests.doubles.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that is not trusted by default."""
    return Authority(tmp_path_factory.mktemp("authority"))
