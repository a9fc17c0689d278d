"""All vendors and dialects, and the lookup of a dialect by provider and signature."""

from __future__ import annotations

from obsup.dialects import obs, oss, s3
from obsup.dialects.dialect import Dialect
from obsup.dialects.stores import SERVICES, StoreService
from obsup.dialects.vendor import HostFamily, MetadataService, Vendor
from obsup.errors import NextStep, WrongUsage

VENDORS: dict[str, Vendor] = {vendor.name: vendor for vendor in (obs.VENDOR, s3.VENDOR, oss.VENDOR)}
"""Every vendor by name."""

STORES: dict[str, StoreService] = {one.name: one for one in SERVICES}
"""Every service by name."""

HOST_FAMILIES: tuple[tuple[str, HostFamily], ...] = (
    *((vendor.name, family) for vendor in VENDORS.values() for family in vendor.hosts),
    *((store.provider, store.family) for store in SERVICES if store.family is not None),
)
"""Every host family with its provider, the vendors' own first."""

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for vendor in VENDORS.values() for dialect in vendor.dialects
}
"""Every dialect by name."""

METADATA_SERVICES: dict[str, MetadataService] = {
    vendor.metadata_service.name: vendor.metadata_service for vendor in VENDORS.values()
}
"""Every metadata service by name."""


def plain_region(provider: str | None, region: str | None) -> str | None:
    """Return *region* as the signatures of *provider* have it, whose regions may have a second, longer name."""
    vendor = VENDORS.get(provider or "")
    return region.removeprefix(vendor.region_prefix) if region and vendor is not None else region


def find_vendor(provider: str) -> Vendor:
    """Return the vendor named *provider*. Raises WrongUsage, which lists the valid names."""
    if provider not in VENDORS:
        raise WrongUsage(
            f"unknown provider {provider!r}",
            f"obsup supports {', '.join(VENDORS)}",
            NextStep("choose one of them with --provider"),
        )
    return VENDORS[provider]


def find_dialect(provider: str, signature: str = "auto") -> Dialect:
    """Return the dialect of *provider* with *signature*; ``auto`` selects the provider's default.

    Raises WrongUsage, which lists the valid names.
    """
    dialects = find_vendor(provider).dialects
    for dialect in dialects:
        if signature in ("auto", dialect.signature):
            return dialect
    names = ", ".join(["auto", *(dialect.signature for dialect in dialects)])
    raise WrongUsage(
        f"{dialects[0].title} does not support signature {signature!r}",
        f"The signatures of provider {provider} are {names}",
        NextStep("choose one of them with --signature, or omit it"),
    )
