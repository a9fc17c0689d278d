"""From what the finished object shall be to the headers that say so, operation by operation."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from obsup.dialects.dialect import Dialect
from obsup.dialects.encoding import encode_key, encode_value
from obsup.dialects.header_values import (
    acl_header,
    expires_days_header,
    extension_headers,
    grant_headers,
    metadata_headers,
    no_overwrite_header,
    plain_header,
    sse_header,
    storage_class_header,
    tagging_header,
    website_redirect_header,
)
from obsup.dialects.parameters import OBJECT_PARAMETERS, carries, header_of, providers_with
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.model import CustomerKey, ObjectOptions
from obsup.options.row import OptionRow

if TYPE_CHECKING:
    from mimetypes import MimeTypes

Operation = Literal["initiate", "put", "complete"]
IN_PARTS: tuple[Operation, ...] = ("initiate", "complete")

CUSTOMER_KEY_SIZE = 32

# What OBS and S3 store where a client sends none, as OBS's own client does for a suffix it does not know.
DEFAULT_CONTENT_TYPE = "binary/octet-stream"


def object_headers(
    dialect: Dialect, options: ObjectOptions, operation: Operation, *, key: str | None = None
) -> dict[str, str]:
    """Return the headers of *options* that *operation* carries in *dialect*.

    All of *options* is checked whatever the operation, so that Initiate fails for what Complete would send.
    With *key*, an object without a content type gets the one of its suffix. The user's own headers go where
    the object is described (initiate, put) and win over an option of the same name. Raises WrongUsage for
    what the dialect lacks, what no request of an upload in parts carries, and what the store would refuse.
    Source: OBS API reference, "Initiating a Multipart Upload"; the vendors' equivalents.
    """
    _check_together(options)
    headers: dict[str, str] = {}
    for row in OBJECT_PARAMETERS:
        value = getattr(options, row.parameter)
        if not _is_given(value):
            continue
        rendered = _render(dialect, row, value)
        if operation != "put" and not any(carries(dialect, row.parameter, one) for one in IN_PARTS):
            raise _needs_one_request(dialect, row)
        if carries(dialect, row.parameter, operation):
            headers |= rendered
    own = extension_headers(dialect, options.headers)
    if operation == "complete":
        return headers
    if key is not None and options.content_type is None:
        headers["Content-Type"] = guess_content_type(key)
    replaced = {name.lower() for name in own}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | own


def options_of_complete(dialect: Dialect, options: ObjectOptions) -> list[str]:
    """Return the options that are given and that Complete carries: who completes must know of them."""
    return [
        one.option
        for one in OBJECT_PARAMETERS
        if _is_given(getattr(options, one.parameter)) and carries(dialect, one.parameter, "complete")
    ]


def customer_key_headers(dialect: Dialect, key: CustomerKey, *, copy_source: bool = False) -> dict[str, str]:
    """Return the three headers of an SSE-C key: for Initiate, each part and HEAD, never for Complete.

    With *copy_source* they open the source of a copy. Raises WrongUsage where the vendor has no SSE-C, and
    for a key that is not 32 bytes long. Source: OBS API reference, "Server-Side Encryption (SSE-C)".
    """
    prefix = dialect.headers.sse_c
    if prefix is None:
        raise WrongUsage(
            f"{dialect.title} has no encryption with customer keys (SSE-C)",
            "The service has no headers for it",
            run_again("use --sse AES256 or --sse kms instead, or no encryption", drop=("--sse-c-key-file",)),
        )
    if len(key.key) != CUSTOMER_KEY_SIZE:
        raise WrongUsage(
            f"an SSE-C key must have {CUSTOMER_KEY_SIZE} bytes",
            f"This one has {len(key.key)}",
            NextStep("create a key with: head -c 32 /dev/urandom > KEYFILE"),
        )
    if copy_source:
        prefix = f"{dialect.headers.copy_source}-{prefix.removeprefix(dialect.prefix)}"
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": b64encode(key.key).decode(),
        f"{prefix}key-MD5": b64encode(hashlib.md5(key.key, usedforsecurity=False).digest()).decode(),
    }


def guess_content_type(key: str) -> str:
    """Return the media type of the suffix of *key*, from Python's own table and not from this machine's.

    A packed file has the type of its packing, not of what is inside: ``x.tar.gz`` is ``application/gzip``.
    Without a known suffix it is ``binary/octet-stream``.
    """
    # The name alone: mimetypes takes URLs, and would read a scheme or a host into a key.
    name = key.rpartition("/")[2]
    if "." not in name:
        return DEFAULT_CONTENT_TYPE
    media_type, packing = _media_types().guess_type(f"/{name}", strict=True)
    if packing is not None:
        return _PACKINGS.get(packing, DEFAULT_CONTENT_TYPE)
    return media_type or DEFAULT_CONTENT_TYPE


def copy_source_value(bucket: str, key: str, version_id: str | None = None) -> str:
    """Return the value of the copy-source header: ``/bucket/encoded-key``, and the version of it.

    Source: OBS API reference, "Copying a Part".
    """
    source = f"/{bucket}/{encode_key(key)}"
    return source if version_id is None else f"{source}?versionId={encode_value(version_id)}"


_PACKINGS = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}


@cache
def _media_types() -> MimeTypes:
    # Here, and not above: it reads this machine's tables first, which takes as long as a small request.
    from mimetypes import MimeTypes

    return MimeTypes()


def _is_given(value: object) -> bool:
    """0 days are given; None, False, an empty text and an empty mapping are not."""
    return bool(value) or (isinstance(value, int) and not isinstance(value, bool))


def _check_together(options: ObjectOptions) -> None:
    if options.sse_kms_key_id and (options.sse or "").lower() != "kms":
        raise WrongUsage(
            "a KMS key id without KMS encryption",
            "--sse-kms-key-id selects the key of --sse kms",
            run_again("use KMS encryption", add=("--sse", "kms")),
        )


def _render(dialect: Dialect, row: OptionRow, value: Any) -> dict[str, str]:
    """Return the headers of one option that is given."""
    name = header_of(row, dialect.headers)
    if name is None and not providers_with(row):
        raise WrongUsage(
            f"{row.option} is not supported yet",
            "This version of obsup cannot send it to any provider",
            run_again(drop=(row.option,)),
        )
    if name is None:
        raise WrongUsage(
            f"{dialect.title} has no {row.option}",
            f"Only these have it: {'; '.join(providers_with(row))}",
            run_again(f"leave out {row.option}", drop=(row.option,)),
        )
    return _RENDERERS.get(row.parameter, plain_header)(dialect, name, value)


def _needs_one_request(dialect: Dialect, row: OptionRow) -> WrongUsage:
    return WrongUsage(
        f"{row.option} has no effect on an upload in parts",
        f"{dialect.title} accepts it only for PutObject: a file that fits one request, without --parts and --part-size",
        run_again(f"leave out {row.option}", drop=(row.option,)),
    )


_RENDERERS: dict[str, Callable[[Dialect, str, Any], dict[str, str]]] = {
    "metadata": metadata_headers,
    "tags": tagging_header,
    "acl": acl_header,
    "grants": grant_headers,
    "storage_class": storage_class_header,
    "website_redirect": website_redirect_header,
    "expires_days": expires_days_header,
    "sse": sse_header,
    "no_overwrite": no_overwrite_header,
}
