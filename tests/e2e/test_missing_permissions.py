"""Credentials and stores without HeadObject, ListParts or ListMultipartUploads: finish, or give advice that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from obsup.errors import Denied, ObsupError
from obsup.sandbox.sandbox import Sandbox
from tests.support.upload_rig import PART, Rig

MakeFile = Callable[..., Path]
FIVE_MIB = 5 * 1024 * 1024  # the minimum part size of S3
MISSING = ["403:AccessDenied", "405:MethodNotAllowed", "501:NotImplemented"]


@pytest.fixture
def encrypting() -> Iterator[Sandbox]:
    """A store whose buckets encrypt with KMS by default: no ETag is an MD5."""
    with Sandbox(encrypts=True, limits={"min_part": PART}) as running:
        yield running


@pytest.fixture(params=["obs", "s3"])
def opaque(request: pytest.FixtureRequest, encrypting: Sandbox, make_file: MakeFile) -> Rig:
    """A source of three parts for such a store. The responses of OSS have a CRC-64."""
    if request.param == "s3":
        return Rig(encrypting, make_file(2 * FIVE_MIB + 1000), provider="s3", part_size=FIVE_MIB)
    return Rig(encrypting, make_file(3 * PART - 1000))


def forbid(sandbox: Sandbox, *operations: str, error: str = MISSING[0]) -> None:
    """Reject these operations from now on."""
    for operation in operations:
        sandbox.add_fault(f"error={error},op={operation},times=always")


def failure(rig: Rig, **order: Any) -> ObsupError:
    """Upload, and return the error."""
    with pytest.raises(ObsupError) as caught:
        rig.run(**order)
    return caught.value


@pytest.mark.parametrize("error", MISSING)
@pytest.mark.parametrize("also", [(), ("list",)], ids=["listed", "unseen"])
def test_the_responses_verify_an_object_that_cannot_be_looked_at(
    opaque: Rig, error: str, also: tuple[str, ...]
) -> None:
    """Its ETag means nothing and HeadObject is forbidden: the store confirmed every part and Complete."""
    forbid(opaque.sandbox, "head", "get", *also, error=error)
    assert opaque.run().verified == ("parts" if also else "size")
    assert opaque.is_stored()
    assert not opaque.checkpoint.exists()
    assert opaque.notes().count("HeadObject") == (1 if also else 0)


@pytest.mark.parametrize("also", [(), ("list",)], ids=["listed", "unseen"])
def test_the_response_verifies_a_small_object_that_cannot_be_looked_at(
    opaque: Rig, make_file: MakeFile, also: tuple[str, ...]
) -> None:
    """The same for PutObject, which has a Content-MD5: sent once."""
    opaque.source, opaque.part_size = make_file(1000, "small"), None
    forbid(opaque.sandbox, "head", "get", *also)
    assert opaque.run().verified == ("parts" if also else "size")
    assert opaque.requests("put") == [None]
    assert opaque.is_stored()


def test_a_list_that_shows_another_object_is_reported(opaque: Rig) -> None:
    """Another client replaced it after Complete."""
    forbid(opaque.sandbox, "head", "get")

    def shorten(event: object) -> None:
        if getattr(event, "operation", "") == "CompleteMultipartUpload":
            path = opaque.sandbox.object_path("bucket", opaque.key)
            path.write_bytes(path.read_bytes()[:-1])

    assert failure(opaque, observer=shorten).exit_code == 65


def test_a_lost_response_to_complete_is_found_in_the_list(sandbox: Sandbox, make_file: MakeFile) -> None:
    """The upload is gone, and the list shows an object with the expected ETag."""
    rig = Rig(sandbox, make_file(3 * PART - 1000), provider="obs")
    forbid(sandbox, "head", "get")
    sandbox.add_fault("drop-answer,op=complete")
    assert rig.run().verified == "etag"
    assert rig.requests("part") == [1, 2, 3]


def test_the_advice_for_an_object_that_nothing_verifies_helps(opaque: Rig) -> None:
    """The response to Complete is lost: nothing shows what the object is. --restart, as advised, finishes."""
    forbid(opaque.sandbox, "head", "get")
    opaque.sandbox.add_fault("drop-answer,op=complete")
    first, second = failure(opaque), failure(opaque)
    for error in (first, second):
        assert isinstance(error, Denied)
        assert error.next_step is not None
        assert error.next_step.add == ("--restart",)
    assert opaque.run(restart=True).verified == "size"
    assert opaque.is_stored()
