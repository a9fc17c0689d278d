"""A server's text, made safe for terminals, logs and files of one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

_SECRET = re.compile(r"(?i)(token|customer-key|signature)$")


def secrets_in(headers: Mapping[str, str], query: Iterable[tuple[str, str | None]]) -> tuple[str, ...]:
    """Return what of a request is as good as a password: its signature, a token, an SSE-C key. Longest first."""
    found = {value for name, value in (*headers.items(), *query) if value and _SECRET.search(name)}
    authorization = headers.get("Authorization", "")
    found.add(authorization.rpartition("Signature=" if "Signature=" in authorization else ":")[2])
    forms = {form for one in found if one for form in (one, quote(one, safe=""))}
    return tuple(sorted(forms, key=len, reverse=True))


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with ``***`` for each of *secrets*: some servers repeat what they were sent."""
    for one in secrets:
        text = text.replace(one, "***")
    return text
