"""Endpoint, region and addressing as the vendors' own tools have them, in the environment and in their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from obsup.dialects.registry import VENDORS
from obsup.dialects.vendor import Vendor, VendorSetting
from obsup.local.files.existing import exists


def find_vendor_settings(
    environ: Mapping[str, str], home: Path | None, *, aws_profile: str | None = None
) -> tuple[VendorSetting, ...]:
    """Return what the tools of all vendors use, the nearest first: variables, then files that exist.

    *aws_profile* is the profile of AWS that a profile of obsup names.
    """
    found = [one for vendor in VENDORS.values() for one in _of_variables(vendor, environ)]
    if aws_profile is not None:
        environ = {**environ, "AWS_PROFILE": aws_profile}
    found += [one for vendor in VENDORS.values() for one in _of_files(vendor, environ, home)]
    ignored = {
        name for name, vendor in VENDORS.items() if _is_true(environ.get(vendor.no_endpoints_variable))
    }
    return tuple(one for one in found if one.name != "endpoint" or one.vendor not in ignored)


def _of_variables(vendor: Vendor, environ: Mapping[str, str]) -> Iterator[VendorSetting]:
    named = [("endpoint", one) for one in vendor.endpoint_variables]
    named += [("region", one) for one in vendor.region_variables]
    for name, variable in named:
        if environ.get(variable):
            yield VendorSetting(vendor.name, name, environ[variable], f"environment variable {variable}")
    if _is_true(environ.get(vendor.dualstack_variable)):
        origin = f"environment variable {vendor.dualstack_variable}"
        yield VendorSetting(vendor.name, "public_endpoint", vendor.dualstack_endpoint, origin)


def _of_files(vendor: Vendor, environ: Mapping[str, str], home: Path | None) -> Iterator[VendorSetting]:
    if not vendor.file_settings or home is None:
        return
    for file in vendor.credential_files:
        if not exists(Path(environ.get(file.path_variable) or home / file.path)):
            continue
        # Imported here because most machines have no such file, and the parser takes time to load.
        from obsup.local.config.vendor_files import make_section, read_settings

        section = make_section(file, environ, home)
        values = read_settings(section)
        for name, key in vendor.file_settings:
            if values.get(key):
                yield VendorSetting(vendor.name, name, values[key], f"{key} in {section}")
        for key in vendor.dualstack_keys:
            if _is_true(values.get(key)):
                yield VendorSetting(
                    vendor.name, "public_endpoint", vendor.dualstack_endpoint, f"{key} in {section}"
                )


def _is_true(value: str | None) -> bool:
    return (value or "").lower() == "true"
