"""Remove the secrets of a request from its response, which may repeat the request, before anything reads the response.

Everything that is shown, logged or written comes from a response of this kind, so this is the only place that has to
know the secrets.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from obsup.store.http.settings import Response
from obsup.text import MASK, names_secret

# A shorter value would also match in ETags and upload ids.
MIN_SECRET_CHARACTERS = 8
# The metadata of an object is what HeadObject is asked for: obsup-token shows whose upload made the object.
_LASTING_NAME = re.compile(r"(?i)^(?!x-[a-z]+-meta-).*(token|key)$")
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


@lru_cache(maxsize=256)
def _lasts(name: str) -> bool:
    """Return whether the value of the header or parameter *name*, a secret, is sent with later requests, too."""
    return _LASTING_NAME.search(name) is not None


def _signature_of(authorization: str) -> str:
    """Return the signature in the value of Authorization, which is its end in all forms."""
    for mark in ("Signature=", " ", ":"):
        authorization = authorization.rpartition(mark)[2]
    return authorization


def secrets_in(headers: Mapping[str, str], query: Iterable[tuple[str, str | None]]) -> dict[str, bool]:
    """Return the secrets of a request: its signature, token, SSE-C key and other values with the name of a secret.

    Each with whether it lasts (a token, a key): a response to a later request may repeat it, too.
    """
    found = {}
    for name, value in (*headers.items(), *query):
        if value and names_secret(name):
            is_signature = name.lower() == "authorization" and " " in value
            secret = _signature_of(value) if is_signature else value
            if len(secret) >= MIN_SECRET_CHARACTERS:
                found[secret] = _lasts(name)
    return found


def secrets_of_proxy(url: str) -> tuple[str, ...]:
    """Return the password in the *url* of a proxy in all forms in which it may be repeated."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if not parts.password:
        return ()
    pair = unquote(f"{parts.username or ''}:{parts.password}")
    encoded = base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode()
    values = (encoded, encoded.rstrip("="), pair, unquote(parts.password))
    return tuple(value for value in values if len(value) >= MIN_SECRET_CHARACTERS)


def redact(response: Response, secrets: Iterable[str], *, is_content: bool = False) -> Response:
    """Return *response* with ``***`` instead of each of *secrets*, in plain or escaped form, in headers and body.

    *is_content*: the body is that of an object, which nothing shows: it stays as it is.
    """
    known = tuple((_longest_run(secret), secret) for secret in secrets)
    headers, body = response.headers, response.body
    values = "\n".join(headers.values())  # no form of a secret contains a line break
    if _hide(values, known) is not values:
        headers = {name: _hide(value, known) for name, value in headers.items()}
    if body and not is_content:
        text = body.decode("latin-1")
        hidden = _hide(text, known)
        body = body if hidden is text else hidden.encode("latin-1")
    return Response(response.status, headers, body)


def _hide(text: str, known: tuple[tuple[str, str], ...]) -> str:
    """Return *text* without secrets; the same object if it contains none."""
    for run, secret in known:
        if run in text:
            text = re.sub("".join(map(_any_form, secret)), MASK, text)
    if len(text) < MIN_SECRET_CHARACTERS * 3:
        return text

    def hide_encoded(match: re.Match[str]) -> str:
        try:
            plain = base64.b64decode(match[0], validate=True).decode("latin-1")
        except binascii.Error:
            return match[0]
        if not any(run in plain for run, _ in known):
            return match[0]
        return base64.b64encode(_hide(plain, known).encode("latin-1")).decode()

    hidden = _BASE64.sub(hide_encoded, text)
    return text if hidden == text else hidden


def _longest_run(secret: str) -> str:
    """Return the longest part of *secret* that has no escaped form: a text without it does not contain the secret."""
    return max(_ALPHANUMERIC.findall(secret), key=len, default="")


def _any_form(character: str) -> str:
    r"""Return a pattern for *character*: plain, or escaped in a URL, in XML, or in JSON (``\/``, ``\u002b``)."""
    if character.isascii() and character.isalnum():
        return character
    number = ord(character)
    url = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
    forms = [re.escape(character), rf"\\{re.escape(character)}", f"(?i:{url})", rf"(?i:\\u{number:04x})"]
    forms += [f"&#0*{number};", f"(?i:&#x0*{number:x};)"]
    forms += [f"&{_ENTITIES[character]};"] if character in _ENTITIES else []
    return f"(?:{'|'.join(forms)})"
