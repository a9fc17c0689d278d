"""The same calls by the vendor's client and by ``obsup.compat``: the requests that count and the results are equal.

obsup sends more requests, which only read (HeadObject, lists), and no request of those that the SDK sends differs.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obs
import pytest

from obsup import compat
from obsup.sandbox.request_records import RequestRecord
from obsup.sandbox.sandbox import Sandbox

MIB = 1 << 20
KEY = "folder/ключ a+b.bin"
CUSTOMER_KEY = "0123456789abcdef0123456789abcdef"
# What shows when and where a request was sent, by whom, and how it was signed.
OF_THE_CLIENT = {
    "authorization",
    "date",
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "connection",
    "expect",
}
OF_THE_CLIENT |= {
    "transfer-encoding",
    "content-length",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-obs-date",
    "presto",
}
# Responses have the time and an id of the request in them.
OF_THE_RESPONSE = {"date", "request-id", "id-2", "connection", "server", "content-length"}
# What shows whether a copied object changed, whose object it is, and whether a part arrived unchanged.
ADDED = ("copy-source-if-match", "meta-obsup-token", "checksum-crc64ecma")
# What a store assumes without a type; obsup sends it.
DEFAULT_TYPE = "binary/octet-stream"
COMPARED = ("initiate", "part", "copy", "complete", "abort")
Call = Callable[[Any, Any, Path], list[Any]]


def initiate(**options: Any) -> Call:
    """Return the call that initiates an upload with *options*; a function of the module makes the value."""

    def call(client: Any, module: Any, _source: Path) -> list[Any]:
        given = {name: value(module) if callable(value) else value for name, value in options.items()}
        return [client.initiateMultipartUpload("bucket", KEY, **given)]

    return call


def part(content: Any, **options: Any) -> Call:
    """Return the calls that send one part, list the parts, and complete the upload."""

    def call(client: Any, module: Any, source: Path) -> list[Any]:
        upload_id = client.initiateMultipartUpload("bucket", KEY).body.uploadId
        data = str(source) if content is None else content() if callable(content) else content
        sent = client.uploadPart("bucket", KEY, 1, upload_id, data, **options)
        listed = client.listParts("bucket", KEY, upload_id)
        request = module.CompleteMultipartUploadRequest([module.CompletePart(1, sent.body.etag)])
        return [sent, listed, client.completeMultipartUpload("bucket", KEY, upload_id, request)]

    return call


def file(size: int, **options: Any) -> Call:
    """Return the call that uploads a file of *size* bytes."""

    def call(client: Any, module: Any, source: Path) -> list[Any]:
        source.write_bytes(bytes(range(256)) * (size // 256))
        given = {name: value(module) if callable(value) else value for name, value in options.items()}
        return [client.uploadFile("bucket", KEY, str(source), **given)]

    return call


def listed(**options: Any) -> Call:
    """Return the calls that list uploads with *options*."""

    def call(client: Any, module: Any, _source: Path) -> list[Any]:
        for key in ("a/1", "a/2", "b/1", "c"):
            client.initiateMultipartUpload("bucket", key)
        return [client.listMultipartUploads("bucket", module.ListMultipartUploadsRequest(**options))]

    return call


def parts_listed(**options: Any) -> Call:
    """Return the calls that list three parts with *options*."""

    def call(client: Any, _module: Any, _source: Path) -> list[Any]:
        upload_id = client.initiateMultipartUpload("bucket", KEY).body.uploadId
        for number in (1, 2, 3):
            client.uploadPart("bucket", KEY, number, upload_id, f"part {number}")
        return [client.listParts("bucket", KEY, upload_id, **options)]

    return call


def copied(**options: Any) -> Call:
    """Return the calls that copy a part."""

    def call(client: Any, _module: Any, source: Path) -> list[Any]:
        source.write_bytes(bytes(300_000))
        client.uploadFile("bucket", "from", str(source))
        upload_id = client.initiateMultipartUpload("bucket", KEY).body.uploadId
        return [client.copyPart("bucket", KEY, 1, upload_id, "bucket/from", **options)]

    return call


def copied_encrypted(client: Any, module: Any, source: Path) -> list[Any]:
    """Copy a part of an object with a customer key to an upload with another one."""
    source.write_bytes(bytes(300_000))
    client.uploadFile("bucket", "from", str(source), headers=header(sseHeader=sse_c)(module))
    other = module.SseCHeader(encryption="AES256", key=CUSTOMER_KEY[::-1])
    upload_id = client.initiateMultipartUpload("bucket", KEY, sseHeader=other).body.uploadId
    keys = {"destSseHeader": other, "sourceSseHeader": sse_c(module)}
    copy = client.copyPart("bucket", KEY, 1, upload_id, "bucket/from", **keys)
    copy.body.pop("etag")  # differs for each encrypted object
    return [copy]


def unknown(method: str, *args: Any) -> Call:
    """Return a call on an upload that does not exist: the result is the error of the store."""

    def call(client: Any, module: Any, _source: Path) -> list[Any]:
        given = [one(module) if callable(one) else one for one in args]
        return [getattr(client, method)("bucket", KEY, *given)]

    return call


def aborted(client: Any, _module: Any, _source: Path) -> list[Any]:
    """Abort an upload."""
    upload_id = client.initiateMultipartUpload("bucket", KEY).body.uploadId
    return [client.abortMultipartUpload("bucket", KEY, upload_id)]


def sse_c(module: Any) -> Any:
    """Return the SSE-C header of *module*."""
    return module.SseCHeader(encryption="AES256", key=CUSTOMER_KEY)


def header(**values: Any) -> Callable[[Any], Any]:
    """Return the function that makes an UploadFileHeader."""

    def make(module: Any) -> Any:
        given = {name: value(module) if callable(value) else value for name, value in values.items()}
        made = module.UploadFileHeader()
        for name, value in given.items():
            setattr(made, name, value)
        return made

    return make


CALLS: dict[str, Call] = {
    "initiate": initiate(),
    "initiate-acl": initiate(acl="public-read"),
    "initiate-warm": initiate(storageClass="WARM"),
    "initiate-cold": initiate(storageClass="COLD"),
    "initiate-type": initiate(contentType="text/plain"),
    "initiate-metadata": initiate(metadata={"colour": "blue", "Size": "9"}),
    "initiate-redirect": initiate(websiteRedirectLocation="/other.html"),
    "initiate-expires": initiate(expires=3),
    "initiate-kms": initiate(sseHeader=lambda module: module.SseKmsHeader(encryption="kms", key="key-1")),
    "initiate-kms-default": initiate(sseHeader=lambda module: module.SseKmsHeader(encryption="kms")),
    "initiate-sse-c": initiate(sseHeader=sse_c),
    "initiate-grant": initiate(
        extensionGrants=lambda module: [module.ExtensionGrant(granteeId="someone", permission="READ")]
    ),
    "initiate-encoding": initiate(encoding_type="url"),
    "part-text": part("Hello OBS"),
    "part-unicode": part("größer"),
    "part-nothing": part(""),
    "part-readable": part(lambda: io.BytesIO(bytes(200_000)), partSize=200_000),
    "part-open": part(lambda: io.BytesIO(b"open"), partSize=4, autoClose=False),
    "part-file": part(None, isFile=True),
    "part-file-size": part(None, isFile=True, partSize=1000),
    "part-file-offset": part(None, isFile=True, offset=1000),
    "part-file-window": part(None, isFile=True, offset=1000, partSize=5000),
    "part-file-beyond": part(None, isFile=True, offset=1000, partSize=MIB),
    "part-file-md5": part(None, isFile=True, isAttachMd5=True),
    "part-md5": part("Hello OBS", md5="cvKFqTUThYon+D2ntsI/AQ=="),
    "file": file(MIB),
    "file-parts": file(MIB, partSize=200_000),
    "file-tasks": file(MIB, partSize=200_000, taskNum=5),
    "file-checkpoint": file(MIB, partSize=200_000, enableCheckpoint=True),
    "file-checksum": file(MIB, partSize=200_000, enableCheckpoint=True, checkSum=True),
    "file-small-parts": file(MIB, partSize=10),
    "file-large-parts": file(MIB, partSize=10**10),
    "file-metadata": file(MIB, partSize=200_000, metadata={"colour": "blue"}),
    "file-acl": file(MIB, partSize=200_000, headers=header(acl="private")),
    "file-type": file(MIB, partSize=200_000, headers=header(contentType="text/css")),
    "file-class": file(MIB, partSize=200_000, headers=header(storageClass="WARM")),
    "file-expires": file(MIB, partSize=200_000, headers=header(expires=9)),
    "file-sse-c": file(MIB, partSize=200_000, headers=header(sseHeader=sse_c)),
    "list-parts": parts_listed(),
    "list-parts-marker": parts_listed(partNumberMarker=1),
    "list-parts-page": parts_listed(maxParts=2),
    "list-parts-window": parts_listed(maxParts=1, partNumberMarker=1),
    "list-uploads": listed(),
    "list-uploads-prefix": listed(prefix="a/"),
    "list-uploads-delimiter": listed(delimiter="/"),
    "list-uploads-page": listed(max_uploads=2),
    "list-uploads-marker": listed(key_marker="a/2"),
    "copy": copied(),
    "copy-range": copied(copySourceRange="0-99999"),
    "copy-bytes": copied(copySourceRange="bytes=100-99999"),
    "copy-encrypted": copied_encrypted,
    "abort": aborted,
    "no-upload-part": unknown("uploadPart", 1, "0" * 32, "text"),
    "no-upload-list": unknown("listParts", "0" * 32),
    "no-upload-copy": unknown("copyPart", 1, "0" * 32, "bucket/from"),
}


def requests_of(sandbox: Sandbox) -> list[tuple[Any, ...]]:
    """Return the requests that change something: what they do, and their headers."""
    ids: dict[str, int] = {}
    found = []
    for one in without_trials(sandbox.requests):
        number = ids.setdefault(one.upload_id, len(ids)) if one.upload_id else None
        received = one.received if one.operation == "part" else None  # quotes of ETags are optional
        found.append(
            (one.operation, one.part_number or 0, number, one.key, one.status, received, headers_of(one))
        )
    return sorted(found, key=lambda one: (COMPARED.index(one[0]), one[1]))


def headers_of(request: RequestRecord) -> dict[str, str]:
    """Return the headers of *request* that mean the same for every client."""
    headers = {name.lower(): value for name, value in request.headers if name.lower() not in OF_THE_CLIENT}
    headers = {name: value for name, value in headers.items() if not name.endswith(ADDED)}
    for name in [name for name in headers if name.endswith("copy-source")]:
        headers[name] = headers[name].removeprefix("/")
    if any(name.endswith("customer-key-md5") for name in headers):
        headers.pop(
            "content-md5", None
        )  # no ETag of an encrypted part is its MD5, so obsup lets the store compare it
    if request.operation == "complete" or headers.get("content-type") == DEFAULT_TYPE:
        headers.pop("content-type", None)
    return headers


def without_trials(requests: list[RequestRecord]) -> list[RequestRecord]:
    """Leave out the uploads that obsup initiates and aborts to see whether the store encrypts."""
    kept: list[RequestRecord] = []
    for request in requests:
        last = [one for one in kept if one.operation == "initiate"][-1:]
        if (
            request.operation == "abort"
            and last
            and any("encryption" in name for name in headers_of(last[0]))
        ):
            del kept[kept.index(last[0]) :]
        elif request.operation in COMPARED:
            kept.append(request)
    return kept


def plain(value: Any) -> Any:
    """Return a result without what differs from one upload to the next."""
    if isinstance(value, dict):
        left = {name: plain(one) for name, one in value.items() if name not in NOT_COMPARED}
        return {name: one for name, one in left.items() if one not in (None, "", {}, [])}
    if isinstance(value, list):
        return [plain(one) for one in value if not (isinstance(one, tuple) and one[0] in OF_THE_RESPONSE)]
    if isinstance(value, str) and value.startswith("<"):
        return re.sub("[0-9A-F]{32}", "ID", value)
    return value


# Ids, times and ports; and fields that the SDK's client never fills correctly.
NOT_COMPARED = {
    "requestId",
    "hostId",
    "uploadId",
    "lastModified",
    "modifiedDate",
    "initiated",
    "encoding_type",
}
NOT_COMPARED |= {
    "location",
    "objectUrl",
    "nextUploadIdMarker",
    "maxParts",
    "maxUploads",
    "isTruncated",
    "crc64",
}


@pytest.mark.parametrize("name", ["HeadPermission", "StorageClass", "Permission"])
def test_the_constants_are_those_of_the_sdk(name: str) -> None:
    """All of them, with the same values."""
    ours, theirs = vars(getattr(compat, name)), vars(getattr(obs, name))
    assert {key: ours[key] for key in ours if key.isupper()} == {
        key: theirs[key] for key in theirs if key.isupper()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_the_facade_calls_the_store_as_the_sdk_does(name: str, tmp_path: Path) -> None:
    """Requests and results are equal, but for ids, times, and the digests and the token that obsup adds."""
    found = []
    for module in (obs, compat):
        source = tmp_path / "source"
        source.write_bytes(bytes(range(256)) * 40)
        with Sandbox(aws_vendor="obs") as sandbox:
            client = module.ObsClient(
                access_key_id=sandbox.access_key,
                secret_access_key=sandbox.secret_key,
                server=sandbox.endpoint,
            )
            results = CALLS[name](client, module, source)
            if name == "file-sse-c":
                results[0].body.pop("etag")  # differs for each encrypted object
            client.close()
            found.append((requests_of(sandbox), [plain(one) for one in results]))
    (theirs, their_results), (ours, our_results) = found
    assert ours == theirs
    assert our_results == their_results
