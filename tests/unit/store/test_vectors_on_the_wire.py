"""The vendors' vectors once more, through all of the store: the Authorization that leaves the socket.

The recorder is a proxy that speaks TLS for every host of the vectors, so that scheme, host, path and clock are
the vectors' own, and nothing of the store is replaced.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from obsup.dialects.dialect import Dialect, Signable
from obsup.dialects.oss import OSS4_SIGNATURE
from obsup.model import CustomerKey, Target, Upload
from obsup.store.client import HttpStore
from obsup.store.http.body import BodyDigests
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.transport import Transport
from tests.doubles.certificates import Authority
from tests.doubles.scripted_server import ScriptedServer, response
from tests.support.stores import bytes_body, open_store
from tests.unit.dialects.test_vectors import (
    ADDITIONAL,
    NORMATIVE,
    Vector,
    address_of,
    credentials_of,
    dialect_of,
    endpoint_of,
    fields_of,
    name_of,
    now_of,
    signable_of,
)

DONE = {
    "InitiateMultipartUpload": "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
    "UploadPart": "",
    "UploadPartCopy": "<CopyPartResult><ETag>e</ETag></CopyPartResult>",
    "CompleteMultipartUpload": "<CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>",
    "AbortMultipartUpload": "",
    "ListParts": "<ListPartsResult><IsTruncated/></ListPartsResult>",
    "ListMultipartUploads": "<ListMultipartUploadsResult><IsTruncated/></ListMultipartUploadsResult>",
    "PutObject": "",
    "HeadObject": "",
}
# A list begins at its beginning: the vectors ask for the second page.
FIRST_PAGE = {
    "ListParts": "<ListPartsResult><IsTruncated>true</IsTruncated>"
    "<NextPartNumberMarker>1000</NextPartNumberMarker></ListPartsResult>",
    "ListMultipartUploads": "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k+1"
    "</NextKeyMarker><NextUploadIdMarker>00000163D40171ED8DF4050919BD02B8</NextUploadIdMarker>"
    "</ListMultipartUploadsResult>",
}


@pytest.fixture(scope="module")
def recorder(authority: Authority) -> Iterator[ScriptedServer]:
    """A proxy that is every host of the vectors."""
    hosts = sorted({vector["host"].partition(":")[0] for vector in NORMATIVE})
    with ScriptedServer(lambda _: response(200), tunnel_tls=authority.context(*hosts)) as server:
        yield server


@pytest.fixture
def line(recorder: ScriptedServer, authority: Authority) -> ConnectionSettings:
    """A transport to any host through the recording proxy."""
    recorder.received.clear()
    return ConnectionSettings(proxy=recorder.endpoint, ca_bundle=str(authority.bundle))


def answers(recorder: ScriptedServer, vector: Vector) -> None:
    """Let the recorder answer as the operation wants it, the second page of a list last."""
    operation = vector["operation"]
    wants_second = any(name in ("part-number-marker", "key-marker") for name, _ in vector["query"])
    pages = iter([FIRST_PAGE[operation]] if wants_second else [])
    recorder.script = lambda _: response(200, next(pages, DONE[operation]), {"ETag": '"e"'})


def headers_of(vector: Vector) -> dict[str, str]:
    """The vector's headers but those that the transport sets."""
    given = dict(signable_of(vector).headers)
    return {name: value for name, value in given.items() if name.lower() not in ("host", "content-length")}


def content_of(vector: Vector) -> bytes:
    """The vector's body, or one of its length."""
    payload = vector["payload"] or {}
    length = int(vector["headers_in"].get("Content-Length", 0))
    return str(payload["body_utf8"]).encode() if "body_utf8" in payload else b"." * length


@pytest.mark.parametrize("vector", NORMATIVE, ids=name_of)
def test_authorization_of_every_vector_leaves_the_socket(
    vector: Vector, recorder: ScriptedServer, line: ConnectionSettings
) -> None:
    """The vector's request byte for byte, in its vendor's spelling, signed on the way out."""
    answers(recorder, vector)
    dialect = dialect_of(vector)
    if vector["id"] in ADDITIONAL:
        dialect = replace(dialect, sign=replace(OSS4_SIGNATURE, additional=ADDITIONAL[vector["id"]]).sign)
    address, query = address_of(vector), signable_of(vector).query

    def sign(headers: Any) -> dict[str, str]:
        request = Signable(vector["method"], address, query, headers)
        return dialect.sign(
            request, credentials_of(vector), region=vector["region"] or "", now=now_of(vector)
        )

    transport = Transport(line)
    transport.exchange(
        vector["method"],
        address,
        query,
        headers=headers_of(vector),
        body=content_of(vector),
        sign=sign,
    )
    transport.close()
    sent = recorder.last
    path = sent.target.removeprefix(f"http://{vector['host']}").partition("?")[0]
    assert (sent.method, path, sent.header("Host")) == (vector["method"], address.path, vector["host"])
    assert fields_of(sent.header("Authorization") or "") == fields_of(vector["authorization"])


Verb = Callable[[HttpStore, Target, Upload, Vector], object]
VERBS: dict[str, Verb] = {
    "InitiateMultipartUpload": lambda store, target, _, vector: store.initiate(
        target, object_headers(vector)
    ),
    "UploadPart": lambda store, _, upload, vector: store.upload_part(
        upload,
        number_of(vector),
        bytes_body(content_of(vector)),
        digests=BodyDigests(vector["headers_in"].get("Content-MD5")),
    ),
    "UploadPartCopy": lambda store, _, upload, vector: store.copy_part(
        upload, number_of(vector), named(vector, "-copy-source"), byte_range=(0, 1048575)
    ),
    "CompleteMultipartUpload": lambda store, _, upload, vector: store.complete(
        upload, [(1, "a54357aff0632cce46d942af68356b38")], object_headers(vector)
    ),
    "AbortMultipartUpload": lambda store, _, upload, _vector: store.abort(upload),
    "ListParts": lambda store, _, upload, _vector: list(store.list_parts(upload)),
    "ListMultipartUploads": lambda store, target, _, vector: list(
        store.list_uploads(target.bucket, dict(vector["query"]).get("prefix") or "")
    ),
    "PutObject": lambda store, target, _, vector: store.put_object(
        target, bytes_body(content_of(vector)), object_headers(vector)
    ),
    "HeadObject": lambda store, target, _, _vector: store.head_object(target),
}


def object_headers(vector: Vector) -> dict[str, str]:
    """The headers that the caller passes, without those that the store and the transport add."""
    return {
        name: value for name, value in vector["headers_in"].items() if name not in ("Host", "Content-Length")
    }


def number_of(vector: Vector) -> int:
    return int(dict(vector["query"])["partNumber"])


def named(vector: Vector, end: str) -> str:
    return str(next(value for name, value in vector["headers_in"].items() if name.endswith(end)))


def customer_key_of(vector: Vector) -> CustomerKey | None:
    keys = [value for name, value in vector["headers_in"].items() if name.lower().endswith("-customer-key")]
    return CustomerKey(base64.b64decode(keys[0])) if keys else None


# What obsup says otherwise than the vendor's client, each as valid, and so signs otherwise.
SPELLED_OTHERWISE = {
    # Content-MD5 of an empty body.
    *("079", "081", "082", "090", "093", "094"),
    # No encoding-type on Initiate, Complete and ListParts; delimiter on ListMultipartUploads (signed by V4 only).
    *("030", "063", "067", "069"),
    *("037", "070", "109"),
    # Parts and Complete carry the SHA-256 of their body, or the length of one with an XML namespace.
    *("034", "103", "106", "112", "114", "115", "117", "135"),
    # The bucket's path without a slash at its end.
    *("013", "027"),
    # x-oss-additional headers; x-obs-date instead of Date.
    *("076", "046"),
}


def is_ours(vector: Vector) -> bool:
    return vector["id"].partition("-")[0] not in SPELLED_OTHERWISE


def store_of(vector: Vector, line: ConnectionSettings) -> Any:
    dialect: Dialect = dialect_of(vector)
    # The vendors' clients asked for no checksum.
    dialect = replace(dialect, headers=replace(dialect.headers, checksum=None))
    return open_store(
        dialect,
        endpoint_of(vector),
        keys=credentials_of(vector),
        region=vector["region"] or "",
        addressing=vector["addressing"],
        line=line,
        clock=lambda: float(vector["timestamp"]["epoch"]),
        customer_key=customer_key_of(vector),
    )


def run_transfer(vector: Vector, line: ConnectionSettings) -> None:
    """Do the vector's operation with the store's own verb."""
    with store_of(vector, line) as store:
        target = Target(vector["dialect"], endpoint_of(vector), vector["bucket"], vector["key"])
        upload = Upload(target, dict(vector["query"]).get("uploadId") or "")
        VERBS[vector["operation"]](store, target, upload, vector)


@pytest.mark.parametrize("vector", [one for one in NORMATIVE if is_ours(one)], ids=name_of)
def test_authorization_of_obsups_own_request_is_the_vendors(
    vector: Vector, recorder: ScriptedServer, line: ConnectionSettings
) -> None:
    """The verb of the store makes the very request that the vendor's client made."""
    answers(recorder, vector)
    run_transfer(vector, line)
    assert fields_of(recorder.last.header("Authorization") or "") == fields_of(vector["authorization"])


@pytest.mark.parametrize("vector", [one for one in NORMATIVE if not is_ours(one)], ids=name_of)
def test_request_that_is_spelled_otherwise_is_signed_otherwise(
    vector: Vector, recorder: ScriptedServer, line: ConnectionSettings
) -> None:
    """Were it the same, the vector would belong to those above."""
    answers(recorder, vector)
    run_transfer(vector, line)
    assert fields_of(recorder.last.header("Authorization") or "") != fields_of(vector["authorization"])
