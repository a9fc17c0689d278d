"""The clients of three vendors share one store: each reads the lists of the others and continues their uploads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.vendor_clients import KEY, SOURCE, AlibabaV2, Boto3, Esdk, Oss2, VendorClient

CLIENTS: dict[str, type[VendorClient]] = {
    "oss2": Oss2,
    "alibabacloud-oss-v2": AlibabaV2,
    "esdk-obs-python": Esdk,
    "boto3": Boto3,
}
pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("second", CLIENTS)
@pytest.mark.parametrize("first", CLIENTS)
def test_one_client_continues_the_upload_of_another(
    start: Callable[..., Sandbox], first: str, second: str
) -> None:
    """The lists have several pages."""
    sandbox = start(limits={"page": 2, "min_part": 1})
    one, other = CLIENTS[first](sandbox), CLIENTS[second](sandbox)
    one.put_source(b"0123456789")
    started = [one.initiate() for _ in range(3)]
    upload_id = started[1]
    etags = {number: one.upload_part(upload_id, number, b"part" * number) for number in (1, 2, 3)}
    assert sorted(other.uploads()) == sorted(started)
    assert other.parts(upload_id) == [(number, etags[number], 4 * number) for number in etags]
    etags[4] = other.copy_part(upload_id, 4, 2, 5)
    etags[5] = other.upload_part(upload_id, 5, b"end")
    assert one.parts(upload_id)[3:] == [(4, etags[4], 4), (5, etags[5], 3)]
    other.complete(upload_id, etags)
    for unfinished in {*started} - {upload_id}:
        other.abort(unfinished)
    content = b"part" * 6 + b"2345end"
    assert sandbox.object_path("bucket", KEY).read_bytes() == content
    assert one.objects() == other.objects() == [(KEY, len(content)), (SOURCE, 10)]
    assert one.read() == other.read() == content
    assert one.uploads() == other.uploads() == []
    assert {record.code for record in sandbox.requests} == {""}
