"""Mutations of bytes, texts, JSON values and HTTP answers, chosen by a random number generator."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from tests.doubles.mutating_relay import Answer, Wire, framed

NUMBERS = (
    *("0", "-1", "1", "2", "00", "+1", "1.5", "1e9", "0x10", "1_000", " 3 ", "NaN", "inf", "٣"),
    *(str(2**31), str(2**63 - 1), str(2**63), str(2**64), str(10**30), "9" * 5000),
)
DATES = (
    *("Thu, 01 Jan 1970 00:00:00 GMT", "Sat, 01 Jan 99999 00:00:00 GMT", "2026-02-30T00:00:00Z"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "Sat, 31 Dec 2199 23:59:59 -9959"),
    *("2026-11-29T25:61:61.000Z", "yesterday", "1732900000", "Sun, 06 Nov 1994 08:49:37"),
)
TEXTS = (
    *("", " ", "x", "null", "true", "false", "TRUE", "\x00", "\x1b[31m", "\r\n", "é", "\u2028", "\ud800"),
    *('"', '""', "'", "&", "<", "%", "%zz", "a/../b", "../../etc/passwd", "~", "$HOME", "x" * 300),
    *("🦊" * 10, "\u202e", "x" * 70_000, "{}", "[]", "00000000000000000000000000000000-2"),
)
STATUSES = (
    *(100, 101, 199, 200, 201, 202, 203, 204, 205, 206, 299, 300, 301, 302, 303, 304, 307, 308),
    *(400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 416, 417, 421, 425, 429, 431, 451, 499),
    *(500, 501, 502, 503, 504, 505, 507, 509, 511, 520, 530, 599, 600, 999),
)
CODES = (
    *("NoSuchUpload", "NoSuchKey", "NoSuchBucket", "AccessDenied", "InvalidPart", "InvalidPartOrder"),
    *("EntityTooSmall", "RequestTimeTooSkewed", "ExpiredToken", "SlowDown", "InternalError", "BadDigest"),
    *("PreconditionFailed", "SignatureDoesNotMatch", "InvalidAccessKeyId", "PermanentRedirect"),
    *(
        "AuthorizationHeaderMalformed",
        "NotImplemented",
        "InvalidArgument",
        "RequestTimeout",
        "IncompleteBody",
    ),
    *("OperationAborted", "Unknown", ""),
)
HEADERS = (
    *("Retry-After", "Location", "Content-Encoding", "Transfer-Encoding", "Date", "ETag", "Connection"),
    *("Content-Type", "x-amz-bucket-region", "x-obs-bucket-location", "x-amz-version-id", "Set-Cookie"),
    *("x-amz-mp-parts-count", "x-amz-checksum-crc64nvme", "x-amz-checksum-type", "x-oss-hash-crc64ecma"),
    *("x-amz-server-side-encryption", "x-obs-uploadId", "x-amz-meta-obsup-token", "Last-Modified"),
    *("x-obs-error-code", "x-obs-error-message", "x-oss-ec", "Content-Length", "Keep-Alive", "Upgrade"),
    *("x-obs-next-append-position", "x-amz-delete-marker", "Accept-Ranges", "Content-Range", "Trailer"),
)


def text(rng: random.Random, before: str = "") -> str:
    """Return another text than *before*: a number, a date, a strange text, or *before* with one change."""
    way = rng.randrange(6)
    if way == 0:
        return rng.choice(NUMBERS)
    if way == 1:
        return rng.choice(DATES)
    if way == 2 or not before:
        return rng.choice(TEXTS)
    if way == 3:
        return before + rng.choice([before, "0", " ", "-1", "é"])
    if way == 4:
        return before[: rng.randrange(len(before))]
    position = rng.randrange(len(before))
    other = (
        "1" if before[position] == "0" else "0" if before[position].isdecimal() else rng.choice("abcdef-/ <")
    )
    return before[:position] + other + before[position + 1 :]


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Return *data* with bytes flipped, removed, inserted, repeated or replaced."""
    position = rng.randrange(len(data) + 1)
    end = min(len(data), position + rng.choice([1, 2, 10, 100]))
    way = rng.randrange(7)
    if way == 0:
        return data[:position]
    if way == 1:
        return data[position:]
    if way == 2:
        return data[:position] + data[end:]
    if way == 3:
        return data[:position] + data[position:end] * rng.choice([2, 3, 1000]) + data[end:]
    if way == 4:
        return data[:position] + rng.randbytes(end - position) + data[end:]
    if way == 5:
        return data[:position] + text(rng).encode("utf-8", "surrogatepass") + data[position:]
    flipped = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 8]) if data else 0):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def any_json(rng: random.Random, depth: int = 0) -> Any:
    """Return any JSON value."""
    way = rng.randrange(10 if depth < 3 else 7)
    scalars: tuple[Any, ...] = (
        None,
        True,
        False,
        0,
        -1,
        1,
        1.5,
        1e308,
        2**31,
        2**63,
        2**64,
        10**400,
        float("nan"),
    )
    if way < 4:
        return rng.choice(scalars)
    if way < 7:
        return text(rng).replace("\ud800", "?")
    if way == 7:
        return [any_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {text(rng).replace("\ud800", "?")[:40]: any_json(rng, depth + 1) for _ in range(rng.randrange(4))}


def change_json(rng: random.Random, value: Any) -> Any:
    """Change one value anywhere inside of *value*, or remove, add or repeat one; return the result."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.1:
        if isinstance(value, str) and rng.random() < 0.6:
            return text(rng, value).replace("\ud800", "?")
        if isinstance(value, int) and rng.random() < 0.6:
            return rng.choice([value + 1, value - 1, -value, 0, value * 2, str(value), 1.5])
        return any_json(rng)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = rng.choice(keys)
    way = rng.randrange(10)
    if way == 0:
        del value[key]
    elif way == 1 and isinstance(value, list):
        value.append(value[key])
    elif way == 1 and isinstance(value, dict):
        value[text(rng).replace("\ud800", "?")] = any_json(rng)
    elif way == 2:
        other = rng.choice(keys)
        value[key], value[other] = value[other], value[key]
    else:
        value[key] = change_json(rng, value[key])
    return value


# Mutations of answers. Each returns the answer, or what is sent for it.


def _bytes(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    return replace(answer, body=damaged(rng, answer.body))


def _wire(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    return Wire(damaged(rng, framed(answer)), rng.choice(["close", "close", "open"]))


def _cut(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    whole = framed(answer)
    return Wire(whole[: rng.randrange(len(whole) + 1)], rng.choice(["close"] * 9 + ["stall"]))


def _status(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    return replace(answer, status=rng.choice(STATUSES), reason=rng.choice(["", "OK", "x" * 100, "\x1b[31m"]))


def _refusal(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    fields = [("Code", rng.choice(CODES)), ("Message", "m"), ("RequestId", "r")]
    if rng.random() < 0.5:
        name = rng.choice(
            ["Region", "Endpoint", "ServerTime", "RequestTime", "Bucket", "MaxSizeAllowed", "Code"]
        )
        fields.insert(rng.randrange(4), (name, escape(text(rng))))
    body = "".join(f"<{name}>{value}</{name}>" for name, value in fields)
    status = rng.choice((200, 200, 400, 400, 403, 404, 409, 412, 500, 503, *STATUSES))
    return replace(answer, status=status, body=f"<Error>{body}</Error>".encode("utf-8", "replace"))


def _header(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    headers = list(answer.headers)
    position = rng.randrange(len(headers))
    name, value = headers[position]
    way = rng.randrange(6)
    if way == 0:
        del headers[position]
    elif way == 1:
        headers.insert(position, (name, text(rng, value)))
    elif way == 2:
        headers.append((rng.choice(HEADERS), text(rng, value)))
    elif way == 3:
        headers += [(f"X-Header-{n}", "x") for n in range(rng.choice([99, 100, 101, 300]))]
    elif way == 4:
        headers[position] = (text(rng, name), value)
    else:
        headers[position] = (name, text(rng, value))
    answer = replace(answer, headers=tuple(headers))
    return answer if name.lower() != "content-length" else _as_it_is(answer, rng)


def _as_it_is(answer: Answer, rng: random.Random) -> Wire:
    """Return *answer* without correcting the headers of its framing."""
    lines = [f"HTTP/1.1 {answer.status} OK", *(f"{name}: {value}" for name, value in answer.headers), "", ""]
    return Wire(
        "\r\n".join(lines).encode("latin-1", "replace") + answer.body, rng.choice(["close", "close", "open"])
    )


def _length(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    headers = [one for one in answer.headers if one[0].lower() != "content-length"]
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        size = str(len(answer.body) + rng.choice([-1, 0, 1, 10_000]))
        headers.append(("Content-Length", rng.choice([size, size, rng.choice(NUMBERS), text(rng, size)])))
    if rng.random() < 0.2:
        headers.append(("Transfer-Encoding", rng.choice(["chunked", "gzip, chunked", "identity", "x"])))
    return _as_it_is(replace(answer, headers=tuple(headers)), rng)


def _chunked(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    headers = [one for one in answer.headers if one[0].lower() != "content-length"]
    size = rng.choice([1, 7, 1000])
    pieces = [answer.body[start : start + size] for start in range(0, len(answer.body), size)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    end = rng.choice(
        [b"0\r\n\r\n", b"0\r\nX-Trailer: x\r\n\r\n", b"0\r\n", b"", b"0;x=y\r\n\r\n", b"-1\r\n\r\n"]
    )
    if rng.random() < 0.3:
        first, _, rest = body.partition(b"\r\n")
        body = (
            rng.choice([b"", b"g", b"-1", b"f" * 15, b"f" * 40, first + b";" + b"x" * 100_000])
            + b"\r\n"
            + rest
        )
    answer = replace(answer, headers=(*headers, ("Transfer-Encoding", "chunked")), body=body + end)
    return _as_it_is(answer, rng)


def _interim(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    line = rng.choice(
        [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 x", b"101 Switching Protocols"]
    )
    return Wire((b"HTTP/1.1 " + line + b"\r\n\r\n") * rng.choice([1, 2, 50, 2000]) + framed(answer))


def _version(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    whole = framed(answer)
    _, _, rest = whole.partition(b" ")
    lines = (
        *(
            b"HTTP/1.0 ",
            b"HTTP/2 ",
            b"HTTP/0.9 ",
            b"http/1.1 ",
            b"ICY ",
            b"HTTP/1.1",
            b"HTTP/1.1  ",
            b"\r\n\r\nHTTP/1.1 ",
        ),
        b"x" * 70_000,
    )
    data = rng.choice(lines) + rest if rng.random() < 0.7 else whole.replace(b"\r\n", b"\n")
    return Wire(data, rng.choice(["close", "open"]))


def _other_body(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    bodies = (
        *(
            b"",
            b" ",
            b"<html><body>Sign in</body></html>",
            b'{"error": "x"}',
            b"<",
            b"\xff\xfe",
            b"\x00" * 1000,
        ),
        *(b"<Error/>", b"<a>" * 100_000, b"x" * 3_000_000, rng.choice(seen).body),
    )
    return replace(answer, body=rng.choice(bodies))


def _other_answer(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    other = rng.choice(seen)
    return replace(answer, status=other.status, headers=other.headers, body=other.body)


@cache
def _large_gzip() -> bytes:
    """Return 50 KB that become 50 MB."""
    return gzip.compress(bytes(50_000_000))


def _encoded(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    content, way = answer.body.decode("utf-8", "replace"), rng.randrange(6)
    if way == 0:
        return replace(answer, body=content.encode("utf-16"))
    if way == 1:
        return replace(answer, body=b"\xef\xbb\xbf" + answer.body)
    if way == 2:
        return replace(answer, body=re.sub(rb'encoding="[^"]*"', b'encoding="x-unknown"', answer.body))
    if way == 3:
        body = rng.choice([gzip.compress(answer.body), _large_gzip()])
        return replace(answer, body=body, headers=(*answer.headers, ("Content-Encoding", "gzip")))
    if way == 4:
        encoding = rng.choice(["gzip", "deflate", "br", "zstd", "identity", "x", "gzip, gzip"])
        return replace(answer, headers=(*answer.headers, ("Content-Encoding", encoding)))
    return replace(answer, body=content.encode("utf-32"))


def _more(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    return Wire(
        framed(answer) + rng.choice([framed(rng.choice(seen)), b"x", b"\r\n" * 10, b"HTTP/1.1 500 x\r\n\r\n"])
    )


def escape(value: str) -> str:
    """Return *value* as the text of an element; other characters that XML does not allow remain."""
    return value.replace("&", "&amp;").replace("<", "&lt;")


_ELEMENT = re.compile(r"<(\w+)(?: [^>]*)?>([^<]*)</\1>")
_ANY_ELEMENT = re.compile(r"<(\w+)(?: [^>]*)?>.*?</\1>", re.DOTALL)


def _element(rng: random.Random, answer: Answer, seen: list[Answer]) -> Answer | Wire:
    """Change one element of the document: most of them, most of the time, are leaves."""
    content = answer.body.decode("utf-8", "replace")
    found = list((_ELEMENT if rng.random() < 0.7 else _ANY_ELEMENT).finditer(content))
    if not found:
        return _bytes(rng, answer, seen) if answer.body else _header(rng, answer, seen)
    match = rng.choice(found)
    name, whole, inner = match[1], match[0], match[0].partition(">")[2].rpartition("</")[0]
    depth = rng.choice([1, 20, 500, 20_000])
    changed = rng.choice(
        [
            "",
            whole * rng.choice([2, 3, 2000]),
            f"<{name}/>",
            *[f"<{name}>{escape(text(rng, inner))}</{name}>"] * 4,
            f"<{name}>{escape(rng.choice(NUMBERS))}</{name}>",
            f"<{name}>{escape(rng.choice(DATES))}</{name}>",
            f"<{name} x='y'><{name}>{inner}</{name}></{name}>",
            "<x>" * depth + whole + "</x>" * depth,
            f"<{name}>" * depth + inner + f"</{name}>" * depth,
            f"<{name.swapcase()}>{inner}</{name.swapcase()}>",
            f"<n:{name} xmlns:n='urn:x'>{inner}</n:{name}>",
            f"<!-- {name} --><{name}><![CDATA[{inner}]]></{name}>",
            f"<{name}>&unknown;&#0;&#x110000;{inner}</{name}>",
            f"<{name}>{'9' * 1_000_000}</{name}>",
            rng.choice(found)[0],
        ]
    )
    content = content[: match.start()] + changed + content[match.end() :]
    if rng.random() < 0.05:
        entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 10))
        content = f"<!DOCTYPE x [<!ENTITY e0 'x'>{entities}]>" + re.sub(r"<\?xml.*?\?>", "", content)
    return replace(answer, body=content.encode("utf-8", "replace"))


_ANSWERS: tuple[tuple[Callable[[random.Random, Answer, list[Answer]], Answer | Wire], int], ...] = (
    (_element, 30),
    (_header, 20),
    (_status, 8),
    (_refusal, 12),
    (_bytes, 4),
    (_wire, 4),
    (_cut, 4),
    (_length, 5),
    (_chunked, 4),
    (_interim, 2),
    (_version, 2),
    (_other_body, 4),
    (_other_answer, 3),
    (_encoded, 4),
    (_more, 2),
)


def change_answer(rng: random.Random, answer: Answer, seen: list[Answer]) -> tuple[str, Wire]:
    """Return the name of a mutation of *answer*, and what is sent. *seen* are the answers so far, this one too."""
    changes, weights = zip(*_ANSWERS, strict=True)
    names = []
    changed: Answer | Wire = answer
    for change in rng.choices(changes, weights, k=rng.choice([1, 1, 1, 2])):
        if isinstance(changed, Answer):
            changed = change(rng, changed, seen)
            names.append(change.__name__[1:])
    if isinstance(changed, Answer):
        changed = Wire(framed(changed))
    return "+".join(names), changed
