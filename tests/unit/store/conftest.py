"""What the tests of the store stand on: an authority for TLS."""

from __future__ import annotations

import pytest

from tests.doubles.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no machine trusts by itself."""
    return Authority(tmp_path_factory.mktemp("authority"))
