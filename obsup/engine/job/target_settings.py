"""Resolve TARGET and the connect options to a Target and the settings of its store. Pure."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from msgspec import field

from obsup.dialects.addressing import is_ip_address
from obsup.dialects.dialect import Addressing, Dialect
from obsup.dialects.endpoints import (
    Recognised,
    can_be_virtual,
    default_addressing,
    normalise_endpoint,
    recognise,
)
from obsup.dialects.objects.header_values import extension_headers
from obsup.dialects.objects.names import MIN_BUCKET_CHARACTERS, check_bucket, check_key
from obsup.dialects.objects.parameters import row_of
from obsup.dialects.registry import STORES, VENDORS, find_dialect, plain_region
from obsup.dialects.stores import StoreService
from obsup.dialects.vendor import VendorSetting
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.target_text import split_scheme, split_target
from obsup.errors import BadConfiguration, NextStep, WrongUsage, run_again
from obsup.model import Target
from obsup.store.http.settings import ConnectionSettings
from obsup.value import Value
from obsup.vendor_names import DEFAULT_PROVIDER

_REGION = re.compile(r"[A-Za-z0-9._-]+")


class ConnectOptions(Value):
    """How to connect to the store, as the user gives it. ``auto`` and None: determined by the endpoint.

    ``headers`` describe the object; those that the dialect requires on every request are sent with every request, and
    so are all ``request_headers``. A failing request is retried for ``retry_for_s`` seconds; the first
    wait is at most ``backoff_s`` seconds, and doubles. ``vendor_settings`` are used last, by the vendor's own targets.
    ``provider`` is ``auto``, a vendor, or a service, whose endpoint may contain the ``account``.
    """

    endpoint: str | None = None
    provider: str = "auto"
    account: str | None = None
    signature: str = "auto"
    region: str | None = None
    addressing: Literal["auto", "virtual", "path", "cname"] = "auto"
    profile: str | None = None
    config_path: str | None = None
    customer_key_file: str | None = None
    copy_source_key_file: str | None = None
    retry_for_s: float = 900.0
    backoff_s: float = 0.5
    network: ConnectionSettings = field(default_factory=ConnectionSettings)
    max_parts: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    request_headers: tuple[tuple[str, str], ...] = ()
    vendor_settings: tuple[VendorSetting, ...] = ()

    def of_vendor(self, vendor: str, name: str) -> str | None:
        """Return the setting *name* as the tools of *vendor* have it, or None."""
        setting = self.setting_of(vendor, name)
        return setting.value if setting is not None else None

    def setting_of(self, vendor: str, name: str) -> VendorSetting | None:
        """Return the setting *name* of the tools of *vendor*, with its origin, or None."""
        settings = self.vendor_settings
        return next((one for one in settings if (one.vendor, one.name) == (vendor, name)), None)


class StorePlace(NamedTuple):
    """Where a store is: ``origins`` name, in words, what determines the endpoint and the region."""

    provider: str | None
    endpoint: str
    region: str
    origins: tuple[str, str]


def resolve_prefix(text: str, connecting: ConnectOptions) -> tuple[Target, StoreSettings]:
    """Return a Target for ``BUCKET[/PREFIX]``, whose key is the prefix, and the settings of its store.

    Raises WrongUsage for invalid names, BadConfiguration if no endpoint is known.
    """
    scheme, rest = split_scheme(text)
    bucket, _, prefix = rest.partition("/")
    settings = resolve_store(connecting, bucket, scheme=scheme)
    return Target(settings.provider, settings.endpoint, bucket, prefix), settings


def resolve_target(
    text: str, connecting: ConnectOptions, *, file_name: str | None = None
) -> tuple[Target, StoreSettings]:
    """Return the Target of *text* and the settings of its store.

    Raises WrongUsage for invalid names, BadConfiguration if no endpoint is known.
    """
    scheme, bucket, key = split_target(text, file_name=file_name)
    settings = resolve_store(connecting, bucket, scheme=scheme)
    check_key(settings.dialect, key)
    return Target(settings.provider, settings.endpoint, bucket, key), settings


def resolve_store(connecting: ConnectOptions, bucket: str, *, scheme: str | None = None) -> StoreSettings:
    """Return the settings of the store of *bucket*. *scheme* is the provider in TARGET."""
    place = resolve_place(connecting, scheme=scheme)
    endpoint = place.endpoint
    _refuse_bucket_in(endpoint, bucket)
    known = recognise(endpoint)
    if known.bucket is not None and connecting.addressing != "cname":
        endpoint = _without_bucket(endpoint, known, bucket)
    provider = place.provider or DEFAULT_PROVIDER
    dialect = find_dialect(provider, connecting.signature)
    # Other stores may allow shorter names than the vendors.
    check_bucket(dialect, bucket, shortest=MIN_BUCKET_CHARACTERS if known.provider else 1)
    store = connecting.provider if connecting.provider in STORES else ""
    return StoreSettings(
        provider=provider,
        endpoint=endpoint,
        signature=connecting.signature,
        region=place.region,
        addressing=_addressing(connecting, provider, endpoint, bucket=bucket, store=store),
        profile=connecting.profile,
        config_path=connecting.config_path,
        customer_key_file=connecting.customer_key_file,
        copy_source_key_file=connecting.copy_source_key_file,
        retry_for_s=connecting.retry_for_s,
        backoff_s=connecting.backoff_s,
        network=connecting.network,
        max_parts=connecting.max_parts,
        headers=_headers_of_every_request(dialect, connecting),
        is_assumed=place.provider is None,
        store=store,
    )


def resolve_place(connecting: ConnectOptions, *, scheme: str | None = None) -> StorePlace:
    """Return where the store is, whatever the bucket. ``provider`` is None if nothing names or shows it.

    *scheme* is the provider in TARGET. Raises BadConfiguration if endpoint or region are not known, WrongUsage.
    """
    service = _service(connecting, scheme)
    provider, given, origin = _endpoint(connecting, scheme, service)
    endpoint = normalise_endpoint(given)
    known = recognise(endpoint)
    provider = provider or known.provider
    dialect = find_dialect(provider or DEFAULT_PROVIDER, connecting.signature)
    region, of_region = _region(connecting, service, known, dialect)
    return StorePlace(provider, endpoint, region, (origin, of_region))


def _addressing(
    connecting: ConnectOptions, provider: str, endpoint: str, *, bucket: str, store: str
) -> Addressing:
    """Return the given style, or that of the vendor's files for its targets, or the default of the endpoint."""
    if connecting.addressing == "virtual" and is_ip_address(urlsplit(endpoint).hostname or ""):
        raise WrongUsage(
            f"{endpoint} cannot be used with --addressing virtual",
            "No host name begins with a bucket and ends in an IP address",
            run_again(
                "name the host in --endpoint, or put the bucket into the path",
                add=("--addressing", "path"),
                option="--addressing",
            ),
        )
    if connecting.addressing != "auto":
        return connecting.addressing
    is_vendors = not store or STORES[store].family is None
    style = connecting.of_vendor(provider, "addressing") if is_vendors else None
    if style == "path":
        return "path"
    if style == "virtual" and can_be_virtual(endpoint, bucket):
        return "virtual"
    return default_addressing(endpoint, bucket, store, provider=provider)


def _region(
    connecting: ConnectOptions, service: StoreService | None, known: Recognised, dialect: Dialect
) -> tuple[str, str]:
    """Return the region that signatures contain, and its origin.

    Raises BadConfiguration if the dialect needs one and none is known.
    """
    setting = connecting.setting_of(dialect.provider, "region")
    of_service = service.family.region if service is not None and service.family is not None else None
    nearest_first = (
        (connecting.region, "--region"),
        (known.region, "determined by the endpoint"),
        (of_service, f"service {connecting.provider}"),
        (setting and setting.value, ""),
        (dialect.default_region, "built-in"),
    )
    region, origin = next(((value, origin) for value, origin in nearest_first if value), ("", ""))
    region = plain_region(dialect.provider, region) or ""
    if setting is not None and plain_region(dialect.provider, setting.value) == region:
        origin = setting.origin  # the endpoint may have been made of it
    if dialect.needs_region and not region:
        raise BadConfiguration(
            f"no region given for {known.endpoint}",
            f"{dialect.signature} signatures contain the region, and this endpoint does not show it",
            NextStep("give the region with --region"),
        )
    if region and not _REGION.fullmatch(region):
        error = WrongUsage(
            f"invalid region {region!r}",
            "A region has letters, digits, hyphens, underscores and periods",
            NextStep("correct --region", option="--region"),
        )
        raise error if connecting.region or setting is None else _wrong_setting(error, setting)
    return region, origin


def _headers_of_every_request(dialect: Dialect, connecting: ConnectOptions) -> tuple[tuple[str, str], ...]:
    """Return the headers of every request. Raises WrongUsage for one in ``request_headers`` that an option sets."""
    given = extension_headers(dialect, connecting.headers + connecting.request_headers)
    asked = {name for name, _ in connecting.request_headers}
    for name in asked:
        if (row := row_of(dialect, name)) is not None:
            raise WrongUsage(
                f"the header {name} cannot be sent with this command",
                f"It belongs to the option {row.option}",
                run_again(
                    "use that option, with upload or init if it describes the object", drop=("--header",)
                ),
            )
    return tuple(
        (name, value)
        for name, value in given.items()
        if name in asked or name.lower() in dialect.request_headers
    )


def _refuse_bucket_in(endpoint: str, bucket: str) -> None:
    """Raise WrongUsage if the path of *endpoint* ends in *bucket*: the object would get another key."""
    if urlsplit(endpoint).path.endswith(f"/{bucket}"):
        raise WrongUsage(
            f"the endpoint {endpoint} ends in the bucket",
            "The bucket belongs in the TARGET only",
            run_again("leave it out", add=("--endpoint", endpoint.removesuffix(f"/{bucket}"))),
        )


def _without_bucket(endpoint: str, known: Recognised, bucket: str) -> str:
    """Return *endpoint* without the bucket before the host: some consoles show that of a bucket. Raises WrongUsage."""
    if known.bucket != bucket:
        raise WrongUsage(
            f"the endpoint {endpoint} is that of the bucket {known.bucket}",
            f"TARGET names the bucket {bucket}",
            NextStep(f"give --endpoint {known.endpoint}, or the other bucket"),
        )
    return known.endpoint


def _service(connecting: ConnectOptions, scheme: str | None) -> StoreService | None:
    """Return the service that the user names. Raises WrongUsage if TARGET names another protocol."""
    service = STORES.get(connecting.provider)
    if service is not None and scheme not in (None, service.provider):
        raise WrongUsage(
            f"TARGET begins with {scheme}://, but {service.title} uses the protocol {service.provider}",
            "Its protocol is part of --provider",
            NextStep(f"write TARGET without {scheme}://"),
        )
    return service


def _endpoint(
    connecting: ConnectOptions, scheme: str | None, service: StoreService | None
) -> tuple[str | None, str, str]:
    """Return provider, endpoint and its origin: the given one, that of the vendor's variables, or the public one.

    Raises BadConfiguration.
    """
    provider = scheme or (connecting.provider if connecting.provider != "auto" else None)
    if service is not None:
        provider = service.provider
    if connecting.endpoint:
        return provider, connecting.endpoint, "--endpoint"
    if service is not None:
        return provider, *_service_endpoint(connecting, service)
    for name in [provider] if provider else VENDORS:
        found = connecting.setting_of(name, "endpoint")
        if found is not None:
            return name, _endpoint_in(found), found.origin
    region = connecting.region or (connecting.of_vendor(provider, "region") if provider else None)
    region = plain_region(provider, region)
    public = origin = ""
    if provider:
        public, origin = find_dialect(provider).public_endpoint or "", "built-in"
        public, origin = _public_endpoint(connecting, provider, public, origin)
    if public and region:
        return provider, public.format(region=region), origin
    example = "one, for example --endpoint https://obs.eu-de.otc.t-systems.com"
    if public:
        example = f"one, for example --endpoint {public.format(region='REGION')}, or only --region REGION"
    raise _no_endpoint(f"{example}, or the name of the store, for example --provider r2")


def _public_endpoint(connecting: ConnectOptions, vendor: str, form: str, origin: str) -> tuple[str, str]:
    """Return the form of the endpoints as the vendor's tools have it, or else *form*; and the origin of it."""
    setting = connecting.setting_of(vendor, "public_endpoint")
    return (setting.value, setting.origin) if setting is not None else (form, origin)


def _endpoint_in(setting: VendorSetting) -> str:
    """Return the endpoint that *setting* has. Raises BadConfiguration, which names its origin."""
    try:
        return normalise_endpoint(setting.value)
    except WrongUsage as exc:
        raise _wrong_setting(exc, setting) from exc


def _wrong_setting(error: WrongUsage, setting: VendorSetting) -> BadConfiguration:
    return BadConfiguration(error.what, error.why, run_again(f"correct the {setting.origin}"))


def _service_endpoint(connecting: ConnectOptions, service: StoreService) -> tuple[str, str]:
    """Return the endpoint of *service* and its origin. Raises BadConfiguration, which names what it lacks."""
    region, form, origin = connecting.region, service.endpoint, f"service {service.name}"
    if service.family is None:
        # Of the vendor itself, whose tools' settings apply.
        region = plain_region(service.provider, region or connecting.of_vendor(service.provider, "region"))
        form, origin = _public_endpoint(connecting, service.provider, form, origin)
    values = {"region": region, "account": connecting.account}
    missing = [name for name, value in values.items() if not value and f"{{{name}}}" in form]
    if form and not missing:
        return form.format(**values), origin
    if not form:
        raise _no_endpoint(
            "it, as the server or the provider's console shows it, with --endpoint https://HOST"
        )
    raise BadConfiguration(
        f"no {missing[0]} given for {service.title}",
        f"Its endpoint is {form.format(region='REGION', account='ACCOUNT')}",
        NextStep(f"give it with --{missing[0]}"),
    )


def _no_endpoint(example: str) -> BadConfiguration:
    return BadConfiguration(
        "no endpoint given",
        "Neither --endpoint, nor OBSUP_ENDPOINT, nor a profile sets one",
        NextStep(f"give {example}; 'obsup config init' creates a file that can keep it"),
    )
