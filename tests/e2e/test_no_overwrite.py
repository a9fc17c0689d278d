"""--no-overwrite on a store that ignores conditional requests, as MinIO, Ceph, SeaweedFS and rclone do in part."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.api import upload_file
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import ObjectExists
from obsup.events import Event, Requested
from obsup.model import Credentials, ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.upload_rig import PATIENT, Rig

FOREIGN = b"of somebody else"
PART = 5 * 1024 * 1024
NO_OVERWRITE = ObjectOptions(no_overwrite=True)
MakeFile = Callable[..., Path]


@pytest.fixture
def store(sandbox: Sandbox) -> Sandbox:
    """A store that replaces objects although the request forbids it."""
    sandbox.add_fault("ignore-condition")
    return sandbox


@pytest.fixture
def inside(store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """Runs commands against the store."""
    monkeypatch.setenv("OBSUP_PROVIDER", "s3")
    monkeypatch.setenv("OBSUP_REGION", "here")
    return Inside(store, tmp_path, monkeypatch)


def put_foreign(store: Sandbox, key: str = "key") -> Path:
    """Store an object of somebody else."""
    path = store.object_path("bucket", key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(FOREIGN)
    return path


def operations(store: Sandbox) -> list[str]:
    """Return the operations of all requests that may have changed something."""
    return [
        one.operation for one in store.requests if one.operation not in ("head", "uploads", "parts", "list")
    ]


def appear_at(store: Sandbox, operation: str) -> Callable[[Event], None]:
    """Return an observer that stores the foreign object after the first successful request of *operation*."""
    done: list[Event] = []

    def observe(event: Event) -> None:
        if isinstance(event, Requested) and event.operation == operation and not done:
            done.append(event)
            put_foreign(store)

    return observe


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "source", "bucket/key"),
        ("upload", "source", "bucket/key", "--part-size", "5M"),
        ("upload", "--from-command", "bucket/key", "--part-size", "5M", "--", "cat", "source"),
        ("upload", "--from-command", "bucket/key", "--", "head", "-c", "9", "source"),
        ("upload", "-r", "tree/", "bucket/"),
        ("init", "source", "bucket/key"),
    ],
    ids=["one request", "parts", "stream", "short stream", "batch", "init"],
)
def test_an_existing_object_is_found_before_anything_is_sent(
    inside: Inside, store: Sandbox, make_file: MakeFile, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Nothing is sent, no upload stays open, and the exit code is 69."""
    (tmp_path / "tree").mkdir()
    make_file(8 * 1024 * 1024, "source")
    make_file(9, "tree/key")
    kept = put_foreign(store)
    at = arguments.index("bucket/key" if "bucket/key" in arguments else "bucket/") + 1
    outcome = inside.run(*arguments[:at], "--no-overwrite", *arguments[at:])
    assert (outcome.code, operations(store)) == (69, [])
    assert "exists" in outcome.err
    assert kept.read_bytes() == FOREIGN
    assert store.uploads() == []


def test_an_object_that_appears_during_the_upload_is_kept(store: Sandbox, make_file: MakeFile) -> None:
    """The error names the command that discards the upload, which stays open."""
    rig = Rig(store, make_file(2 * PART), provider="s3", part_size=PART)
    with pytest.raises(ObjectExists) as caught:
        rig.run(options=NO_OVERWRITE, observer=appear_at(store, "UploadPart"))
    upload_id = rig.open_ids()[0]
    step = caught.value.next_step
    assert step is not None
    assert step.command == ("obsup", "abort", "bucket/key", "--upload-id", upload_id)
    assert upload_id in caught.value.why
    assert store.object_path("bucket", "key").read_bytes() == FOREIGN
    assert rig.requests("complete") == []


def test_the_named_command_discards_the_upload(inside: Inside, store: Sandbox, make_file: MakeFile) -> None:
    """A resumed upload looks before the first byte; the next step works as it is printed."""
    make_file(2 * PART, "source")
    store.add_fault("error=403:AccessDenied,op=part,part=2,times=2")
    command = ("upload", "source", "bucket/key", "--part-size", "5M", "-j", "1", "--no-overwrite")
    assert inside.run(*command).code == 77
    put_foreign(store)
    sent = len(operations(store))
    outcome = inside.run(*command)
    assert (outcome.code, operations(store)[sent:]) == (69, [])
    step = next(line for line in outcome.err.splitlines() if "obsup abort" in line)
    assert inside.run(*shlex.split(step[step.index("obsup abort") :])[1:]).code == 0
    assert store.uploads() == []


@pytest.mark.parametrize("origin", ["checkpoint", "record of the upload", "command line"])
def test_complete(inside: Inside, store: Sandbox, make_file: MakeFile, origin: str) -> None:
    """`complete` looks before it publishes, whether init recorded the option or it is given now."""
    make_file(1000, "source")
    if origin != "command line":
        upload_id = inside.run("init", "source", "bucket/key", "--no-overwrite").out.strip()
        assert inside.run("part", "source", "bucket/key", "--part-number", "1").code == 0
        complete: tuple[str, ...] = ("complete", "source", "bucket/key")
        if origin == "record of the upload":
            complete = ("complete", "bucket/key", "--upload-id", upload_id)
    else:
        upload_id = inside.run("init", "bucket/key").out.strip()
        part = (
            "part",
            "source",
            "bucket/key",
            "--upload-id",
            upload_id,
            "--part-number",
            "1",
            "--parts",
            "1",
        )
        assert inside.run(*part).code == 0
        complete = ("complete", "bucket/key", "--upload-id", upload_id, "--no-overwrite")
    kept = put_foreign(store)
    outcome = inside.run(*complete)
    assert outcome.code == 69
    assert f"obsup abort bucket/key --upload-id {upload_id}" in outcome.err
    assert kept.read_bytes() == FOREIGN
    kept.unlink()
    assert inside.run(*complete).code == 0


@pytest.mark.parametrize("parts", [None, PART], ids=["one request", "parts"])
@pytest.mark.parametrize("operation", ["put", "complete"])
def test_an_own_object_whose_response_was_lost_is_a_success(
    store: Sandbox, make_file: MakeFile, parts: int | None, operation: str
) -> None:
    """The retry finds the object, which is the one that this upload made."""
    store.add_fault(f"drop-answer,op={operation}")
    rig = Rig(store, make_file(1000 if parts is None else 2 * PART), provider="s3", part_size=parts)
    rig.run(options=NO_OVERWRITE)
    assert rig.is_stored()
    assert rig.requests("put") + rig.requests("complete") == [None]


def test_a_retry_after_a_lost_request_looks_again(store: Sandbox, make_file: MakeFile) -> None:
    """The first request did not arrive, and the object appears before the second."""
    rig = Rig(store, make_file(1000), provider="s3", part_size=None)
    store.add_fault("error=503:SlowDown,op=put")
    assert rig.code(PATIENT, options=NO_OVERWRITE, observer=appear_at(store, "PutObject")) == 69
    assert store.object_path("bucket", "key").read_bytes() == FOREIGN


@pytest.mark.parametrize("answer", ["412:PreconditionFailed", "412:AtLeastOneConditionFailed"])
@pytest.mark.parametrize("parts", [None, PART], ids=["one request", "parts"])
def test_every_412_means_that_the_object_exists(
    sandbox: Sandbox, make_file: MakeFile, parts: int | None, answer: str
) -> None:
    """The object appeared after the look: the store's own check applies."""
    sandbox.add_fault(f"error={answer},op={'put' if parts is None else 'complete'}")
    rig = Rig(sandbox, make_file(1000 if parts is None else 2 * PART), provider="s3", part_size=parts)
    with pytest.raises(ObjectExists) as caught:
        rig.run(options=NO_OVERWRITE)
    step = caught.value.next_step
    assert step is not None
    assert step.command[:2] == (("obsup", "abort") if parts else ())


def test_without_the_permission_to_look_nothing_is_sent(store: Sandbox, make_file: MakeFile) -> None:
    """Only the vendors' own hosts are known to check the condition."""
    for operation in ("head", "get"):
        store.add_fault(f"error=403:AccessDenied,op={operation},times=always")
    rig = Rig(store, make_file(1000), provider="s3", part_size=None)
    assert rig.code(options=NO_OVERWRITE) == 77
    assert rig.requests("put") == []


def test_the_api(store: Sandbox) -> None:
    """A stream through the API."""
    kept = put_foreign(store)
    with pytest.raises(ObjectExists):
        upload_file(
            io.BytesIO(b"new"),
            "bucket/key",
            options=NO_OVERWRITE,
            connecting=ConnectOptions(endpoint=store.endpoint, provider="s3", region="here"),
            credentials=Credentials(store.access_key, store.secret_key),
        )
    assert kept.read_bytes() == FOREIGN
