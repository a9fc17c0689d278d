"""Walking sources: each entry is found once and reported, whatever is in a tree."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.errors import DataMismatch, ObsupError, SourceUnreadable, WrongUsage
from obsup.local.walk.file_list import MAX_ENTRY_BYTES, listed, read_entries, root_of_entry
from obsup.local.walk.filters import make_selection
from obsup.local.walk.unique_keys import unique_keys
from obsup.local.walk.walk import (
    MAX_OPEN_FOLDERS,
    Entry,
    FoundFile,
    SkippedFile,
    SourceRoot,
    UnreadableFile,
    Walk,
    as_list_entry,
    can_collide,
    not_empty,
    root_of,
)
from obsup.shard import Shard
from obsup.units import MIB
from tests.benchmarks.cost import measure

RECURSIVE = Walk(recursive=True)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(*paths: str) -> None:
    """Create files of one byte, and their folders."""
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"x")


def names(entries: Iterable[Entry]) -> list[str]:
    """Return the sorted names of the found files."""
    return sorted(entry.name for entry in entries if isinstance(entry, FoundFile))


def others(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the entries that are not sent: the reason by name."""
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
def test_a_folder_keeps_its_name_and_a_trailing_slash_means_its_contents(
    source: str, root: SourceRoot, keys: list[str]
) -> None:
    """As for rsync."""
    make("photos/a", "photos/2026/b")
    assert root_of(source) == root
    assert names(RECURSIVE.entries(root)) == keys


def test_an_entry_has_the_identity_of_its_file() -> None:
    """It shows later whether the file changed."""
    make("a")
    (entry,) = RECURSIVE.entries(root_of("a"))
    now = Path("a").stat()
    assert isinstance(entry, FoundFile)
    assert (entry.stat.size, entry.stat.mtime_ns, entry.stat.inode) == (1, now.st_mtime_ns, now.st_ino)


def test_a_folder_without_recursive_is_an_error() -> None:
    """It is not omitted silently."""
    make("photos/a")
    (entry,) = Walk().entries(root_of("photos"))
    assert isinstance(entry, UnreadableFile)
    assert isinstance(entry.error, WrongUsage)
    assert "--recursive" in str(entry.error.next_step)


def test_a_missing_source_is_an_entry_with_an_error() -> None:
    """The batch continues."""
    (entry,) = RECURSIVE.entries(root_of("nowhere"))
    assert isinstance(entry, UnreadableFile)
    assert "No such file" in str(entry.error)


def test_a_file_with_a_trailing_slash_is_an_error() -> None:
    """It would have no name."""
    make("a")
    (entry,) = RECURSIVE.entries(root_of("a/"))
    assert isinstance(entry, UnreadableFile)


def test_entries_that_are_not_regular_files_are_skipped_and_reported() -> None:
    """Reading a pipe would block forever."""
    make("tree/a")
    os.mkfifo("tree/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("tree/socket")
        entries = list(RECURSIVE.entries(root_of("tree/")))
    assert names(entries) == ["a"]
    assert others(entries) == {"pipe": "a named pipe", "socket": "a socket"}


def test_a_pipe_that_the_user_names_is_an_error() -> None:
    """Only a walk may skip it: the user expects the object."""
    make("tree/a")
    os.mkfifo("tree/pipe")
    (entry,) = RECURSIVE.entries(root_of("tree/pipe"))
    assert isinstance(entry, UnreadableFile)
    assert entry.error.exit_code == 66
    assert "is a named pipe" in entry.error.what


def test_checkpoints_are_skipped() -> None:
    """They are next to their sources; so are their temporary files. Other files with such a name are sent."""
    own = ["big.iso.0123abcd.obsup.json", ".big.iso.0123abcd.obsup.json.89ef0123.abc_d123"]
    cut = f".{'x' * 100}.89ef0123.abcdefgh"
    other = ["notes.obsup.json", "big.iso.0123.obsup.json", ".hidden.89ef0123.abcdefgh"]
    make(*(f"tree/{name}" for name in (*own, cut, *other)))
    for name, head in zip(
        (*own, cut), ('{"format":1,"source":"a"', '{\n  "format": 2,\n  "target": {', ""), strict=True
    ):
        Path("tree", name).write_text(head)
    other.append("report.0123abcd.obsup.json")
    Path("tree", other[-1]).write_text('{"format": 2}')
    entries = list(RECURSIVE.entries(root_of("tree/")))
    assert names(entries) == sorted(other)
    assert set(others(entries)) == {*own, cut}


@pytest.fixture
def linked() -> None:
    """A tree with links to a file, to a folder outside, to nothing, and to its parent folder."""
    make("tree/a", "outside/b")
    Path("tree/file").symlink_to("a")
    Path("tree/folder").symlink_to("../outside")
    Path("tree/nothing").symlink_to("gone")
    Path("tree/loop").symlink_to(".")


@pytest.mark.usefixtures("linked")
def test_links_are_followed_but_not_in_cycles() -> None:
    """A broken link is an error."""
    entries = list(RECURSIVE.entries(root_of("tree/")))
    assert names(entries) == ["a", "file", "folder/b"]
    assert set(others(entries)) == {"loop", "nothing"}
    assert others(entries)["loop"] == "a symbolic link to a parent folder"


@pytest.mark.usefixtures("linked")
def test_links_skip_reports_each_link() -> None:
    """None is omitted silently."""
    entries = list(Walk(recursive=True, links="skip").entries(root_of("tree/")))
    assert names(entries) == ["a"]
    assert others(entries) == dict.fromkeys(("file", "folder", "nothing", "loop"), "a symbolic link")


@pytest.mark.usefixtures("linked")
def test_links_refuse_makes_each_link_an_error() -> None:
    """The walk continues."""
    entries = list(Walk(recursive=True, links="refuse").entries(root_of("tree/")))
    assert names(entries) == ["a"]
    assert sum(isinstance(entry, UnreadableFile) for entry in entries) == 4


@pytest.mark.usefixtures("linked")
def test_a_link_given_as_a_source_is_followed() -> None:
    """Also with --links refuse."""
    Path("link").symlink_to("tree")
    assert "link/a" in names(Walk(recursive=True, links="refuse").entries(root_of("link")))


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """The walk continues. The path of this one is too long for the system."""
    make("tree/a")
    folder = os.open("tree", os.O_RDONLY)
    for _level in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    entries = list(RECURSIVE.entries(root_of(f"{tmp_path}/tree/")))
    assert names(entries) == ["a"]
    (why,) = others(entries).values()
    assert "File name too long" in why


def test_a_folder_that_disappears_during_the_walk_is_an_error() -> None:
    """Between reading its name and reading its entries."""
    make("tree/a/one", "tree/b/two")
    entries: list[Entry] = []
    for entry in RECURSIVE.entries(root_of("tree/")):
        entries.append(entry)
        left = "b" if entry.name.startswith("a") else "a"
        if Path(f"tree/{left}").exists() and len(entries) == 1:
            Path(f"tree/{left}/{'two' if left == 'b' else 'one'}").unlink()
            Path(f"tree/{left}").rmdir()
    assert len(names(entries)) == 1
    assert set(others(entries)) <= {"a", "b"}


def open_descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_deep_trees_need_few_descriptors() -> None:
    """Not one per level."""
    depth = MAX_OPEN_FOLDERS + 40
    make("/".join(["tree", *["d"] * depth, "leaf"]))
    before = open_descriptors()
    peak = 0
    for _entry in RECURSIVE.entries(root_of("tree/")):
        peak = max(peak, open_descriptors())
    assert peak - before <= MAX_OPEN_FOLDERS + 1


def test_patterns_are_those_of_gitignore() -> None:
    """Relative to each SOURCE; later ones win; an excluded folder is not read."""
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


def test_an_excluded_folder_is_not_opened() -> None:
    """It may be unreadable."""
    make("t/a", "t/closed/b")
    Path("t/gone").symlink_to("t/nowhere")
    selection = make_selection([], ["closed/", "gone"])
    entries = list(Walk(True, selection=selection).entries(root_of("t/")))
    assert [entry.name for entry in entries] == ["a"]


@pytest.mark.parametrize("pattern", ["!", "a\\"])
def test_an_invalid_pattern_is_an_error(pattern: str) -> None:
    """Before the walk."""
    with pytest.raises(WrongUsage, match="--include"):
        make_selection([pattern], [])


@pytest.mark.parametrize(
    ("sources", "collide"),
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
def test_sources_that_can_have_files_with_the_same_key(sources: list[str], collide: bool) -> None:
    """Only these need the check of unique_keys."""
    assert can_collide([root_of(source) for source in sources]) is collide


def walk_all(*sources: str) -> Iterable[Entry]:
    """Yield the entries of all *sources*."""
    for source in sources:
        yield from RECURSIVE.entries(root_of(source))


def test_two_sources_for_one_key_are_an_error_before_any_file_is_sent() -> None:
    """One would replace the other."""
    make("one/a", "one/same", "two/b", "two/same")
    entries = iter(unique_keys(iter(walk_all("one/", "two/"))))
    with pytest.raises(WrongUsage, match=r"one/same and two/same would both be same"):
        next(entries)


def test_the_same_file_twice_is_sent_once() -> None:
    """However its path is written."""
    make("one/a", "one/b")
    assert names(unique_keys(iter(walk_all("one/", "./one/", "one/a")))) == ["a", "b"]


def test_a_file_that_disappeared_after_the_check_is_an_error() -> None:
    """It is not omitted silently."""
    make("one/a", "one/b")

    def disappearing() -> Iterable[Entry]:
        yield from walk_all("one/")
        Path("one/b").unlink()

    entries = list(unique_keys(iter(disappearing())))
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
def test_the_name_of_a_list_entry(entry: str, root: SourceRoot | None) -> None:
    """The path; ``/./`` marks where the name begins, as for rsync."""
    assert root_of_entry(entry) == root


NAME = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=5)
RELATIVE = st.lists(NAME.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map("/".join)
BASE = st.one_of(
    st.sampled_from([".", "", "/", "..", "a/./b", "./", "../.."]), RELATIVE, RELATIVE.map("/{}".format)
)


@given(BASE, RELATIVE)
def test_a_list_of_failed_files_can_be_used_with_from_list(base: str, name: str) -> None:
    """The same file has the same name again, whatever its source was."""
    path = posixpath.join(base, name)
    root = root_of_entry(os.fsdecode(as_list_entry(path, name)))
    assert root is not None
    assert root.name == name
    assert os.path.normpath(root.path) == os.path.normpath(path)


def test_a_list_has_files_and_folders() -> None:
    """As find prints them; names that are not UTF-8 are kept."""
    make("a", "tree/b", os.fsdecode(b"caf\xe9"))
    entries = list(listed(RECURSIVE, io.BytesIO(b"a\ntree\n\ncaf\xe9\ngone\n../x"), b"\n"))
    assert names(entries) == sorted(["a", "tree/b", os.fsdecode(b"caf\xe9")])
    assert set(others(entries)) == {"gone", "../x"}
    assert names(listed(RECURSIVE, io.BytesIO(b"a\0tree\0"), b"\0")) == ["a", "tree/b"]


def test_a_list_with_nul_can_have_names_with_newlines() -> None:
    """A name can contain any byte except NUL."""
    make("two\nlines")
    assert names(listed(RECURSIVE, io.BytesIO(b"two\nlines\0"), b"\0")) == ["two\nlines"]


@given(st.lists(st.binary(max_size=70000), max_size=5), st.booleans())
def test_entries_end_with_the_separator(entries: list[bytes], is_ended: bool) -> None:
    """Wherever the blocks end in which they are read. The last line of a text need not be ended."""
    clean = [entry.replace(b"\n", b"") for entry in entries]
    text = b"\n".join(clean) + (b"\n" if is_ended and clean else b"")
    found = [entry.encode("utf-8", "surrogateescape") for entry in read_entries(io.BytesIO(text), b"\n")]
    assert found == [entry for entry in clean if entry]


def test_a_list_with_nul_that_is_cut_off_is_an_error() -> None:
    """The beginning of a name may be the name of another file."""
    assert list(read_entries(io.BytesIO(b"abcd\0ab\0"), b"\0")) == ["abcd", "ab"]
    with pytest.raises(DataMismatch, match="cut off"):
        list(read_entries(io.BytesIO(b"abcd\0ab"), b"\0"))


def test_a_file_that_is_not_a_list_is_an_error() -> None:
    """A video given by mistake is not read into memory."""
    with pytest.raises(SourceUnreadable, match="invalid list"):
        list(read_entries(io.BytesIO(b"x" * (MAX_ENTRY_BYTES + 100_000)), b"\n"))


def test_an_unreadable_entry_has_its_name_and_error() -> None:
    """The batch reports both."""
    (entry,) = listed(RECURSIVE, io.BytesIO(b"gone"), b"\n")
    assert isinstance(entry, UnreadableFile)
    assert isinstance(entry.error, ObsupError)
    assert (entry.path, entry.name, entry.error.exit_code) == ("gone", "gone", 66)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    """100,000 names need at most 16 MiB more than 1,000, with and without the check for unique keys."""
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

    def walk(mode: str, source: str) -> tuple[int, int]:
        words = [sys.executable, "-c", program, mode, source]
        spent = measure(words, environ={}, folder=tmp_path, log=tmp_path / "log")
        return int((tmp_path / "log").read_text()), spent.peak_bytes

    _count, small = walk("walk", "tree/1")
    for mode in ("walk", "once"):
        count, peak = walk(mode, "tree/")
        assert count == 100_000
        assert peak - small < 16 * MIB


def test_a_file_that_becomes_a_pipe_after_it_was_found_is_an_error() -> None:
    """It must be sent, so it is not skipped."""
    make("tree/a", "tree/b")

    def entries() -> Iterator[Entry]:
        yield from RECURSIVE.entries(root_of("tree/"))
        Path("tree/b").unlink()
        os.mkfifo("tree/b")

    found = {entry.name: entry for entry in unique_keys(entries())}
    assert isinstance(found["a"], FoundFile)
    assert isinstance(found["b"], UnreadableFile)
    assert found["b"].error.exit_code == 66


def in_shares(*sources: str, recursive: bool = True) -> list[list[Entry]]:
    """Return what each of three shares finds."""
    shares = []
    for number in (1, 2, 3):
        walk = Walk(recursive=recursive, is_ours=Shard(number, 3).has)
        roots = map(root_of, sources)
        shares.append([one for root in roots for one in not_empty(walk.entries(root), root, fail=False)])
    return shares


def test_each_entry_of_a_tree_belongs_to_one_share() -> None:
    """Files, links that lead nowhere, and what is skipped."""
    make(*(f"tree/{number % 3}/{number}" for number in range(30)))
    Path("tree/link").symlink_to("nothing")
    os.mkfifo("tree/pipe")
    shares = in_shares("tree")
    assert sorted(one.name for share in shares for one in share) == sorted(
        [*(f"tree/{number % 3}/{number}" for number in range(30)), "tree/link", "tree/pipe"]
    )
    assert all(len(share) > 3 for share in shares)


@pytest.mark.parametrize("source", ["missing", "missing/", "empty", "file/"])
def test_a_source_without_files_is_reported_by_every_share(source: str) -> None:
    """A machine on which the storage is not mounted must not seem to have sent its share."""
    Path("empty").mkdir()
    make("file")
    shares = in_shares(source)
    assert [len(share) for share in shares] == [1, 1, 1]
    assert shares[0] == shares[1] == shares[2] or isinstance(shares[0][0], UnreadableFile)


def test_a_folder_that_cannot_be_read_is_reported_by_every_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have files of each."""
    make("tree/closed/a", "tree/b")
    scandir = os.scandir

    def closed(path: str) -> Iterator[os.DirEntry[str]]:
        if path == "tree/closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert [others(share) for share in in_shares("tree")] == 3 * [
        {"tree/closed": "cannot read tree/closed. Permission denied"}
    ]


def test_a_name_of_a_list_is_a_file_of_one_share_unless_folders_are_sent() -> None:
    """With -r, a name that does not exist may be a folder."""
    assert sorted(map(len, in_shares("missing", recursive=False))) == [0, 0, 1]
    assert list(map(len, in_shares("missing"))) == [1, 1, 1]


def test_the_state_of_another_obsup_that_disappears_is_skipped() -> None:
    """Other shares complete their uploads during the walk."""
    own = [f"tree/{n}.0123abcd.obsup.json" for n in range(8)]
    own += [f"tree/.{n}.0123abcd.obsup.json.89ef0123.abc_d123" for n in range(8)]
    make("tree/big", *own)
    for path in own:
        Path(path).write_text('{"format":1,"source":"a"')
    walk = RECURSIVE.entries(root_of("tree"))
    found = [next(walk)]  # the system has read all names of the folder now
    for path in own:
        Path(path).unlink()
    found += walk
    assert names(found) == ["tree/big"]
    assert others(found) == dict.fromkeys(own, "a checkpoint of obsup")
