"""What applies to a store if no setting of obsup has a value: for ``config show`` and ``config init``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from obsup.cli.arguments.settings import EffectiveSetting
from obsup.dialects.endpoints import normalise_endpoint, recognise
from obsup.dialects.registry import STORES, VENDORS
from obsup.dialects.stores import StoreService
from obsup.dialects.vendor import VendorSetting
from obsup.errors import NextStep, WrongUsage
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.tls_files import find_ca_bundle


def endpoint_form(provider: str) -> str:
    """Return the form of the endpoints of *provider*, empty if every server has another."""
    service = STORES.get(provider)
    return service.endpoint if service is not None else VENDORS[provider].dialects[0].public_endpoint or ""


def own_values(defaults: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return what the store of a profile with the keys *given* has instead of what *defaults* set for theirs.

    Nothing for a profile without a store. Raises WrongUsage if its region cannot be known.
    """
    provider, endpoint = given["provider"], given.get("endpoint", "")
    if not endpoint and provider != "auto":
        endpoint = endpoint_form(provider).format_map({"region": "", "account": "", **given})
    if not endpoint:
        return {}
    service = STORES.get(provider)
    region = given.get("region") or recognise(normalise_endpoint(endpoint)).region
    if not region and service is not None and service.family is not None:
        region = service.family.region
    vendor = VENDORS.get(service.provider if service is not None else provider)
    if not region and vendor is not None:
        region = vendor.dialects[0].default_region
    own = {"endpoint": endpoint, "region": region or "", "addressing": "auto", "signature": "auto"}
    own = {key: value for key, value in own.items() if key in defaults}
    if "" in own.values():
        raise WrongUsage(
            f"no region given for {endpoint}",
            "That of [defaults] is for another store, and this endpoint does not show it",
            NextStep("give it with --region"),
        )
    return own


def with_defaults_of_store(
    settings: Iterable[EffectiveSetting],
    given: Mapping[str, Any],
    of_vendors: tuple[VendorSetting, ...],
    provider: str,
) -> Iterator[EffectiveSetting]:
    """Yield *settings*; those without a value have what variables, the tools of a vendor, or a named service determine.

    *given* are the values of the options. The settings of a vendor's tools apply to its targets only.
    """
    service = STORES.get(given["provider"])
    bundle = find_ca_bundle(ConnectionSettings(), os.environ)
    found = {"ca_bundle": (bundle[0], f"environment variable {bundle[1]}")} if bundle is not None else {}
    if service is not None:
        found |= _of_service(service, given, of_vendors)
    else:
        for one in sorted(of_vendors, key=lambda one: one.vendor != provider):
            found.setdefault(one.name, (one.value, f"{one.origin} (targets of {one.vendor} only)"))
    for setting in settings:
        is_open = setting.value in (None, "auto") and setting.name in found
        yield EffectiveSetting(setting.name, *found[setting.name]) if is_open else setting


def _of_service(
    service: StoreService, given: Mapping[str, Any], of_vendors: tuple[VendorSetting, ...]
) -> dict[str, tuple[str, str]]:
    """Return values and origins of what *service* determines. A vendor's own service uses its tools' settings, too."""
    is_vendors = service.family is None
    own = [
        one for one in of_vendors if is_vendors and one.vendor == service.provider and one.name != "endpoint"
    ]
    found = {one.name: (one.value, one.origin) for one in reversed(own)}
    form, origin = found.pop("public_endpoint", (service.endpoint, f"service {service.name}"))
    region = given["region"] or found.get("region", ("REGION", ""))[0]
    if form:
        found["endpoint"] = form.format(region=region, account=given["account"] or "ACCOUNT"), origin
    if service.family is not None and service.family.region and "{region}" not in form:
        found["region"] = service.family.region, f"service {service.name}"
    return found
