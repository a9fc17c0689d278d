"""Recommend settings for a store that was checked."""

from __future__ import annotations

from obsup.engine.job.connection import Connection

# A longer round trip is compensated by more and larger parts.
LONG_ROUND_TRIP_S = 0.05


def recommend(connection: Connection, round_trip_s: float | None) -> dict[str, str | int]:
    """Return the settings that were found to work, as keys of config.toml. *round_trip_s* is seconds."""
    settings = connection.settings
    has_long_round_trip = round_trip_s is not None and round_trip_s > LONG_ROUND_TRIP_S
    return {
        "endpoint": settings.endpoint,
        "provider": settings.store or settings.provider,
        "signature": connection.store.dialect.signature,
        **({"region": settings.region} if settings.region else {}),
        "addressing": settings.addressing,
        "part_size": "32M" if has_long_round_trip else "16M",
        "jobs": 16 if has_long_round_trip else 8,
    }
