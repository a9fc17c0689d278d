"""abort, gc and uploads: which uploads are aborted, and which are kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace as replace_data
from email.utils import formatdate
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.engine.upload.abort import abort_fully
from obsup.errors import NotFinished, UploadGone
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import started_uploads
from obsup.local.state.lock import UploadLock
from obsup.model import StoredPart, Target, Upload
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed, with_other_headers
from tests.support.in_process import Inside
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
SIZE = 1_000_000


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file for five parts."""
    return make_file(SIZE)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that switches to another machine, without state."""

    def move() -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))

    return move


def open_ids(sandbox: Sandbox) -> list[str]:
    """Return the upload ids of the open uploads."""
    return [one.upload_id for one in sandbox.uploads()]


def test_abort_removes_upload_and_checkpoint_and_can_be_repeated(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """A second abort succeeds, without the checkpoint and with the upload id; nothing is printed."""
    upload_id = inside.run("init", source, "bucket/key", "--parts", "5").out.strip()
    inside.run("part", source, "bucket/key", "--part-number", "2")
    for arguments in (
        (source, "bucket/key"),
        (source, "bucket/key"),
        ("bucket/key", "--upload-id", upload_id),
    ):
        outcome = inside.run("abort", *arguments)
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert sandbox.uploads() == []
    assert list(source.parent.glob("*.obsup.json")) == []
    assert list(started_uploads.find_open()) == []


def test_abort_keeps_a_running_upload(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """Even if only a single part is being sent."""
    inside.run("init", source, "bucket/key", "--parts", "5")
    for shared in (True, False):
        with UploadLock(Target("obs", sandbox.endpoint, "bucket", "key"), shared=shared):
            assert inside.run("abort", source, "bucket/key").code == 75
    assert len(sandbox.uploads()) == 1
    assert len(list(source.parent.glob("*.obsup.json"))) == 1


@pytest.mark.parametrize(
    ("fault", "code"), [("error=403:AccessDenied", 77), ("error-in-200=AccessDenied", 69)]
)
def test_a_rejected_abort_keeps_everything(
    inside: Inside, sandbox: Sandbox, source: Path, fault: str, code: int
) -> None:
    """An upload that still exists must stay recorded here."""
    inside.run("init", source, "bucket/key", "--parts", "5")
    sandbox.add_fault(f"{fault},op=abort,times=always")
    assert inside.run("abort", source, "bucket/key").code == code
    assert len(list(source.parent.glob("*.obsup.json"))) == 1
    assert len(list(started_uploads.find_open())) == 1


def test_an_abort_that_only_a_login_page_answers(
    inside: Inside, sandbox: Sandbox, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page with status 200 for every request, as networks show it before a login, confirms no abort."""

    def log_in(answer: Answer) -> Wire | None:
        headers = (("Content-Type", "text/html"),)
        page = replace_data(answer, status=200, headers=headers, body=b"<html>Log in</html>")
        return Wire(framed(page)) if answer.operation in ("head", "abort", "parts") else None

    with MutatingRelay(sandbox.port, log_in) as relay:
        monkeypatch.setenv("OBSUP_ENDPOINT", relay.endpoint)
        inside.run("init", source, "bucket/key", "--parts", "5")
        sandbox.add_fault("error=403:AccessDenied,op=abort,times=always")
        outcome = inside.run("abort", source, "bucket/key")
    assert outcome.code == 69, outcome.err
    assert len(list(source.parent.glob("*.obsup.json"))) == 1
    assert len(list(started_uploads.find_open())) == 1


class LateStore:
    """A store where *late* parts arrive one after the other, each after an abort, as S3 documents."""

    def __init__(self, late: int) -> None:
        self.late = late
        self.aborts = 0

    def abort(self, _upload: Upload) -> bool:
        """Remove the parts; the next one is already in flight."""
        self.aborts += 1
        return True

    def list_parts(self, _upload: Upload) -> list[StoredPart]:
        """Return the part that arrived since."""
        if self.aborts > self.late:
            raise UploadGone("gone")
        return [StoredPart(1, 5, "etag")]


UPLOAD = Upload(Target("s3", "https://s3.eu-west-1.amazonaws.com", "bucket", "key"), "id")


def test_parts_that_arrive_late_are_aborted_too() -> None:
    """Abort is repeated until none is listed, with increasing pauses."""
    store, pauses = LateStore(3), list[float]()

    def sleep(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    abort_fully(store, UPLOAD, sleep)  # type: ignore[arg-type]
    assert (store.aborts, pauses) == (4, [0.5, 1.0, 2.0])


def test_parts_that_keep_arriving_are_reported() -> None:
    """Another process keeps sending; a signal ends the wait."""
    for sleep in (lambda _: False, lambda _: True):
        with pytest.raises(NotFinished, match="1 part can still be listed"):
            abort_fully(LateStore(99), UPLOAD, sleep)  # type: ignore[arg-type]


def test_parts_of_a_completed_upload_are_not_waited_for() -> None:
    """Swift returns that the upload does not exist, and lists its parts, which belong to the object."""

    class Completed(LateStore):
        def abort(self, upload: Upload) -> bool:
            return not super().abort(upload)

    store = Completed(99)
    abort_fully(store, UPLOAD, lambda _: False)  # type: ignore[arg-type]
    assert store.aborts == 2


def test_uploads_joins_the_list_with_the_local_state(
    inside: Inside, sandbox: Sandbox, source: Path, elsewhere: Callable[[], None], home: Path
) -> None:
    """Own or foreign, live, age, parts and bytes, checkpoint; three columns by default."""
    own = inside.run("init", source, "bucket/own", "--parts", "5").out.strip()
    inside.run("part", source, "bucket/own", "--part-number", "2")
    bare = inside.run("init", "bucket/bare").out.strip()
    text = inside.run("uploads", "bucket")
    rows = [line.split("\t") for line in text.out.splitlines()]
    assert [row[:2] for row in rows] == [["bare", bare], ["own", own]]
    assert [len(row) for row in rows] == [3, 3]
    with UploadLock(Target("obs", sandbox.endpoint, "bucket", "own"), shared=True):
        long = [line.split("\t") for line in inside.run("uploads", "bucket/o", "-l").out.splitlines()]
        [found] = inside.run("uploads", "bucket/o", "--json").json["uploads"]
    [path] = source.parent.glob("*.obsup.json")
    assert [row[3:5] + row[6:] for row in long] == [["own", "live", "1", "200000", str(path)]]
    assert 0 <= int(long[0][5]) < 300
    assert (found["own"], found["live"], found["checkpoint"]) == (True, True, str(path))
    assert "parts" not in found
    elsewhere()
    foreign = inside.run("uploads", "bucket", "--json", "--long").json["uploads"]
    assert [(one["own"], one["live"], one["parts"]) for one in foreign] == [
        (False, False, 0),
        (False, False, 1),
    ]


def test_control_characters_in_keys_are_escaped(inside: Inside, sandbox: Sandbox) -> None:
    """A key must not fake a line; --json has it unchanged."""
    key = "a\nb\tc\\d\x7fe"
    inside.run("init", f"bucket/{key}")
    text = inside.run("uploads", "bucket").out
    assert text.split("\t")[0] == "a\\nb\\tc\\\\d\\177e"
    assert text.count("\n") == 1
    assert inside.run("uploads", "bucket", "--json").json["uploads"][0]["key"] == key


def test_gc_aborts_only_own_old_and_idle_uploads(
    inside: Inside, sandbox: Sandbox, source: Path, elsewhere: Callable[[], None], home: Path
) -> None:
    """Never a live, recent or foreign one. Aborted uploads are printed, and their checkpoints are removed."""
    stale = inside.run("init", source, "bucket/stale", "--parts", "5").out.strip()
    live = inside.run("init", "bucket/live").out.strip()
    elsewhere()
    foreign = inside.run("init", "bucket/foreign").out.strip()
    assert inside.run("gc", "bucket", "--older-than", "1h").out == ""
    first_machine = pytest.MonkeyPatch()
    first_machine.setenv("HOME", str(home))
    try:
        with UploadLock(Target("obs", sandbox.endpoint, "bucket", "live"), shared=True):
            planned = inside.run("gc", "bucket", "--older-than", "0s", "--dry-run")
            assert open_ids(sandbox) == [foreign, live, stale]
            done = inside.run("gc", "bucket", "--older-than", "0s")
            second = inside.run("gc", "bucket", "--older-than", "0s", "--json").json
        assert planned.out == done.out
        assert [line.split("\t")[:2] for line in done.out.splitlines()] == [["stale", stale]]
        assert [(one["key"], one["because"]) for one in second["kept"]] == [
            ("foreign", "foreign"),
            ("live", "live"),
        ]
        assert (second["aborted"], second["status"]) == ([], "aborted")
        assert open_ids(sandbox) == [foreign, live]
        assert list(source.parent.glob("*.obsup.json")) == []
        everything = inside.run("gc", "bucket", "--older-than", "0s", "--foreign", "--json").json
    finally:
        first_machine.undo()
    assert sorted(one["key"] for one in everything["aborted"]) == ["foreign", "live"]
    assert sandbox.uploads() == []


@pytest.mark.parametrize("provider", ["obs", "s3"])
def test_gc_keeps_a_listed_upload_that_made_the_object(
    inside: Inside, sandbox: Sandbox, source: Path, provider: str
) -> None:
    """Its abort could delete the parts of the object. An upload with parts that made no object is aborted."""
    arguments = ("--provider", provider, "--region", "eu-west-1", "--part-size", "5M")
    source.write_bytes(bytes(6 * 2**20))
    sandbox.add_fault("keep-upload,op=complete")
    assert inside.run("upload", source, "bucket/key", *arguments).code == 0
    upload_id = inside.run("init", "bucket/key", *arguments[:4]).out.strip()
    part = ("part", source, "bucket/key", *arguments, "--part-number", "1", "--upload-id", upload_id)
    assert inside.run(*part).code == 0
    done = inside.run("gc", "bucket", "--older-than", "0s", "--foreign", "--json", *arguments[:4]).json
    assert [one["because"] for one in done["kept"]] == ["completed"]
    assert [one["uploadId"] for one in done["aborted"]] == [upload_id]


@pytest.mark.parametrize("hidden", ["key", "head", "parts", "marks"])
def test_gc_keeps_an_upload_that_may_have_made_the_object(
    inside: Inside, sandbox: Sandbox, source: Path, elsewhere: Callable[[], None], hidden: str
) -> None:
    """HeadObject needs the key of SSE-C, or is forbidden; parts cannot be listed; this machine knows no token."""
    (source.parent / "key").write_bytes(b"k" * 32)
    (source.parent / "key").chmod(0o600)
    options = ("--sse-c-key-file", source.parent / "key") if hidden == "key" else ()
    sandbox.add_fault("keep-upload,op=complete")
    assert inside.run("upload", source, "bucket/key", "--parts", "5", *options).code == 0
    [upload] = sandbox.uploads()
    if hidden == "marks":
        elsewhere()
    if hidden in ("head", "parts"):
        sandbox.add_fault(f"error=403:AccessDenied,op={hidden},times=inf")
    done = inside.run("gc", "bucket", "--older-than", "0s", "--foreign", "--json").json
    assert ([one["because"] for one in done["kept"]], done["aborted"]) == (["completed"], [])
    abort = inside.run("abort", "bucket/key", "--upload-id", upload.upload_id)
    assert (abort.code, "was not aborted" in abort.err) == (69 if hidden in ("key", "head") else 0, True)
    assert open_ids(sandbox) == [upload.upload_id]


@pytest.mark.parametrize("hidden", ["key", "head", "mark"])
def test_abort_and_restart_keep_an_upload_that_may_have_made_the_object(
    inside: Inside, sandbox: Sandbox, source: Path, hidden: str
) -> None:
    """Killed after Complete, in a store that still lists the upload. abort works once the object is deleted."""
    (source.parent / "key").write_bytes(b"k" * 32)
    (source.parent / "key").chmod(0o600)
    source.write_bytes(bytes(6 * 2**20))
    target = ("bucket/key", "--provider", "s3", "--region", "eu-west-1")
    options = {"key": ("--sse-c-key-file", source.parent / "key"), "head": (), "mark": ("--no-token",)}[
        hidden
    ]
    upload = ("upload", source, *target, "--part-size", "5M", *options)
    sandbox.add_fault("error=403:AccessDenied,op=complete,times=always")
    assert inside.run(*upload).code == 77
    [path], [made] = source.parent.glob("*.obsup.json"), open_ids(sandbox)
    recorded = path.read_bytes()
    sandbox.clear_faults()
    sandbox.add_fault("keep-upload,op=complete")
    assert inside.run(*upload).code == 0
    path.write_bytes(recorded)
    if hidden == "head":
        sandbox.add_fault("error=403:AccessDenied,op=head,times=inf")
    abort = inside.run("abort", source, *target)
    assert (abort.code, path.read_bytes()) == (69, recorded), abort.err
    restarted = inside.run(*upload[:7], *(() if hidden == "key" else options), "--restart")
    assert (restarted.code, f"upload {made} may have made the object" in restarted.err) == (0, True)
    assert open_ids(sandbox) == [made]
    sandbox.object_path("bucket", "key").unlink()
    assert inside.run("abort", *target, "--upload-id", made).code == 0
    assert open_ids(sandbox) == []


@pytest.mark.parametrize("ahead_s", [-172_800, 172_800])
def test_gc_uses_the_clock_of_the_store(home: Path, tmp_path: Path, ahead_s: float) -> None:
    """An upload that was just initiated is young, whatever the clock of this computer shows."""
    with Sandbox(clock=lambda: time.time() + ahead_s) as store:
        shell = Shell.against(store, tmp_path)
        assert shell.run("init", "bucket/key").code == 0
        listed = shell.run("uploads", "bucket", "--json")
        assert -60 < listed.json["uploads"][0]["ageSeconds"] < 60
        outcome = shell.run("gc", "bucket", "--older-than", "1d", "--json")
        assert (outcome.code, outcome.json["aborted"]) == (0, []), outcome.err


def test_gc_with_the_date_of_a_proxy(
    inside: Inside, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may replace the Date header, and its clock may be wrong. The store has accepted the signature."""
    assert inside.run("init", "bucket/key").code == 0
    date = formatdate(time.time() + 864_000, usegmt=True)
    with MutatingRelay(
        sandbox.port, partial(with_other_headers, drop=("date",), add={"Date": date})
    ) as relay:
        monkeypatch.setenv("OBSUP_ENDPOINT", relay.endpoint)
        outcome = inside.run("gc", "bucket", "--older-than", "1d", "--foreign", "--json")
    assert [one["because"] for one in outcome.json["kept"]] == ["young"], outcome.err
    assert len(sandbox.uploads()) == 1


def test_gc_continues_after_a_rejected_abort(inside: Inside, sandbox: Sandbox) -> None:
    """The others are aborted; the exit code is that of the failure."""
    for key in ("one", "two", "three"):
        inside.run("init", f"bucket/{key}")
    sandbox.add_fault("error=403:AccessDenied,op=abort,key=three,times=always")
    outcome = inside.run("gc", "bucket", "--older-than", "0s", "--json")
    assert (outcome.code, outcome.json["status"]) == (77, "incomplete")
    assert sorted(one["key"] for one in outcome.json["aborted"]) == ["one", "two"]
    assert [one.key for one in sandbox.uploads()] == ["three"]


@pytest.mark.parametrize("content", ["another upload's", "damaged"])
def test_gc_keeps_a_checkpoint_of_another_upload(
    inside: Inside, sandbox: Sandbox, source: Path, content: str
) -> None:
    """A file that replaced the checkpoint is not stale."""
    inside.run("init", source, "bucket/key", "--parts", "5")
    [path] = source.parent.glob("*.obsup.json")
    found = checkpoints.load(path)
    assert found is not None
    if content == "damaged":
        path.write_bytes(b"not mine")
    else:
        checkpoints.save(path, replace(found, upload=replace(found.upload, upload_id="another")))
    saved = path.read_bytes()
    assert inside.run("gc", "bucket", "--older-than", "0s").code == 0
    assert (path.read_bytes(), sandbox.uploads()) == (saved, [])


def test_restart_aborts_like_abort(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """It also removes the record of the started upload."""
    inside.run("init", source, "bucket/key", "--parts", "5")
    assert inside.run("upload", source, "bucket/key", "--parts", "5", "--restart").code == 0
    assert (sandbox.uploads(), list(started_uploads.find_open())) == ([], [])


def test_an_interrupted_upload_is_recorded_until_it_is_completed(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """gc finds an interrupted upload; a completed one leaves no record."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    assert inside.run("upload", source, "bucket/key", "--parts", "5", "-j", "1").code == 77
    [recorded] = started_uploads.find_open()
    assert [recorded.upload.upload_id] == open_ids(sandbox)
    assert recorded.source == str(source)
    sandbox.clear_faults()
    assert inside.run("upload", source, "bucket/key").code == 0
    assert list(started_uploads.find_open()) == []


def test_a_store_that_lists_only_whole_keys(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """The uploads of this machine are listed nevertheless, with their dates, and gc aborts them."""
    sandbox.add_fault("exact-uploads")
    ids = {
        key: inside.run("init", source, f"bucket/{key}", "--parts", "5").out.strip()
        for key in ("a/1", "a/2", "b")
    }
    assert inside.run("abort", "bucket/a/2", "--upload-id", ids["a/2"]).code == 0
    listed = [line.split("\t") for line in inside.run("uploads", "bucket/a/").out.splitlines()]
    assert [line[:2] for line in listed] == [["a/1", ids["a/1"]]]
    assert listed[0][2].startswith("20")
    assert len(inside.run("uploads", "bucket/a/1").out.splitlines()) == 1
    assert inside.run("gc", "bucket", "--older-than", "1h", "--json").json["aborted"] == []
    assert {
        one["key"] for one in inside.run("gc", "bucket", "--older-than", "0s", "--json").json["aborted"]
    } == {
        "a/1",
        "b",
    }
    assert sandbox.uploads() == []


@pytest.mark.parametrize("skew_s", [-864_000, 864_000])
def test_a_wrong_clock_makes_no_upload_old(
    inside: Inside, sandbox: Sandbox, source: Path, skew_s: int
) -> None:
    """The record of this machine has the time of the store, by which its own clock is ten days off."""
    sandbox.add_fault("no-dates")
    sandbox.add_fault(f"skew={skew_s}")
    assert inside.run("init", source, "bucket/own", "--parts", "5").code == 0
    assert inside.run("gc", "bucket", "--older-than", "7d", "--json").json["kept"][0]["because"] == "young"
    assert len(sandbox.uploads()) == 1


def test_a_store_without_dates(
    inside: Inside, sandbox: Sandbox, source: Path, elsewhere: Callable[[], None]
) -> None:
    """Own uploads have the date of this machine; others are kept, and their number is reported."""
    sandbox.add_fault("no-dates")
    own = inside.run("init", source, "bucket/own", "--parts", "5").out.strip()
    assert inside.run("uploads", "bucket").out.split("\t")[2].startswith("20")
    assert inside.run("gc", "bucket", "--older-than", "1h", "--json").json["kept"][0]["because"] == "young"
    aborted = inside.run("gc", "bucket", "--older-than", "0s", "--json").json["aborted"]
    assert [one["uploadId"] for one in aborted] == [own]
    assert inside.run("init", "bucket/foreign").code == 0
    elsewhere()
    outcome = inside.run("gc", "bucket", "--older-than", "0s", "--foreign", "--json")
    assert outcome.json["kept"][0]["because"] == "age-unknown"
    assert "1 upload was kept" in outcome.err
    assert len(sandbox.uploads()) == 1
