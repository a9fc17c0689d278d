"""obsup-checkpoint(7): it documents every field, and its example and its command are right."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from msgspec.structs import replace

from obsup.local.state import checkpoint as checkpoints
from obsup.model import Receipt
from tests.support.readme import PAGES, blocks
from tests.unit.local.state.test_checkpoint import CHECKPOINT, STREAM

PAGE = PAGES / "obsup-checkpoint.7.md"


def test_every_field_is_documented() -> None:
    """With its name in backquotes."""
    files = [replace(CHECKPOINT, source_sha256="0f"), STREAM]
    plain = [json.loads(checkpoints.encode(one)) for one in files]
    names = {name for one in plain for name in (*one, *one["stat"], *one["target"], *one["parts"][0])}
    names |= {*plain[1]["growth"]}
    assert [name for name in sorted(names) if f"| `{name}` |" not in PAGE.read_text()] == []


def test_the_example_is_a_checkpoint() -> None:
    """With the right digest."""
    [example] = [one.text for one in blocks(PAGE) if one.kind == "json"]
    found = checkpoints.decode(example.encode())
    assert found.upload.target.name == "media/video.iso"
    assert found.receipts[2] == Receipt(2, 9437184, "b6d81b360a5672d80c27430f39153e2c")
    assert checkpoints.encode(found).decode() == example


def test_the_command_prints_the_digest(tmp_path: Path) -> None:
    """For one file in the current directory."""
    path = tmp_path / "video.iso.0a1b2c3d.obsup.json"
    checkpoints.save(path, CHECKPOINT)
    [command] = [one.text for one in blocks(PAGE) if one.kind == "sh"]
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == json.loads(path.read_bytes())["digest"]
