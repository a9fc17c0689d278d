"""Bodies are streamed: memory does not grow with them."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.client import Client

MIB = 1024 * 1024
SIZE = 256 * MIB


def body() -> Iterator[bytes]:
    block = bytes(range(256)) * 4096
    for _ in range(SIZE // MIB):
        yield block


@pytest.mark.slow
def test_a_quarter_of_a_gigabyte_goes_through_a_few_megabytes(
    sandbox: Sandbox, connect: Callable[..., Client]
) -> None:
    client = connect(sandbox)
    upload_id = client.initiate("key")
    tracemalloc.start()
    try:
        put = client.send("PUT", "key", body=body(), headers={"Content-Length": str(SIZE)})
        part = client.part("key", upload_id, 1, body(), {"Content-Length": str(SIZE)})
        assert client.complete("key", upload_id, {1: part.etag}).status == 200
        client.connection.putrequest("GET", client.target("key", {}))
        for name, value in client.headers("GET", "key", {}, {}, sandbox.requests[-1].time).items():
            client.connection.putheader(name, value)
        client.connection.endheaders()
        digest = hashlib.md5()
        reply = client.connection.getresponse()
        while block := reply.read(MIB):
            digest.update(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert put.etag == part.etag == digest.hexdigest()
    assert peak < 16 * MIB
