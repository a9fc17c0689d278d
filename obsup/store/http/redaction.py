"""Remove the secrets of a request from texts that a server returned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

_SECRET = re.compile(r"(?i)(token|customer-key|signature)$")


def secrets_in(headers: Mapping[str, str], query: Iterable[tuple[str, str | None]]) -> tuple[str, ...]:
    """Return the secrets of a request: its signature, token and SSE-C key. The longest is first."""
    values = {value for name, value in (*headers.items(), *query) if value and _SECRET.search(name)}
    authorization = headers.get("Authorization", "")
    values.add(authorization.rpartition("Signature=" if "Signature=" in authorization else ":")[2])
    forms = {form for value in values if value for form in (value, quote(value, safe=""))}
    return tuple(sorted(forms, key=len, reverse=True))


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with ``***`` instead of each of *secrets*."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
