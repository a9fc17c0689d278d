"""Command lines of any options and values: each is carried out, or rejected with a documented exit code."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from obsup.options.kinds import Kind
from obsup.options.row import OptionRow
from obsup.options.table import rows_of
from obsup.sandbox.sandbox import Sandbox
from tests.fuzz.cases import Case, Failures, blocks, numbers
from tests.fuzz.mutations import text

pytestmark = pytest.mark.fuzz

BLOCKS = 20
CASES = 100  # per block
CONTENT = hashlib.shake_128(b"content").digest(230 * 1024)
COMMANDS = ("upload",) * 6 + (
    "init",
    "part",
    "complete",
    "abort",
    "parts",
    "uploads",
    "gc",
    "verify",
    "doctor",
    "status",
)
# Their values would start other programs or wait: for other machines, for a time of day, for a slow transfer.
LEFT_OUT = {
    *("--endpoint", "--proxy", "--executor", "--limit-rate", "--until", "--if-running", "--retry-for"),
    *("--max-time", "--stall-timeout", "--connect-timeout", "--config", "--profile"),
}
WORDS: dict[str, tuple[str, ...]] = {
    "size": ("0", "1", "100K", "5M", "9MiB", "102400", "5T", "8E", "-1", "1.5M", "100k", "9" * 30),
    "number": ("0", "1", "3", "10000", "10001", "-1", "x", "1.0", "٣"),
    "jobs": ("auto", "1", "0", "1000", "1001", "x"),
    "duration": ("0s", "1s", "15m", "100d", "-1s", "9" * 20 + "d", "x"),
    "key-values": ("a=b", "a=", "=b", "a", "a=b=c", "a=é", "A=1", "a b=c", "a=" + "x" * 3000),
    "grants": ("READ=id=1", "read=1", "x=1", "READ", "FULL_CONTROL=id"),
    "headers": (
        "x-obs-meta-a: b",
        "Host: x",
        "Content-Length: 1",
        "x",
        "X: \r\ny",
        "x-amz-request-payer: requester",
    ),
    "patterns": ("*", "*.tmp", "/", "!", "[", "**/x"),
    "part-etags": ("1:x", "0:x", "x", "1:", '1:"x"', "1:d41d8cd98f00b204e9800998ecf8427e"),
    "byte-range": ("0-1", "1-0", "0-", "-1", "x", "0-102399"),
    "file": (
        "file",
        "new",
        "new2",
        "missing",
        "new",
        ".",
        "-",
        "",
        "missing/x",
        "/dev/null",
        "folder/a",
        "a\nb",
    ),
    "folder": ("folder", "missing", "file", ".", ""),
    "text-file": ("file", "missing", "list", "."),
    "upload-id": ("x", "", "a/b", "é", "x" * 3000),
    "shard": ("1/1", "1/2", "2/2", "0/1", "x"),
}
SOURCES = ("file",) * 20 + (
    "missing",
    "folder",
    "folder/",
    "",
    ".",
    "list",
    "empty",
    "a\nb",
    "\udcff",
    "-x",
    "/dev/null",
)


def value(case: Case, kind: Kind, row: OptionRow) -> str:
    """Return a word for an option: mostly one of its kind, sometimes any text."""
    words = (
        kind.choices
        or kind.suggestions
        or WORDS.get(kind.name)
        or (row.sample.strip('"'), "x", "", "private")
    )
    word = case.rng.choice(words) if case.rng.random() < 0.93 else text(case.rng).replace("\x00", "0")
    return word.replace("\ud800", "\udcff")  # the only lone surrogates of a command line


def options(case: Case, command: str) -> list[str]:
    """Return some options of *command*."""
    rows = [
        row for _, row in rows_of(command) if row.option not in LEFT_OUT and row.option != "--from-command"
    ]
    found = []
    required = [row for row in rows if row.is_required and case.rng.random() < 0.9]
    for row in required + case.rng.sample(rows, case.rng.choice([0, 1, 1, 2, 2, 3, 5])):
        if row.kind.name == "flag":
            found.append(case.rng.choice([name for one in row.spellings for name in one.split("/")]))
        elif case.rng.random() < 0.5:
            found += [row.option, value(case, row.kind, row)]
        else:
            found.append(f"{row.option}={value(case, row.kind, row)}")
    return found


def arguments(case: Case, command: str) -> list[str]:
    """Return the words of *command* that are not options."""
    target = case.rng.choice(
        [f"{case.bucket}/key"] * 40
        + [
            f"{case.bucket}/",
            case.bucket,
            f"obs://{case.bucket}/a/../b",
            "s3://",
            "",
            "/",
            "//",
            "B_/x",
            "x" * 70,
        ]
        + [f"oss://{case.bucket}/é\n", f"{case.bucket}/" + "k" * 1100, "http://x/y", f"{case.bucket}/\udcff"]
    )
    if command in ("uploads", "gc", "doctor"):
        target = case.rng.choice([case.bucket] * 5 + [target])
    needs_source = command in ("upload", "part", "verify", "status") or case.rng.random() < 0.5
    sources = [
        case.rng.choice(SOURCES) for _ in range(case.rng.choice([1, 1, 1, 1, 2, 3]) if needs_source else 0)
    ]
    if command in ("uploads", "gc", "doctor", "parts"):
        sources = []
    words = [*sources, target]
    if case.rng.random() < 0.05:
        words = words[::-1] + case.rng.sample(["--", "--x", "-Z", "-jx", "--json=1", "", "--no-token"], 2)
    return words


def check_command_line(case: Case) -> None:
    """Run a command line. An upload of the file to the key that succeeds has stored the file."""
    folder = case.folder / "folder"
    folder.mkdir()
    for path in (case.folder / "file", folder / "a", folder / "b"):
        path.write_bytes(CONTENT)
    (case.folder / "list").write_text("file\nfolder/a\n")
    (case.folder / "empty").touch()
    command = case.rng.choice(COMMANDS)
    chosen, words = options(case, command), arguments(case, command)
    timeouts = ("--max-time", "5s", "--stall-timeout", "2s", "--retry-for", "0s")[
        : 2 if command == "doctor" else 6
    ]
    given = [*(timeouts if command != "status" else ()), *chosen]
    argv = [command, *given, *words] if case.rng.random() < 0.5 else [command, *words, *given]
    case.run(*argv)
    skipping = ("--dry-run", "-n", "--shard", "--include", "--exclude", "--from-list")
    is_plain = command in ("upload", "verify") and words == ["file", f"{case.bucket}/key"]
    if is_plain and not any(one.startswith(skipping) for one in chosen):
        case.require_stored("key", CONTENT)


@pytest.mark.parametrize("block", blocks(BLOCKS))
def test_no_command_line_breaks_a_command(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options of every command, alone and together, with values that fit and values that do not."""
    failures = Failures()
    with Sandbox() as sandbox:
        for number in numbers(block, CASES):
            case = Case("command lines", number, tmp_path / str(number), sandbox, monkeypatch)
            with failures.collected():
                check_command_line(case)
    failures.report()
