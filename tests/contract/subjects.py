"""What the contract is held against: every store there is, what is peculiar to it, and how to open it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
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
from tests.support.stores import open_store

PAGE = 2
LONG = "k" * 1024
UNSPEAKABLE = ("\x1b[31mred\x07\r\x01", "\ufffe\u202e\x7f\x85")
"""Keys that no XML can hold."""
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
    *UNSPEAKABLE,
    "folder/",
    LONG,
)


@dataclass(frozen=True)
class Server:
    """A running store, or one in memory, and what it does otherwise than the vendors' pages say.

    ``min_part`` is bytes. ``keys`` are those it cannot hold, each with the verb and the status of its refusal.
    ``unknown`` is what each verb says of an upload that does not exist, where that is not NoSuchUpload.
    ``keeps_refused_uploads``: an upload outlives a part, or a Complete, that was refused.
    ``composes_etags``: HEAD shows the composite ETag, and not the MD5 of the whole.
    ``answers_to_long_keys``: with XML. ``lists_folders``: uploads of keys that end in a slash.
    ``lists_unspeakable_keys``: encodes those that no XML can hold, as it is asked to.
    ``lists_sparse_parts``: ListParts goes on after a part number, and not after so many parts.
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
    keeps_uploads_apart: bool = True
    replaces_parts: bool = True
    composes_etags: bool = True
    copies: bool = True
    lists_sparse_parts: bool = True
    answers_to_long_keys: bool = True
    lists_folders: bool = True
    lists_unspeakable_keys: bool = True
    missing_source: str = "NoSuchKey"


@dataclass(frozen=True)
class Subject:
    """One server in one dialect, with one way of addressing: what a promise is tried on."""

    server: Server
    dialect: Dialect
    addressing: Addressing
    store: ObjectStore

    @property
    def is_remote(self) -> bool:
        """Whether there is a line to it."""
        return not isinstance(self.store, MemoryStore)

    def target(self, key: str, *, bucket: str | None = None) -> Target:
        """Return the Target of *key*."""
        return Target(self.dialect.provider, self.server.endpoint, bucket or self.server.bucket, key)

    def begin(self, key: str, headers: Mapping[str, str] | None = None) -> Upload:
        """Open an upload."""
        return Upload(self.target(key), self.store.initiate(self.target(key), headers or {}))

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
    """Return *dialect* with lists of few entries a page, so that every list is one of several pages."""
    return replace(dialect, limits=replace(dialect.limits, page=PAGE))


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


def make_bucket(server: Server, dialect_name: str) -> None:
    """Create the server's bucket; one that is there already is as good."""
    dialect = DIALECTS[dialect_name]
    transport = Transport(ConnectionSettings())
    address = locate(server.endpoint, server.bucket, None, "path")
    answer = transport.exchange(
        "PUT",
        address,
        (),
        headers={},
        body=b"",
        sign=lambda headers: dialect.sign(
            Signable("PUT", address, (), headers),
            server.credentials,
            region=server.region,
            now=ServerClock().now(),
        ),
    )
    transport.close()
    assert answer.status in (200, 409), answer


_ADDRESSINGS: tuple[Addressing, ...] = ("path", "virtual", "cname")
# Every dialect in path style, and every addressing once; the other combinations run in the slow lane.
_EVERY_RUN = {
    *((dialect, "path") for dialect in DIALECTS),
    ("obs", "virtual"),
    ("s3-v4", "virtual"),
    ("oss-v4", "cname"),
}


def _param(fixture: str, dialect: str, addressing: Addressing, *marks: pytest.MarkDecorator) -> Any:
    return pytest.param((fixture, dialect, addressing), id=f"{fixture}-{dialect}-{addressing}", marks=marks)


def _real_account() -> list[Any]:
    """The account that the environment names, where OBSUP_TEST_ENDPOINT is set; ``-k account`` runs it alone.

    OBSUP_TEST_ENDPOINT, OBSUP_TEST_BUCKET (an empty one, for this alone), OBSUP_TEST_ACCESS_KEY_ID,
    OBSUP_TEST_SECRET_ACCESS_KEY, OBSUP_TEST_SECURITY_TOKEN; OBSUP_TEST_PROVIDER (obs), OBSUP_TEST_SIGNATURE (auto),
    OBSUP_TEST_REGION, OBSUP_TEST_ADDRESSING (virtual). Small objects are left behind, and no uploads.
    """
    if "OBSUP_TEST_ENDPOINT" not in os.environ:
        return []
    provider = os.environ.get("OBSUP_TEST_PROVIDER", "obs")
    dialect = find_dialect(provider, os.environ.get("OBSUP_TEST_SIGNATURE", "auto"))
    marks = (pytest.mark.enable_socket, pytest.mark.xdist_group("account"))
    addressing: Addressing = "path" if os.environ.get("OBSUP_TEST_ADDRESSING") == "path" else "virtual"
    return [_param("account", dialect.name, addressing, *marks)]


def _subjects() -> list[Any]:
    found: list[Any] = [_param("memory", dialect, "virtual") for dialect in ("obs", "oss-v4")]
    found += [
        _param(
            "sandbox_server",
            dialect,
            addressing,
            *([] if (dialect, addressing) in _EVERY_RUN else [pytest.mark.slow]),
        )
        for dialect in DIALECTS
        for addressing in _ADDRESSINGS
    ]
    found += [_param("rclone", "s3-v4", "path", pytest.mark.xdist_group("rclone"))]
    found += [_param("moto", d, "path", pytest.mark.xdist_group("moto")) for d in ("s3-v4", "s3-v2")]
    ceph = (pytest.mark.ceph, pytest.mark.xdist_group("ceph"), pytest.mark.timeout(600))
    found += [_param("ceph", d, a, *ceph) for d in ("s3-v4", "s3-v2") for a in _ADDRESSINGS[:2]]
    return found + _real_account()


SUBJECTS = _subjects()
