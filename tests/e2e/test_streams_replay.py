"""The same stream fed again is resumed; a different one is rejected before anything is sent."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.engine.job.connection import connect
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.stream.uploader import StreamUploader
from obsup.errors import ObsupError, SourceChanged
from obsup.local.source.file_object import FileObject
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import TOKEN_NAME, SourceStat, Upload
from obsup.sandbox.sandbox import Sandbox
from obsup.units import KIB, MIB
from tests.support.pipes import Bash
from tests.support.shell import Shell
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
PART = 100 * KIB
UPLOAD = "obsup upload - bucket/key --part-size 100K --checkpoint state.json --json"


@pytest.fixture
def bash(shell: Shell, tmp_path: Path) -> Bash:
    """Bash with obsup in it."""
    return Bash.with_folder(shell, tmp_path / "bin")


@pytest.fixture
def interrupted(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> bytes:
    """A stream of ten parts whose upload was killed after seven were stored; returns the whole stream."""
    data = make_file(10 * PART - 1000).read_bytes()
    with subprocess.Popen(
        [sys.executable, "-m", *UPLOAD.split()],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(data[: 7 * PART + 5000])
        process.stdin.flush()
        wait_for(
            lambda: sum(one.status == 200 for one in sandbox.requests if one.operation == "part") >= 7,
            process=process,
        )
        process.send_signal(signal.SIGKILL)
    assert [len(one.parts) for one in sandbox.uploads()] == [7]
    return data


def sent(sandbox: Sandbox, since: int) -> list[int]:
    """Return the part numbers that were sent after the first *since* requests."""
    return sorted(one.part_number or 0 for one in sandbox.requests[since:] if one.operation == "part")


def test_killed_after_part_seven_and_fed_again(bash: Bash, sandbox: Sandbox, interrupted: bytes) -> None:
    """Stored parts are compared and not sent; the object is the whole stream."""
    before = len(sandbox.requests)
    outcome = bash.run(f"cat bigfile | {UPLOAD}")
    assert outcome.code == 0, outcome.err
    assert sent(sandbox, before) == [8, 9, 10]
    assert (outcome.json["sentParts"], outcome.json["parts"]) == (3, 10)
    assert sandbox.object_path("bucket", "key").read_bytes() == interrupted
    assert sandbox.uploads() == []
    assert not (bash.shell.folder / "state.json").exists()


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda data: b"X" + data[1:], "Part 1 differs"),
        (lambda data: data[: 6 * PART + 7] + b"X" + data[6 * PART + 8 :], "Part 7 differs"),
        (lambda data: data[: 3 * PART - 1], "Part 3 differs"),
        (lambda data: data[: 3 * PART], "It ends in part 3, but part 7 is stored"),
    ],
    ids=["first byte", "last stored part", "short", "short at a boundary"],
)
def test_a_different_stream_is_rejected(
    bash: Bash, sandbox: Sandbox, interrupted: bytes, alter: Callable[[bytes], bytes], message: str
) -> None:
    """Exit 65 before anything is sent; the upload is kept, and the right stream still resumes it."""
    (bash.shell.folder / "altered").write_bytes(alter(interrupted))
    before = len(sandbox.requests)
    outcome = bash.run(f"cat altered | {UPLOAD}")
    assert outcome.code == 65
    assert message in outcome.err
    assert "--restart" in outcome.err
    assert sent(sandbox, before) == []
    assert "abort" not in [one.operation for one in sandbox.requests]
    assert bash.run(f"cat bigfile | {UPLOAD}").json["sentParts"] == 3


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_a_completed_upload_that_is_still_listed(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, provider: str
) -> None:
    """The store made the object but still lists the upload: the object is checked before Complete is sent again."""
    make_file(6 * MIB)
    command = f"cat bigfile | {UPLOAD} --part-size 5M --provider {provider} --region eu-west-1"
    sandbox.add_fault("error=403:AccessDenied,op=complete,times=always")
    assert bash.run(command).code == 77
    sandbox.clear_faults()
    state = bash.shell.folder / "state.json"
    recorded = state.read_bytes()
    sandbox.add_fault("keep-upload,op=complete")
    assert bash.run(command).code == 0
    [left] = sandbox.uploads()
    state.write_bytes(recorded)
    before = len(sandbox.requests)
    rerun = bash.run(command)
    assert (rerun.code, rerun.json["uploadId"]) == (0, left.upload_id), rerun.err
    assert [one.operation for one in sandbox.requests[before:]] == ["parts", "head", "parts"]
    assert f"upload {left.upload_id}, which made it; do not abort it" in rerun.err
    assert not state.exists()


@pytest.fixture
def completed(bash: Bash, sandbox: Sandbox, make_file: MakeFile) -> bytes:
    """An upload of five parts that was killed after Complete, before its record was removed; returns the stream."""
    data = make_file(5 * PART - 1000).read_bytes()
    sandbox.add_fault("error=403:AccessDenied,op=complete,times=always")
    assert bash.run(f"cat bigfile | {UPLOAD}").code == 77
    sandbox.clear_faults()
    state = bash.shell.folder / "state.json"
    recorded = state.read_bytes()
    assert bash.run(f"cat bigfile | {UPLOAD}").code == 0
    state.write_bytes(recorded)
    return data


def test_killed_after_complete_and_fed_again(bash: Bash, sandbox: Sandbox, completed: bytes) -> None:
    """The object is found to be the stream; nothing is sent."""
    before = len(sandbox.requests)
    outcome = bash.run(f"cat bigfile | {UPLOAD}")
    assert (outcome.code, outcome.json["sentParts"], outcome.json["parts"]) == (0, 0, 5), outcome.err
    assert not {"initiate", "part"} & {one.operation for one in sandbox.requests[before:]}
    assert sandbox.object_path("bucket", "key").read_bytes() == completed
    assert not (bash.shell.folder / "state.json").exists()


def test_stored_parts_that_were_not_recorded_are_recorded_before_complete(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """So that the object is found if the second run is killed after Complete."""
    make_file(5 * PART - 1000)
    sandbox.add_fault("error=403:AccessDenied,op=complete,times=always")
    assert bash.run(f"cat bigfile | {UPLOAD}").code == 77
    path = bash.shell.folder / "state.json"
    found = checkpoints.load(path)
    assert found is not None
    checkpoints.save(path, replace(found, receipts={}))
    assert bash.run(f"cat bigfile | {UPLOAD}").code == 77
    found = checkpoints.load(path)
    assert found is not None
    assert sorted(found.receipts) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "alter",
    [
        lambda data: b"X" + data[1:],
        lambda data: data[:-1],
        lambda data: data + b"X",
        lambda data: data + data,
    ],
    ids=["first byte", "short", "long", "twice"],
)
def test_a_different_stream_after_complete_is_rejected(
    bash: Bash, sandbox: Sandbox, completed: bytes, alter: Callable[[bytes], bytes]
) -> None:
    """Exit 65 before anything is sent; --restart, which it names, sends the new stream."""
    (bash.shell.folder / "altered").write_bytes(alter(completed))
    outcome = bash.run(f"cat altered | {UPLOAD}")
    assert (outcome.code, "--restart" in outcome.err) == (65, True)
    assert sandbox.object_path("bucket", "key").read_bytes() == completed
    assert bash.run(f"cat altered | {UPLOAD} --restart").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == alter(completed)
    assert sandbox.uploads() == []


@pytest.mark.parametrize("without", ["object", "permission"])
def test_a_completed_upload_whose_object_cannot_be_shown(
    bash: Bash, sandbox: Sandbox, completed: bytes, without: str
) -> None:
    """It was replaced, or HeadObject and ListObjects are forbidden: obsup starts over."""
    if without == "object":
        assert bash.run("echo other | obsup upload - bucket/key").code == 0
    else:
        for operation in ("head", "list"):
            sandbox.add_fault(f"error=403:AccessDenied,op={operation},times=always")
    outcome = bash.run(f"cat bigfile | {UPLOAD}")
    assert (outcome.code, outcome.json["sentParts"]) == (0, 5), outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == completed


def test_a_stream_that_differs_after_the_stored_parts_is_accepted(
    bash: Bash, sandbox: Sandbox, interrupted: bytes
) -> None:
    """The object is the stream that was fed last."""
    longer = interrupted[: 8 * PART] + b"another end" * 50_000
    (bash.shell.folder / "longer").write_bytes(longer)
    assert bash.run(f"cat longer | {UPLOAD}").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == longer


def test_restart_starts_over_with_a_different_stream(
    bash: Bash, sandbox: Sandbox, interrupted: bytes
) -> None:
    """--restart aborts the upload and sends the whole new stream."""
    (bash.shell.folder / "other").write_bytes(interrupted[::-1])
    outcome = bash.run(f"cat other | {UPLOAD} --restart")
    assert outcome.json["sentParts"] == 10
    assert sandbox.object_path("bucket", "key").read_bytes() == interrupted[::-1]
    assert sandbox.uploads() == []


def test_progress_of_a_replay_includes_stored_parts(bash: Bash, interrupted: bytes) -> None:
    """Seven parts are stored already: they count as done and are not sent."""
    outcome = bash.run(f"cat bigfile | {UPLOAD} --progress json")
    last = outcome.err.splitlines()[-1]
    assert f'"transferred": {len(interrupted)}, "total": null' in last
    assert '"partsDone": 10, "parts": null' in last


def test_an_upload_that_no_longer_exists_starts_over(
    bash: Bash, sandbox: Sandbox, interrupted: bytes
) -> None:
    """Aborted or expired: obsup notes it and sends everything."""
    sandbox.add_fault("forget-upload,op=parts")
    outcome = bash.run(f"cat bigfile | {UPLOAD}")
    assert outcome.code == 0
    assert "starting over" in outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == interrupted


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("sed -i s/bucket/becket/ state.json", 65, "is damaged"),
        ("truncate -s 100 state.json", 65, "is damaged"),
        ("printf garbage > state.json", 2, "is not a checkpoint"),
        ("export WORDS='--part-size 200K'", 2, "parts of 100K, not of 200K"),
        ("export WORDS='--metadata a=b'", 2, "other object options"),
    ],
)
def test_a_checkpoint_that_does_not_fit(
    bash: Bash, sandbox: Sandbox, interrupted: bytes, change: str, code: int, message: str
) -> None:
    """It is an error, and nothing is overwritten, aborted or sent."""
    before = len(sandbox.requests)
    outcome = bash.run(f"{change}; cp state.json copy; cat bigfile | {UPLOAD} $WORDS")
    assert outcome.code == code
    assert message in outcome.err
    assert [one.operation for one in sandbox.requests[before:]] == []
    assert bash.run("cmp state.json copy").code == 0


def test_the_checkpoint_of_another_target(bash: Bash, sandbox: Sandbox, interrupted: bytes) -> None:
    """Not even --restart aborts the upload of another object."""
    for arguments in ("", "--restart"):
        outcome = bash.run(f"cat bigfile | {UPLOAD.replace('bucket/key', 'bucket/other')} {arguments}")
        assert outcome.code == 2
        assert "It is about bucket/key" in outcome.err
    assert [len(one.parts) for one in sandbox.uploads()] == [7]


class InterruptedUpload:
    """An upload with some stored parts, as a killed run leaves it."""

    def __init__(self, sandbox: Sandbox, folder: Path, *, scheme: str = "obs", part_size: int = PART) -> None:
        self.part_size = part_size
        self.stop = StopSignal()
        self.tally = ProgressTally(None)
        environ = {"AccessKeyID": sandbox.access_key, "SecretAccessKey": sandbox.secret_key}
        connecting = ConnectOptions(endpoint=sandbox.endpoint, region="region", backoff_s=0.01)
        self.target, settings = resolve_target(f"{scheme}://bucket/key", connecting)
        self.connection = connect(settings, sleep=self.stop.sleep, environ=environ, observe=self.tally)
        self.path = folder / "state.json"
        headers = {f"x-obs-meta-{TOKEN_NAME}": "token"}
        initiated = self.connection.store.initiate(self.target, headers)
        self.upload = Upload(self.target, initiated.upload_id, "token")

    def store(self, number: int, data: bytes) -> None:
        """Store part *number*."""
        body = Body(data)
        self.connection.store.upload_part(self.upload, number, lambda: body)

    def record(self, order: UploadRequest) -> None:
        """Write the checkpoint without receipts: parts can be compared only with the store's digests."""
        checkpoints.save(
            self.path,
            Checkpoint(
                source="-",
                stat=SourceStat(0, 0, 0, 0, 0),
                upload=self.upload,
                part_size=self.part_size,
                receipts={},
                created=time.time(),
                headers_digest=order.headers_digest,
            ),
        )

    def feed(self, data: bytes, *, jobs: int = 5) -> int:
        """Upload the stream *data*; return how many parts were sent."""
        order = UploadRequest(
            Path("-"), self.target, part_size=self.part_size, jobs=jobs, checkpoint=self.path
        )
        if not self.path.exists():
            self.record(order)
        source = FileObject(io.BytesIO(data))
        return (
            StreamUploader(self.connection, order, source, tally=self.tally, stop=self.stop).run().sent_parts
        )


class Body(io.BytesIO):
    """Bytes as the body of a request."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size = len(data)


def part_of(data: bytes, number: int, size: int = PART) -> bytes:
    """Return part *number* of *data*."""
    return data[(number - 1) * size : number * size]


@pytest.mark.parametrize(("scheme", "part_size"), [("obs", PART), ("oss", PART), ("s3", 5 * MIB)])
def test_parts_are_compared_with_the_digests_of_the_store(
    sandbox: Sandbox, tmp_path: Path, scheme: str, part_size: int
) -> None:
    """Parts in flight when the last run was killed are stored but not recorded: their MD5 or CRC-64 is listed."""
    data = random.Random(1).randbytes(3 * part_size - 1)
    replayed = InterruptedUpload(sandbox, tmp_path, scheme=scheme, part_size=part_size)
    replayed.store(1, part_of(data, 1, part_size))
    replayed.store(3, part_of(data, 3, part_size))
    assert replayed.feed(data) == 1
    assert sandbox.object_path("bucket", "key").read_bytes() == data


@pytest.mark.parametrize("seed", [0, 1, *range(2, 8)])
def test_missing_parts_between_stored_ones_are_held_back(sandbox: Sandbox, tmp_path: Path, seed: int) -> None:
    """Whichever parts are stored: a different stream is rejected before anything is sent, the same one completed."""
    dice = random.Random(seed)
    data = dice.randbytes(9 * PART - 7)
    stored = dice.sample(range(1, 9), 5)
    replayed = InterruptedUpload(sandbox, tmp_path)
    for number in stored:
        replayed.store(number, part_of(data, number))
    differs = dice.choice(stored)
    changed = bytearray(data)
    changed[differs * PART - 1] ^= 1
    before = len(sandbox.requests)
    with pytest.raises(SourceChanged, match=f"Part {differs} differs"):
        replayed.feed(bytes(changed))
    assert sent(sandbox, before) == []
    assert replayed.feed(data) == 4
    assert sandbox.object_path("bucket", "key").read_bytes() == data


def test_parts_after_a_gap_larger_than_memory_are_sent_again(sandbox: Sandbox, tmp_path: Path) -> None:
    """With two parts in memory, stored parts after a wide gap are not compared but replaced."""
    data = random.Random(1).randbytes(10 * PART)
    changed = data[: 8 * PART + 1] + b"X" + data[8 * PART + 2 :]
    for fed in (data, changed):
        replayed = InterruptedUpload(sandbox, tmp_path)
        for number in (1, 9):
            replayed.store(number, part_of(data, number))
        assert replayed.feed(fed, jobs=1) == 9
        assert sandbox.object_path("bucket", "key").read_bytes() == fed


def test_the_part_size_grows_as_in_the_first_run(sandbox: Sandbox, tmp_path: Path) -> None:
    """The checkpoint records how the part size grows: a replay splits the stream as the first run did."""
    data = random.Random(1).randbytes(9 * PART)
    replayed = InterruptedUpload(sandbox, tmp_path)
    sizes = [PART, PART, 2 * PART, 2 * PART, 3 * PART]
    offsets = [0, PART, 2 * PART, 4 * PART, 6 * PART]
    for number in (1, 3):
        replayed.store(number, data[offsets[number - 1] :][: sizes[number - 1]])
    order = UploadRequest(Path("-"), replayed.target)
    replayed.record(order)
    found = checkpoints.load(replayed.path)
    assert found is not None
    checkpoints.save(replayed.path, replace(found, growth=(2, 2)))
    order = UploadRequest(Path("-"), replayed.target, checkpoint=replayed.path)
    source = FileObject(io.BytesIO(data))
    result = StreamUploader(
        replayed.connection, order, source, tally=replayed.tally, stop=replayed.stop
    ).run()
    assert result.sent_parts == 3
    received = [one for one in sandbox.requests if one.operation == "part"]
    assert {one.part_number: one.received for one in received} == dict(enumerate(sizes, start=1))
    assert sandbox.object_path("bucket", "key").read_bytes() == data


def test_an_unrecorded_initiation_is_found(sandbox: Sandbox, tmp_path: Path) -> None:
    """Killed between Initiate and its record: the upload is used, not orphaned."""
    data = random.Random(1).randbytes(3 * PART)
    replayed = InterruptedUpload(sandbox, tmp_path)
    order = UploadRequest(Path("-"), replayed.target)
    replayed.record(order)
    found = checkpoints.load(replayed.path)
    assert found is not None
    checkpoints.save(replayed.path, replace(found, upload=replace(replayed.upload, upload_id="")))
    assert replayed.feed(data) == 3
    assert sandbox.uploads() == []
    assert [one.operation for one in sandbox.requests].count("initiate") == 1


def test_an_interrupted_replay_keeps_parts_that_were_not_compared(sandbox: Sandbox, tmp_path: Path) -> None:
    """A replay that fails early forgets no part that the first run stored."""
    data = random.Random(1).randbytes(6 * PART)
    replayed = InterruptedUpload(sandbox, tmp_path)
    for number in (1, 2, 3, 4):
        replayed.store(number, part_of(data, number))

    class FailingFile(io.BytesIO):
        """A file that cannot be read after its second part."""

        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 2 * PART:
                raise OSError(5, "Input/output error")
            return super().read(size)

    order = UploadRequest(Path("-"), replayed.target, part_size=PART, checkpoint=replayed.path)
    replayed.record(order)
    with pytest.raises(ObsupError, match="reading"):
        StreamUploader(
            replayed.connection,
            order,
            FileObject(FailingFile(data)),
            tally=replayed.tally,
            stop=replayed.stop,
        ).run()
    assert replayed.feed(data) == 2
