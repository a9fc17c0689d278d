"""Parse a request without changing any signed byte."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from obsup.sandbox.refusals import Refused

PATH_STYLE, VIRTUAL, CUSTOM_DOMAIN = "path", "virtual", "cname"

_SERVICE_HOST = re.compile(
    r"^(?:(?P<bucket>.+?)\.)?(?:obs|s3|oss)(?:[.-][a-z0-9.-]+)?\.(?:"
    r"myhuaweicloud\.(?:com|eu|cn)|otc\.t-systems\.com|amazonaws\.com(?:\.cn)?|aliyuncs\.com)$"
)


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request. ``path`` is percent-encoded exactly as the client sent it."""

    method: str
    path: str
    query: tuple[tuple[str, str | None], ...]
    """Decoded names and values in wire order; None if there was no ``=``."""
    headers: tuple[tuple[str, str], ...]
    """Lower-case names and stripped values in wire order."""
    host: str
    addressing: str
    bucket: str
    key: str

    def header(self, name: str, default: str = "") -> str:
        """Return the value of the header *name* (lower-case); repeated headers are joined by a comma."""
        values = [value for header, value in self.headers if header == name]
        return ",".join(values) if values else default

    def has_header(self, name: str) -> bool:
        """Return whether the header *name* (lower-case) was sent."""
        return any(header == name for header, _ in self.headers)

    def param(self, name: str, default: str = "") -> str:
        """Return the decoded value of the query parameter *name*."""
        for param, value in self.query:
            if param == name:
                return value or ""
        return default

    def has_param(self, name: str) -> bool:
        """Return whether the query parameter *name* was sent, with or without a value."""
        return any(param == name for param, _ in self.query)

    def int_param(self, name: str, default: int) -> int:
        """Return an integer parameter. Raises Refused (400 InvalidArgument) if it is not an integer."""
        text = self.param(name)
        if not text:
            return default
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise Refused(400, "InvalidArgument", f"{name} must be an integer, not {text!r}.")
        return int(text)


def parse_request(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    *,
    custom_domains: Mapping[str, str] | None = None,
) -> Request:
    """Parse a request line and its headers. *target* is the raw request target.

    Raises Refused (400 InvalidURI) if the path is not percent-encoded UTF-8.
    """
    clean = tuple((name.lower(), value.strip()) for name, value in headers)
    host = next((value for name, value in clean if name == "host"), "")
    if target.startswith(("http://", "https://")):
        host, slash, rest = target.split("://", 1)[1].partition("/")
        target = slash + rest or "/"
    path, _, query = target.partition("?")
    addressing, bucket = _route(host, custom_domains or {})
    key_path = path.removeprefix("/")
    if addressing == PATH_STYLE:
        encoded_bucket, _, key_path = key_path.partition("/")
        bucket = decode(encoded_bucket)
    return Request(
        method=method,
        path=path,
        query=parse_query(query),
        headers=clean,
        host=host,
        addressing=addressing,
        bucket=bucket,
        key=decode(key_path),
    )


def parse_query(query: str) -> tuple[tuple[str, str | None], ...]:
    """Decode a query string; ``+`` means a space, as in all three services."""
    pairs: list[tuple[str, str | None]] = []
    for pair in query.split("&"):
        if not pair:
            continue
        name, equals, value = pair.partition("=")
        pairs.append((decode(name.replace("+", " ")), decode(value.replace("+", " ")) if equals else None))
    return tuple(pairs)


def decode(text: str) -> str:
    """Percent-decode *text* as UTF-8. Raises Refused (400 InvalidURI) if it is not UTF-8."""
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Refused(400, "InvalidURI", f"Couldn't parse the specified URI: {text!r} is not UTF-8.") from exc


def host_name(host: str) -> str:
    """Return the lower-case host name of a Host header, without the port."""
    name = host.lower()
    if name.startswith("["):
        return name.partition("]")[0].lstrip("[")
    return name.partition(":")[0]


def _route(host: str, custom_domains: Mapping[str, str]) -> tuple[str, str]:
    """Return (addressing, bucket) of a Host header; the bucket is empty in path style."""
    name = host_name(host)
    if name in custom_domains:
        return CUSTOM_DOMAIN, custom_domains[name]
    if _is_address(name) or name == "localhost":
        return PATH_STYLE, ""
    if name.endswith(".localhost"):
        return VIRTUAL, name.removesuffix(".localhost")
    match = _SERVICE_HOST.match(name)
    if match and match["bucket"]:
        return VIRTUAL, match["bucket"]
    return PATH_STYLE, ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
