"""Convert the value of one option to its headers. Values that the store would reject raise WrongUsage."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from obsup.dates import iso_date, parse_date
from obsup.dialects.dialect import Dialect
from obsup.dialects.encoding import encode_query
from obsup.dialects.objects.parameters import option_of
from obsup.errors import NextStep, WrongUsage
from obsup.model import TOKEN_NAME
from obsup.options.table import HEADER_OPTIONS
from obsup.text import names_secret
from obsup.units import parse_duration

Renderer = Callable[[Dialect, str, Any], dict[str, str]]
"""From the dialect, the name of the header or its prefix, and the value of an option to its headers."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_GRANTEE = re.compile(r"[A-Za-z0-9_./@:+-]+")
_MAX_REDIRECT_CHARACTERS = 2048

# Headers that obsup sets itself. A second value would invalidate the request or its signature.
_OWN_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-md5",
        "date",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Headers whose value is a secret, and what to use instead: the value of an option is recorded and shown.
_SECRET = {
    "cookie": "a store that needs no cookie",
    "proxy-authorization": "the environment variable HTTPS_PROXY",
}
_METADATA = re.compile(r"(?i)x-[a-z]+-meta-")
_CUSTOMER_KEY = "-server-side-encryption-customer-"
_OWN_SUFFIXES = ("date", "security-token", "content-sha256")


def clean_value(name: str, value: str) -> str:
    """Return *value* trimmed. Raises WrongUsage unless it is printable ASCII.

    Control characters would allow a value to add headers. Vendors store other characters in different ways, and clients
    sign them in different ways.
    """
    value = value.strip(" \t")
    if not (value.isascii() and value.replace("\t", " ").isprintable()):
        raise WrongUsage(
            f"the value {value!r} of {name} is not valid in a header",
            "It has line breaks, control characters or characters outside ASCII",
            NextStep("write it in ASCII, percent-encoded if necessary"),
        )
    return value


def plain_header(_dialect: Dialect, name: str, value: str) -> dict[str, str]:
    """Return the header with *value* unchanged."""
    return {name: clean_value(name, value)}


def _legal_hold_header(_dialect: Dialect, name: str, _value: bool) -> dict[str, str]:
    """Return the header of a legal hold."""
    return {name: "ON"}


def end_of_retention(text: str, since_s: float) -> str:
    """Return the date that *text* means, in UTC: a date, or a duration that counts from *since_s* (epoch seconds).

    A date without a time is its beginning; one without a zone is in UTC. Raises WrongUsage unless it is later.
    """
    option = option_of("retain_until")
    try:
        # A number is neither: it can be a year or seconds.
        end_s = since_s + parse_duration(text) if text.strip()[-1:].isalpha() else None
    except ValueError:
        end_s = None
    end_s = parse_date(text) if end_s is None and "-" in text else end_s
    if end_s is None:
        raise WrongUsage(
            f"invalid end of a retention {text!r}",
            f"{option} takes a date such as 2030-12-31 or 2030-12-31T18:00:00Z, or a duration such as 30d",
            NextStep(f"correct {option}", option=option),
        )
    if end_s <= since_s:
        raise WrongUsage(
            f"the retention would end at {iso_date(end_s)}, which has passed",
            "A store only accepts a later date",
            NextStep(f"give a later date with {option}", option=option),
        )
    return iso_date(end_s)


def _no_overwrite_header(dialect: Dialect, _name: str, _value: bool) -> dict[str, str]:
    """Return the header that prevents overwriting."""
    return dict([dialect.headers.no_overwrite]) if dialect.headers.no_overwrite else {}


def _metadata_headers(dialect: Dialect, prefix: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of user metadata; names may be given with or without the vendor's prefix.

    Raises WrongUsage for an invalid or repeated name, and for more bytes than the vendor allows.
    """
    headers: dict[str, str] = {}
    for given, value in metadata.items():
        name = given[len(prefix) :] if given.lower().startswith(prefix) else given
        if not re.fullmatch(dialect.metadata_name, name):
            raise WrongUsage(
                f"invalid metadata name {given!r}",
                f"{dialect.title} accepts names of the characters {dialect.metadata_name}",
                NextStep("use another name with --metadata NAME=VALUE", option="--metadata"),
            )
        _check_not_token(name)
        if name.lower() in (known[len(prefix) :].lower() for known in headers):
            raise WrongUsage(
                f"the metadata {name!r} is given twice",
                "The stores ignore upper and lower case in metadata names",
                NextStep("give each name once"),
            )
        headers[prefix + name] = clean_value(f"the metadata {name}", value)
    size = metadata_bytes(dialect, headers)
    if size > dialect.limits.max_metadata:
        raise WrongUsage(
            "the metadata is too large",
            f"{dialect.title} accepts {dialect.limits.max_metadata} bytes of names and values, not {size}",
            NextStep("shorten it, or store it as a separate object"),
        )
    return headers


def metadata_bytes(dialect: Dialect, headers: Mapping[str, str]) -> int:
    """Return the size of the user metadata in *headers*, as the vendors count it: names and values."""
    prefix = dialect.headers.meta
    metadata = [(name, value) for name, value in headers.items() if name.lower().startswith(prefix)]
    return sum(len(name) - len(prefix) + len(value) for name, value in metadata)


def _grant_headers(dialect: Dialect, prefix: str, grants: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return one header per permission, with the ids of all its grantees."""
    headers: dict[str, str] = {}
    for given, grantee in grants:
        permission = given.lower().replace("_", "-")
        if permission not in dialect.grant_permissions:
            raise WrongUsage(
                f"invalid permission {given!r} for an object",
                f"{dialect.title} has {', '.join(sorted(dialect.grant_permissions))}; others are for buckets",
                NextStep("use --grant PERMISSION=ID with one of these", option="--grant"),
            )
        if not _GRANTEE.fullmatch(grantee):
            raise WrongUsage(
                f"invalid grantee id {grantee!r}",
                "It is the id of an account (domain), without quotes and commas",
                NextStep("use --grant PERMISSION=ID, once for each id", option="--grant"),
            )
        entry = dialect.grantee.format(grantee)
        known = headers.get(prefix + permission)
        headers[prefix + permission] = f"{known},{entry}" if known else entry
    return headers


def _check_not_token(name: str) -> None:
    if name.lower() == TOKEN_NAME:
        raise WrongUsage(
            f"the metadata name {name!r} is reserved",
            "obsup marks objects with it, to find out later which upload made them",
            NextStep("use another name with --metadata NAME=VALUE", option="--metadata"),
        )


def _tagging_header(_dialect: Dialect, name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the header of *tags* in the form of a query: ``k=v&k2=v2``, percent-encoded."""
    return {name: encode_query(tags.items())}


def _website_redirect_header(_dialect: Dialect, name: str, location: str) -> dict[str, str]:
    """Return the header of *location*, which begins with ``/`` or ``http(s)://`` and has at most 2 KB.

    Source: OBS SDK reference, "Uploading an Object - Resumable", UploadFileHeader.location.
    """
    location = clean_value(option_of("website_redirect"), location)
    if not location.startswith(("/", "http://", "https://")) or len(location) > _MAX_REDIRECT_CHARACTERS:
        raise WrongUsage(
            f"invalid website redirect {location[:60]!r}",
            f"It must begin with /, http:// or https:// and have at most {_MAX_REDIRECT_CHARACTERS} bytes",
            NextStep(f"correct {option_of('website_redirect')}", option=option_of("website_redirect")),
        )
    return {name: location}


def _expires_days_header(_dialect: Dialect, name: str, days: int) -> dict[str, str]:
    """Return the header that deletes the object *days* (0 or more) after its last modification."""
    if days < 0:
        raise WrongUsage(
            f"an object cannot expire after {days} days",
            "Days count from the last modification and must be 0 or more",
            NextStep(f"correct {option_of('expires_days')}", option=option_of("expires_days")),
        )
    return {name: str(days)}


def extension_headers(dialect: Dialect, headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return additional headers. Raises WrongUsage for invalid ones, secrets, and those that obsup sets itself."""
    clean: dict[str, str] = {}
    if not headers:
        return clean
    own = _OWN_HEADERS | {dialect.prefix + suffix for suffix in _OWN_SUFFIXES}
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise WrongUsage(
                f"invalid header name {name!r}",
                "A header name has letters, digits and hyphens",
                NextStep("use --header 'NAME: VALUE'", option="--header"),
            )
        if name.lower() in own:
            raise WrongUsage(
                f"--header cannot set {name}",
                "It is set by obsup on each request, and signed",
                NextStep(f"leave out --header '{name}: …'"),
            )
        _check_not_secret(dialect, name)
        _check_not_token(name.lower().removeprefix(dialect.headers.meta))
        if name.lower() in (known.lower() for known in clean):
            raise WrongUsage(
                f"the header {name} is given twice",
                "Only one of them would reach the store",
                NextStep("join the values with a comma"),
            )
        clean[name] = clean_value(name, value)
    return clean


def _check_not_secret(dialect: Dialect, name: str) -> None:
    """Raise WrongUsage for a header of a customer key (SSE-C), of a proxy, or with another name of a secret.

    None of the other headers of the vendor has a secret, and metadata is shown to whoever can read the object.
    """
    is_of_store = name.lower().startswith(dialect.prefix) or _METADATA.match(name) is not None
    otherwise = "a proxy that adds the header" if names_secret(name) and not is_of_store else None
    instead = _SECRET.get(name.lower(), otherwise)
    if _CUSTOMER_KEY in name.lower():
        header = "copy_source_sse_c" if "-copy-source-" in name.lower() else "sse_c"
        instead = next(row.option for row in HEADER_OPTIONS if row.header == header)
    if instead is not None:
        raise WrongUsage(
            f"--header cannot set {name}",
            "Its value is a secret, or belongs to one, and options are recorded and shown",
            NextStep(f"use {instead} instead of --header '{name}: …'"),
        )


def _one_of(field: str, choices: Callable[[Dialect], Mapping[str, str]]) -> Renderer:
    """Return what renders a value in any case as the vendor's spelling. It raises WrongUsage, which lists the choices.

    The vendor's client silently ignores an unknown storage class.
    """

    def render(dialect: Dialect, name: str, value: str) -> dict[str, str]:
        spellings = {known.lower(): spelling for known, spelling in choices(dialect).items()}
        if value.lower() not in spellings:
            raise WrongUsage(
                f"{dialect.title} has no {option_of(field)} {value!r}",
                f"It has {', '.join(choices(dialect))}",
                NextStep(f"use one of these for {option_of(field)}", option=option_of(field)),
            )
        return {name: spellings[value.lower()]}

    return render


# By field of ObjectOptions; other values are sent as they are.
RENDERERS: Mapping[str, Renderer] = {
    "metadata": _metadata_headers,
    "tags": _tagging_header,
    "acl": _one_of("acl", lambda dialect: {one: one for one in dialect.acls}),
    "grants": _grant_headers,
    "storage_class": _one_of("storage_class", lambda dialect: dialect.storage_classes),
    "website_redirect": _website_redirect_header,
    "expires_days": _expires_days_header,
    "sse": _one_of("sse", lambda dialect: dialect.sse),
    "no_overwrite": _no_overwrite_header,
    "retention": _one_of("retention", lambda dialect: dialect.retention_modes),
    "legal_hold": _legal_hold_header,
}
