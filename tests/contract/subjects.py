"""The stores of the contract tests: all servers, their known differences, and how to open them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Addressing, Dialect, Signable
from obsup.dialects.registry import DIALECTS, find_dialect
from obsup.model import Credentials, Target, Upload
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.transport import Transport
from obsup.store.interface import ObjectStore
from obsup.units import MIB
from tests.doubles.memory_store import MemoryStore
from tests.support.matrix import EVERY_RUN
from tests.support.stores import open_store

PAGE_SIZE = 2
LONGEST_KEY = "k" * 1024
NON_XML_KEYS = ("\x1b[31mred\x07\r\x01", "\ufffe\u202e\x7f\x85")
"""Keys with characters that are invalid in XML."""
KEYS = (
    "plain.txt",
    "dir//x",
    "a/../b/./c",
    "%41 100%",
    "a+b",
    "é/对象/🚀",
    "/leading",
    "~tilde/~",
    " two  spaces ",
    "'\"&<>`;",
    "q?x=1&y#z",
    "back\\slash",
    "line\nbreak",
    *NON_XML_KEYS,
    "folder/",
    LONGEST_KEY,
)


@dataclass(frozen=True)
class Server:
    """A running server or an in-memory store, and how it differs from the vendors' documentation.

    ``min_part`` is in bytes. ``keys`` are unsupported keys, each with the operation and the status that rejects it.
    ``unknown`` is the error code of each operation for a missing upload, if it is not NoSuchUpload.
    ``empty_list`` is the status that rejects a Complete without parts.
    ``keeps_refused_uploads``: a rejected part or Complete does not discard the upload.
    ``checks_key_of_upload``: an upload id is rejected if it belongs to another key.
    ``composes_etags``: HEAD returns the composite ETag, not the MD5 of the object.
    ``returns_xml_for_long_keys``: the response to Complete is valid XML even for the longest key.
    ``unlisted``: the keys that lists of uploads do not show as they are.
    ``dropped``: the keys whose objects are stored without their content.
    ``other_ids``: upload ids that may be rejected with another error code.
    ``merges_slashes``: ``a//b`` is the object ``a/b``.
    ``keeps_replaced_parts``: a list of parts has a part that was sent twice twice, with the times in seconds.
    ``copies_have_md5``: the ETag of a copied part is its MD5.
    ``encrypts``: the kinds of encryption that the server applies.
    ``has_crc64nvme``: it returns the CRC-64/NVME of each object.
    ``locks``: it has Object Lock, for buckets that are created with it.
    ``lists_sparse_parts``: the marker of ListParts is a part number, not a number of parts.
    """

    name: str
    endpoint: str = ""
    credentials: Credentials = field(default_factory=lambda: Credentials("ak", "sk"))
    bucket: str = "bucket"
    region: str = "us-east-1"
    min_part: int = 5 * MIB
    keys: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    checks_signatures: bool = True
    checks_digests: bool = True
    checks_part_numbers: bool = True
    keeps_refused_uploads: bool = True
    checks_key_of_upload: bool = True
    replaces_parts: bool = True
    composes_etags: bool = True
    copies: bool = True
    lists_sparse_parts: bool = True
    returns_xml_for_long_keys: bool = True
    unlisted: Collection[str] = ()
    dropped: Collection[str] = ()
    other_ids: Mapping[str, str] = field(default_factory=dict)
    merges_slashes: bool = False
    keeps_replaced_parts: bool = False
    copies_have_md5: bool = True
    encrypts: Collection[str] = ()
    has_crc64nvme: bool = False
    locks: bool = False
    max_parts: int = 10_000
    empty_list: int = 400
    missing_source: str = "NoSuchKey"


@dataclass(frozen=True)
class Subject:
    """A server with a dialect and an addressing style: the store that a test runs against."""

    server: Server
    dialect: Dialect
    addressing: Addressing
    store: ObjectStore

    def target(self, key: str, *, bucket: str | None = None) -> Target:
        """Return the Target of *key*."""
        return Target(self.dialect.provider, self.server.endpoint, bucket or self.server.bucket, key)

    def begin(self, key: str, headers: Mapping[str, str] | None = None) -> Upload:
        """Initiate an upload."""
        return Upload(self.target(key), self.store.initiate(self.target(key), headers or {}).upload_id)

    @contextmanager
    def with_keys(self, credentials: Credentials) -> Iterator[ObjectStore]:
        """Open the same store with other credentials."""
        with open_store(
            self.dialect,
            self.server.endpoint,
            keys=credentials,
            region=self.server.region,
            addressing=self.addressing,
        ) as store:
            yield store


def paged(dialect: Dialect) -> Dialect:
    """Return *dialect* with short pages, so that every list has several."""
    return replace(dialect, limits=replace(dialect.limits, page=PAGE_SIZE))


@contextmanager
def open_subject(server: Server, dialect_name: str, addressing: Addressing) -> Iterator[Subject]:
    """Open *server* as a subject."""
    dialect = paged(DIALECTS[dialect_name])
    if not server.endpoint:
        memory = MemoryStore(dialect, (server.bucket,), min_part=server.min_part)
        yield Subject(server, dialect, addressing, memory)
        return
    with open_store(
        dialect,
        server.endpoint,
        keys=server.credentials,
        region=server.region,
        addressing=addressing,
        line=ConnectionSettings(connect_timeout_s=30, stall_timeout_s=60),
    ) as store:
        yield Subject(server, dialect, addressing, store)


def make_bucket(server: Server, dialect_name: str, *, locks: bool = False) -> None:
    """Create the server's bucket unless it exists; *locks*: with Object Lock, if the server has that."""
    dialect = DIALECTS[dialect_name]
    transport = Transport(ConnectionSettings())
    address = locate(server.endpoint, server.bucket, None, "path")
    response = transport.exchange(
        "PUT",
        address,
        (),
        headers={f"{dialect.prefix}bucket-object-lock-enabled": "true"} if locks else {},
        body=b"",
        sign=lambda headers: dialect.sign(
            Signable("PUT", address, (), headers),
            server.credentials,
            region=server.region,
            now=ServerClock().now(),
        ),
    )
    transport.close()
    assert response.status in (200, 409), response


_ADDRESSINGS: tuple[Addressing, ...] = ("path", "virtual", "cname")
# One signature per vendor in path style, and every addressing once; the other combinations run in the slow lane.
_EVERY_RUN = {
    *((dialect, "path") for dialect in EVERY_RUN),
    ("obs", "virtual"),
    ("s3-v4", "virtual"),
    ("oss-v4", "cname"),
}


def _param(fixture: str, dialect: str, addressing: Addressing, *marks: pytest.MarkDecorator) -> Any:
    return pytest.param((fixture, dialect, addressing), id=f"{fixture}-{dialect}-{addressing}", marks=marks)


def _real_account() -> list[Any]:
    """Return the account that the environment configures, if any; ``-k account`` runs only its tests.

    OBSUP_TEST_ENDPOINT, OBSUP_TEST_BUCKET (an empty bucket for these tests only), OBSUP_TEST_ACCESS_KEY_ID,
    OBSUP_TEST_SECRET_ACCESS_KEY, OBSUP_TEST_SECURITY_TOKEN; OBSUP_TEST_PROVIDER (obs), OBSUP_TEST_SIGNATURE (auto),
    OBSUP_TEST_REGION, OBSUP_TEST_ADDRESSING (virtual). Small objects remain in the bucket, but no uploads.
    """
    if "OBSUP_TEST_ENDPOINT" not in os.environ:
        return []
    provider = os.environ.get("OBSUP_TEST_PROVIDER", "obs")
    dialect = find_dialect(provider, os.environ.get("OBSUP_TEST_SIGNATURE", "auto"))
    marks = (pytest.mark.enable_socket, pytest.mark.xdist_group("account"))
    addressing: Addressing = "path" if os.environ.get("OBSUP_TEST_ADDRESSING") == "path" else "virtual"
    return [_param("account", dialect.name, addressing, *marks)]


def _subjects() -> list[Any]:
    subjects: list[Any] = [_param("memory", dialect, "virtual") for dialect in ("obs", "oss-v4")]
    subjects += [
        _param(
            "sandbox_server",
            dialect,
            addressing,
            *([] if (dialect, addressing) in _EVERY_RUN else [pytest.mark.slow]),
        )
        for dialect in DIALECTS
        for addressing in _ADDRESSINGS
    ]
    subjects += [_param("rclone", "s3-v4", "path", pytest.mark.xdist_group("rclone"))]
    subjects += [
        _param("moto", dialect, "path", pytest.mark.xdist_group("moto")) for dialect in ("s3-v4", "s3-v2")
    ]
    ceph = (pytest.mark.ceph, pytest.mark.xdist_group("ceph"), pytest.mark.timeout(600))
    subjects += [
        _param("ceph", dialect, addressing, *ceph)
        for dialect in ("s3-v4", "s3-v2")
        for addressing in _ADDRESSINGS[:2]
    ]
    for name in ("swift", "seaweedfs"):
        marks = (getattr(pytest.mark, name), pytest.mark.xdist_group(name))
        subjects += [_param(name, dialect, "path", *marks) for dialect in ("s3-v4", "s3-v2")]
    return subjects + _real_account()


SUBJECTS = _subjects()
