"""The checksums of S3 in requests and responses: of parts, of objects, and what was agreed on for an upload.

Source: Amazon S3, "Checking object integrity for data uploads".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping

from obsup.dialects.dialect import Dialect, HeaderNames
from obsup.errors import Refusal
from obsup.model import Checksum, ObjectChecksums, UploadChecksum
from obsup.store.http.body import BodyDigests

# By preference, if a response has several.
_BYTES = {"crc64nvme": 8, "sha256": 32, "crc32c": 4, "crc32": 4, "sha1": 20}
# Some stores give no better reason for a header that they do not know.
_REJECTING_CODES = frozenset({"InvalidArgument", "InvalidRequest", "NotImplemented"})
_CRC64 = "crc64"
_COMPOSITE, _FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"


def request_headers(names: HeaderNames, checksum: Checksum | None) -> dict[str, str]:
    """Return the header of the *checksum* of a part or an object."""
    if checksum is not None and checksum.algorithm == _CRC64:
        return {names.crc64: checksum.value} if names.crc64 is not None else {}
    if checksum is None or names.checksum is None:
        return {}
    return {names.checksum + checksum.algorithm: checksum.value}


def digest_headers(names: HeaderNames, digests: BodyDigests) -> dict[str, str]:
    """Return the headers of the digests of a body."""
    md5 = {} if digests.content_md5 is None else {"Content-MD5": digests.content_md5}
    return {**md5, **request_headers(names, digests.checksum)}


def has_checksum(names: HeaderNames, headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether *headers* of a request contain a checksum."""
    prefix = names.checksum
    return any(name == names.crc64 or (prefix and name.startswith(prefix)) for name, _ in headers)


def agreement_headers(names: HeaderNames, algorithm: str | None) -> dict[str, str]:
    """Return the headers of Initiate that ask for checksums of this *algorithm*; none if the vendor has none.

    CRCs can be those of the full object; all stores compute SHA-256 of the checksums of the parts.
    """
    if algorithm is None or names.checksum is None:
        return {}
    headers = {f"{names.checksum}algorithm": algorithm.upper()}
    return headers if algorithm == "sha256" else headers | {f"{names.checksum}type": _FULL_OBJECT}


def complete_headers(dialect: Dialect, checksums: ObjectChecksums | None) -> dict[str, str]:
    """Return the headers of Complete: the size of the object, and its checksum if that is of the full object."""
    names = dialect.headers
    if checksums is None or names.checksum is None:
        return request_headers(names, checksums.whole) if checksums is not None else {}
    headers = {f"{dialect.prefix}mp-object-size": str(checksums.size)}
    if checksums.whole is None or checksums.whole.is_composite:
        return headers
    return {
        **headers,
        **request_headers(names, checksums.whole),
        f"{names.checksum}type": _FULL_OBJECT,
    }


def element_of(checksum: Checksum) -> str:
    """Return the name of the XML element of a checksum: ChecksumCRC64NVME."""
    return f"Checksum{checksum.algorithm.upper()}"


def read_headers(names: HeaderNames, field: Callable[[str | None], str | None]) -> Checksum | None:
    """Return the checksum in the headers of a response; *field* returns the value of a header."""
    prefix = names.checksum
    if prefix is None:
        return None
    return _first(lambda algorithm: field(prefix + algorithm), field(f"{prefix}type"))


def read_elements(text: Callable[[str], str]) -> Checksum | None:
    """Return the checksum in the elements of a part or of the response to Complete; *text* returns that of one."""
    return _first(lambda algorithm: text(f"Checksum{algorithm.upper()}"), text("ChecksumType"))


def read_agreement(algorithm: str | None, kind: str | None) -> UploadChecksum | None:
    """Return what a store confirms for an upload: *algorithm* and *kind* are those of Initiate or ListParts.

    Stores that do not return the type compute a checksum of the full object only with the algorithm that has no other.
    """
    name = (algorithm or "").lower()
    if name not in _BYTES:
        return None
    return UploadChecksum(name, (kind or "").upper() == _FULL_OBJECT or (not kind and name == "crc64nvme"))


def agreement_of(names: HeaderNames, headers: Mapping[str, str]) -> UploadChecksum | None:
    """Return what the response to Initiate with these *headers* confirms."""
    if names.checksum is None:
        return None
    return read_agreement(headers.get(f"{names.checksum}algorithm"), headers.get(f"{names.checksum}type"))


def rejects_checksums(refusal: Refusal) -> bool:
    """Return whether a store may have rejected a request because of its checksum headers, which it does not know."""
    text = f"{refusal.code} {refusal.message}".lower()
    if "part number" in text:
        return False  # more parts than the store accepts
    is_about_headers = "checksum" in text or "header" in text or refusal.code in _REJECTING_CODES
    return refusal.status == 501 or (refusal.status == 400 and is_about_headers)


def _first(value_of: Callable[[str], str | None], kind: str | None) -> Checksum | None:
    for algorithm, size in _BYTES.items():
        value = value_of(algorithm)
        checksum = _read(algorithm, value, size) if value else None
        if checksum is not None:
            # Without the number of parts, it is not known what a composite one is computed of.
            is_unclear = (kind or "").upper() == _COMPOSITE and not checksum.is_composite
            return None if is_unclear else checksum
    return None


def _read(algorithm: str, value: str, size: int) -> Checksum | None:
    digest, dash, count = value.partition("-")
    try:
        raw = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        return None
    is_valid = len(raw) == size and (not dash or (count.isascii() and count.isdigit()))
    return Checksum(algorithm, value) if is_valid else None
