"""What all sources of credentials share: trimming, incomplete pairs, invalid characters, and the time of expiry."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from obsup.dates import parse_date
from obsup.dialects.vendor import KeyNames
from obsup.errors import Denied, run_again
from obsup.model import Credentials

_HEADER_CHARACTERS = re.compile(r"[!-~]*")
_PRINTABLE_CHARACTERS = re.compile(r"[^\x00-\x1f\x7f]*")


def pair_keys(
    values: Mapping[str, object], *, names: KeyNames, origin: str, expires: float | None = None
) -> Credentials | None:
    """Return the credentials in *values*, or None if neither access key nor secret is set.

    White space around a value is removed. *origin* names the source of the values, *expires* is seconds since the
    epoch. Raises Denied if only one of the two is set, or if a value cannot sign a request.
    """
    access, secret = (_text(values, name, origin) for name in (names.access, names.secret))
    if access is None and secret is None:
        return None
    if access is None or secret is None:
        present, missing = (names.access, names.secret) if access else (names.secret, names.access)
        raise Denied(
            f"{present} is set, {missing} is not ({origin})",
            "An access key and its secret only work together",
            run_again(f"set {missing} as well, or remove {present}"),
        )
    tokens = [token for name in names.tokens if (token := _text(values, name, origin))]
    token = tokens[0] if tokens else None
    # The HTTP library would also reject a header with a line break, but print it with key and token.
    _check_characters(names.access, access, _HEADER_CHARACTERS, origin)
    _check_characters(names.secret, secret, _PRINTABLE_CHARACTERS, origin)
    _check_characters(names.tokens[0], token or "", _HEADER_CHARACTERS, origin)
    return Credentials(access, secret, token, expires=expires, origin=origin)


def parse_expiry(value: object) -> float | None:
    """Return a time, such as ``2026-11-21T03:00:00.5Z``, in seconds since the epoch; None for any other value."""
    return parse_date(str(value).strip())


def parse_json_object(text: str) -> dict[str, object] | None:
    """Return the JSON object in *text*, or None for any other text.

    Raises nothing: the exceptions of the JSON parser contain the text, and so the secrets.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(values: Mapping[str, object], name: str, origin: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise Denied(f"{name} is not text ({origin})", "Keys and tokens are text", run_again(f"fix {name}"))
    return (value or "").strip() or None


def _check_characters(name: str, value: str, allowed: re.Pattern[str], origin: str) -> None:
    end = allowed.match(value)
    position = end.end() if end else 0
    if position < len(value):
        raise Denied(
            f"{name} contains an invalid character at position {position + 1} ({origin})",
            "It was probably pasted together with other text",
            run_again(f"set {name} on one line"),
        )
