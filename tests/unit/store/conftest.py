"""Fixtures for the tests of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # Wine has not all that the package of certificates needs
    from tests.doubles.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that is not trusted by default."""
    from tests.doubles.certificates import Authority

    return Authority(tmp_path_factory.mktemp("authority"))
