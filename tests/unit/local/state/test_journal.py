"""The journal of a batch: complete lines survive anything, and damaged lines are not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.errors import CheckpointUnwritable, WrongUsage
from obsup.local.state.journal import (
    MAX_STALE_LINES,
    Journal,
    JournalDamaged,
    JournalEntry,
    default_path,
)
from obsup.model import SourceStat, Target
from obsup.units import MIB
from tests.benchmarks.cost import measure

TARGET = Target("obs", "https://obs.example", "bucket", "photos/")


def entry(name: str, *, size: int = 1, etag: str = "0" * 32) -> JournalEntry:
    """Return the entry of a verified file."""
    return JournalEntry(name, SourceStat(size, 2, 3, 4, 5), etag, "etag", "0123abcd")


def write(path: Path, *names: str) -> None:
    """Write entries of these files."""
    journal = Journal(path, TARGET)
    for name in names:
        journal.add(entry(name))
    journal.close()


def known(path: Path, *names: str) -> list[str]:
    """Return which of *names* are in the journal at *path*."""
    journal = Journal(path, TARGET)
    found = [name for name in names if journal.find(name) == entry(name)]
    journal.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the journal."""
    return tmp_path / "batch.obsup.journal"


@given(
    st.lists(
        st.builds(
            JournalEntry,
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
            st.builds(SourceStat, *[st.integers(0, 2**63)] * 5),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.sampled_from(["etag", "crc64", "size"]),
            st.text("0123456789abcdef", max_size=8),
        ),
        max_size=5,
    )
)
def test_entries_are_found_by_the_next_run(files: list[JournalEntry]) -> None:
    """The last entry of a name counts."""
    path = Path(os.environ["HOME"]) / "any.journal"
    path.unlink(missing_ok=True)
    for _run in range(2):
        journal = Journal(path, TARGET)
        for file in files:
            journal.add(file)
        journal.close()
    journal = Journal(path, TARGET)
    last = {file.name: file for file in files}
    assert {name: journal.find(name) for name in last} == last
    assert (journal.known, journal.damaged) == (len(last), 0)
    assert journal.find("never seen") is None
    journal.close()


def test_the_file_has_one_line_of_json_per_entry(path: Path) -> None:
    """It has mode 0600."""
    write(path, "a", "b/ü\n")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["target"] == {
        "endpoint": "https://obs.example",
        "bucket": "bucket",
        "prefix": "photos/",
    }
    assert [line[0] for line in lines[1:]] == ["a", "b/ü\n"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_truncated_journal_keeps_every_complete_line(path: Path) -> None:
    """Truncated after any byte; that is not damage, and later entries are complete."""
    write(path, "one", "two")
    data = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        journal = Journal(path, TARGET)
        assert journal.damaged == 0
        assert journal.known == sum(end <= cut for end in ends[1:])
        journal.add(entry("three"))
        journal.close()
        assert known(path, "three") == ["three"]


def test_a_damaged_line_is_not_used(path: Path) -> None:
    """If any bit of it flips; the other lines stay."""
    write(path, "one", "two", "three")
    data = path.read_bytes()
    begin = data.index(b'["two"')
    end = data.index(b"\n", begin)
    for at in range(begin, end):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        journal = Journal(path, TARGET)
        assert journal.find("two") is None
        assert journal.find("one") == entry("one")
        assert journal.find("three") == entry("three")
        assert journal.damaged >= 1
        journal.close()


def test_a_block_of_zeros_after_a_power_failure_is_skipped(path: Path) -> None:
    """Only the lines that the disk did not write are lost."""
    write(path, "one", "two")
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert known(path, "one", "two") == ["one", "two"]
    write(path, "three")
    assert known(path, "one", "two", "three") == ["one", "two", "three"]


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" * 10, b"[1]\n", b"{}\n", b"x" * 200_000, bytes(4096)]
)
def test_a_foreign_file_is_not_changed(path: Path, content: bytes) -> None:
    """It was given by mistake."""
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="is not a journal"):
        Journal(path, TARGET)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("photo.png", b"\x89PNG\r\n\x1a\n", 2),
        ("mine.json", b"{}\n", 2),
        ("state", b'{"journal":"obsup","for', 65),
        ("a-b.obsup.journal", bytes(4096), 65),
    ],
)
def test_a_file_of_the_user_is_a_usage_error(tmp_path: Path, name: str, content: bytes, code: int) -> None:
    """As for the checkpoint of one file; a damaged journal is not a usage error."""
    (tmp_path / name).write_bytes(content + b"\n")
    with pytest.raises(JournalDamaged) as caught:
        Journal(tmp_path / name, TARGET)
    assert caught.value.exit_code == code


def test_a_journal_of_a_newer_obsup_is_not_changed(path: Path) -> None:
    """It may have lines that this version cannot read."""
    write(path, "a")
    path.write_text(path.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(JournalDamaged, match="newer"):
        Journal(path, TARGET)


def test_a_journal_of_another_target_is_an_error(path: Path) -> None:
    """Its files were verified elsewhere."""
    write(path, "a")
    with pytest.raises(WrongUsage, match="another TARGET"):
        Journal(path, Target("obs", "https://obs.example", "bucket", "other/"))


def test_a_journal_with_many_outdated_lines_is_rewritten(path: Path) -> None:
    """It does not grow forever, and no entry is lost."""
    journal = Journal(path, TARGET)
    for version in range(MAX_STALE_LINES // 10 + 20):
        for number in range(10):
            journal.add(entry(f"file {number}", size=version))
    journal.close()
    before = path.stat().st_size
    journal = Journal(path, TARGET)
    assert journal.known == 10
    journal.add(entry("more"))
    journal.close()
    assert path.stat().st_size < before / 50
    assert path.stat().st_mode & 0o777 == 0o600
    journal = Journal(path, TARGET)
    assert journal.find("file 3") == entry("file 3", size=version)
    assert journal.find("more") == entry("more")
    journal.close()


def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """It names the path."""
    with pytest.raises(CheckpointUnwritable, match="nowhere"):
        Journal(tmp_path / "nowhere/journal", TARGET)


def test_a_full_disk_is_reported_once(path: Path) -> None:
    """After that, nothing is appended and nothing raised: the batch continues without a journal."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from obsup.errors import CheckpointUnwritable\n"
        "from obsup.local.state.journal import Journal\n"
        "from tests.unit.local.state.test_journal import TARGET, entry\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "journal = Journal(Path(sys.argv[1]), TARGET)\n"
        "failures = 0\n"
        "for number in range(20):\n"
        "    try: journal.add(entry(f'file {number}'))\n"
        "    except CheckpointUnwritable: failures += 1\n"
        "journal.close()\n"
        "print(failures)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
    assert path.stat().st_size == 500
    names = [f"file {number}" for number in range(20)]
    kept = known(path, *names)
    assert 1 <= len(kept) < 20
    assert kept == names[: len(kept)]


def test_different_batches_have_different_journals(tmp_path: Path) -> None:
    """So that they can run at the same time."""
    other = Target("obs", "https://obs.example", "bucket", "other/")
    paths = {default_path(TARGET, "aa"), default_path(TARGET, "bb"), default_path(other, "aa")}
    assert len(paths) == 3
    assert default_path(TARGET, "aa", tmp_path).parent == tmp_path


@pytest.mark.slow
def test_memory_does_not_grow_with_the_journal(path: Path, tmp_path: Path) -> None:
    """It is indexed on disk."""
    write(path, "a")
    line = path.read_bytes().splitlines(keepends=True)[1]
    assert line.startswith(b'["a"')
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from obsup.local.state.journal import Journal\n"
        "from tests.unit.local.state.test_journal import TARGET, entry\n"
        "journal = Journal(Path(sys.argv[1]), TARGET)\n"
        "for number in range(int(sys.argv[2])): journal.add(entry(f'{number:060}'))\n"
        "journal.close()\n"
        "journal = Journal(Path(sys.argv[1]), TARGET)\n"
        "assert journal.find(f'{5:060}') is not None\n"
        "print(journal.known)\n"
        "journal.close()\n"
    )
    peaks = []
    for count in (10, 60_000):
        words = [sys.executable, "-c", program, str(path), str(count)]
        spent = measure(words, environ={}, folder=Path.cwd(), log=tmp_path / "log")
        assert int((tmp_path / "log").read_text()) == count + 1
        peaks.append(spent.peak_bytes)
    assert peaks[1] - peaks[0] < 16 * MIB


def test_a_journal_of_an_earlier_version_is_read(path: Path) -> None:
    """It escaped characters that are not ASCII, also in the header."""
    target = Target("obs", "https://obs.example", "bucket", "f\u00e4hre/")
    path.write_text(
        '{"journal":"obsup","format":1,"target":{"endpoint":"https://obs.example","bucket":"bucket",'
        '"prefix":"f\\u00e4hre/"}}\n'
        '["b/\\u00fc\\n",1,2,3,4,5,"e","etag","0f",CRC]\n'
    )
    body = path.read_bytes().splitlines()[1].rpartition(b",")[0]
    path.write_bytes(path.read_bytes().replace(b"CRC", b"%d" % zlib.crc32(body)))
    journal = Journal(path, target)
    assert journal.find("b/\u00fc\n") == JournalEntry(
        "b/\u00fc\n", SourceStat(1, 2, 3, 4, 5), "e", "etag", "0f"
    )
    journal.close()
