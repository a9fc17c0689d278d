"""Uploads of several kinds as processes, which tests kill or whose source they change, and what must be true after.

OBSUP_TEST_SEED selects contents, ways and instants. Without it they are the same in every run, so that a change is
judged by itself; a search for new failures gives another number, or ``random``. It is printed with every failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from obsup.model import TOKEN_NAME
from obsup.sandbox.request_records import RequestRecord
from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, Shell

_CHOICE = os.environ.get("OBSUP_TEST_SEED", "1")
SEED = random.SystemRandom().randrange(10**6) if _CHOICE == "random" else int(_CHOICE)
KILL_AT_STEP = Path(__file__).with_name("kill_at_step.py")
PART = 102_400  # bytes; the minimum part size of OBS
JOBS = 2
OPTIONS = ("--part-size", "100K", "-j", str(JOBS), "--content-type", "text/x-run", "--metadata", "kind=run")
SMALL_FILES = 10


@dataclass(frozen=True)
class UploadKind:
    """One way to upload: a column of the table in obsup-guarantees(7), which explains its ``name``.

    ``arguments`` follow ``upload``; ``{key}`` is the key, or the prefix of a batch. ``size`` is that of the source in
    bytes. ``is_batch``: the source is a folder.
    """

    name: str
    arguments: tuple[str, ...]
    size: int = 7 * PART + 50_000
    is_batch: bool = False


ONE_FILE = ("folder/bigfile", "bucket/{key}", *OPTIONS)
FILE = UploadKind("file", ONE_FILE)
VERIFY = UploadKind("verify", (*ONE_FILE, "--verify-source"))
RESEND = UploadKind("resend", (*ONE_FILE, "--on-change", "resend"))
PROCESSES = UploadKind("processes", (*ONE_FILE, "--executor", "processes"))
SMALL = UploadKind("small", ("folder/bigfile", "bucket/{key}", *OPTIONS[2:]), size=6_000_000)
BATCH = UploadKind(
    "batch", ("-r", "folder/", "bucket/{key}/", *OPTIONS), size=2 * PART + 50_000, is_batch=True
)
PIPED = UploadKind("pipe", ("-", "bucket/{key}", *OPTIONS, "--checkpoint", "state.json"))
COMMAND = UploadKind("command", ("--from-command", "bucket/{key}", *OPTIONS, "--", "cat", "folder/bigfile"))
KILLED_KINDS = (FILE, RESEND, PROCESSES, BATCH, PIPED, COMMAND)
CHANGED_KINDS = (FILE, VERIFY, RESEND, PROCESSES, SMALL, BATCH)


@dataclass
class UploadRun:
    """One upload with its own files, state directory and key: run its command, kill it, run it again.

    ``kills`` counts the killed processes. ``sources`` are the files by the key of their object; the first one is
    ``source``.
    """

    kind: UploadKind
    sandbox: Sandbox
    folder: Path
    rng: random.Random
    key: str
    kills: int = 0
    first_request: int = 0
    sources: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def create(cls, kind: UploadKind, sandbox: Sandbox, folder: Path, number: int) -> UploadRun:
        """Make the source of run *number*, and say how to repeat the run."""
        print(f"OBSUP_TEST_SEED={SEED}: {kind.name}, run {number}")
        rng = random.Random(f"{SEED} {kind.name} {number}")
        run = cls(kind, sandbox, folder / f"run-{number}", rng, f"run-{number}")
        (run.folder / "work" / "folder").mkdir(parents=True)
        run.first_request = len(sandbox.requests)
        run.source.write_bytes(rng.randbytes(kind.size))
        run.sources[f"{run.key}/bigfile" if kind.is_batch else run.key] = run.source
        if kind.is_batch:
            for name in [f"small-{n}" for n in range(SMALL_FILES)]:
                (run.source.parent / name).write_bytes(rng.randbytes(1000))
                run.sources[f"{run.key}/{name}"] = run.source.parent / name
        return run

    @property
    def source(self) -> Path:
        """The file that is uploaded in parts."""
        return self.folder / "work" / "folder" / "bigfile"

    @property
    def big_key(self) -> str:
        """The key of ``source``."""
        return next(iter(self.sources))

    @property
    def arguments(self) -> list[str]:
        """The arguments of the command."""
        return ["upload", *(one.format(key=self.key) for one in self.kind.arguments)]

    @contextmanager
    def started(self, *extra: str, step: int | None = None, restricted: bool = False) -> Iterator[Process]:
        """Start the command; kill it at step *step* on disk if given. *restricted*: root must obey permissions."""
        program = ["-m", "obsup"] if step is None else [str(KILL_AT_STEP), str(step)]
        arguments = self.arguments
        arguments[1:1] = extra
        environment = {**os.environ, **Shell.against(self.sandbox, self.folder).environment}
        environment["OBSUP_STATE_DIR"] = str(self.folder / "state")
        stdin = self.source.open("rb") if self.kind is PIPED else None
        # A file, because children of a killed process would keep a pipe open.
        with (self.folder / "err").open("w+") as err:
            process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=self.folder / "work",
                env=environment,
                stdin=stdin or subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                preexec_fn=drop_privileges if restricted else None,
            )
            if stdin is not None:
                stdin.close()
            try:
                yield Process(process, self.folder / "err")
            finally:
                process.kill()
                process.wait()

    def run(self, *extra: str, restricted: bool = False) -> Outcome:
        """Run the command to its end, with *extra* options."""
        with self.started(*extra, restricted=restricted) as process:
            return process.outcome()

    def requests(self) -> list[RequestRecord]:
        """Return the requests of this run."""
        return [
            one for one in self.sandbox.requests[self.first_request :] if one.key.split("/")[0] == self.key
        ]

    def wait_for_request(self, count: int, process: Process) -> None:
        """Return when the store has received *count* requests of this run, or when *process* has ended."""
        while len(self.requests()) < count and process.is_running:
            time.sleep(0.003)

    def open_ids(self) -> list[str]:
        """Return the ids of the open uploads."""
        return [one.upload_id for one in self.sandbox.uploads() if one.key in self.sources]

    def right_parts(self) -> set[int]:
        """Return the parts of ``source`` that are stored in open uploads and match the file as it is now."""
        data, found = self.source.read_bytes(), set()
        for upload in self.sandbox.uploads():
            folder = self.sandbox.directory / ".sandbox" / "uploads" / upload.upload_id
            for number in upload.parts if upload.key == self.big_key else ():
                window = data[(number - 1) * PART : number * PART]
                with suppress(FileNotFoundError):  # being completed at this instant
                    stored = json.loads((folder / f"{number}.json").read_text())["md5"]
                    found |= {number} if stored == hashlib.md5(window).hexdigest() else set()
        return found

    def right_objects(self) -> set[str]:
        """Return the keys whose object is its source as it is now, with the options asked for."""
        return {key for key in self.sources if self.is_right(key)}

    def is_right(self, key: str) -> bool:
        """Return whether the object *key* is its source, with the options asked for."""
        stored = self.sandbox.object_path("bucket", key)
        is_equal = self.has_object(key) and stored.read_bytes() == self.sources[key].read_bytes()
        return is_equal and self.has_options(key)

    def has_object(self, key: str) -> bool:
        """Return whether the object exists."""
        return self.sandbox.object_path("bucket", key).exists()

    def has_options(self, key: str) -> bool:
        """Return whether the object *key* has the options asked for."""
        attributes = self.sandbox.object_metadata("bucket", key).attributes
        given = {name: value for name, value in attributes.metadata.items() if name != TOKEN_NAME}
        return (attributes.headers.get("content-type"), given) == ("text/x-run", {"kind": "run"})

    def sent(self, since: int = 0) -> Counter[tuple[str, int | None]]:
        """Return how often each part or small file was stored after the first *since* requests of this run."""
        return Counter(
            (one.key, one.part_number)
            for one in self.requests()[since:]
            if one.operation in ("part", "put") and one.status == 200
        )

    def assert_finished(
        self, since: int, parts: set[int], objects: set[str], *, was_published: bool = False
    ) -> None:
        """Assert that all objects are right, that nothing is left, and that nothing was sent without need.

        *parts* and *objects* were stored before the last run, which began after *since* requests. *was_published*: the
        source was published already, so that it needs another upload.
        """
        assert self.right_objects() == set(self.sources)
        assert self.open_ids() == []
        resent = self.sent(since)
        assert not {number for key, number in resent if key == self.big_key and number} & parts
        in_flight = JOBS * self.kills if self.kind.is_batch else 0  # stored, but not in the journal yet
        assert len({key for key, _ in resent} & objects) <= in_flight
        initiated = Counter(one.key for one in self.requests() if one.operation == "initiate")
        assert max(initiated.values(), default=0) <= 1 + was_published, [
            (one.operation, one.key, one.status, one.part_number) for one in self.requests()
        ]
        assert "abort" not in {one.operation for one in self.requests()}
        work = self.folder / "work"
        assert [path.name for path in work.iterdir()] == ["folder"]
        names = {path.name for path in self.sources.values()}
        assert {path.name for path in self.source.parent.iterdir()} == names
        assert not [path for path in (self.folder / "state").rglob("*") if path.name.endswith((".tmp", "~"))]


@dataclass
class Process:
    """A running command whose messages are in the file *messages*."""

    popen: subprocess.Popen[bytes]
    messages: Path

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended."""
        return self.popen.poll() is None

    def outcome(self) -> Outcome:
        """Wait for the end of the command."""
        code = self.popen.wait(timeout=60)
        return Outcome(code, "", self.messages.read_text())


def drop_privileges() -> None:
    """Make root obey the permissions of files: drop CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH for the next exec."""
    import ctypes

    set_option, drop = ctypes.CDLL(None, use_errno=True).prctl, 24
    for capability in (1, 2):
        set_option(drop, capability, 0, 0, 0)


def processes_with(folder: Path) -> list[int]:
    """Return the processes whose state directory is in *folder*."""
    found, wanted = [], os.fsencode(f"OBSUP_STATE_DIR={folder}/")
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = wanted in (path / "environ").read_bytes()
        except OSError:  # it ended, or belongs to another user
            continue
        found += [int(path.name)] if is_ours else []
    return found
