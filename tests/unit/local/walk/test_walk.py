"""Walking sources: everything is met once and named, whatever lies about in a tree."""

from __future__ import annotations

import io
import os
import posixpath
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.errors import ObsupError, SourceUnreadable, WrongUsage
from obsup.local.walk.file_list import LONGEST, listed, read_entries, root_of_entry
from obsup.local.walk.filters import make_selection
from obsup.local.walk.unique_keys import unique_keys
from obsup.local.walk.walk import (
    OPEN_FOLDERS,
    Entry,
    FoundFile,
    SkippedFile,
    SourceRoot,
    UnreadableFile,
    Walk,
    as_list_entry,
    can_meet,
    root_of,
)
from obsup.units import MIB
from tests.benchmarks.cost import measure

WHOLE = Walk(recursive=True)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(*paths: str) -> None:
    """Make files of one byte, and the folders that they are in."""
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"x")


def names(entries: Iterable[Entry]) -> list[str]:
    """Return the names of the files found, sorted."""
    return sorted(entry.name for entry in entries if isinstance(entry, FoundFile))


def others(entries: Iterable[Entry]) -> dict[str, str]:
    """Return what is no file to be sent: its name, and why."""
    found = {}
    for entry in entries:
        if isinstance(entry, SkippedFile):
            found[entry.name] = entry.reason
        elif isinstance(entry, UnreadableFile):
            found[entry.name] = str(entry.error)
    return found


@pytest.mark.parametrize(
    ("source", "root", "keys"),
    [
        ("photos", SourceRoot("photos", "photos"), ["photos/2026/b", "photos/a"]),
        ("photos/", SourceRoot("photos", ""), ["2026/b", "a"]),
        ("photos//", SourceRoot("photos", ""), ["2026/b", "a"]),
        ("./photos", SourceRoot("./photos", "photos"), ["photos/2026/b", "photos/a"]),
        (".", SourceRoot(".", ""), ["photos/2026/b", "photos/a"]),
        ("photos/..", SourceRoot("photos/..", ""), ["photos/2026/b", "photos/a"]),
        ("photos/a", SourceRoot("photos/a", "a"), ["a"]),
    ],
)
def test_a_folder_keeps_its_name_and_with_a_slash_is_its_contents(
    source: str, root: SourceRoot, keys: list[str]
) -> None:
    """As rsync has it."""
    make("photos/a", "photos/2026/b")
    assert root_of(source) == root
    assert names(WHOLE.entries(root)) == keys


def test_the_stat_is_the_file_s_own() -> None:
    """It tells later whether the file is still the one that was met."""
    make("a")
    (entry,) = WHOLE.entries(root_of("a"))
    now = Path("a").stat()
    assert isinstance(entry, FoundFile)
    assert (entry.stat.size, entry.stat.mtime_ns, entry.stat.inode) == (1, now.st_mtime_ns, now.st_ino)


def test_folders_are_entered_only_where_asked() -> None:
    """A folder that is not sent is an error: it is not silently left out."""
    make("photos/a")
    (entry,) = Walk().entries(root_of("photos"))
    assert isinstance(entry, UnreadableFile)
    assert isinstance(entry.error, WrongUsage)
    assert "--recursive" in str(entry.error.next_step)


def test_what_is_missing_is_an_error_of_its_own() -> None:
    """The rest of a batch goes on."""
    (entry,) = WHOLE.entries(root_of("nowhere"))
    assert isinstance(entry, UnreadableFile)
    assert "No such file" in str(entry.error)


def test_a_file_with_a_slash_at_its_end_is_no_folder() -> None:
    """It would have no name."""
    make("a")
    (entry,) = WHOLE.entries(root_of("a/"))
    assert isinstance(entry, UnreadableFile)


def test_what_is_no_regular_file_is_named_and_passed_over() -> None:
    """Reading a pipe would wait for ever."""
    make("tree/a")
    os.mkfifo("tree/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("tree/socket")
        entries = list(WHOLE.entries(root_of("tree/")))
    assert names(entries) == ["a"]
    assert others(entries) == {"pipe": "a named pipe", "socket": "a socket"}
    assert others(WHOLE.entries(root_of("tree/pipe"))) == {"pipe": "a named pipe"}


def test_checkpoints_of_an_earlier_run_are_no_sources() -> None:
    """They lie beside the files that they are about, some of them half written."""
    own = ["big.iso.0123abcd.obsup.json", ".big.iso.0123abcd.obsup.json.89ef0123.abc_d123"]
    cut = f".{'x' * 100}.89ef0123.abcdefgh"
    mine = ["notes.obsup.json", "big.iso.0123.obsup.json", ".hidden.89ef0123.abcdefgh"]
    make(*(f"tree/{name}" for name in (*own, cut, *mine)))
    entries = list(WHOLE.entries(root_of("tree/")))
    assert names(entries) == sorted(mine)
    assert set(others(entries)) == {*own, cut}


@pytest.fixture
def linked() -> None:
    """A tree with a link to a file, to a folder outside, to nothing, and to the folder that it is in."""
    make("tree/a", "outside/b")
    Path("tree/file").symlink_to("a")
    Path("tree/folder").symlink_to("../outside")
    Path("tree/nothing").symlink_to("gone")
    Path("tree/loop").symlink_to(".")


@pytest.mark.usefixtures("linked")
def test_links_are_followed_but_not_in_circles() -> None:
    """A link to nothing is an error: what it stood for is not sent."""
    entries = list(WHOLE.entries(root_of("tree/")))
    assert names(entries) == ["a", "file", "folder/b"]
    assert set(others(entries)) == {"loop", "nothing"}
    assert "in" in others(entries)["loop"]


@pytest.mark.usefixtures("linked")
def test_links_are_skipped_and_named() -> None:
    """Nothing is left out without a word."""
    entries = list(Walk(recursive=True, links="skip").entries(root_of("tree/")))
    assert names(entries) == ["a"]
    assert others(entries) == dict.fromkeys(("file", "folder", "nothing", "loop"), "a symbolic link")


@pytest.mark.usefixtures("linked")
def test_links_are_refused() -> None:
    """Each is an error, and the rest goes on."""
    entries = list(Walk(recursive=True, links="refuse").entries(root_of("tree/")))
    assert names(entries) == ["a"]
    assert sum(isinstance(entry, UnreadableFile) for entry in entries) == 4


@pytest.mark.usefixtures("linked")
def test_a_link_that_is_named_as_a_source_is_followed() -> None:
    """Who names it means it."""
    Path("link").symlink_to("tree")
    assert "link/a" in names(Walk(recursive=True, links="refuse").entries(root_of("link")))


def test_a_folder_that_cannot_be_read_is_an_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    """What is in it is not known, and is not passed over in silence. This one's path is too long for the system."""
    make("tree/a")
    folder = os.open("tree", os.O_RDONLY)
    for _level in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    entries = list(WHOLE.entries(root_of(f"{tmp_path}/tree/")))
    assert names(entries) == ["a"]
    (why,) = others(entries).values()
    assert "File name too long" in why


def test_a_folder_that_vanishes_meanwhile_is_an_error() -> None:
    """Between its name and its entries there is time."""
    make("tree/a/one", "tree/b/two")
    entries: list[Entry] = []
    for entry in WHOLE.entries(root_of("tree/")):
        entries.append(entry)
        left = "b" if entry.name.startswith("a") else "a"
        if Path(f"tree/{left}").exists() and len(entries) == 1:
            Path(f"tree/{left}/{'two' if left == 'b' else 'one'}").unlink()
            Path(f"tree/{left}").rmdir()
    assert len(names(entries)) == 1
    assert set(others(entries)) <= {"a", "b"}


def open_descriptors() -> int:
    """Return how many descriptors this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_deep_trees_take_few_descriptors() -> None:
    """A folder in a folder in a folder, further than descriptors would reach if each stayed open."""
    depth = OPEN_FOLDERS + 40
    make("/".join(["tree", *["d"] * depth, "leaf"]))
    before = open_descriptors()
    most = 0
    for _entry in WHOLE.entries(root_of("tree/")):
        most = max(most, open_descriptors())
    assert most - before <= OPEN_FOLDERS + 1


def test_patterns_are_those_of_gitignore() -> None:
    """Relative to each SOURCE, later ones win, a folder that is excluded is not entered."""
    make("t/a.tmp", "t/keep.tmp", "t/build/x", "t/src/build/y", "t/doc/z.md", "t/doc/w.txt")
    selection = make_selection([], ["*.tmp", "!keep.tmp", "/build/"])
    assert names(Walk(True, selection=selection).entries(root_of("t"))) == [
        "t/doc/w.txt",
        "t/doc/z.md",
        "t/keep.tmp",
        "t/src/build/y",
    ]
    selection = make_selection(["*.md", "src/"], ["z*"])
    assert names(Walk(True, selection=selection).entries(root_of("t/"))) == ["src/build/y"]
    selection = make_selection([], ["*.tmp"])
    assert names(Walk(selection=selection).entries(root_of("t/a.tmp"))) == []


def test_an_excluded_folder_is_not_even_opened() -> None:
    """It may be one that nobody may read."""
    make("t/a", "t/closed/b")
    Path("t/gone").symlink_to("t/nowhere")
    selection = make_selection([], ["closed/", "gone"])
    entries = list(Walk(True, selection=selection).entries(root_of("t/")))
    assert [entry.name for entry in entries] == ["a"]


@pytest.mark.parametrize("pattern", ["!", "a\\"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    """Before anything is walked."""
    with pytest.raises(WrongUsage, match="--include"):
        make_selection([pattern], [])


@pytest.mark.parametrize(
    ("sources", "meets"),
    [
        (["a", "b", "c"], False),
        (["a"], False),
        (["a/"], False),
        (["a", "a.b", "a-b"], False),
        (["a", "b/"], True),
        (["a/", "b/"], True),
        (["x/a", "y/a"], True),
        (["a.txt", "b", "sub/a.txt"], True),
    ],
)
def test_which_sources_can_meet(sources: list[str], meets: bool) -> None:
    """Where they cannot, nothing is looked up."""
    assert can_meet([root_of(source) for source in sources]) is meets


def walk_all(*sources: str) -> Iterable[Entry]:
    """Yield what is below all *sources*."""
    for source in sources:
        yield from WHOLE.entries(root_of(source))


def test_two_sources_for_one_key_are_refused_before_any_is_sent() -> None:
    """One would replace the other."""
    make("one/a", "one/same", "two/b", "two/same")
    entries = iter(unique_keys(iter(walk_all("one/", "two/"))))
    with pytest.raises(WrongUsage, match=r"one/same and two/same would both be same"):
        next(entries)


def test_the_same_file_twice_counts_once() -> None:
    """However it is spelled."""
    make("one/a", "one/b")
    assert names(unique_keys(iter(walk_all("one/", "./one/", "one/a")))) == ["a", "b"]


def test_what_vanished_since_it_was_counted_is_an_error() -> None:
    """A file is never left out in silence."""
    make("one/a", "one/b")

    def vanishing() -> Iterable[Entry]:
        yield from walk_all("one/")
        Path("one/b").unlink()

    entries = list(unique_keys(iter(vanishing())))
    assert names(entries) == ["a"]
    assert list(others(entries)) == ["b"]


@pytest.mark.parametrize(
    ("entry", "root"),
    [
        ("a/b", SourceRoot("a/b", "a/b")),
        ("./a/b", SourceRoot("a/b", "a/b")),
        ("a//b/", SourceRoot("a/b", "a/b")),
        ("/srv/x", SourceRoot("/srv/x", "srv/x")),
        ("/./srv/x", SourceRoot("/srv/x", "srv/x")),
        ("photos/./x", SourceRoot("photos/x", "x")),
        ("a/./b/./x", SourceRoot("a/./b/x", "x")),
        ("../d/./x", SourceRoot("../d/x", "x")),
        ("photos/./", SourceRoot("photos", "")),
        (".", SourceRoot(".", "")),
        ("../x", None),
        ("a/../../x", None),
    ],
)
def test_the_entries_of_a_list(entry: str, root: SourceRoot | None) -> None:
    """Keys are the paths; ``/./`` marks where they begin, as in rsync."""
    assert root_of_entry(entry) == root


NAME = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=5)
RELATIVE = st.lists(NAME.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map("/".join)
BASE = st.one_of(
    st.sampled_from([".", "", "/", "..", "a/./b", "./", "../.."]), RELATIVE, RELATIVE.map("/{}".format)
)


@given(BASE, RELATIVE)
def test_what_failed_can_be_fed_back(base: str, name: str) -> None:
    """The same file comes again under the same name, wherever its source was."""
    path = posixpath.join(base, name)
    root = root_of_entry(as_list_entry(path, name))
    assert root is not None
    assert root.name == name
    assert os.path.normpath(root.path) == os.path.normpath(path)


def test_a_list_names_files_and_folders() -> None:
    """As find prints them; a name that is not UTF-8 comes through as it is."""
    make("a", "tree/b", os.fsdecode(b"caf\xe9"))
    entries = list(listed(WHOLE, io.BytesIO(b"a\ntree\n\ncaf\xe9\ngone\n../x"), b"\n"))
    assert names(entries) == sorted(["a", "tree/b", os.fsdecode(b"caf\xe9")])
    assert set(others(entries)) == {"gone", "../x"}
    assert names(listed(WHOLE, io.BytesIO(b"a\0tree\0"), b"\0")) == ["a", "tree/b"]


def test_names_with_newlines_travel_between_nuls() -> None:
    """Any byte but NUL can be in a name."""
    make("two\nlines")
    assert names(listed(WHOLE, io.BytesIO(b"two\nlines\0"), b"\0")) == ["two\nlines"]


@given(st.lists(st.binary(max_size=70000), max_size=5), st.booleans())
def test_entries_end_with_the_separator(entries: list[bytes], is_ended: bool) -> None:
    """Wherever the blocks end that they are read in."""
    clean = [entry.replace(b"\0", b"") for entry in entries]
    text = b"\0".join(clean) + (b"\0" if is_ended and clean else b"")
    found = [one.encode("utf-8", "surrogateescape") for one in read_entries(io.BytesIO(text), b"\0")]
    assert found == [one for one in clean if one]


def test_what_is_no_list_is_said_so() -> None:
    """A video that is named by mistake is not read into memory."""
    with pytest.raises(SourceUnreadable, match="no list"):
        list(read_entries(io.BytesIO(b"x" * (LONGEST + 100_000)), b"\n"))


def test_errors_travel_with_their_names() -> None:
    """Each entry that cannot be sent says which and why."""
    (entry,) = listed(WHOLE, io.BytesIO(b"gone"), b"\n")
    assert isinstance(entry, UnreadableFile)
    assert isinstance(entry.error, ObsupError)
    assert (entry.path, entry.name, entry.error.exit_code) == ("gone", "gone", 66)


def test_a_hundred_thousand_names_in_bounded_memory(tmp_path: Path) -> None:
    """With and without looking for doubles, the peak over 100,000 names is that over 1,000, and 16 MB at most."""
    make(*(f"files/{name:04}" for name in range(1000)))
    Path("tree").mkdir()
    for number in range(100):
        Path(f"tree/{number}").symlink_to(tmp_path / "files")
    program = (
        "import sys\n"
        "from obsup.local.walk.unique_keys import unique_keys\n"
        "from obsup.local.walk.walk import Walk, root_of\n"
        "entries = Walk(recursive=True).entries(root_of(sys.argv[2]))\n"
        "count = sum(1 for _ in (unique_keys(entries) if sys.argv[1] == 'once' else entries))\n"
        "print(count)"
    )

    def walk(way: str, source: str) -> tuple[int, int]:
        words = [sys.executable, "-c", program, way, source]
        spent = measure(words, environ={}, folder=tmp_path, log=tmp_path / "log")
        return int((tmp_path / "log").read_text()), spent.peak_bytes

    _few, usual = walk("walk", "tree/1")
    for way in ("walk", "once"):
        count, peak = walk(way, "tree/")
        assert count == 100_000
        assert peak - usual < 16 * MIB
