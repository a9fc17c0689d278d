"""The bytes that are sent are those of the planned file, although its path may lead to another file for a moment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from obsup import events
from obsup.errors import SourceChanged
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
def inside(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """Commands in this process."""
    return Inside(sandbox, tmp_path, monkeypatch)


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
