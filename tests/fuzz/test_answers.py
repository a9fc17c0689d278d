"""Changed answers of the store, over every operation and dialect: no command fails in an undocumented way or lies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.dialects.registry import DIALECTS
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire
from tests.fuzz.cases import Case, Failures, blocks, numbers
from tests.fuzz.mutations import change_answer

pytestmark = pytest.mark.fuzz

BLOCKS = 50
ANSWERS = 100  # changed ones, per block
KIB = 1024
SIZE = 230 * KIB
CONTENT = hashlib.shake_128(b"content").digest(SIZE)
OTHER = hashlib.shake_128(b"another content").digest(SIZE)


# A server takes AWS signatures for S3, or for OBS.
DIALECTS_OF = {
    "s3": [name for name in DIALECTS if name not in ("obs-v2", "obs-v4")],
    "obs": [name for name in DIALECTS if not name.startswith("s3")],
}


class Changes:
    """Changes some answers to one operation, the first of which is one of the first *expected* answers of a command."""

    def __init__(self, case: Case, expected: int) -> None:
        self.case = case
        self.seen: list[Answer] = []
        self.count = 0
        self.first = case.rng.randrange(expected)
        self.times = case.rng.choice([1, 2, 4, 100])
        self.operation = ""

    def __call__(self, answer: Answer) -> Wire | None:
        """Return what is sent instead of *answer*, or None."""
        self.seen.append(answer)
        if len(self.seen) <= self.first or self.count >= self.times:
            return None
        self.operation = self.operation or answer.operation
        if answer.operation != self.operation:
            return None
        self.count += 1
        name, wire = change_answer(self.case.rng, answer, self.seen)
        sent = f"{wire.data[:1500]!r}… {len(wire.data)} bytes, {wire.then}"
        self.case.what += f"\n  {answer.operation} {answer.status}: {name}: {sent}"
        return wire


class Scenario:
    """The commands of one case: what is there before, the command whose answers are changed, and what must be true."""

    def __init__(self, case: Case, relay: MutatingRelay, aws_vendor: str, expected: int) -> None:
        self.case = case
        self.relay = relay
        dialect = DIALECTS[case.rng.choice(DIALECTS_OF[aws_vendor])]
        self.target = f"{case.bucket}/key"
        # S3 does not accept small parts, so that one part is all there is.
        self.plan = ("--parts", "1") if dialect.provider == "s3" else ("--part-size", "100K")
        self.parts = 1 if dialect.provider == "s3" else 3
        self.common = (
            *("--provider", dialect.provider, "--signature", dialect.signature, "--stall-timeout", "1s"),
            *("--retry-for", case.rng.choice(["0s", "0s", "0s", "1s"]), "--max-time", "10s"),
        )
        self.changes = Changes(case, expected)
        for name, content in (("file", CONTENT), ("other", OTHER)):
            (case.folder / name).write_bytes(content)

    def prepare(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command whose answers are not changed; return what it printed."""
        outcome = self.case.run(*arguments, *self.common)
        self.case.require(outcome.code in codes, "a command without changed answers failed")
        return outcome.out.strip()

    def run(self, command: str, *arguments: str) -> int:
        """Run a command whose answers are changed; return its exit code."""
        self.relay.change = self.changes
        code = self.case.run(command, *self.common, *arguments).code
        self.relay.change = lambda _: None
        return code

    def again(self, command: str, *arguments: str) -> None:
        """Run the command of an upload again with true answers: whatever happened before, it must succeed now."""
        if self.case.rng.random() < 0.15:
            self.case.run(command, *self.common, *arguments)
            assert self.case.outcome is not None
            self.case.require(self.case.outcome.code == 0, "the same command failed without changed answers")
            self.case.require_stored("key", CONTENT)

    def upload(self, *arguments: str) -> None:
        """Upload the file, with changed answers, and perhaps again without."""
        self.run("upload", *arguments)
        self.case.require_stored("key", CONTENT)
        self.case.require_kept()
        self.again("upload", *arguments)

    def stop_early(self, *arguments: str) -> None:
        """Leave an upload with all parts but the last."""
        self.case.sandbox.add_fault(f"error=403:AccessDenied,op=part,part={self.parts},key=key,times=always")
        self.prepare("upload", "file", self.target, *self.plan, *arguments, codes=(77,))
        self.case.sandbox.clear_faults()


def put(one: Scenario) -> None:
    """A file that is sent in one request."""
    one.upload("file", one.target)


def multipart(one: Scenario) -> None:
    """A file that is sent in parts."""
    options: tuple[list[str], ...] = (
        *(
            [],
            ["--digest", "md5"],
            ["--digest", "crc64"],
            ["--content-md5"],
            ["--token"],
            ["--verify-source"],
        ),
        *(["--executor", "inline"], ["--no-checkpoint"], ["--metadata", "a=b"]),
        *(["--sse", "AES256"], ["--json"], ["--receipt", "receipt"], ["-v"], ["--restart"]),
    )
    chosen = one.case.rng.choice(options)
    one.run("upload", "file", one.target, *one.plan, *chosen)
    one.case.require_stored("key", CONTENT)
    if chosen != ["--restart"]:
        one.case.require_kept()
    one.again("upload", "file", one.target, *one.plan, *chosen)


def resume(one: Scenario) -> None:
    """An upload that was interrupted, with or without its checkpoint."""
    options = one.case.rng.choice([(), ("--no-checkpoint",)])
    one.stop_early(*options)
    for path in one.case.folder.glob("*.obsup.json") if one.case.rng.random() < 0.3 else ():
        path.unlink()
    one.upload("file", one.target, *one.plan, *options)


def stream(one: Scenario) -> None:
    """The output of a command."""
    one.upload("--from-command", one.target, *one.plan[: 0 if one.parts == 1 else 2], "--", "cat", "file")


def batch(one: Scenario) -> None:
    """Several files."""
    folder = one.case.folder / "folder"
    folder.mkdir()
    contents = {"big": CONTENT, **{f"small-{n}": CONTENT[: 100 + n] for n in range(3)}}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    plan = one.plan if one.parts > 1 else ()
    one.run("upload", "-r", "folder/", f"{one.case.bucket}/", *plan, *one.case.rng.choice([(), ("--json",)]))
    for name, content in contents.items():
        one.case.require_stored(name, content)
    one.case.require_kept()


def existing(one: Scenario) -> None:
    """An object that exists, with the same content or another one, and conditions on it."""
    content = one.case.rng.choice(["file", "other"])
    option = one.case.rng.choice(["--skip-identical", "--no-overwrite"])
    plan = one.case.rng.choice([(), one.plan])
    one.prepare("upload", content, one.target, *plan)
    one.run("upload", "file", one.target, *plan, option)
    one.case.require_stored("key", CONTENT)
    one.case.require_kept()
    if option == "--no-overwrite" and content == "other":
        one.case.require(one.case.is_stored("key", OTHER), "--no-overwrite replaced an object")


def verify(one: Scenario) -> None:
    """An object that is the file, or not."""
    content = one.case.rng.choice(["file", "other"])
    one.prepare("upload", content, one.target, *one.case.rng.choice([(), one.plan]))
    one.run("verify", "file", one.target, *one.case.rng.choice([(), one.plan, ("--download",), ("--json",)]))
    one.case.require_stored("key", CONTENT)


def part(one: Scenario) -> None:
    """One part; then the upload, which must contain the right one."""
    one.prepare("init", "file", one.target, *one.plan)
    if one.run("part", "file", one.target, "--part-number", "1") == 0:
        stored = {number for upload in one.case.sandbox.uploads() for number in upload.parts}
        one.case.require(1 in stored, "exit 0, but the part is not stored")
    one.again("upload", "file", one.target, *one.plan)


def copy(one: Scenario) -> None:
    """A part that is copied."""
    one.prepare("upload", "file", f"{one.case.bucket}/source")
    upload_id = one.prepare("init", one.target)
    selector = (one.target, "--upload-id", upload_id)
    source = f"{one.case.bucket}/source"
    code = one.run("part", *selector, "--part-number", "1", "--copy-source", source)
    if code == 0:
        one.prepare("complete", *selector)
        one.case.require_stored("key", CONTENT)


def complete(one: Scenario) -> None:
    """All parts, completed with or without the source and the checkpoint."""
    one.case.sandbox.add_fault("error=403:AccessDenied,op=complete,key=key,times=always")
    one.prepare("upload", "file", one.target, *one.plan, codes=(77,))
    one.case.sandbox.clear_faults()
    upload_id = next(u.upload_id for u in one.case.sandbox.uploads() if u.bucket == one.case.bucket)
    by_id = (one.target, "--upload-id", upload_id)
    ways = (
        *(("file", one.target), ("file", *by_id, *one.plan), (*by_id, "--parts", str(one.parts))),
        *((*by_id, "--expect-size", str(SIZE)), ("file", one.target, "--json")),
    )
    one.run("complete", *one.case.rng.choice(ways))
    one.case.require_stored("key", CONTENT)
    one.case.require_kept()


def abort(one: Scenario) -> None:
    """An upload that is discarded."""
    one.stop_early()
    if one.run("abort", "file", one.target) == 0:
        one.case.require(
            not any(upload.bucket == one.case.bucket for upload in one.case.sandbox.uploads()),
            "exit 0, but the upload is open",
        )


def init(one: Scenario) -> None:
    """An upload that is initiated."""
    source = one.case.rng.choice([(), ("file", *one.plan)])
    one.run("init", *source[:1], one.target, *source[1:], *one.case.rng.choice([(), ("--json",)]))
    one.case.require_kept()
    one.again("upload", "file", one.target, *one.plan)


def lists(one: Scenario) -> None:
    """The commands that print what is there."""
    one.stop_early()
    commands = (
        *(("parts", one.target), ("uploads", one.case.bucket), ("uploads", one.case.bucket, "--json")),
        *(
            ("gc", one.case.bucket, "--older-than", "7d", "--dry-run"),
            ("gc", one.case.bucket, "--older-than", "7d"),
        ),
        ("doctor", one.case.bucket),
    )
    command, *arguments = one.case.rng.choice(commands)
    selector = ("--upload-id", one.case.sandbox.uploads()[-1].upload_id) if command == "parts" else ()
    one.run(command, *arguments, *selector)
    one.again("upload", "file", one.target, *one.plan)


# How often, and how many answers the changed command receives at least, or nearly so.
SCENARIOS: tuple[tuple[Callable[[Scenario], None], int, int], ...] = (
    *((put, 3, 1), (multipart, 10, 6), (resume, 4, 4), (stream, 3, 5), (batch, 3, 8), (existing, 3, 3)),
    *(
        (verify, 3, 1),
        (part, 2, 1),
        (copy, 2, 1),
        (complete, 4, 3),
        (abort, 2, 2),
        (init, 2, 2),
        (lists, 4, 1),
    ),
)


@pytest.mark.parametrize("block", blocks(BLOCKS))
def test_no_changed_answer_breaks_a_command(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command ends in time with a documented exit code, 0 only if the object is right, and aborts nothing."""
    weights = [weight for _, weight, _ in SCENARIOS]
    count, failures = 0, Failures()
    aws_vendor = ("s3", "obs")[block % 2]
    with Sandbox(aws_vendor=aws_vendor) as sandbox, MutatingRelay(sandbox.port) as relay:
        for number in numbers(block, 10 * ANSWERS):
            case = Case("answers", number, tmp_path / str(number), sandbox, monkeypatch)
            monkeypatch.setenv("OBSUP_ENDPOINT", relay.endpoint)
            scenario, _, expected = case.rng.choices(SCENARIOS, weights)[0]
            case.what = scenario.__name__
            one = Scenario(case, relay, aws_vendor, expected)
            with failures.collected():
                scenario(one)
            relay.change = lambda _: None
            sandbox.clear_faults()
            count += one.changes.count
            if count >= ANSWERS:
                break
    failures.report()
