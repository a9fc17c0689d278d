"""All vendors and dialects by name."""

from __future__ import annotations

import pytest

from obsup import vendor_names
from obsup.dialects.registry import DIALECTS, METADATA_SERVICES, VENDORS, find_dialect
from obsup.dialects.vendor import Vendor
from obsup.errors import WrongUsage


def test_the_light_list_of_names_matches_the_vendors() -> None:
    """Help and completion use the names without loading the data."""
    assert tuple(VENDORS) == vendor_names.PROVIDERS
    assert set(METADATA_SERVICES) == set(vendor_names.METADATA_SERVICES)
    assert {dialect.signature for dialect in DIALECTS.values()} == set(vendor_names.SIGNATURES)
    aws = {dialect.provider for dialect in DIALECTS.values() if dialect.signature in ("v2", "v4")}
    assert aws == set(vendor_names.AWS_SIGNATURE_PROVIDERS)


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
def test_every_dialect_of_a_vendor_names_the_vendor(vendor: Vendor) -> None:
    assert {dialect.provider for dialect in vendor.dialects} == {vendor.name}


@pytest.mark.parametrize(
    ("provider", "signature", "name"),
    [
        ("obs", "auto", "obs"),
        ("obs", "obs", "obs"),
        ("obs", "v2", "obs-v2"),
        ("obs", "v4", "obs-v4"),
        ("s3", "auto", "s3-v4"),
        ("s3", "v4", "s3-v4"),
        ("s3", "v2", "s3-v2"),
        ("oss", "auto", "oss-v4"),
        ("oss", "oss4", "oss-v4"),
        ("oss", "oss1", "oss-v1"),
    ],
)
def test_provider_and_signature_name_a_dialect(provider: str, signature: str, name: str) -> None:
    assert find_dialect(provider, signature).name == name
    assert DIALECTS[name].provider == provider


def test_unknown_provider_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(WrongUsage, match="obs, s3, oss"):
        find_dialect("azure")


@pytest.mark.parametrize("signature", ["v1", "oss4", ""])
def test_unknown_signature_is_an_error_that_lists_the_known_ones(signature: str) -> None:
    with pytest.raises(WrongUsage, match="auto, obs, v2, v4"):
        find_dialect("obs", signature)
