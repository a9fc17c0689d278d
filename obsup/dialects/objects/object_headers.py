"""Convert the options of an object to the headers of each operation."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from obsup.dialects.dialect import Dialect
from obsup.dialects.encoding import encode_key, encode_value
from obsup.dialects.objects.header_values import RENDERERS, end_of_retention, extension_headers, plain_header
from obsup.dialects.objects.media_types import media_type_of
from obsup.dialects.objects.parameters import OBJECT_PARAMETERS, carries, header_of, providers_with
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.local.platform.paths import key_file_command
from obsup.model import CustomerKey, ObjectOptions
from obsup.options.row import OptionRow

Operation = Literal["initiate", "put", "complete"]
# Neither can be given without the other.
_LOCK = ("--retention", "--retain-until")
IN_PARTS: tuple[Operation, ...] = ("initiate", "complete")
# The rows with their field of ObjectOptions, computed once: every small file needs them.
_FIELDS = tuple((row, row.parameter) for row in OBJECT_PARAMETERS)
_NO_OPTIONS = ObjectOptions()


def object_headers(
    dialect: Dialect,
    options: ObjectOptions,
    operation: Operation,
    *,
    key: str | None = None,
    since_s: float,
    encrypted_by_customer: bool = False,
) -> dict[str, str]:
    """Return the headers of *options* that *operation* sends in *dialect*.

    All *options* are checked for every operation, so that Initiate fails for one that Complete would send. If *key* is
    given, the default content type is that of its suffix. Additional headers are sent by initiate and put. Raises
    WrongUsage for options that the dialect does not have, that an upload in parts cannot send, that contradict each
    other or an additional header, or that the store would reject. *since_s* (seconds since the epoch): from then on a
    retention counts. *encrypted_by_customer*: the requests also have an SSE-C key.
    Source: OBS API reference, "Initiating a Multipart Upload"; the vendors' equivalents.
    """
    if options == _NO_OPTIONS:  # most small files, each of which comes here
        return {} if key is None or operation == "complete" else {"Content-Type": media_type_of(key)}
    _check_together(options)
    headers: dict[str, str] = {}
    own = extension_headers(dialect, options.headers)
    for row, name, value in _given(options):
        if name == "retain_until":
            value = end_of_retention(value, since_s)
        rendered = _render(dialect, row, value)
        _check_no_other_value(row, rendered, own)
        if operation != "put" and not any(carries(dialect, name, one) for one in IN_PARTS):
            raise _needs_one_request(dialect, row)
        if carries(dialect, name, operation):
            headers |= rendered
    _check_one_encryption(dialect, options, own, encrypted_by_customer)
    if operation == "complete":
        return headers
    if key is not None and options.content_type is None:
        headers["Content-Type"] = media_type_of(key)
    replaced = {name.lower() for name in own}  # by the same value, or the default content type
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | own


def _check_no_other_value(row: OptionRow, rendered: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Raise WrongUsage if an additional header is that of an option with another value: only one could be sent."""
    if not own:
        return
    named = {name.lower(): value for name, value in rendered.items()}
    for name, value in own.items():
        if named.get(name.lower(), value) != value:
            raise WrongUsage(
                f"{row.option} and --header '{name}: …' contradict each other",
                "Both set one header, and only one value would reach the store",
                NextStep(
                    "leave out one of them; --header may also be set by OBSUP_HEADER or the configuration file"
                ),
            )


def forbids_overwrite(dialect: Dialect, headers: Mapping[str, str]) -> bool:
    """Return whether *headers* of PutObject or Complete ask the store not to replace an object."""
    condition = dialect.headers.no_overwrite
    return condition is not None and condition[0].lower() in map(str.lower, headers)


def options_of_complete(dialect: Dialect, options: ObjectOptions) -> list[str]:
    """Return the given options whose headers Complete sends; every process that completes the upload needs them."""
    return [row.option for row, name, _ in _given(options) if carries(dialect, name, "complete")]


def customer_key_headers(dialect: Dialect, key: CustomerKey, *, copy_source: bool = False) -> dict[str, str]:
    """Return the three headers of an SSE-C key, which Initiate, every part and HEAD send, but not Complete.

    With *copy_source* they decrypt the source of a copy. Raises WrongUsage if the vendor has no SSE-C, or no keys of
    this size. Source: OBS API reference, "Server-Side Encryption (SSE-C)".
    """
    prefix = dialect.headers.copy_source_sse_c if copy_source else dialect.headers.sse_c
    if prefix is None:
        raise WrongUsage(
            f"{dialect.title} has no encryption with customer keys (SSE-C)",
            "The service has no headers for it",
            run_again(
                "use --sse AES256 or --sse kms instead, or no encryption",
                drop=("--sse-c-key-file", "--copy-source-sse-c-key-file"),
            ),
        )
    if len(key.key) not in dialect.customer_key_bytes:
        sizes = " or ".join(map(str, dialect.customer_key_bytes))
        raise WrongUsage(
            "the SSE-C key does not have a size that the service documents",
            f"{dialect.title} accepts {sizes} bytes, not {len(key.key)}",
            NextStep(f"create a key with: {key_file_command(dialect.customer_key_bytes[0])}"),
        )
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": b64encode(key.key).decode(),
        f"{prefix}key-MD5": key.md5,
    }


def copy_source_value(bucket: str, key: str, version_id: str | None = None) -> str:
    """Return the value of the copy-source header: ``/bucket/encoded-key``, with the version if given.

    Source: OBS API reference, "Copying a Part".
    """
    source = f"/{bucket}/{encode_key(key)}"
    return source if version_id is None else f"{source}?versionId={encode_value(version_id)}"


def _given(options: ObjectOptions) -> Iterator[tuple[OptionRow, str, Any]]:
    """Yield the options that are set: 0 is; None, False, an empty text and an empty mapping are not."""
    for row, name in _FIELDS:
        value = getattr(options, name)
        if value or type(value) is int:
            yield row, name, value


def _check_together(options: ObjectOptions) -> None:
    if options.sse_kms_key_id and (options.sse or "").lower() != "kms":
        raise WrongUsage(
            "a KMS key id without KMS encryption",
            "--sse-kms-key-id selects the key of --sse kms",
            run_again("use KMS encryption", add=("--sse", "kms")),
        )
    if options.retention and not options.retain_until:
        raise WrongUsage(
            "--retention without --retain-until",
            "A lock of the object has a mode and an end",
            run_again("give its end, for example 30 days", add=("--retain-until", "30d")),
        )
    if options.retain_until and not options.retention:
        raise WrongUsage(
            "--retain-until without --retention",
            "A lock of the object has a mode and an end; compliance cannot be removed by anyone before that",
            NextStep("give its mode with --retention"),
        )


def _check_one_encryption(
    dialect: Dialect, options: ObjectOptions, own: Mapping[str, str], encrypted_by_customer: bool
) -> None:
    """Raise WrongUsage for an SSE-C key together with encryption by the store."""
    names = {name.lower() for name in own}
    by_store = bool(options.sse or options.sse_kms_key_id) or (dialect.headers.sse or "").lower() in names
    prefix = (dialect.headers.sse_c or "\0").lower()
    if by_store and (encrypted_by_customer or any(name.startswith(prefix) for name in names)):
        raise WrongUsage(
            "--sse and an SSE-C key exclude each other",
            "An object is encrypted with a key of the store or with a customer key",
            NextStep("leave out one of them"),
        )


def _render(dialect: Dialect, row: OptionRow, value: Any) -> dict[str, str]:
    """Return the headers of one option that is set."""
    name = header_of(row, dialect.headers)
    if name is None:
        raise WrongUsage(
            f"{dialect.title} has no {row.option}",
            f"Only these have it: {'; '.join(providers_with(row))}",
            run_again(
                f"if the store is one of these, name it with --provider; otherwise, leave out {row.option}",
                drop=_LOCK if row.option in _LOCK else (row.option,),
            ),
        )
    return RENDERERS.get(row.parameter, plain_header)(dialect, name, value)


def _needs_one_request(dialect: Dialect, row: OptionRow) -> WrongUsage:
    return WrongUsage(
        f"{row.option} has no effect on an upload in parts",
        f"{dialect.title} accepts it only for PutObject: a file that fits one request, without --parts and --part-size",
        run_again(f"leave out {row.option}", drop=(row.option,)),
    )
