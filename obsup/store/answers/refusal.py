"""Convert a response that is not a success to a Refusal with texts that are bounded and safe to print."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from http import HTTPStatus

from obsup.dates import parse_http_date
from obsup.dialects.dialect import HeaderNames
from obsup.errors import Refusal
from obsup.store.answers import xml
from obsup.store.http.settings import Response
from obsup.text import clean, printable

_MAX_RETRY_AFTER_S = 999_999.0
# How much of an HTML page is searched for its title.
MAX_PAGE_BYTES = 4096
# Of the message about a signature for another region, for stores without <Region>.
_EXPECTED_REGION = re.compile(r"region .*is wrong; expecting '([a-z0-9-]+)'")
_TITLE = re.compile(r"<title>([^<]*)</title>", re.IGNORECASE)


def read_refusal(
    response: Response, names: HeaderNames, *, operation: str, resource: str, endpoint: str
) -> Refusal:
    """Return the refusal in *response*: code and message from the XML body, or from headers without a body."""
    fields, headers = _error_fields(response, names.encoded_error), response.headers
    phrase = _phrase(response.status)
    code = fields.get("Code") or headers.get(names.error_code or "")
    return Refusal(
        operation=operation,
        resource=resource,
        status=response.status,
        code=printable(code or _in_one_word(phrase) or f"Status{response.status}"),
        message=printable(
            _message(fields) or headers.get(names.error_message or "") or _page_title(response)
        ),
        request_id=printable(headers.get(names.request_id) or fields.get("RequestId") or ""),
        host_id=printable(headers.get(names.host_id) or fields.get("HostId") or ""),
        date=headers.get("date", ""),
        retry_after_s=_retry_after_s(headers, names.retry_after or ""),
        endpoint=endpoint,
        region=clean(
            fields.get("Region") or headers.get(names.bucket_region or "") or _expected_region(fields) or ""
        ),
        location=clean(headers.get("location") or fields.get("Endpoint") or ""),
        is_page=_media_type(response) == "text/html" and not fields and names.request_id not in headers,
        phrase=None if code else phrase,
    )


def hides_cause(response: Response, names: HeaderNames) -> bool:
    """Return whether a rejecting response has neither a body nor the headers in which some stores give the cause."""
    named = {names.error_code, names.encoded_error} & response.headers.keys()
    return response.status in (400, 401, 403) and not response.body and not named


def _message(fields: Mapping[str, str]) -> str:
    """Return the store's message; Swift gives the cause in <Reason>."""
    return "; ".join(dict.fromkeys(filter(None, (fields.get("Message"), fields.get("Reason")))))


def _expected_region(fields: Mapping[str, str]) -> str | None:
    match = _EXPECTED_REGION.search(fields.get("Message", ""))
    return match[1] if match else None


def _error_fields(response: Response, encoded_error: str | None) -> dict[str, str]:
    """Return the elements of the <Error> document, which may be in the header *encoded_error* as Base64."""
    body = response.body
    if not body.strip() and encoded_error is not None and encoded_error in response.headers:
        try:
            body = base64.b64decode(response.headers[encoded_error], validate=True)
        except (binascii.Error, ValueError):
            return {}
    try:
        root = xml.parse(body)
    except xml.BadXML:
        return {}
    if root.tag != "Error":
        return {}
    return {child.tag: (child.text or "").strip() for child in root if isinstance(child.tag, str)}


def _page_title(response: Response) -> str:
    """Return the title of a proxy's HTML page, or its plain text, unless it repeats the status."""
    text = response.body[:MAX_PAGE_BYTES].decode("utf-8", "replace")
    media_type = _media_type(response)
    if media_type == "text/html":
        import html  # rarely needed

        match = _TITLE.search(text)
        text = " ".join(html.unescape(match[1]).split()) if match else ""
    elif media_type != "text/plain":
        return ""
    title = text.strip().removeprefix(str(response.status)).strip()
    is_repetition = _in_one_word(title).lower() == _in_one_word(_phrase(response.status)).lower()
    return "" if is_repetition else title.partition("\n")[0]


def _media_type(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _phrase(status: int) -> str:
    """Return the phrase of HTTP for *status*, "" if it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _in_one_word(text: str) -> str:
    return text.title().replace(" ", "")


def _retry_after_s(headers: Mapping[str, str], vendor_name: str) -> float | None:
    """Return Retry-After in seconds. A date counts from the date of the response, so this clock does not matter."""
    value = headers.get("retry-after", headers.get(vendor_name, ""))
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < 7 else None
    try:
        wait = parse_http_date(value) - parse_http_date(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, min(wait.total_seconds(), _MAX_RETRY_AFTER_S))
