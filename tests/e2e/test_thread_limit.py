"""Limits of open files (ulimit -n) and threads (ulimit -u): fewer parts in flight, or the true limit is named."""

from __future__ import annotations

import errno
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup import events
from obsup.cli.display.repeat import every
from obsup.cli.main import _report_system_error
from obsup.errors import limit_reached
from obsup.local.files.own_file import read_own
from obsup.local.processes.executors import InlineExecutor, open_threads
from obsup.local.walk.prefetch import MAX_LIST_ENTRIES, PrefetchedWalk
from obsup.local.walk.walk import Entry, SourceRoot, Walk
from obsup.sandbox.sandbox import Sandbox
from obsup.store.http.tls_files import _load
from tests.support.batch import make_files
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]


@pytest.fixture
def _no_thread() -> Iterator[None]:
    """No thread can be started: the address space is too small for its stack."""
    before = threading.stack_size(1 << 46)
    yield
    threading.stack_size(before)


@pytest.mark.usefixtures("_no_thread")
def test_without_threads_the_calling_thread_works(tmp_path: Path) -> None:
    """It sends, it walks as far as lists are taken, and shows no progress."""
    assert isinstance(open_threads(4, "part"), InlineExecutor)
    names = {f"{number:04}" for number in range(3 * MAX_LIST_ENTRIES)}
    for name in names:
        (tmp_path / name).touch()
    posted: list[list[Entry] | BaseException | None] = []
    walk = PrefetchedWalk(
        Walk(recursive=True).entries(SourceRoot(str(tmp_path), "tree")), posted.append, events.ignore
    )
    walk.start()
    assert len(posted) == 1
    with every(0.0, lambda: None):
        while posted[-1] is not None:
            walk.taken()
    walk.stop()
    found = [entry.name for entries in posted for entry in entries or ()]  # type: ignore[union-attr]
    assert sorted(found) == sorted(f"tree/{name}" for name in names)


LITTLE_MEMORY = """
import mmap, resource, sys
from pathlib import Path
from obsup.local.processes.executors import InlineExecutor, open_threads
threads = open_threads(3, "part")
used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
resource.setrlimit(resource.RLIMIT_AS, [used + stack + (12 << 20)] * 2)
print(isinstance(open_threads(3, "part"), InlineExecutor), threads.submit(int).result())
"""


def test_a_thread_leaves_memory_for_the_other_work(shell: Shell) -> None:
    """Without room for more than the stack of a thread it is not started: it could end at once, and its part wait."""
    script = f"ulimit -s 8192; {shlex.quote(sys.executable)} -c {shlex.quote(LITTLE_MEMORY)}"
    assert shell.run_script(script).out == "True 0\n"


def test_the_threads_of_a_stream_leave_memory_for_its_parts(shell: Shell, sandbox: Sandbox) -> None:
    """The C library reserved 64 MiB for each thread; the upload failed, and succeeded with a lower limit."""
    obsup = shlex.join([sys.executable, "-B", "-m", "obsup"])
    script = f"ulimit -s 8192; ulimit -v 220000; head -c 40000000 /dev/zero | {obsup} upload - bucket/key"
    outcome = shell.run_script(script)
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").stat().st_size == 40_000_000


def test_a_record_takes_the_memory_of_its_content(tmp_path: Path) -> None:
    """The longest one that is read would not fit into the memory that ulimit -v may leave."""
    path = tmp_path / "record"
    path.write_bytes(b"short")
    assert read_own(path, 1 << 60) == b"short"


def test_a_response_that_no_memory_is_left_for_ends_in_a_memory_error() -> None:
    """Expat crashes the process if there is none for its parser. An empty response needs no parser."""
    program = """
import resource
from pathlib import Path
from obsup.store.answers import xml
xml.parse(b"<a/>")
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 20), -1))
kept, size = [], 1 << 16
while size >= 512:
    try:
        kept.append(bytearray(size))
    except MemoryError:
        size //= 2
names = []
for body in (b"", b"<a/>"):
    try:
        xml.parse(body)
    except Exception as exc:
        names.append(type(exc))
kept.clear()
print(*(one.__name__ for one in names))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "BadXML MemoryError\n"), done.stderr


@pytest.mark.parametrize(
    "error", [SystemError("error return without exception set"), ImportError("it cannot be loaded")]
)
def test_what_follows_from_missing_memory_is_no_bug(error: Exception) -> None:
    """Python and libraries report it in other words, or as the cause of their error."""
    error.__context__ = MemoryError() if isinstance(error, ImportError) else None
    limit = limit_reached(error)
    assert limit is not None
    assert limit.exit_code == 74
    assert limit_reached(ImportError("it cannot be loaded")) is None


def test_certificates_that_do_not_fit_into_the_memory_are_not_wrong(tmp_path: Path) -> None:
    """The limit is the error, not the variable that names them."""
    no_memory = OSError(errno.ENOMEM, "Cannot allocate memory")

    def load() -> None:
        raise no_memory

    with pytest.raises(OSError, match="Cannot allocate") as caught:
        _load(str(tmp_path), "AWS_CA_BUNDLE", load, "no certificate")
    assert caught.value is no_memory


def test_a_system_call_without_memory_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    """Loading a library may fail with ENOMEM under ulimit -v."""
    assert _report_system_error(OSError(errno.ENOMEM, "Cannot allocate memory")) == 74
    assert "Error: not enough memory." in capsys.readouterr().err


def test_a_stream_whose_part_does_not_fit_into_the_memory(shell: Shell) -> None:
    """Exit 74; the command of "Next:" has its pipe, and the metrics have the exit code."""
    words = [sys.executable, "-B", "-m", "obsup", "upload", "-", "bucket/key", "--part-size", "1G"]
    outcome = shell.run_script(
        f"ulimit -v 400000; head -c 1G /dev/zero | {shlex.join(words)} --metrics run.prom"
    )
    assert outcome.code == 74, outcome.err
    assert "Error: not enough memory." in outcome.err
    assert "send without threads: … | obsup upload - bucket/key" in outcome.err
    assert re.search(r"^obsup_exit_code{.*} 74\.0$", (shell.folder / "run.prom").read_text(), re.MULTILINE)


def test_a_limit_of_open_files(shell: Shell, make_file: MakeFile) -> None:
    """If it leaves no connection, that is no failure of the network: exit 74 at once, and the limit is named."""
    make_file(300_000)
    python = shlex.join([sys.executable, "-B", "-m", "obsup"])
    outcomes = [
        shell.run_script(f"ulimit -n {most}; {python} upload bigfile bucket/key") for most in range(5, 9)
    ]
    assert {outcome.code for outcome in outcomes} == {0, 74}, outcomes
    failed = [outcome.err for outcome in outcomes if outcome.code]
    assert all("the limit is that of ulimit -n" in text for text in failed), failed
    assert any("no connection can be opened" in text for text in failed), failed
    assert not any("--jobs" in text for text in failed), failed  # one part at a time is what was tried


def run_limited(shell: Shell, threads: int, *words: str) -> Outcome:
    """Run obsup as a user who may have *threads* threads; root has no limit. It can read what root can."""
    capabilities = "+dac_override,+dac_read_search"
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={capabilities}"]
    command += [f"--ambient-caps={capabilities}", "prlimit", f"--nproc={threads}", sys.executable, "-B"]
    return shell.run_script("echo | " + shlex.join([*command, "-m", "obsup", *words]))


def test_a_command_that_a_limit_of_processes_stops(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 74, and the limit is named: nothing is wrong with the command."""
    outcome = run_limited(shell, 1, "upload", "--from-command", "bucket/key", "--", "true")
    assert outcome.code == 74, outcome.err
    assert "Error: true cannot be run." in outcome.err
    assert "ulimit -u" in outcome.err
    assert "Next:  Raise the limit, then run: obsup upload --from-command" in outcome.err
    assert sandbox.uploads() == []


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_a_limit_of_threads(threads: int, shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Files and batches are sent; a stream, and worker processes, need one more, and exit 74 names the limit."""
    path = make_file(1_000_000)
    make_files(shell, *(f"tree/{number}" for number in range(20)))
    parts = ("upload", "bigfile", "bucket/key", "--part-size", "100K")
    sent = run_limited(shell, threads, *parts, "-j", "8")
    assert sent.code == 0, sent.err
    assert f"ulimit -u {threads}" in sent.err
    assert sandbox.object_path("bucket", "key").read_bytes() == path.read_bytes()
    assert run_limited(shell, threads, "upload", "-r", "tree", "bucket/p/").code == 0
    workers = run_limited(shell, threads, *parts, "--executor", "processes")
    assert (workers.code, "ulimit -u" in workers.err) == (74, True), workers.err
    advised = shlex.split(workers.err.strip().rpartition("obsup ")[2])
    assert run_limited(shell, threads, *advised).code == 0
    stream = run_limited(shell, threads, "upload", "-", "bucket/s")
    assert (stream.code, "ulimit -u" in stream.err) == (74, True), stream.err
    advised = shlex.split(stream.err.strip().rpartition("obsup ")[2])
    assert run_limited(shell, 9, *advised).code == 0
