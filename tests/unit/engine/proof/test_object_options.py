"""The options of an object are those that HeadObject shows; what it does not show is named."""

from __future__ import annotations

import pytest

from obsup.dialects.registry import find_dialect
from obsup.engine.proof.object_options import OptionComparison, compare_options
from obsup.model import ObjectInfo, ObjectOptions

SHOWN = {
    "content-type": "Text/Plain",
    "expires": "Thu, 01 Jan 2026 00:00:00 GMT",
    "x-amz-meta-k": "v",
    "x-amz-storage-class": "GLACIER",
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
        (ObjectOptions(storage_class="GLACIER"), SHOWN, OptionComparison()),
        (ObjectOptions(storage_class="GLACIER"), {}, OptionComparison(("--storage-class",))),
        (ObjectOptions(storage_class="STANDARD"), {}, OptionComparison()),
        (ObjectOptions(sse="AES256"), {}, OptionComparison(("--sse",))),
        (ObjectOptions(acl="private", no_overwrite=True), {}, OptionComparison((), ("--acl",))),
        (ObjectOptions(headers=(("x-amz-other", "1"),)), {}, OptionComparison((), ("--header x-amz-other",))),
        (ObjectOptions(headers=(("x-amz-meta-k", "w"),)), SHOWN, OptionComparison(("--metadata",))),
    ],
)
def test_options_are_compared_with_the_headers_of_the_object(
    options: ObjectOptions, shown: dict[str, str], expected: OptionComparison
) -> None:
    """Only those that were asked for; a store returns no standard storage class."""
    info = ObjectInfo(1, "etag", {}, headers=shown)
    assert compare_options(find_dialect("s3"), options, info) == expected
