"""Functions that both signature algorithms use: canonical headers, dates, and the secret key as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from obsup.errors import Denied, run_again
from obsup.model import Credentials


def lower_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* by lower-case name with trimmed values; names that differ only in case are joined by a comma."""
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        lowered[key] = f"{lowered[key]},{value.strip()}" if key in lowered else value.strip()
    return lowered


def http_date(now: datetime) -> str:
    """Return *now* as an RFC 1123 date in GMT, in English in every locale."""
    return _date_of_second(_utc(now).replace(microsecond=0))


@lru_cache(maxsize=8)
def _date_of_second(now: datetime) -> str:
    return format_datetime(now, usegmt=True)


def basic_date(now: datetime) -> str:
    """Return *now* in the ISO 8601 basic format in UTC, ``20260314T150926Z``. The first 8 characters are the day."""
    moment = _utc(now)
    return f"{moment:%Y%m%dT%H%M%SZ}"


def secret_bytes(credentials: Credentials, prefix: str = "") -> bytes:
    """Return *prefix* and the secret key as bytes. Raises Denied if the key is not ASCII."""
    # Checked in advance, because a UnicodeEncodeError would contain the secret.
    if not credentials.secret_key.isascii():
        raise Denied(
            "the secret access key is not ASCII text",
            f"The credentials ({credentials.origin}) are damaged",
            run_again("set the secret access key again"),
        )
    return (prefix + credentials.secret_key).encode("ascii")


def _utc(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise ValueError("the time of a signature must have a time zone")
    return now.astimezone(UTC)
