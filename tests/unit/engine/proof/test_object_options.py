"""The options of an object are those that HeadObject shows; what it does not show is named."""

from __future__ import annotations

from typing import Any

import pytest

from obsup.dialects.objects.object_headers import object_headers
from obsup.dialects.registry import find_dialect
from obsup.engine.proof.object_options import OptionComparison, compare_options
from obsup.model import ObjectInfo, ObjectOptions

SHOWN = {
    "content-type": "Text/Plain",
    "expires": "Thu, 01 Jan 2026 00:00:00 GMT",
    "x-amz-meta-k": "v",
    "x-amz-meta-day": "2026-01-01",
    "x-amz-storage-class": "GLACIER",
}
KMS = {
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:eu:1:key/key",
}


@pytest.mark.parametrize(
    ("options", "shown", "expected"),
    [
        (ObjectOptions(), {}, OptionComparison()),
        (ObjectOptions(content_type="text/plain"), SHOWN, OptionComparison()),
        (ObjectOptions(content_type="text/html"), SHOWN, OptionComparison(("--content-type",))),
        (ObjectOptions(cache_control="no-store"), SHOWN, OptionComparison(("--cache-control",))),
        (ObjectOptions(expires_header="Thu, 1 Jan 2026 00:00:00 +0000"), SHOWN, OptionComparison()),
        (ObjectOptions(metadata={"k": "v"}), SHOWN, OptionComparison()),
        (ObjectOptions(metadata={"k": "V", "l": "v"}), SHOWN, OptionComparison(("--metadata",))),
        (ObjectOptions(metadata={"day": "20260101"}), SHOWN, OptionComparison(("--metadata",))),
        (ObjectOptions(storage_class="GLACIER"), SHOWN, OptionComparison()),
        (ObjectOptions(storage_class="GLACIER"), {}, OptionComparison(("--storage-class",))),
        (ObjectOptions(storage_class="STANDARD"), {}, OptionComparison()),
        (ObjectOptions(sse="AES256"), {}, OptionComparison(("--sse",))),
        (ObjectOptions(acl="private", no_overwrite=True), {}, OptionComparison((), ("--acl",))),
        (ObjectOptions(headers=(("x-amz-other", "1"),)), {}, OptionComparison((), ("--header x-amz-other",))),
        (ObjectOptions(headers=(("x-amz-meta-k", "w"),)), SHOWN, OptionComparison(("--metadata",))),
        (ObjectOptions(tags={"k": "v"}), {}, OptionComparison((), ("--tag",))),
        (ObjectOptions(tags={"k": "v"}), {"x-amz-tagging-count": "1"}, OptionComparison((), ("--tag",))),
        (ObjectOptions(tags={"k": "v"}), {"x-amz-tagging-count": "2"}, OptionComparison(("--tag",))),
        (ObjectOptions(sse="kms", sse_kms_key_id="key"), KMS, OptionComparison()),
        (ObjectOptions(sse="kms", sse_kms_key_id="other"), KMS, OptionComparison(("--sse-kms-key-id",))),
        (ObjectOptions(sse="kms", sse_kms_key_id="ey"), KMS, OptionComparison(("--sse-kms-key-id",))),
        (
            ObjectOptions(sse="kms", sse_kms_key_id="alias/a"),
            KMS,
            OptionComparison((), ("--sse-kms-key-id",)),
        ),
    ],
)
def test_options_are_compared_with_the_headers_of_the_object(
    options: ObjectOptions, shown: dict[str, str], expected: OptionComparison
) -> None:
    """Only those that were asked for; a store returns no standard storage class."""
    info = ObjectInfo(1, "etag", {}, headers=shown)
    dialect = find_dialect("s3")
    assert compare_options(dialect, object_headers(dialect, options, "put", since_s=0), info) == expected


@pytest.mark.parametrize(
    ("parameter", "value", "shown", "is_same"),
    [
        ("content_type", "text/html; charset=utf-8", "text/html;charset=UTF-8", True),
        ("content_type", "multipart/mixed; boundary=ABC", "multipart/mixed; boundary=abc", False),
        ("content_disposition", 'attachment; filename="A b"', 'attachment; filename="ab"', False),
        ("website_redirect", "/Docs/", "/docs/", False),
        ("cache_control", "no-cache, no-store", "No-Cache,no-store", True),
    ],
)
def test_case_and_blanks_count_where_they_mean_something(
    parameter: str, value: str, shown: str, is_same: bool
) -> None:
    """--skip-identical would keep the object with its old option."""
    dialect = find_dialect("s3")
    options: Any = {parameter: value}
    headers = object_headers(dialect, ObjectOptions(**options), "put", since_s=0)
    info = ObjectInfo(1, "etag", {}, headers={name.lower(): shown for name in headers})
    assert (not compare_options(dialect, headers, info).differ) == is_same


@pytest.mark.parametrize(
    ("options", "shown", "is_shown"),
    [
        (ObjectOptions(tags={"k": "v", "l": "w"}), {"x-obs-tagging-count": "2"}, True),
        (ObjectOptions(tags={"k": "v", "l": "w"}), {"x-obs-tagging-count": "1"}, False),
        (ObjectOptions(tags={"k": "v"}), {}, False),
        (ObjectOptions(expires_days=3), {"x-obs-expiration": 'expiry-date="…"'}, True),
        (ObjectOptions(expires_days=3), {}, False),
    ],
)
def test_a_new_object_has_its_tags_and_its_expiry(
    options: ObjectOptions, shown: dict[str, str], is_shown: bool
) -> None:
    """HeadObject shows the number of tags, and that the object expires; without it they were dropped."""
    dialect = find_dialect("obs")
    info = ObjectInfo(1, "etag", {}, headers=shown)
    compared = compare_options(dialect, object_headers(dialect, options, "put", since_s=0), info, is_new=True)
    assert (not compared.differ, compared.unknown) == (is_shown, ())
