"""What applies to a store if no setting of obsup has a value: for ``config show`` and ``config init``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from obsup.cli.arguments.settings import EffectiveSetting
from obsup.dialects.registry import STORES, VENDORS
from obsup.engine.job.option_values import fields_of
from obsup.engine.job.target_settings import ConnectOptions, StorePlace, resolve_place
from obsup.errors import BadConfiguration, NextStep, WrongUsage
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.tls_files import find_ca_bundle
from obsup.vendor_names import DEFAULT_PROVIDER


def endpoint_form(provider: str) -> str:
    """Return the form of the endpoints of *provider*, empty if every server has another."""
    service = STORES.get(provider)
    return service.endpoint if service is not None else VENDORS[provider].dialects[0].public_endpoint or ""


def own_values(defaults: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return what the store of a profile with the keys *given* has instead of what *defaults* set for theirs.

    Nothing for a profile without a store. Raises WrongUsage or BadConfiguration if its region cannot be known.
    """
    if not given.get("endpoint") and given["provider"] == "auto":
        return {}
    place = resolve_place(ConnectOptions(**fields_of(ConnectOptions, given)))
    own = {"endpoint": place.endpoint, "region": place.region, "addressing": "auto", "signature": "auto"}
    own = {key: value for key, value in own.items() if key in defaults}
    if "" in own.values():
        raise WrongUsage(
            f"no region given for {place.endpoint}",
            "That of [defaults] is for another store, and this endpoint does not show it",
            NextStep("give it with --region"),
        )
    return own


def place_of_targets(connecting: ConnectOptions) -> StorePlace | None:
    """Return the store of targets that name none; None if the settings do not suffice without another in the target."""
    try:
        return resolve_place(connecting)
    except BadConfiguration:
        return None


def with_defaults_of_store(
    settings: Iterable[EffectiveSetting], connecting: ConnectOptions, place: StorePlace | None
) -> Iterator[EffectiveSetting]:
    """Yield *settings*; those without a value have what *place*, variables, or the tools of a vendor determine.

    The settings of a vendor's tools apply to its targets only, and not to those of a compatible service.
    """
    service = STORES.get(connecting.provider)
    bundle = find_ca_bundle(ConnectionSettings(), os.environ)
    found: dict[str, tuple[str | None, str]] = {}
    if bundle is not None:
        found["ca_bundle"] = bundle[0], f"environment variable {bundle[1]}"
    if place is not None:
        found["endpoint"] = place.endpoint, place.origins[0]
        found["region"] = place.region or None, place.origins[1]
    vendor = place.provider or DEFAULT_PROVIDER if place is not None else None
    own = [one for one in connecting.vendor_settings if vendor in (None, one.vendor)]
    for one in own if service is None or service.family is None else ():
        found.setdefault(one.name, (one.value, one.origin))
    vendors = {one.origin: one.vendor for one in own} if service is None else {}
    for setting in settings:
        if setting.value in (None, "auto") and setting.name in found:
            value, origin = found[setting.name]
            of_vendor = f" (targets of {vendors[origin]} only)" if origin in vendors else ""
            yield EffectiveSetting(setting.name, value, f"{origin}{of_vendor}")
        else:
            yield setting
