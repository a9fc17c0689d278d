"""Uploads, resumed uploads and verify with the extension module: the same requests and results as without it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup import events
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.upload_rig import PART, Rig

# One process compiles the module.
pytestmark = [pytest.mark.xdist_group("extension"), pytest.mark.usefixtures("way")]

PARTS = 20


@pytest.fixture
def rig(sandbox: Sandbox, make_file: Callable[..., Path]) -> Rig:
    """A source of 20 parts, sent by 5 threads."""
    return Rig(sandbox, make_file((PARTS - 1) * PART + 50_000), jobs=5)


@pytest.mark.parametrize("digest", ["md5", "auto"])
def test_a_lost_checkpoint_costs_no_part(rig: Rig, inside: Inside, digest: str) -> None:
    """The stored parts are compared with the file; then the object is verified."""
    rig.break_off("op=part,part=15", digest=digest)
    stored = rig.right_parts()
    for checkpoint in rig.source.parent.glob("*.obsup.json"):
        checkpoint.unlink()
    rig.run(digest=digest)
    assert rig.requests("initiate") == []
    assert sorted(number for number in rig.requests("part") if number) == sorted(
        {*range(1, PARTS + 1)} - stored
    )
    assert rig.is_stored()
    again = rig.run(digest=digest, skip_identical=True)
    assert again.sent_parts == 0
    sizes = ("--part-size", str(PART), "--region", "here")
    assert inside.run("verify", rig.source, "bucket/key", *sizes).code == 0
    rig.source.write_bytes(bytes(rig.source.stat().st_size))
    assert inside.run("verify", rig.source, "bucket/key", *sizes).code == 65


def test_bytes_that_change_after_they_were_hashed_are_never_verified(rig: Rig) -> None:
    """Through a memory map: the ETag, or the times of the file, show that something else was sent."""
    stat = rig.source.stat()

    def overwrite(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == 1:
            with rig.source.open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
                view[-10:] = b"0123456789"
                view.flush()
            os.utime(rig.source, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    rig.jobs = 1
    code = rig.code(digest="md5", observer=overwrite)
    assert (code, rig.is_stored()) in ((0, True), (65, False))
