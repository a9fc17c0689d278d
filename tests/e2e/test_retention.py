"""Retention and legal hold: the object is locked as requested, the store confirms it, or obsup does not exit 0."""

from __future__ import annotations

import itertools
import json
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import obsup
from obsup.dates import parse_date
from obsup.engine.job.connection import connect
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.upload.uploader import Uploader
from obsup.model import ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from obsup.sandbox.storage.attributes import Attributes
from tests.support.batch import count_operations
from tests.support.in_process import Inside
from tests.support.shell import Outcome

MakeFile = Callable[..., Path]

DATE = "2040-12-31T18:00:00Z"
LOCK = ("--retention", "compliance", "--retain-until", DATE)
DIALECTS = {
    "s3": ("--provider", "s3", "--region", "r"),
    "s3-v2": ("--provider", "s3", "--signature", "v2"),
    "obs": ("--provider", "obs"),
    "obs-v2": ("--provider", "obs", "--signature", "v2"),
    "obs-v4": ("--provider", "obs", "--signature", "v4", "--region", "r"),
}
WAYS = {
    "one request": ["upload {options} small bucket/key"],
    "parts": ["upload {options} big bucket/key --parts 2"],
    "processes": ["upload {options} big bucket/key --parts 2 --executor processes -j 1"],
    "a worker": ["upload {options} small other bucket/ --executor processes -j 1"],
    "stream": ["upload {options} --from-command bucket/key -- cat big"],
    "short stream": ["upload {options} --from-command bucket/key -- cat small"],
    "many files": ["upload {options} small big bucket/"],
    "steps": [
        "init {options} big bucket/key --parts 1",
        "part {store} big bucket/key --part-number 1",
        "complete {store} big bucket/key",
    ],
    "steps completed by id": [
        "init {options} big bucket/key --parts 1",
        "part {store} big bucket/key --upload-id {id} --parts 1 --part-number 1",
        "complete {store} bucket/key --upload-id {id} --parts 1",
    ],
    "steps without checkpoint": [
        "init {options} bucket/key",
        "part {store} big bucket/key --upload-id {id} --parts 1 --part-number 1",
        "complete {store} bucket/key --upload-id {id} --parts 1",
    ],
}
EVERY_DAY = {
    ("parts", "obs", True),
    ("many files", "obs", True),
    ("one request", "s3", False),
    ("steps without checkpoint", "s3", False),
    ("steps completed by id", "obs", True),
}
"""The ways, dialects, and whether the store ignores headers, that run each time; the others are slow."""


@pytest.fixture
def store(dialect: str) -> Iterator[Sandbox]:
    """A store with Object Lock (WORM) and the rules of the dialect's vendor."""
    with Sandbox(aws_vendor=dialect[:3].rstrip("-"), faults=["object-lock=0"]) as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> None:
    """A small file, another one, and a file of two parts."""
    (tmp_path / "small").write_bytes(b"x" * 100)
    (tmp_path / "other").write_bytes(b"y" * 100)
    (tmp_path / "big").write_bytes(bytes(10 * 2**20))


def run_all(inside: Inside, lines: list[str], store: tuple[str, ...], lock: tuple[str, ...]) -> Outcome:
    """Run the command *lines* and return the outcome of the last one; the others must succeed."""
    outcome = Outcome(0, "", "")
    for line in lines:
        assert outcome.code == 0, outcome.err
        options = shlex.join([*lock, *store])
        filled = line.format(options=options, store=shlex.join(store), id=outcome.out.strip())
        outcome = inside.run(*shlex.split(filled))
        lines = lines[1:]
        if filled.startswith("part "):
            outcome = Outcome(
                outcome.code, filled.partition("--upload-id ")[2].partition(" ")[0], outcome.err
            )
    return outcome


def lock_of(store: Sandbox, key: str = "key") -> tuple[str, float, bool]:
    """Return mode, end and legal hold of an object."""
    attributes: Attributes = store.object_metadata("bucket", key).attributes
    return attributes.lock_mode, attributes.lock_until, attributes.legal_hold


@pytest.mark.parametrize(
    ("way", "dialect", "ignoring"),
    [
        pytest.param(*one, marks=[] if one in EVERY_DAY else pytest.mark.slow)
        for one in itertools.product(WAYS, DIALECTS, (False, True))
    ],
)
def test_object_is_locked_by_every_way_to_create_it(
    way: str,
    dialect: str,
    ignoring: bool,
    store: Sandbox,
    files: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the headers alone. OBS, and Ceph for parts, may ignore them: then the lock is set once the object is there."""
    inside = Inside(store, tmp_path, monkeypatch)
    if ignoring:
        store.add_fault("ignore-lock")
    outcome = run_all(inside, WAYS[way], DIALECTS[dialect], LOCK)
    keys = [key for key in ("key", "small", "other", "big") if store.object_path("bucket", key).exists()]
    assert (outcome.code, bool(keys)) == (0, True), outcome.err
    assert {lock_of(store, key) for key in keys} == {("COMPLIANCE", parse_date(DATE), False)}
    assert count_operations(store)["set-retention"] == (len(keys) if ignoring else 0)


@pytest.mark.parametrize("skew_s", [-864_000, 600])
@pytest.mark.parametrize("dialect", ["s3"])
@pytest.mark.parametrize(
    "way", ["one request", "many files", "short stream", "parts", "steps completed by id"]
)
def test_a_duration_counts_from_the_clock_of_the_store(
    way: str, skew_s: int, store: Sandbox, files: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retention by a wrong clock of this computer would be too short, or, irrevocably, too long.

    No store rejects a signature whose time is wrong by 600 seconds.
    """
    store.add_fault(f"skew={skew_s}")
    lock = ("--retention", "compliance", "--retain-until", "30d")
    outcome = run_all(Inside(store, tmp_path, monkeypatch), WAYS[way], DIALECTS["s3"], lock)
    assert outcome.code == 0, outcome.err
    key = next(key for key in ("key", "small") if store.object_path("bucket", key).exists())
    assert abs(lock_of(store, key)[1] - (time.time() + skew_s + 30 * 86_400)) < 300


REFUSED = {
    "oss": ("oss", LOCK, "has no --retention"),
    "oss hold": ("oss", ("--legal-hold",), "has no --legal-hold"),
    "obs hold": ("obs", ("--legal-hold",), "has no --legal-hold"),
    "obs governance": (
        "obs",
        ("--retention", "governance", "--retain-until", "1d"),
        "no --retention 'governance'",
    ),
    "no end": ("s3", ("--retention", "governance"), "--retention without --retain-until"),
    "no mode": ("s3", ("--retain-until", "1d"), "--retain-until without --retention"),
    "past": ("s3", ("--retention", "governance", "--retain-until", "2020-01-01"), "has passed"),
    "number": ("s3", ("--retention", "governance", "--retain-until", "2040"), "invalid end of a retention"),
    "word": ("s3", ("--retention", "governance", "--retain-until", "soon"), "invalid end of a retention"),
    "mode": ("s3", ("--retention", "forever"), "governance"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_lock_that_the_store_does_not_have_is_refused(
    case: str, inside: Inside, sandbox: Sandbox, files: None
) -> None:
    """Exit 2 for one file, many files, a stream, init and a dry run, before anything is sent."""
    provider, options, message = REFUSED[case]
    for line in (
        "upload small bucket/key",
        "upload small other bucket/",
        "upload --from-command bucket/key -- cat small",
        "upload small bucket/key --dry-run",
        "init big bucket/key",
        "init bucket/key",
    ):
        command, *rest = line.split()
        outcome = inside.run(command, "--provider", provider, "--region", "r", *options, *rest)
        assert outcome.code == 2, (line, outcome.err)
        assert message in outcome.err, line
    assert sandbox.requests == []


def test_a_second_complete_names_the_lock(inside: Inside, sandbox: Sandbox, files: None) -> None:
    """As the first one does."""
    sandbox.add_fault("object-lock=0")
    for line in (
        f"init big bucket/key --provider s3 --parts 1 {shlex.join(LOCK)}",
        "part big bucket/key --provider s3 --part-number 1",
    ):
        assert inside.run(*line.split()).code == 0
    locks = [
        inside.run("complete", "big", "bucket/key", "--provider", "s3", "--json").json["lock"] for _ in "12"
    ]
    assert locks == [{"retention": "compliance", "retainUntil": DATE, "legalHold": False}] * 2


def test_setting_is_not_ignored(inside: Inside, sandbox: Sandbox, files: None, home: Path) -> None:
    """Retention and legal hold of the configuration file; the result, the receipt and the plan name them."""
    sandbox.add_fault("object-lock=0")
    config = home / ".config" / "obsup" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        f'[defaults]\nprovider = "s3"\nretention = "governance"\nretain_until = "{DATE}"\nlegal_hold = true\n'
    )
    assert (
        f"locked: governance until {DATE}, legal hold"
        in inside.run("upload", "small", "bucket/key", "-n").out
    )
    outcome = inside.run("upload", "small", "bucket/key", "--json", "--receipt", "receipt.json")
    assert outcome.code == 0, outcome.err
    assert lock_of(sandbox) == ("GOVERNANCE", parse_date(DATE), True)
    lock = {"retention": "governance", "retainUntil": DATE, "legalHold": True}
    assert outcome.json["lock"] == json.loads(Path("receipt.json").read_text())["lock"] == lock


@pytest.mark.parametrize("provider", ["s3", "obs"])
def test_bucket_without_object_lock_rejects_the_upload(
    provider: str, inside: Inside, sandbox: Sandbox, files: None
) -> None:
    """The store rejects the first request, so that no part was sent."""
    outcome = inside.run("upload", "big", "bucket/key", "--parts", "2", "--provider", provider, *LOCK)
    assert outcome.code == 69
    assert "The bucket does not have Object Lock (OBS: WORM)" in outcome.err
    assert outcome.err.splitlines()[2].endswith(
        f"obsup upload big bucket/key --parts 2 --provider {provider}"
    )
    assert {one.operation for one in sandbox.requests} - {"head"} == {"uploads", "initiate"}


def test_lock_that_the_store_does_not_show(inside: Inside, sandbox: Sandbox, files: None) -> None:
    """Exit 69 also of the next run, which sends no part again; 0 once the store shows the lock."""
    sandbox.add_fault("object-lock=0")
    sandbox.add_fault("hide-lock")
    arguments = ("upload", "big", "bucket/key", "--parts", "2", "--provider", "s3", *LOCK)
    for _ in range(2):
        outcome = inside.run(*arguments)
        assert outcome.code == 69
        assert "is complete and verified, but HeadObject does not show the requested lock" in outcome.err
    sandbox.clear_faults()
    sandbox.add_fault("object-lock=0")
    assert inside.run(*arguments).code == 0
    assert sum(one.operation == "part" and one.status == 200 for one in sandbox.requests) == 2


@pytest.mark.parametrize(("provider", "code"), [("s3", 77), ("obs", 0)])
def test_credentials_without_headobject(
    provider: str, code: int, inside: Inside, sandbox: Sandbox, files: None
) -> None:
    """OBS confirms the retention by setting it. Of another store nothing is known, and 77 keeps the checkpoint."""
    sandbox.add_fault("object-lock=0")
    sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
    outcome = inside.run("upload", "big", "bucket/key", "--parts", "2", "--provider", provider, *LOCK)
    assert outcome.code == code, outcome.err
    assert ("was not checked" if code == 0 else "cannot be checked whether it is locked") in outcome.err
    assert lock_of(sandbox)[0] == "COMPLIANCE"


def test_a_retention_that_is_rejected_with_status_200(inside: Inside, sandbox: Sandbox, files: None) -> None:
    """Stores that respond before they are done send <Error> with 200. HeadObject, not permitted, could show it."""
    head, set_lock = (
        f"{fault},times=always"
        for fault in ("error=403:AccessDenied,op=head", "error-in-200=AccessDenied,op=set-retention")
    )
    for fault in ("object-lock=0", "ignore-lock", head, set_lock):
        sandbox.add_fault(fault)
    outcome = inside.run("upload", "small", "bucket/key", "--provider", "obs", *LOCK)
    assert outcome.code == 69, outcome.err
    assert "is complete and verified, but not locked" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "big", "bucket/key", "--parts", "2"),
        pytest.param(
            ("upload", "big", "bucket/key", "--parts", "2", "--no-checkpoint"), marks=pytest.mark.slow
        ),
        ("upload", "small", "bucket/key"),
        pytest.param(("upload", "--from-command", "bucket/key", "--", "cat", "big"), marks=pytest.mark.slow),
        ("upload", "small", "other", "bucket/"),
    ],
    ids=["parts", "no checkpoint", "one request", "stream", "many files"],
)
def test_the_same_command_only_sets_a_retention_that_failed(
    arguments: tuple[str, ...], inside: Inside, sandbox: Sandbox, files: None
) -> None:
    """The object is reported as complete, not locked (69); then the store gets one request more, and no byte."""
    for fault in ("object-lock=0", "ignore-lock", "error=403:AccessDenied,op=set-retention,times=always"):
        sandbox.add_fault(fault)
    command, *rest = arguments
    line = (command, "--provider", "obs", *LOCK, *rest)
    outcome = inside.run(*line)
    assert outcome.code == 69, outcome.err
    assert "is complete and verified, but not locked" in outcome.err
    first = len(sandbox.requests)
    sandbox.clear_faults()
    sandbox.add_fault("object-lock=0")
    assert inside.run(*line).code == 0
    operations = [one.operation for one in sandbox.requests[first:]]
    assert set(operations) <= {"head", "parts", "uploads", "list", "set-retention"}
    assert operations.count("set-retention") == (2 if "other" in arguments else 1)
    key = "small" if "other" in arguments else "key"
    assert lock_of(sandbox, key) == ("COMPLIANCE", parse_date(DATE), False)
    assert inside.run("uploads", "bucket", "--provider", "obs").out == ""


def test_retention_is_not_sent_to_a_bucket_without_versions(
    inside: Inside, sandbox: Sandbox, files: None
) -> None:
    """A store that does not know ?retention would take the request for a PutObject and replace the object."""
    for fault in ("object-lock=0,op=initiate", "ignore-lock"):
        sandbox.add_fault(fault)
    outcome = inside.run("upload", "big", "bucket/key", "--parts", "2", "--provider", "obs", *LOCK)
    assert outcome.code == 69
    assert "the bucket has no versions" in outcome.err
    assert count_operations(sandbox)["set-retention"] == 0


def test_duration_counts_from_the_start_of_the_upload(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """An upload of an hour ago, resumed with the same options, has its date; with a checkpoint and without."""
    sandbox.add_fault("object-lock=0")
    hour_ago, source = time.time() - 3600, make_file(12 * 2**20)
    lock = ("--retention", "governance", "--retain-until", "30d")
    options = ObjectOptions(retention="governance", retain_until="30d")
    for key, given in (("key", ()), ("other", ("--no-checkpoint",))):
        connecting = ConnectOptions(endpoint=sandbox.endpoint, provider="s3")
        target, settings = resolve_target(f"bucket/{key}", connecting)
        connection = connect(settings, sleep=lambda _: False)
        request = UploadRequest(source, target, options, part_size=5 * 2**20, keep_checkpoint=not given)
        Uploader(connection, request, clock=lambda: hour_ago).initiate()
        store = ("--provider", "s3", "--part-size", "5M")
        outcome = inside.run("upload", "bigfile", f"bucket/{key}", *store, *lock, *given)
        assert outcome.code == 0, outcome.err
        assert lock_of(sandbox, key)[:2] == ("GOVERNANCE", int(hour_ago) + 30 * 86400)
    assert count_operations(sandbox)["initiate"] == 2


def test_upload_without_lock_is_not_continued_with_one(inside: Inside, sandbox: Sandbox, files: None) -> None:
    """Not with its checkpoint (2), and not without: its object would not be locked."""
    sandbox.add_fault("object-lock=0")
    store = ("--provider", "s3", "--part-size", "5M")
    assert inside.run("init", "big", "bucket/key", *store, "--checkpoint", "recorded").code == 0
    outcome = inside.run("upload", "big", "bucket/key", *store, "--checkpoint", "recorded", *LOCK)
    assert (outcome.code, "has other object options" in outcome.err) == (2, True), outcome.err
    outcome = inside.run("upload", "big", "bucket/key", *store, *LOCK)
    assert (outcome.code, "was left alone" in outcome.err) == (0, True), outcome.err
    assert lock_of(sandbox)[0] == "COMPLIANCE"
    assert len(sandbox.uploads()) == 1


@pytest.mark.parametrize("provider", ["s3", "obs"])
def test_identical_object_without_the_lock_is_not_skipped(
    provider: str, inside: Inside, sandbox: Sandbox, files: None
) -> None:
    """With S3 it is sent again; OBS can lock the existing one. One that is locked for longer is skipped."""
    sandbox.add_fault("object-lock=0")
    skip = ("upload", "small", "bucket/key", "--provider", provider, "--skip-identical")
    assert inside.run(*skip).code == 0
    assert inside.run(*skip, *LOCK).code == 0
    assert lock_of(sandbox)[0] == "COMPLIANCE"
    expected = {"put": 2, "set-retention": 0} if provider == "s3" else {"put": 1, "set-retention": 1}
    shorter = ("--retention", "compliance", "--retain-until", "2039-01-01")
    assert inside.run(*skip, *shorter).code == 0
    assert {name: count_operations(sandbox)[name] for name in expected} == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "big", "bucket/key", "--part-size", "5M", "-j", "1"),
        pytest.param(
            ("upload", "big", "bucket/key", "--part-size", "5M", "-j", "1", "--executor", "processes"),
            marks=pytest.mark.slow,
        ),
        pytest.param(("upload", "--from-command", "bucket/key", "--", "cat", "big"), marks=pytest.mark.slow),
        ("upload", "small", "other", "bucket/"),
    ],
    ids=["parts", "processes", "stream", "one request"],
)
def test_bucket_with_a_default_retention_gets_the_digests_that_it_demands(
    arguments: tuple[str, ...], inside: Inside, sandbox: Sandbox, files: None
) -> None:
    """No option is needed, and nothing is reported."""
    sandbox.add_fault("object-lock=86400")
    command, *rest = arguments
    outcome = inside.run(command, "--provider", "s3", *rest)
    assert (outcome.code, outcome.err) == (0, "")
    assert sum(one.status == 400 for one in sandbox.requests) <= 2
    key = "small" if "other" in arguments else "key"
    assert lock_of(sandbox, key)[0] == "COMPLIANCE"
    replaced = inside.run("upload", "small", f"bucket/{key}", "--provider", "s3")
    assert (replaced.code, "The object is locked" in replaced.err) == (69, True)


def test_keywords_of_the_api_lock_the_object(sandbox: Sandbox, files: None, tmp_path: Path) -> None:
    """The result names the lock. A value of a wrong type raises WrongUsage before any request."""
    sandbox.add_fault("object-lock=0")
    store: dict[str, Any] = {
        "endpoint": sandbox.endpoint,
        "provider": "s3",
        "credentials": obsup.Credentials(sandbox.access_key, sandbox.secret_key),
    }
    lock: dict[str, Any] = {"retention": "governance", "retain_until": DATE, "legal_hold": True}
    for name in ("small", "big"):
        result = obsup.upload_file(tmp_path / name, f"bucket/{name}", **store, **lock)
        assert result.lock == obsup.ObjectLock("governance", DATE, legal_hold=True)
        assert lock_of(sandbox, name) == ("GOVERNANCE", parse_date(DATE), True)
    first = len(sandbox.requests)
    values: list[dict[str, Any]] = [{"retain_until": 30}, {"retention": "forever"}, {"legal_hold": "yes"}]
    for wrong in values:
        with pytest.raises(obsup.WrongUsage):
            obsup.upload_file(tmp_path / "small", "bucket/other", **store, **{**lock, **wrong})
    assert len(sandbox.requests) == first
