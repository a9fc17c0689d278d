"""From what a user names (a TARGET, an endpoint, a provider) to a Target and the settings of its store. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from obsup.dialects.dialect import Addressing, Dialect
from obsup.dialects.endpoints import default_addressing, normalise_endpoint, recognise
from obsup.dialects.header_values import extension_headers
from obsup.dialects.names import SHORTEST_BUCKET, check_bucket, check_key
from obsup.dialects.registry import find_dialect
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.target_text import _split_scheme, split_target
from obsup.errors import BadConfiguration, WrongUsage
from obsup.model import Target
from obsup.store.http.settings import ConnectionSettings
from obsup.value import Value
from obsup.vendor_names import DEFAULT_PROVIDER


class ConnectOptions(Value):
    """How to reach the store, as the user says it; ``auto`` and None leave it to the endpoint.

    Of ``headers``, which describe the object, those that the dialect wants on every request are said on every one;
    ``request_headers`` must all be such.
    A failing call is tried again for ``retry_for_s`` seconds; the first wait is at most ``backoff_s``, and doubles.
    """

    endpoint: str | None = None
    provider: str = "auto"
    signature: str = "auto"
    region: str | None = None
    addressing: Literal["auto", "virtual", "path", "cname"] = "auto"
    profile: str | None = None
    config_path: str | None = None
    customer_key_file: str | None = None
    retry_for_s: float = 900.0
    backoff_s: float = 0.5
    line: ConnectionSettings = field(default_factory=ConnectionSettings)
    max_parts: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    request_headers: tuple[tuple[str, str], ...] = ()


def resolve_prefix(text: str, connecting: ConnectOptions) -> tuple[Target, StoreSettings]:
    """Return what ``BUCKET[/PREFIX]`` names, as a Target whose key is the prefix, and the settings of its store.

    Raises WrongUsage for names that the vendors refuse, BadConfiguration where no endpoint is known.
    """
    scheme, rest = _split_scheme(text)
    bucket, _, prefix = rest.partition("/")
    settings = resolve_store(connecting, bucket, scheme=scheme)
    return Target(settings.provider, settings.endpoint, bucket, prefix), settings


def resolve_target(
    text: str, connecting: ConnectOptions, *, file_name: str | None = None
) -> tuple[Target, StoreSettings]:
    """Return the Target that *text* names and the settings of its store.

    Raises WrongUsage for names that the vendors refuse, BadConfiguration where no endpoint is known.
    """
    scheme, bucket, key = split_target(text, file_name=file_name)
    settings = resolve_store(connecting, bucket, scheme=scheme)
    check_key(settings.dialect, key)
    return Target(settings.provider, settings.endpoint, bucket, key), settings


def resolve_store(connecting: ConnectOptions, bucket: str, *, scheme: str | None = None) -> StoreSettings:
    """Return the settings of the store of *bucket*; *scheme* is the provider that the TARGET names."""
    provider = scheme or (connecting.provider if connecting.provider != "auto" else None)
    endpoint = normalise_endpoint(connecting.endpoint or _public_endpoint(provider, connecting.region))
    known = recognise(endpoint)
    provider = provider or known.provider or DEFAULT_PROVIDER
    dialect = find_dialect(provider, connecting.signature)
    # A store of one's own may have names that are shorter than the vendors allow.
    check_bucket(dialect, bucket, shortest=SHORTEST_BUCKET if known.provider else 1)
    region = connecting.region or known.region or dialect.default_region
    if dialect.needs_region and not region:
        raise BadConfiguration(
            f"{dialect.title} signs with the bucket's region, which {endpoint} does not tell",
            "no region was given",
            "name it with --region",
        )
    addressing: Addressing = (
        default_addressing(endpoint, bucket) if connecting.addressing == "auto" else connecting.addressing
    )
    return StoreSettings(
        provider=provider,
        endpoint=endpoint,
        signature=connecting.signature,
        region=region,
        addressing=addressing,
        profile=connecting.profile,
        config_path=connecting.config_path,
        customer_key_file=connecting.customer_key_file,
        retry_for_s=connecting.retry_for_s,
        backoff_s=connecting.backoff_s,
        line=connecting.line,
        max_parts=connecting.max_parts,
        headers=_headers_of_every_request(dialect, connecting),
    )


def _headers_of_every_request(dialect: Dialect, connecting: ConnectOptions) -> tuple[tuple[str, str], ...]:
    """Return what each request is to carry. Raises WrongUsage for a header given for that, which is for none."""
    own = extension_headers(dialect, connecting.headers + connecting.request_headers)
    said = {name: value for name, value in own.items() if name.lower() in dialect.request_headers}
    for name, _ in connecting.request_headers:
        if name not in said:
            known = ", ".join(sorted(dialect.request_headers))
            raise WrongUsage(
                f"the header {name} would be on no request",
                f"what every request can carry at {dialect.title} is: {known}",
                "what describes the object is for upload and init",
            )
    return tuple(said.items())


def _public_endpoint(provider: str | None, region: str | None) -> str:
    """Return the vendor's public endpoint where provider and region name it. Raises BadConfiguration."""
    public = find_dialect(provider).public_endpoint if provider else None
    if public is not None and region:
        return public.format(region=region)
    raise BadConfiguration(
        "no endpoint is known",
        "neither --endpoint nor OBSUP_ENDPOINT nor a profile names one",
        "for example: --endpoint https://obs.eu-de.otc.t-systems.com",
    )
