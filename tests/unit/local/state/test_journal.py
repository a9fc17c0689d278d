"""The journal of a batch: whole lines whatever happens to it, and nothing believed that was damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.errors import CheckpointUnwritable, WrongUsage
from obsup.local.state.journal import (
    MAX_STALE_LINES,
    Journal,
    JournalDamaged,
    Proved,
    default_path,
    set_aside,
)
from obsup.model import SourceStat, Target
from obsup.units import MIB
from tests.benchmarks.cost import measure

TARGET = Target("obs", "https://obs.example", "bucket", "photos/")


def proved(name: str, *, size: int = 1, etag: str = "0" * 32) -> Proved:
    """Return a file that was proved."""
    return Proved(name, SourceStat(size, 2, 3, 4, 5), etag, "etag", "0123abcd")


def write(path: Path, *names: str) -> None:
    """Have a run prove these files."""
    journal = Journal(path, TARGET)
    for name in names:
        journal.add(proved(name))
    journal.close()


def known(path: Path, *names: str) -> list[str]:
    """Return which of *names* the journal at *path* knows."""
    journal = Journal(path, TARGET)
    found = [name for name in names if journal.find(name) == proved(name)]
    journal.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "batch.obsup.journal"


@given(
    st.lists(
        st.builds(
            Proved,
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
            st.builds(SourceStat, *[st.integers(0, 2**63)] * 5),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.sampled_from(["etag", "crc64", "size"]),
            st.text("0123456789abcdef", max_size=8),
        ),
        max_size=5,
    )
)
def test_what_is_proved_is_known_to_the_next_run(files: list[Proved]) -> None:
    """The last line of a name counts."""
    path = Path(os.environ["HOME"]) / "any.journal"
    path.unlink(missing_ok=True)
    for _run in range(2):
        journal = Journal(path, TARGET)
        for one in files:
            journal.add(one)
        journal.close()
    journal = Journal(path, TARGET)
    last = {one.name: one for one in files}
    assert {name: journal.find(name) for name in last} == last
    assert (journal.known, journal.damaged) == (len(last), 0)
    assert journal.find("never seen") is None
    journal.close()


def test_lines_are_json_that_others_can_read(path: Path) -> None:
    """A line a file; readable by its owner alone."""
    write(path, "a", "b/ü\n")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["target"] == {
        "endpoint": "https://obs.example",
        "bucket": "bucket",
        "prefix": "photos/",
    }
    assert [line[0] for line in lines[1:]] == ["a", "b/ü\n"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_torn_anywhere_it_keeps_every_whole_line(path: Path) -> None:
    """Cut after each byte in turn, it knows what was whole, says that nothing is damaged, and goes on whole."""
    write(path, "one", "two")
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        journal = Journal(path, TARGET)
        assert journal.damaged == 0
        assert journal.known == sum(end <= cut for end in ends[1:])
        journal.add(proved("three"))
        journal.close()
        assert known(path, "three") == ["three"]


def test_a_damaged_line_is_not_believed(path: Path) -> None:
    """A bit that flips anywhere in a line makes it unknown, and the others stay."""
    write(path, "one", "two", "three")
    whole = path.read_bytes()
    begin = whole.index(b'["two"')
    end = whole.index(b"\n", begin)
    for at in range(begin, end):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        journal = Journal(path, TARGET)
        assert journal.find("two") is None
        assert journal.find("one") == proved("one")
        assert journal.find("three") == proved("three")
        assert journal.damaged >= 1
        journal.close()


def test_a_block_of_zeros_after_a_power_cut(path: Path) -> None:
    """What the disk did not write costs those files a look, not the journal."""
    write(path, "one", "two")
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert known(path, "one", "two") == ["one", "two"]
    write(path, "three")
    assert known(path, "one", "two", "three") == ["one", "two", "three"]


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" * 10, b"[1]\n", b"{}\n", b"x" * 200_000, bytes(4096)]
)
def test_a_file_that_is_no_journal_is_left_alone(path: Path, content: bytes) -> None:
    """It was named by mistake."""
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="no journal"):
        Journal(path, TARGET)
    assert path.read_bytes() == content
    assert set_aside(path).read_bytes() == content


def test_a_journal_of_a_newer_obsup_is_left_alone(path: Path) -> None:
    """It may say what this one cannot understand."""
    write(path, "a")
    path.write_text(path.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(JournalDamaged, match="newer"):
        Journal(path, TARGET)


def test_a_journal_about_another_target_is_refused(path: Path) -> None:
    """Its files were proved elsewhere."""
    write(path, "a")
    with pytest.raises(WrongUsage, match="another TARGET"):
        Journal(path, Target("obs", "https://obs.example", "bucket", "other/"))


def test_a_worn_journal_is_written_anew(path: Path) -> None:
    """It does not grow for ever, and forgets nothing."""
    journal = Journal(path, TARGET)
    for wait_a_little in range(MAX_STALE_LINES // 10 + 20):
        for number in range(10):
            journal.add(proved(f"file {number}", size=wait_a_little))
    journal.close()
    before = path.stat().st_size
    journal = Journal(path, TARGET)
    assert journal.known == 10
    journal.add(proved("more"))
    journal.close()
    assert path.stat().st_size < before / 50
    assert path.stat().st_mode & 0o777 == 0o600
    journal = Journal(path, TARGET)
    assert journal.find("file 3") == proved("file 3", size=wait_a_little)
    assert journal.find("more") == proved("more")
    journal.close()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(CheckpointUnwritable, match="nowhere"):
        Journal(tmp_path / "nowhere/journal", TARGET)


def test_a_full_disk_is_said_once(path: Path) -> None:
    """After that nothing is appended, and nothing raised: the batch goes on without."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from obsup.errors import CheckpointUnwritable\n"
        "from obsup.local.state.journal import Journal\n"
        "from tests.unit.local.state.test_journal import TARGET, proved\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "journal = Journal(Path(sys.argv[1]), TARGET)\n"
        "failures = 0\n"
        "for number in range(20):\n"
        "    try: journal.add(proved(f'file {number}'))\n"
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


def test_journals_of_different_batches_are_apart(tmp_path: Path) -> None:
    """Two that run at once do not meet."""
    other = Target("obs", "https://obs.example", "bucket", "other/")
    paths = {default_path(TARGET, "aa"), default_path(TARGET, "bb"), default_path(other, "aa")}
    assert len(paths) == 3
    assert default_path(TARGET, "aa", tmp_path).parent == tmp_path


def test_memory_does_not_grow_with_the_journal(path: Path, tmp_path: Path) -> None:
    """It is looked up on disk."""
    write(path, "a")
    line = path.read_bytes().splitlines(keepends=True)[1]
    assert line.startswith(b'["a"')
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from obsup.local.state.journal import Journal\n"
        "from tests.unit.local.state.test_journal import TARGET, proved\n"
        "journal = Journal(Path(sys.argv[1]), TARGET)\n"
        "for number in range(int(sys.argv[2])): journal.add(proved(f'{number:060}'))\n"
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
