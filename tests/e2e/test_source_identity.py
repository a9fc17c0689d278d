"""The bytes that are sent are those of the planned file, although its path may lead to another file for a moment."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from obsup import events
from obsup.engine.job.stop import StopSignal
from obsup.errors import SourceChanged
from obsup.local.source.expectation import Expectation
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.upload_rig import PART, Rig

MakeFile = Callable[..., Path]
PARTS = 4


class Link:
    """A symbolic link to one of two files of equal size and modification time."""

    def __init__(self, path: Path, files: tuple[Path, Path]) -> None:
        self.path = path
        self._files = files
        os.utime(files[1], ns=(files[0].stat().st_atime_ns, files[0].stat().st_mtime_ns))
        self.lead_to(0)

    def lead_to(self, number: int) -> None:
        """Let the link lead to file *number*, in one step."""
        new = self.path.with_name("new-link")
        new.symlink_to(self._files[number])
        new.replace(self.path)


@pytest.fixture
def link(make_file: MakeFile) -> Link:
    """A link to the first of two files of four parts."""
    size = (PARTS - 1) * PART + 50_000
    files = make_file(size, "first", seed=1), make_file(size, "second", seed=2)
    return Link(files[0].with_name("bigfile"), files)


def while_retrying(link: Link) -> Callable[[events.Event], None]:
    """Return an observer that switches the link when a part is retried, and back when that part was read."""
    switched: list[int] = []

    def observe(event: events.Event) -> None:
        if isinstance(event, events.Retried) and not switched:
            link.lead_to(1)
            switched.append(1)
        elif isinstance(event, events.PartSent) and switched and event.sent == event.size:
            link.lead_to(0)

    return observe


@pytest.mark.parametrize("fault", ["error=503:SlowDown", "drop-request=1000", "drop-answer", "flip-bit"])
@pytest.mark.parametrize(
    "options", [{}, {"content_md5": True}, {"digest": "none"}], ids=["md5", "header", "none"]
)
def test_a_link_that_switches_during_a_retry_is_detected(
    sandbox: Sandbox, link: Link, fault: str, options: dict[str, Any]
) -> None:
    """Each attempt opens the path again; the file that it opens must be the planned one."""
    if "flip-bit" in fault and options:
        options = {}  # nothing is confirmed, or the store itself rejects the damaged bytes
    rig = Rig(sandbox, link.path)
    sandbox.add_fault(f"{fault},op=part,part=3")
    with pytest.raises(SourceChanged, match="it is another file"):
        rig.run(observer=while_retrying(link), **options)
    assert not sandbox.object_path("bucket", "key").exists()
    link.lead_to(0)
    rig.run(**options)
    assert rig.is_stored()


# A program that writes through a memory mapping changes no time while the page is dirty.


@contextmanager
def dirty_mapping(path: Path) -> Iterator[mmap.mmap]:
    """Map a file and write to each page, so that another write does not change the modification time."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        for start in range(0, len(mapping), mmap.PAGESIZE):
            mapping[start] = mapping[start]
        yield mapping


def after_part(number: int, act: Callable[[], object]) -> Callable[[events.Event], None]:
    """Return an observer that calls *act* when part *number* is stored for the first time."""
    done: list[events.Event] = []

    def observe(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == number and not done:
            done.append(event)
            act()

    return observe


def options_for(check: str, path: Path) -> dict[str, Any]:
    """Return the option that announces the content of the file."""
    if check == "--verify-source":
        return {"verify_source": True}
    return {"expect": Expectation(sha256=hashlib.sha256(path.read_bytes()).hexdigest())}


CHECKS = ("--verify-source", "--expect-sha256")


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "options", [{}, {"digest": "none"}, {"executor": "processes"}, {"provider": "oss"}], ids=str
)
def test_what_was_sent_has_the_digest_of_the_start(
    sandbox: Sandbox,
    make_file: MakeFile,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    options: dict[str, Any],
) -> None:
    """A write to a part that was not sent yet is an error, although stat does not show it."""
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    rig = Rig(sandbox, make_file((PARTS - 1) * PART + 50_000), provider=options.get("provider", "obs"))
    more = {name: value for name, value in options.items() if name != "provider"}
    more |= options_for(check, rig.source)
    with dirty_mapping(rig.source) as mapping:
        act = after_part(2, lambda: mapping.__setitem__(-1, mapping[-1] ^ 1))
        with pytest.raises(SourceChanged):
            rig.run(observer=act, **more)
        assert not sandbox.object_path("bucket", "key").exists()
        assert len(rig.open_ids()) == 1
    assert rig.code(**more) == 65  # still another content than announced or stored
    if check == "--verify-source":
        rig.run(on_change="resend", **more)
        assert rig.is_stored()


def test_a_write_to_a_part_that_was_sent_does_not_matter(sandbox: Sandbox, make_file: MakeFile) -> None:
    """The object is the file as it was hashed."""
    rig = Rig(sandbox, make_file((PARTS - 1) * PART + 50_000))
    first = rig.source.read_bytes()
    with dirty_mapping(rig.source) as mapping:
        act = after_part(2, lambda: mapping.__setitem__(0, mapping[0] ^ 1))
        code = rig.code(observer=act, verify_source=True)
    stored = sandbox.object_path("bucket", "key")
    assert (code, stored.exists() and stored.read_bytes() == first) in ((0, True), (65, False))


@pytest.mark.parametrize("check", CHECKS)
def test_a_write_is_followed_if_that_is_requested(sandbox: Sandbox, make_file: MakeFile, check: str) -> None:
    """With --on-change resend the object is the file as it is now, unless other content was announced."""
    rig = Rig(sandbox, make_file((PARTS - 1) * PART + 50_000))
    options = options_for(check, rig.source)
    with dirty_mapping(rig.source) as mapping:
        act = after_part(2, lambda: mapping.__setitem__(-1, mapping[-1] ^ 1))
        code = rig.code(observer=act, on_change="resend", **options)
    assert code == (0 if check == "--verify-source" else 65)
    assert rig.is_stored() == (code == 0)


@pytest.mark.parametrize("check", CHECKS)
def test_parts_of_an_earlier_run_are_compared(sandbox: Sandbox, make_file: MakeFile, check: str) -> None:
    """They were sent without a digest of the whole."""
    rig = Rig(sandbox, make_file((PARTS - 1) * PART + 50_000))
    rig.break_off("op=part,part=3")
    rig.run(**options_for(check, rig.source))
    assert rig.requests("part") == [3, 4]
    assert rig.is_stored()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("on_change", ["fail", "resend"])
def test_a_small_file_is_compared_before_it_is_published(
    sandbox: Sandbox, make_file: MakeFile, check: str, on_change: Literal["fail", "resend"]
) -> None:
    """It is sent from memory, which has the announced content or is not sent."""
    rig = Rig(sandbox, make_file(4 * 2**20), part_size=None)
    options = options_for(check, rig.source)
    with dirty_mapping(rig.source) as mapping:
        clock_calls = 0

        def write_in_the_second_pass() -> float:
            nonlocal clock_calls
            clock_calls += 1
            if clock_calls == 8:  # read once per MiB
                mapping[-1] ^= 1
            return 0.0

        stop = StopSignal(deadline_s=1.0, monotonic=write_in_the_second_pass)
        code = rig.code(stop=stop, on_change=on_change, **options)
    assert code == (0 if (check, on_change) == ("--verify-source", "resend") else 65)
    assert len(rig.requests("put")) == (1 if code == 0 else 0)
    assert code or rig.is_stored()


def test_small_files_of_a_batch_are_compared_too(
    inside: Inside, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast path of small files reads each file once, so it is not used."""
    monkeypatch.setattr("obsup.engine.batch.small_file.SmallFileUploader.upload", None)
    (tmp_path / "tree").mkdir()
    for name in ("one", "two"):
        (tmp_path / "tree" / name).write_text(name)
    assert inside.run("upload", "-r", "tree/", "bucket/p/", "--verify-source").code == 0
    assert sandbox.object_path("bucket", "p/two").read_bytes() == b"two"


# Files that do not have the size that they state.

MISSTATED = ("/proc/cpuinfo", "/sys/devices/system/cpu/online")
COMMANDS = (
    "upload {} bucket/key",
    "upload {} bucket/key --dry-run",
    "upload {} bucket/key --skip-identical",
    "upload {} bucket/key --expect-md5 d41d8cd98f00b204e9800998ecf8427e",
    "upload {} bucket/key --verify-source",
    "upload {} bucket/key --executor processes -j 1",
    "upload {} empty bucket/p/",
    "init {} bucket/key",
    "part {} bucket/key --upload-id {id} --part-number 1 --part-size 1M",
    "verify {} bucket/key",
)


@pytest.mark.parametrize("path", MISSTATED)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_does_not_state_its_size_is_refused(
    inside: Inside, sandbox: Sandbox, tmp_path: Path, path: str, command: str
) -> None:
    """Before anything is sent; --restart could not help."""
    (tmp_path / "empty").touch()
    assert inside.run("upload", "empty", "bucket/key").code == 0
    if "{id}" in command:
        command = command.replace("{id}", inside.run("init", "bucket/other").out.strip())
    count = len(sandbox.requests)
    outcome = inside.run(*command.format(path).split())
    assert outcome.code == 66, outcome.err
    stated = "fewer bytes than its size of 4096" if "sys" in path else "more bytes than its size of 0"
    assert f"{path} has {stated}" in outcome.err
    assert "--restart" not in outcome.err
    assert {one.operation for one in sandbox.requests[count:] if one.key == "key"} <= {"head"}


@pytest.mark.parametrize("path", MISSTATED)
def test_a_file_that_does_not_state_its_size_is_piped_in(shell: Shell, sandbox: Sandbox, path: str) -> None:
    """As the error advises: a pipe has no stated size."""
    outcome = shell.run("upload", path, "bucket/key")
    advice = re.search(r"cat \S+ \| obsup upload - ", outcome.err)
    assert advice is not None, outcome.err
    piped = shell.run_script(f"{advice.group()} bucket/key")
    assert piped.code == 0, piped.err
    assert sandbox.object_path("bucket", "key").read_bytes() == Path(path).read_bytes()
