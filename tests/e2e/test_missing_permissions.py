"""Credentials and stores without HeadObject, ListParts or ListMultipartUploads: finish, or give advice that helps."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from obsup.errors import UNAVAILABLE, Denied, ObsupError
from obsup.sandbox.sandbox import Sandbox
from obsup.text import shell_line
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed
from tests.support.batch import count_operations
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.upload_rig import PART, PATIENT, Rig

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
FIVE_MIB = 5 * 1024 * 1024  # the minimum part size of S3
MISSING = ["403:AccessDenied", "405:MethodNotAllowed", "501:NotImplemented"]


@pytest.fixture
def encrypting() -> Iterator[Sandbox]:
    """A store without checksums whose buckets encrypt with KMS by default: no ETag is an MD5."""
    with Sandbox(encrypts=True, limits={"min_part": PART}, faults=["ignore-checksums"]) as running:
        yield running


@pytest.fixture(params=["obs", "s3"])
def opaque(request: pytest.FixtureRequest, encrypting: Sandbox, make_file: MakeFile) -> Rig:
    """A source of three parts for such a store. The responses of OSS have a CRC-64."""
    if request.param == "s3":
        return Rig(encrypting, make_file(2 * FIVE_MIB + 1000), provider="s3", part_size=FIVE_MIB)
    return Rig(encrypting, make_file(3 * PART - 1000))


@pytest.fixture
def rig(sandbox: Sandbox, make_file: MakeFile) -> Rig:
    """A source of three parts."""
    return Rig(sandbox, make_file(3 * PART - 1000))


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


def test_a_list_that_does_not_show_the_object(opaque: Rig) -> None:
    """No response has a digest of it, and the store does not show it: exit 75."""

    def empty(answer: Answer) -> Wire | None:
        if answer.operation != "bucket-get":
            return None
        body = re.sub(rb"<Contents>.*</Contents>", b"", answer.body, flags=re.DOTALL)
        return Wire(framed(dataclasses.replace(answer, body=body)))

    forbid(opaque.sandbox, "head", "get")
    with MutatingRelay(opaque.sandbox.port, empty) as relay:
        opaque.endpoint = relay.endpoint
        error = failure(opaque)
    assert (error.exit_code, "is not visible yet" in error.what) == (75, True), error


def test_a_lost_response_to_complete_is_found_in_the_list(sandbox: Sandbox, make_file: MakeFile) -> None:
    """The upload is gone, and the list shows an object with the expected ETag."""
    rig = Rig(sandbox, make_file(3 * PART - 1000), provider="obs")
    forbid(sandbox, "head", "get")
    sandbox.add_fault("drop-answer,op=complete")
    assert rig.run().verified == "etag"
    assert rig.requests("part") == [1, 2, 3]


def test_the_advice_for_an_object_that_nothing_verifies_helps(opaque: Rig) -> None:
    """The response to Complete is lost: nothing shows what the object is. --restart, as advised, finishes.

    The store returns 404 to a repeated Complete, as those do that are not S3.
    """
    forbid(opaque.sandbox, "head", "get")
    opaque.sandbox.add_fault("error=404:NoSuchUpload,op=complete,after=1")
    opaque.sandbox.add_fault("drop-answer,op=complete")
    first, second = failure(opaque), failure(opaque)
    for error in (first, second):
        assert isinstance(error, Denied)
        assert error.next_step is not None
        assert error.next_step.add == ("--restart",)
    assert opaque.run(restart=True).verified == "size"
    assert opaque.is_stored()


# Initiate, if uploads cannot be listed.


@pytest.mark.parametrize("error", MISSING)
def test_a_lost_initiate_leaves_one_upload_and_names_it(rig: Rig, error: str) -> None:
    """No retry and no later run initiates another one; --restart, as advised, does, and finishes."""
    forbid(rig.sandbox, "uploads", error=error)
    rig.sandbox.add_fault("drop-answer,op=initiate")
    first = failure(rig)
    assert rig.requests("initiate") == [None]
    second = failure(rig)
    assert rig.requests("initiate") == []
    for one in (first, second):
        assert isinstance(one, UNAVAILABLE)
        assert "an upload of bucket/key may be open since 20" in one.what
        assert one.next_step is not None
        assert one.next_step.add == ("--restart",)
    assert len(rig.open_ids()) == 1
    rig.run(restart=True)
    assert "an upload of bucket/key may be open since 20" in rig.notes()
    assert rig.is_stored()
    assert len(rig.open_ids()) == 1


def test_the_permission_to_list_uploads_finishes_a_lost_initiate(rig: Rig) -> None:
    """The other advice: the upload is found and continued."""
    forbid(rig.sandbox, "uploads")
    rig.sandbox.add_fault("drop-answer,op=initiate")
    failure(rig)
    rig.sandbox.clear_faults()
    rig.run()
    assert rig.requests("initiate") == []
    assert rig.open_ids() == []
    assert rig.is_stored()


@pytest.mark.parametrize("error", ["500:InternalError", "503:SlowDown"])
def test_a_store_that_fails_to_initiate_is_retried(rig: Rig, error: str) -> None:
    """Its response says that it failed, so no upload is expected, and a later run is not blocked either."""
    forbid(rig.sandbox, "uploads")
    rig.sandbox.add_fault(f"error={error},op=initiate,times=2")
    rig.run()
    assert len(rig.requests("initiate")) == 3
    rig.sandbox.add_fault(f"error={error},op=initiate,times=always")
    rig.key = "other"
    assert rig.code(replace(PATIENT, retry_for_s=0.5)) == 75
    assert not rig.checkpoint.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "-", "bucket/key", "--part-size", "100K"),
        ("upload", "-", "bucket/key", "--part-size", "100K", "--checkpoint", "state.json"),
        ("upload", "--from-command", "bucket/key", "--part-size", "100K", "--", "cat", "bigfile"),
        ("init", "bucket/key"),
        ("init", "bigfile", "bucket/key", "--parts", "2"),
    ],
    ids=["pipe", "checkpoint", "command", "init", "init of a file"],
)
def test_the_advice_after_a_lost_initiate_helps(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, arguments: tuple[str, ...]
) -> None:
    """One request per run, and the printed command works."""
    make_file(3 * PART - 1000)
    forbid(sandbox, "uploads")
    sandbox.add_fault("drop-answer,op=initiate")
    words = shell_line(["obsup", *arguments])
    outcome = shell.run_script(f"cat bigfile | {words}")
    assert (outcome.code, count_operations(sandbox)["initiate"]) == (77, 1), outcome.err
    printed = outcome.err.rpartition(": ")[2].strip().replace("… |", "cat bigfile |")
    assert shell.run_script(printed).code == 0, printed


def test_a_lost_initiate_whose_parts_cannot_be_listed_is_not_repeated(rig: Rig) -> None:
    """The upload is listed, but only ListParts would show that no other client uses it."""
    forbid(rig.sandbox, "parts")
    rig.sandbox.add_fault("drop-answer,op=initiate")
    assert failure(rig).exit_code == 77
    assert failure(rig).exit_code == 77
    assert len(rig.open_ids()) == 1
    rig.run(restart=True)
    assert rig.is_stored()


# ListParts: the checkpoint has the receipt of each part.


@pytest.mark.parametrize("error", MISSING)
@pytest.mark.parametrize("also", [(), ("uploads",)], ids=["uploads listed", "nothing listed"])
def test_an_upload_is_resumed_by_its_receipts(rig: Rig, error: str, also: tuple[str, ...]) -> None:
    """Only the missing part is sent."""
    rig.break_off("op=part,part=3")
    forbid(rig.sandbox, "parts", *also, error=error)
    rig.run()
    assert rig.requests("part") == [3]
    assert rig.is_stored()
    assert rig.notes().count("cannot list the parts") == 1


@pytest.mark.parametrize("also", [(), ("uploads",)], ids=["uploads listed", "nothing listed"])
@pytest.mark.parametrize("at", ["op=part,part=3", "op=complete"])
def test_an_upload_that_is_gone_is_started_over_without_lists(
    rig: Rig, also: tuple[str, ...], at: str
) -> None:
    """The next part, or Complete, shows that it is gone."""
    rig.break_off(at)
    forbid(rig.sandbox, "parts", *also)
    rig.sandbox.add_fault(f"forget-upload,{at}")
    rig.run()
    assert rig.is_stored()
    assert rig.open_ids() == []


def test_parts_that_complete_rejects_are_all_sent_again_without_a_list(rig: Rig) -> None:
    """Nothing shows which part is wrong."""
    rig.break_off("op=complete")
    forbid(rig.sandbox, "parts")
    rig.sandbox.add_fault("error=400:InvalidPart,op=complete")
    rig.run()
    assert rig.requests("part") == [1, 2, 3]
    assert rig.is_stored()


@pytest.mark.parametrize("use_token", [True, False])
@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_a_lost_response_to_complete_without_a_list_of_parts(
    sandbox: Sandbox, make_file: MakeFile, provider: str, use_token: bool
) -> None:
    """The second Complete shows that the upload is gone, and HeadObject that it made the object."""
    rig = Rig(sandbox, make_file(FIVE_MIB + 1000), provider=provider, part_size=FIVE_MIB)
    forbid(sandbox, "parts")
    sandbox.add_fault("drop-answer,op=complete")
    rig.run(use_token=use_token)
    assert rig.requests("part") == [1, 2]
    assert rig.is_stored()


def test_complete_uses_the_receipts_of_the_checkpoint(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """A missing part is reported by its number; with all parts, the object is made."""
    source = make_file(3 * PART)
    command = (source, "bucket/key")
    assert inside.run("init", *command, "--parts", "3").code == 0
    forbid(sandbox, "parts")
    for number in (1, 2):
        assert inside.run("part", *command, "--part-number", str(number)).code == 0
    outcome = inside.run("complete", *command)
    assert (outcome.code, "part 3 is missing" in outcome.err) == (65, True), outcome.err
    assert inside.run("part", *command, "--part-number", "3").code == 0
    assert inside.run("complete", *command).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_stream_is_resumed_by_its_receipts(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Stored parts are compared and not sent again."""
    make_file(3 * PART)
    options = ("--part-size", "100K", "-j", "1", "--json")
    command = ("upload", "--from-command", "bucket/key", *options, "--", "cat", "bigfile")
    sandbox.add_fault("error=403:AccessDenied,op=part,part=3,times=always")
    assert inside.run(*command).code == 77
    sandbox.clear_faults()
    forbid(sandbox, "parts")
    outcome = inside.run(*command)
    assert (outcome.code, outcome.json["sentParts"]) == (0, 1), outcome.err
