r"""Show names and texts so that a terminal executes nothing in them, and a shell reads them back unchanged.

Characters that are not printable (control characters, line breaks, text direction marks, bytes that are not UTF-8)
are shown as the octal of their bytes, ``\033``, in ``$'…'``: the syntax of bash, zsh, ksh and printf. Under
Windows, the shells are cmd.exe and PowerShell, which have no syntax for such characters.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from functools import lru_cache

from obsup.local.platform.paths import HAS_POSIX_TOOLS, quote_word

MASK = "***"
_MAX_PRINTABLE = 500
# Windows has no printf, but a backslash in every path.
_ESCAPES = {"\t": "\\t", "\n": "\\n"} | ({"\\": "\\\\"} if HAS_POSIX_TOOLS else {})
# Compiled when they are first used: few runs show a URL.
_SECRET_NAME = r"(?i)authorization|secret|password|signature|cookie|(token|key)$|^sig$"
# What only a URL has: its scheme, or its signature.
_URL = r"(?i)https?:[/\\]|[?&](?:[\w.%-]*signature|sig)="
_LOGIN = r"(?i)(https?:[/\\]+)[^\s/\\?#'\"]+@"
_PARAMETER = r"([?&]([\w.%-]+)=)[^\s&'\"]*[^\s&'\".,:;)]"
_NAMES_ARE_UTF_8 = sys.getfilesystemencoding() == "utf-8"


def utf8_name(name: str) -> str:
    """Return the text that the bytes of a file name or argument are in UTF-8; other bytes become lone surrogates.

    Python decodes them with the encoding of the locale. Keys do not depend on it: cron often has another locale.
    """
    return name if _NAMES_ARE_UTF_8 else os.fsencode(name).decode("utf-8", "surrogateescape")


def shell_word(word: object) -> str:
    """Return *word* quoted for a shell, which reads back the same bytes."""
    text = str(word)
    if text.isprintable() or not HAS_POSIX_TOOLS:
        return quote_word(text if text.isprintable() else one_line(text))
    return "$'" + one_line(text).replace("'", "\\'") + "'"


@lru_cache(maxsize=256)
def names_secret(name: str) -> bool:
    """Return whether the value of the header or parameter *name* is a secret."""
    return re.search(_SECRET_NAME, name) is not None


def without_url_secrets(text: str) -> str:
    """Return *text* without the login and the secret parameters of each URL in it, such as a presigned one.

    A name such as ``report?token=7`` is not a URL.
    """
    if "@" not in text and "=" not in text:
        return text
    return re.sub(r"\S+", lambda word: _masked(word[0]) if re.search(_URL, word[0]) else word[0], text)


def _masked(url: str) -> str:
    url = re.sub(_LOGIN, rf"\1{MASK}@", url)
    return re.sub(_PARAMETER, lambda match: f"{match[1]}{MASK}" if names_secret(match[2]) else match[0], url)


def without_password(url: str, mask: str = MASK) -> str:
    """Return *url* with *mask* instead of a password, whether or not it is valid."""
    head, at, host = url.rpartition("@")
    scheme, separator, user = head.rpartition("://")
    name, colon, _ = user.partition(":")
    return f"{scheme}{separator}{name}{colon}{mask}{at}{host}" if colon else url


def operand(path: object) -> str:
    """Return *path* as a word of a command line that is not taken for an option."""
    word = str(path)
    return f"./{word}" if word.startswith("-") else word


def shell_line(words: Iterable[object]) -> str:
    """Return the command line of *words*, to be copied into a shell."""
    return " ".join(map(shell_word, words))


def quoted(name: object) -> str:
    """Return *name* for a sentence: unchanged, or quoted for a shell if it has blanks or is not printable."""
    text = str(name)
    return text if text.isprintable() and " " not in text and text else shell_word(text)


def one_line(text: str) -> str:
    """Return *text*, for example any object key, on one line without tabs, in the syntax of printf."""
    return "".join(_ESCAPES.get(one) or (one if one.isprintable() else _octal(one)) for one in text)


def shielded(text: str) -> str:
    """Return *text* without the secrets of URLs, and without control characters, except line breaks and tabs."""
    text = without_url_secrets(text)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else _octal(one) for one in text)


def _octal(character: str) -> str:
    is_stray_byte = "\udc80" <= character <= "\udcff"
    data = character.encode("utf-8", "surrogateescape" if is_stray_byte else "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in data)


def clean(text: str) -> str:
    """Return *text* without unprintable characters, and without white space at its ends."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    return text.strip()


def printable(text: str) -> str:
    """Return *text* cleaned, and shortened for a terminal."""
    cleaned = clean(text)
    return cleaned if len(cleaned) <= _MAX_PRINTABLE else cleaned[:_MAX_PRINTABLE] + "…"
