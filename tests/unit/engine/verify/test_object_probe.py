"""Whether the object is already there, ours, and the right one, decided from one HeadObject response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from msgspec.structs import replace

from obsup.engine.proof.object_proof import Expected
from obsup.engine.verify.object_probe import ObjectProbe
from obsup.errors import DataMismatch, NotFinished, NotPermitted
from obsup.model import TOKEN_NAME, ObjectInfo, ObjectPage, Stored, Target
from obsup.store.interface import ObjectStore

TARGET = Target("obs", "http://127.0.0.1", "bucket", "key")
ETAG = "0123456789abcdef0123456789abcdef-2"
EXPECTED = Expected(100, ETAG, 7, "upload-id", "token")
INFO = ObjectInfo(100, ETAG, {TOKEN_NAME: "token"})
RESPONSE = Stored(200, "", "request-id")


class OneObject:
    """A store that has at most one object."""

    def __init__(self, info: ObjectInfo | None, *, is_denied: bool = False) -> None:
        self._info = info
        self._is_denied = is_denied

    def head_object(self, _target: Target, *, is_copy_source: bool = False) -> ObjectInfo | None:  # noqa: ARG002
        """Return the object."""
        if self._is_denied:
            raise NotPermitted("access denied")
        return self._info

    def list_objects(self, _bucket: str, _prefix: str, _marker: str) -> ObjectPage:
        """Reject the list."""
        raise NotPermitted("access denied")


def probe(info: ObjectInfo | None, expected: Expected = EXPECTED, **how: bool) -> ObjectProbe:
    """Return a probe of a store with this object."""
    return ObjectProbe(cast(ObjectStore, OneObject(info, **how)), TARGET, expected)


@pytest.mark.parametrize(
    ("changed", "verified", "is_marked"),
    [
        ({}, "etag", True),
        ({"crc64": 7}, "crc64", True),
        ({"crc64": 7, "etag": "another"}, "crc64", True),
        ({"etag": "opaque"}, "token", True),
        ({"upload_id": "upload-id", "metadata": {}, "etag": "opaque"}, "upload-id", True),
        ({"size": 99}, None, False),
        ({"size": -1}, "etag", True),
        ({"size": -1, "etag": "opaque"}, None, False),
        ({"crc64": 8}, "etag", True),
        ({"crc64": 8, "etag": "opaque"}, None, False),
        ({"etag": ETAG.replace("0", "f")}, None, False),
        ({"metadata": {}}, None, False),
        ({"metadata": {TOKEN_NAME: "of another upload"}}, None, False),
        ({"upload_id": "another", "metadata": {}}, None, False),
    ],
    ids=str,
)
def test_an_object_is_found_only_if_it_is_ours_and_right(
    changed: Mapping[str, Any], verified: str | None, is_marked: bool
) -> None:
    """Size and digests must match, and upload id or token, if the object can have one."""
    found = probe(replace(INFO, **changed)).find()
    assert (found.verified if found else None, bool(found and found.is_marked)) == (verified, is_marked)


def test_without_a_mark_the_content_decides() -> None:
    """A store without upload ids, and --no-token."""
    unmarked = replace(EXPECTED, token=None)
    found = probe(INFO, unmarked).find()
    assert found is not None
    assert (found.verified, found.is_marked) == ("etag", False)
    assert probe(INFO, unmarked).find_marked() is None


def test_no_object_is_found_if_there_is_none() -> None:
    """HeadObject returns 404."""
    assert probe(None).find() is None
    assert probe(None).find_marked() is None


def test_a_mark_needs_permission_to_read_the_object() -> None:
    """Credentials without HeadObject permission can still complete an upload."""
    assert probe(INFO, is_denied=True).find_marked() is None
    with pytest.raises(NotPermitted):
        probe(INFO, is_denied=True).find()


@pytest.mark.parametrize(
    ("response", "info", "verified"),
    [
        (replace(RESPONSE, crc64=7), None, "crc64"),
        (replace(RESPONSE, etag=ETAG.upper()), None, "etag"),
        (RESPONSE, INFO, "etag"),
        (RESPONSE, replace(INFO, crc64=8), "etag"),
        (replace(RESPONSE, crc64=8), INFO, "etag"),
        (replace(RESPONSE, crc64=8), replace(INFO, crc64=7, etag="opaque"), "crc64"),
        (RESPONSE, replace(INFO, etag="opaque"), "token"),
        (replace(RESPONSE, etag="opaque"), replace(INFO, etag="OPAQUE", metadata={}), "size"),
    ],
    ids=str,
)
def test_a_success_is_confirmed(response: Stored, info: ObjectInfo | None, verified: str) -> None:
    """By the response itself, or by HeadObject."""
    assert probe(info).confirm(response).verified == verified


def test_the_etag_of_head_object_completes_an_empty_one() -> None:
    """Ceph returns no ETag for Complete."""
    assert probe(INFO).confirm(RESPONSE).stored == replace(RESPONSE, etag=ETAG)


@pytest.mark.parametrize(
    ("response", "changed"),
    [
        (RESPONSE, {"size": 99}),
        (RESPONSE, {"crc64": 8, "etag": "opaque"}),
        (replace(RESPONSE, crc64=8), {"etag": "opaque"}),
        (replace(RESPONSE, etag="opaque"), {"etag": "another opaque one", "metadata": {}}),
        (RESPONSE, {"etag": ETAG.replace("0", "f")}),
    ],
    ids=str,
)
def test_a_success_with_another_object_is_a_failure(response: Stored, changed: Mapping[str, Any]) -> None:
    """Verification fails closed."""
    with pytest.raises(DataMismatch):
        probe(replace(INFO, **changed)).confirm(response)


def test_a_crc64_of_head_object_that_differs_is_a_failure_after_a_put() -> None:
    """A single PutObject has no composite ETag; size and ETag alone do not verify it against another CRC-64."""
    expected = Expected(100, None, 7, None, None)
    with pytest.raises(DataMismatch):
        probe(ObjectInfo(100, "opaque", {}, crc64=8), expected).confirm(Stored(200, "opaque"))


def test_an_object_that_is_not_visible_yet_is_not_finished() -> None:
    """Exit 75: a later run finds it."""
    with pytest.raises(NotFinished):
        probe(None).confirm(RESPONSE)
