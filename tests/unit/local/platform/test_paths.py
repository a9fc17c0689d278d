"""Paths of Windows, by rules that run on every system: drives, shares, separators and lines of lists."""

from __future__ import annotations

import pytest

from obsup.local.platform.paths import decode_line, exact, key_file_command, name_beside, split_source


@pytest.mark.parametrize(
    ("source", "path", "name"),
    [
        (r"D:\tmp\file.txt", r"D:\tmp\file.txt", "file.txt"),
        ("D:/tmp/file.txt", r"D:\tmp\file.txt", "file.txt"),
        ("C:\\data\\", r"C:\data", ""),
        ("C:\\", "C:\\", ""),
        ("C:file", "C:file", "file"),
        (r"C:\a\b.txt:notes", r"C:\a\b.txt:notes", "b.txt:notes"),
        (r"\\server\share\a\b", r"\\server\share\a\b", "b"),
        ("\\\\server\\share\\", "\\\\server\\share\\", ""),
        (r"..\..", r"..\..", ""),
        (r"a\.", r"a\.", ""),
    ],
)
def test_a_source_of_windows(source: str, path: str, name: str) -> None:
    """Both separators count; the root of a drive or a share stands for its contents."""
    assert split_source(source, windows=True) == (path, name)


@pytest.mark.parametrize(
    ("source", "path", "name"),
    [
        ("/", "/", ""),
        ("a/b/", "a/b", ""),
        ("a/b", "a/b", "b"),
        (r"a\b", r"a\b", r"a\b"),
        ("C:/x", "C:/x", "x"),
    ],
)
def test_a_source_of_other_systems(source: str, path: str, name: str) -> None:
    """A backslash and a colon are characters of a name."""
    assert split_source(source, windows=False) == (path, name)


@pytest.mark.parametrize("line", [b"C:\\data\\\xc3\xa4.bin\r", b"\xef\xbb\xbfC:\\data\\\xc3\xa4.bin"])
def test_lines_of_a_list_of_windows(line: bytes) -> None:
    """CR LF ends them, and a byte order mark begins the first one."""
    assert decode_line(line, windows=True) == "C:\\data\\ä.bin"


def test_a_list_of_windows_that_is_not_utf_8() -> None:
    """PowerShell 5 writes UTF-16, and cmd.exe its code page."""
    with pytest.raises(ValueError, match="utf-8"):
        decode_line(b"\xff\xfeC\x00:\x00", windows=True)


@pytest.mark.parametrize(
    "path",
    [
        r"C:\a\b.txt",
        "a",
        r"..\a",
        r".\a",
        "NUL",
        "nul.txt",
        r"C:\null\auxiliary.txt",
        r"\\?\C:\a.",
        r"\\.\NUL",
        "C:.",
    ],
)
def test_usual_paths_of_windows_stay(path: str) -> None:
    """Also those of devices, and those that are exact already."""
    assert exact(path, windows=True) == path


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("C:\\a.", "\\\\?\\C:\\a."),
        ("C:/sub /b", "\\\\?\\C:\\sub \\b"),
        ("C:\\x\\..\\a\\nul", "\\\\?\\C:\\a\\nul"),
        ("C:\\a\\Aux.txt", "\\\\?\\C:\\a\\Aux.txt"),
        ("C:\\a\\com1:stream", "\\\\?\\C:\\a\\com1:stream"),
        ("C:\\" + 200 * "n", "\\\\?\\C:\\" + 200 * "n"),
        ("\\\\server\\share\\" + 200 * "n", "\\\\?\\UNC\\server\\share\\" + 200 * "n"),
    ],
)
def test_paths_that_windows_would_change_or_reject(path: str, result: str) -> None:
    r"""Otherwise, another file would be read, or none."""
    assert exact(path, windows=True) == result
    assert exact(path, windows=False) == path


def test_the_command_for_a_key_file() -> None:
    """Its form for Windows runs in cmd.exe and PowerShell."""
    command = key_file_command(32, windows=True)
    assert command == "python -c \"import os; open('KEYFILE', 'xb').write(os.urandom(32))\""


def test_the_name_beside_an_alternate_stream() -> None:
    """A checkpoint in another stream of the same file would change the file that is uploaded."""
    assert name_beside("b.txt:notes", windows=True) == "b.txt~notes"
    assert name_beside("b.txt:notes", windows=False) == "b.txt:notes"
