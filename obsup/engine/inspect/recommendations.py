"""Recommend settings for a store that was checked."""

from __future__ import annotations

from obsup.engine.inspect.finding import Finding, information
from obsup.engine.job.connection import Connection


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
