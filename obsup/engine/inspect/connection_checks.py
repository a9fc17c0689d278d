"""Check the way to a store before any upload, and recommend the settings with which it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from obsup.dialects.addressing import locate
from obsup.dialects.endpoints import is_vendor_host, service_of
from obsup.dialects.registry import DIALECTS, STORES
from obsup.engine.inspect.finding import Finding, information, run_check
from obsup.engine.job.connection import Connection, StoreSettings
from obsup.errors import ObsupError
from obsup.store.http import probe
from obsup.store.http.proxy import find_proxy, without_login
from obsup.store.http.settings import ConnectionSettings
from obsup.units import format_duration


def check_connection(settings: StoreSettings, bucket: str) -> Iterator[Finding]:
    """Yield the endpoint, then check name resolution, connection and TLS. Stops at the first failure."""
    region = f"region {settings.region}" if settings.region else ""
    properties = ", ".join(filter(None, (settings.dialect.title, region, settings.addressing)))
    yield information("endpoint", f"{settings.endpoint} ({properties})")
    service = STORES.get(settings.store) or service_of(settings.endpoint)
    title = service.title if service is not None else settings.dialect.title
    if service is not None or is_vendor_host(settings.endpoint):
        yield information(
            "store", f"{title}; its rules are from its documentation, not tried with an account"
        )
    address = locate(settings.endpoint, bucket, None, settings.addressing)
    url, connection = f"{address.scheme}://{address.host}", settings.network
    proxy = find_proxy(url, connection)
    if proxy is not None:
        yield information("connection", f"through the proxy {without_login(proxy)}")
        return
    checks: list[tuple[str, Callable[[], str]]] = [
        ("DNS", lambda: ", ".join(probe.resolve(url, connection.connect_timeout_s))),
        (
            "connection",
            lambda: f"TCP in {probe.measure_connect_s(url, connection.connect_timeout_s) * 1000:.1f} ms",
        ),
    ]
    if address.scheme == "https":
        checks.append(("TLS", lambda: _check_tls(url, connection)))
    for name, check in checks:
        finding = run_check(name, check)
        yield finding
        if finding.error is not None:
            return
    if address.scheme == "http":
        yield information("TLS", "none: the data is sent unencrypted")


def _check_tls(url: str, connection: ConnectionSettings) -> str:
    found = probe.check_tls(url, connection)
    validity = f", certificate valid until {found.valid_until}" if found.valid_until else ""
    unverified = "" if connection.verify_tls else ", certificate not verified"
    return f"{found.version}, {found.cipher}{validity}{unverified}"


def describe_credentials(connection: Connection, now_s: float) -> Finding:
    """Return where the credentials come from, and when they expire. *now_s* is seconds since the epoch."""
    credentials = connection.recovery.credentials()
    expires = credentials.expires
    validity = "" if expires is None else f", valid for another {format_duration(max(0.0, expires - now_s))}"
    return Finding("credentials", f"from {credentials.origin}{validity}")


def find_signature(
    settings: StoreSettings, bucket: str, connect: Callable[[StoreSettings], Connection]
) -> str | None:
    """Return another signature of this provider that the store accepts, or None."""
    for dialect in DIALECTS.values():
        if dialect.provider != settings.provider or dialect.signature == settings.dialect.signature:
            continue
        if dialect.needs_region and not settings.region:
            continue
        store = connect(replace(settings, signature=dialect.signature)).store
        try:
            next(iter(store.list_uploads(bucket, "")), None)
        except ObsupError:
            continue
        return dialect.signature
    return None


def recommend(connection: Connection, bucket: str) -> dict[str, str]:
    """Return the settings that were found to work with *bucket*, as keys of config.toml.

    A part size or a number of parts in flight is not among them: it would replace those that obsup chooses for each
    source, and with them the largest file, and the longest stream, that the store accepts.
    """
    settings, location = connection.settings, connection.route.location_of(bucket)
    return {
        "endpoint": location.endpoint,
        "provider": settings.store or settings.provider,
        "signature": connection.store.dialect.signature,
        **({"region": location.region} if location.region else {}),
        "addressing": location.addressing,
    }


def describe_correction(connection: Connection, bucket: str) -> Finding | None:
    """Return which of the given settings the store rejected, and what it accepted instead; None if all are right."""
    given, used = connection.route.configured, connection.route.location_of(bucket)
    changes = [
        f"{name} {accepted} instead of {rejected or 'none'}"
        for name, rejected, accepted in (
            ("endpoint", given.endpoint, used.endpoint),
            ("region", given.region, used.region),
            ("addressing", given.addressing, used.addressing),
        )
        if accepted != rejected
    ]
    return information("corrected", ", ".join(changes)) if changes else None
