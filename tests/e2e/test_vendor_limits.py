"""The vendors' limits of keys, of website redirects and of parts in flight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup import events
from obsup.engine.job.job_limit import memory_size, within_limits
from obsup.engine.job.request import Jobs, UploadRequest
from obsup.engine.plan.file_plan import MAX_JOBS
from obsup.errors import WrongUsage
from obsup.model import Target
from obsup.sandbox.sandbox import Sandbox
from obsup.units import MIB
from tests.support.batch import LARGE_SIZE
from tests.support.in_process import Inside
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
NO_EFFECT = "--website-redirect has no effect"
REDIRECT = ("--website-redirect", "/other")


def test_an_obs_key_of_1024_characters(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The vendor counts characters, not bytes; others count bytes."""
    source, key = make_file(1000), "对象/" * 341 + "x"
    assert inside.run("upload", source, f"obs://bucket/{key}").code == 0
    assert sandbox.object_path("bucket", key).read_bytes() == source.read_bytes()
    others = ("--region", "eu-test-1")
    for target, arguments in ((f"obs://bucket/{key}x", ()), (f"oss://bucket/{key}", others)):
        refused = inside.run("upload", source, target, *arguments)
        assert (refused.code, "is too long" in refused.err) == (2, True), refused.err


def test_metadata_that_leaves_no_room_for_the_token(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The store would reject it; an object of one request has no token, and --no-token leaves it out."""
    make_file(400_000)
    full = ("upload", "bigfile", "obs://bucket/key", "--metadata", f"name={'x' * (8192 - 4)}")
    refused = inside.run(*full, "--parts", "2")
    assert (refused.code, "--no-token" in refused.err) == (2, True), refused.err
    assert [one for one in sandbox.requests if one.operation == "initiate"] == []
    assert [inside.run(*full, *more).code for more in ((), ("--parts", "2", "--no-token"))] == [0, 0]


@pytest.mark.parametrize(
    "command",
    [
        ("upload", "bigfile", "obs://bucket/dir/page"),
        ("upload", "bigfile", "obs://bucket/dir/page", "--parts", "2"),
        ("init", "obs://bucket/dir/page"),
        ("upload", "bigfile", "other", "obs://bucket/dir/"),
        ("upload", "--from-command", "obs://bucket/dir/page"),
    ],
    ids=["put", "parts", "init", "batch", "stream"],
)
def test_a_redirect_outside_the_root_is_noted(
    inside: Inside, make_file: MakeFile, command: tuple[str, ...]
) -> None:
    """Once, and the object is made: OBS stores the redirect, but does not follow it."""
    make_file(400_000)
    make_file(1000, "other")
    tail = ("--", "cat", "bigfile") if "--from-command" in command else ()
    outcome = inside.run(*command, *REDIRECT, *tail)
    assert (outcome.code, outcome.err.count(NO_EFFECT)) == (0, 1), outcome.err


@pytest.mark.parametrize(
    "command", [("obs://bucket/page",), ("s3://bucket/dir/page", "--region", "eu-test-1")], ids=["root", "S3"]
)
def test_a_redirect_with_an_effect_is_not_noted(
    inside: Inside, make_file: MakeFile, command: tuple[str, ...]
) -> None:
    """In the root of a bucket, and with S3, which redirects all keys."""
    outcome = inside.run("upload", make_file(1000), *command, *REDIRECT)
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("source", mostly_slow(["bigfile", "bigfile other", "-"], "bigfile other"))
def test_more_jobs_than_the_process_can_have(shell: Shell, make_file: MakeFile, source: str) -> None:
    """10,000, the vendors' limit, is accepted; a note names the limit of this process, and the upload succeeds."""
    make_file(2_000_000)
    make_file(1000, "other")
    pipe = "cat bigfile | " if source == "-" else ""
    target = "bucket/dir/" if " " in source else "bucket/key"
    command = f"obsup upload {source} {target} --part-size 100K --jobs 10000"
    outcome = shell.run_script(f"ulimit -n 72; {pipe}{command}")
    note = "10000 parts cannot be in flight at once: the limit of open files (ulimit -n 72) allows 20"
    assert (outcome.code, outcome.err.count(note)) == (0, 1), outcome.err


def request(jobs: Jobs, executor: str = "threads") -> UploadRequest:
    """Return a request with so many jobs."""
    return UploadRequest(Path("file"), Target("obs", "", "bucket", "key"), jobs=jobs, executor=executor)


@pytest.mark.parametrize(
    ("files", "jobs", "executor", "name"),
    [
        (
            {"sys/fs/cgroup/pids.max": "40\n", "sys/fs/cgroup/pids.current": "4\n"},
            20,
            "threads",
            "pids.max 40",
        ),
        ({"sys/fs/cgroup/pids.max": "max\n"}, 100, "threads", ""),
        (
            {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 128000 kB\n"},
            50,
            "threads",
            "free memory (125 MiB)",
        ),
        ({"proc/meminfo": "MemAvailable: 6400000 kB\n"}, 48, "processes", "free memory (6250 MiB)"),
        (
            {
                "proc/meminfo": "MemAvailable: 6400000 kB\n",
                "sys/fs/cgroup/memory.max": "268435456",
                "sys/fs/cgroup/memory.current": "134217728",
            },
            51,
            "threads",
            "free memory (128 MiB)",
        ),
        (
            {
                "sys/fs/cgroup/memory.max": "268435456",
                "sys/fs/cgroup/memory.current": "268435456",
                "sys/fs/cgroup/memory.stat": "file 268435456\ninactive_file 134217728\n",
            },
            51,
            "threads",
            "free memory (128 MiB)",
        ),
        ({"proc/meminfo": "MemAvailable: 1000 kB\n"}, 32, "threads", "free memory (0 MiB)"),
    ],
)
def test_the_limit_of_the_machine(
    tmp_path: Path, files: dict[str, str], jobs: int, executor: str, name: str
) -> None:
    """Threads and memory of the machine or its control group; memory never allows fewer than --jobs auto."""
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    noted: list[events.Event] = []
    limited = within_limits(request(100, executor), noted.append, root=tmp_path)
    assert limited.jobs == jobs
    assert [name in str(note) for note in noted] == ([True] if name else [])
    noted.clear()
    automatic = within_limits(request("auto"), noted.append, root=tmp_path)
    assert (automatic.jobs, noted) == ("auto" if jobs >= MAX_JOBS else jobs, [])


def test_the_memory_limits_large_parts_of_a_stream(tmp_path: Path) -> None:
    """To half of what is free; a control group has no more than its own limit."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 8388608 kB\n")
    wanted: tuple[tuple[Jobs, int], ...] = ((100, 8), ("auto", 8), (3, 3))
    for jobs, most in wanted:
        limited = within_limits(request(jobs), lambda _: None, bytes_per_job=512 * MIB, root=tmp_path)
        assert limited.jobs == most
    assert (memory_size(tmp_path) or 0) > 128 * MIB
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("134217728\n")
    assert memory_size(tmp_path) == 128 * MIB


@pytest.mark.parametrize("jobs", [0, 10_001])
def test_jobs_outside_the_vendors_limits_are_refused(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, jobs: int
) -> None:
    """By the command line and by the API."""
    assert inside.run("upload", make_file(10), "bucket/key", "--jobs", str(jobs)).code == 2
    with pytest.raises(WrongUsage, match="between 1 and 10000"):
        _ = request(jobs).initial_jobs
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (13, "upload bigfile bucket/key --part-size 100K"),
        pytest.param(13, "upload -r tree/ bucket/key/", marks=pytest.mark.slow),
        pytest.param(24, "upload -r tree/ bucket/key/", marks=pytest.mark.slow),
        pytest.param(13, "upload bigfile bucket/key --part-size 100K -j 9", marks=pytest.mark.slow),
        pytest.param(20, "upload -r large/ bucket/key/", marks=pytest.mark.slow),
    ],
)
def test_few_open_files_are_enough(shell: Shell, make_file: MakeFile, files: int, command: str) -> None:
    """As many parts and large files are in flight as the limit allows; too many were exit 74, or a bug (70)."""
    make_file(3_000_000)
    (shell.folder / "tree").mkdir()
    for number in range(100):
        (shell.folder / "tree" / str(number)).write_bytes(bytes(number))
    (shell.folder / "large").mkdir()
    for number in range(20):
        with (shell.folder / "large" / str(number)).open("wb") as file:
            file.truncate(LARGE_SIZE)
    outcome = shell.run_script(f"ulimit -n {files}; exec obsup {command}")
    assert outcome.code == 0, outcome.err
    assert "without it" not in outcome.err  # a checkpoint that could not be written


def test_a_limit_of_open_files_that_is_too_low_is_named(shell: Shell, make_file: MakeFile) -> None:
    """The disk is not the cause."""
    make_file(300_000)
    outcome = shell.run_script("ulimit -n 5; exec obsup upload bigfile bucket/key --parts 2")
    assert outcome.code == 74, outcome.err
    assert "ulimit -n" in outcome.err
    assert "check the disk" not in outcome.err.lower()
