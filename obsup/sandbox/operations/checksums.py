"""The checksums of S3: of parts, and of objects that are made of parts.

Source: Amazon S3, "Checking object integrity for data uploads".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from obsup.sandbox.operations.call import Call
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import COMPOSITE, FULL_OBJECT, Attributes
from obsup.sandbox.storage.disk import StoredPart
from obsup.sandbox.storage.uploads import Upload
from obsup.sandbox.wire.body import Expected
from obsup.sandbox.wire.digests import Digest, combine_crc
from obsup.sandbox.wire.response import Child

_PREFIX = "x-amz-checksum-"
NOT_IMPLEMENTED = 501


def check_accepted(call: Call) -> None:
    """Raise Refused (400 or 501) for a checksum header if this store has none."""
    fault = call.faults.get("reject-checksums")
    prefix = call.vendor.header("checksum-")
    named = [name for name, _ in call.request.headers if name.startswith(prefix)]
    if fault is None or not named:
        return
    if fault.status == NOT_IMPLEMENTED:
        message = "A header you provided implies functionality that is not implemented."
        raise Refused(fault.status, "NotImplemented", message)
    raise Refused(
        fault.status, "InvalidArgument", f"Unsupported header '{named[0]}' received for this API call."
    )


def shown(call: Call, checksums: Mapping[str, str], parts: int | None = None) -> dict[str, str]:
    """Return *checksums* as the response has them; *parts* is the number of parts of an object made of parts."""
    if "hide-checksums" in call.faults:
        return {name: value for name, value in checksums.items() if not name.startswith(_PREFIX)}
    if "wrong-checksum" in call.faults:
        return {name: _changed(value) for name, value in checksums.items()}
    if "composite-checksums" in call.faults and parts is not None:
        return {name: value if "-" in value else f"{value}-{parts}" for name, value in checksums.items()}
    return dict(checksums)


def _changed(value: str) -> str:
    """Return another value of the same form."""
    digest, dash, count = value.partition("-")
    raw = base64.b64decode(digest)
    return base64.b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode("ascii") + dash + count


def upload_headers(call: Call, attributes: Attributes) -> dict[str, str]:
    """Return the headers with the algorithm and the type that Initiate selected."""
    if not attributes.checksum_algorithm or "hide-checksums" in call.faults:
        return {}
    algorithm = attributes.checksum_algorithm.upper()
    return {_PREFIX + "algorithm": algorithm, _PREFIX + "type": attributes.checksum_type}


def type_header(checksums: Mapping[str, str]) -> dict[str, str]:
    """Return the header with the type of an object's checksum, if it has one."""
    values = [value for name, value in checksums.items() if name.startswith(_PREFIX)]
    return {_PREFIX + "type": COMPOSITE if "-" in values[0] else FULL_OBJECT} if values else {}


def elements(checksums: Mapping[str, str]) -> list[Child]:
    """Return the XML elements of checksum headers, such as ChecksumCRC32."""
    return [
        ("Checksum" + name.removeprefix(_PREFIX).upper(), value)
        for name, value in checksums.items()
        if name.startswith(_PREFIX)
    ]


def crc64_header(call: Call, crc64: int | None) -> dict[str, str]:
    """Return the header with the CRC-64 of an object made of parts, if all of them were sent with one (OBS, OSS)."""
    if crc64 is None or call.vendor.name == "s3" or "hide-checksums" in call.faults:
        return {}
    if "wrong-checksum" in call.faults:
        crc64 ^= 1
    return {"x-oss-hash-crc64ecma" if call.is_oss else call.vendor.header("checksum-crc64ecma"): str(crc64)}


def check_algorithm(upload: Upload, expected: Expected) -> None:
    """Raise Refused (400 InvalidRequest) if a part comes with another checksum than Initiate selected."""
    wanted = upload.attributes.checksum_algorithm
    sent = expected.algorithm
    if wanted and sent and sent != wanted:
        message = (
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted}, actual checksum Type: {sent}"
        )
        raise Refused(400, "InvalidRequest", message)


def part_checksums(upload: Upload, digest: Digest, expected: Expected | None) -> dict[str, str]:
    """Return the checksum headers of a part: the one that was sent, else the upload's, which is computed."""
    checksums = expected.headers(digest) if expected is not None else {}
    algorithm = upload.attributes.checksum_algorithm
    if algorithm and not checksums:
        checksums[_PREFIX + algorithm] = digest.base64_of(algorithm) or ""
    return checksums


def check_named(part: StoredPart, named: Mapping[str, str]) -> bool:
    """Return whether the checksums that Complete lists for *part* are the ones of the part."""
    known = dict(elements(part.checksums))
    return all(
        known.get(name, value) == value for name, value in named.items() if name.startswith("Checksum")
    )


def object_checksums(call: Call, upload: Upload, parts: Sequence[StoredPart]) -> dict[str, str]:
    """Return the checksum header of the object that *parts* make. Raises Refused (400 BadDigest)."""
    algorithm = upload.attributes.checksum_algorithm
    if not algorithm:
        return {}
    header = _PREFIX + algorithm
    raw = [base64.b64decode(part.checksums[header]) for part in parts]
    if upload.attributes.checksum_type == FULL_OBJECT:
        value = _combined(algorithm, raw, [part.size for part in parts])
    else:
        digest = Digest([algorithm])
        digest.update(memoryview(b"".join(raw)))
        value = f"{digest.base64_of(algorithm)}-{len(parts)}"
    promised = call.request.header(header)
    if promised and promised.partition("-")[0] != value.partition("-")[0]:
        raise Refused(
            400, "BadDigest", f"The {algorithm} you specified did not match the calculated checksum."
        )
    return {header: value}


def _combined(algorithm: str, raw: Sequence[bytes], sizes: Sequence[int]) -> str:
    total = 0
    for value, size in zip(raw, sizes, strict=True):
        total = combine_crc(total, int.from_bytes(value, "big"), size, name=algorithm)
    return base64.b64encode(total.to_bytes(len(raw[0]), "big")).decode("ascii")
