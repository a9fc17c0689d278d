"""From an answer that is not success to a Refusal: bounded, and safe to print."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from obsup.dialects.dialect import HeaderNames
from obsup.errors import Refusal
from obsup.store.answers import xml
from obsup.store.http.redaction import hide
from obsup.store.http.settings import Response
from obsup.text import clean, printable

_LONGEST_WAIT_S = 999_999.0
# So much of a page is read for its title, in bytes.
PAGE_READ = 4096
_TITLE = re.compile(r"<title>([^<]*)</title>", re.IGNORECASE)


def read_refusal(
    answer: Response, names: HeaderNames, *, operation: str, resource: str, endpoint: str
) -> Refusal:
    """Return what *answer* refuses: code and message from the XML body, or from headers where there is none."""
    fields = {name: hide(text, answer.secrets) for name, text in _error_fields(answer).items()}
    headers = {name: hide(text, answer.secrets) for name, text in answer.headers.items()}
    return Refusal(
        operation=operation,
        resource=resource,
        status=answer.status,
        code=printable(fields.get("Code") or headers.get("x-obs-error-code") or _status_word(answer.status)),
        message=printable(
            fields.get("Message")
            or headers.get("x-obs-error-message")
            or hide(_page_title(answer), answer.secrets)
        ),
        request_id=printable(headers.get(names.request_id) or fields.get("RequestId") or ""),
        host_id=printable(headers.get(names.host_id) or fields.get("HostId") or ""),
        date=headers.get("date", ""),
        retry_after_s=_retry_after(headers),
        endpoint=endpoint,
        region=clean(fields.get("Region") or headers.get("x-amz-bucket-region") or ""),
        location=clean(headers.get("location") or fields.get("Endpoint") or ""),
    )


def _error_fields(answer: Response) -> dict[str, str]:
    body = answer.body
    if not body.strip() and "x-oss-err" in answer.headers:
        try:
            body = base64.b64decode(answer.headers["x-oss-err"], validate=True)
        except (binascii.Error, ValueError):
            return {}
    try:
        root = xml.parse(body)
    except xml.BadXML:
        return {}
    if root.tag != "Error":
        return {}
    return {child.tag: (child.text or "").strip() for child in root if isinstance(child.tag, str)}


def _page_title(answer: Response) -> str:
    """Return what a proxy's page, or its line of plain text, says beyond the status."""
    text = answer.body[:PAGE_READ].decode("utf-8", "replace")
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        import html  # here, and not above: proxies speak it, and most uploads meet none

        match = _TITLE.search(text)
        text = " ".join(html.unescape(match[1]).split()) if match else ""
    elif kind != "text/plain":
        return ""
    said = text.strip().removeprefix(str(answer.status)).strip()
    is_news = said.replace(" ", "").lower() != _status_word(answer.status).lower()
    return said.partition("\n")[0] if is_news else ""


def _status_word(status: int) -> str:
    """Return a code for an answer that gave none: ``NotFound`` for 404."""
    try:
        return HTTPStatus(status).phrase.title().replace(" ", "")
    except ValueError:
        return f"Status{status}"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return seconds: what is said in them, or from the answer's own date, whatever this clock says, to a later one."""
    value = headers.get("retry-after", headers.get("x-amz-retry-after", ""))
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < 7 else None
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, min(wait.total_seconds(), _LONGEST_WAIT_S))
