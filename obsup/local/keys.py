"""What every source of credentials shares: trimming, half pairs, unusable characters, the time of expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from obsup.errors import Denied
from obsup.model import Credentials


@dataclass(frozen=True, slots=True)
class KeyNames:
    """What one source calls the access key, the secret and the token (the first token that is set counts)."""

    access: str
    secret: str
    tokens: tuple[str, ...]

    @property
    def pair(self) -> str:
        return f"{self.access} and {self.secret}"


@dataclass(frozen=True, slots=True)
class Keys:
    """A triple as it was read; None is "not there", white space around a value is nobody's key."""

    access: str | None
    secret: str | None
    token: str | None

    def __repr__(self) -> str:
        return "Keys(…)"


def pair_keys(
    keys: Keys, *, names: KeyNames, origin: str, expires: float | None = None
) -> Credentials | None:
    """Return *keys* as credentials, or None where neither key nor secret is there.

    *origin* says where they were read, *expires* is seconds since the epoch. Raises Denied, naming what is
    missing, where only one of the two is there: whoever set one meant to set both.
    """
    access, secret, token = _trim(keys.access), _trim(keys.secret), _trim(keys.token)
    if access is None and secret is None:
        return None
    if access is None or secret is None:
        there, missing = (names.access, names.secret) if access else (names.secret, names.access)
        raise Denied(
            f"{there} is set, {missing} is not ({origin})",
            "An access key and its secret only work together.",
            f"set {missing} as well, or remove {there}",
        )
    for name, value in ((names.access, access), (names.secret, secret), (names.tokens[0], token)):
        _refuse_odd_characters(name, value or "", origin=origin, in_header=value is not secret)
    return Credentials(access, secret, token, expires=expires, origin=origin)


def parse_expiry(text: str) -> float:
    """Return the seconds since the epoch of an ISO 8601 time (``2026-11-21T03:00:00.5Z``); no zone is UTC.

    Raises ValueError.
    """
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _trim(value: str | None) -> str | None:
    return (value or "").strip() or None


def _refuse_odd_characters(name: str, value: str, *, origin: str, in_header: bool) -> None:
    # The HTTP library would refuse the header too, and print it, key and token included.
    for position, character in enumerate(value, start=1):
        if character < " " or character == "\x7f" or (in_header and not "!" <= character <= "~"):
            raise Denied(
                f"{name} holds a character that no key has, at position {position} ({origin})",
                "It was probably pasted together with something else.",
                f"set {name} again, on one line",
            )
