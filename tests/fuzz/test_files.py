"""Changed checkpoints, journals, receipts, records of uploads and configuration files: no command fails or lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from obsup.local.state import checkpoint as checkpoints
from obsup.options.row import OptionRow
from obsup.options.table import SETTINGS
from obsup.sandbox.sandbox import Sandbox
from tests.fuzz.cases import Case, Failures, blocks, numbers
from tests.fuzz.mutations import any_json, change_json, damaged, text

pytestmark = pytest.mark.fuzz

BLOCKS = 20
CASES = 100  # per block, of state and of configuration
KIB = 1024
CONTENT = hashlib.shake_128(b"content").digest(230 * KIB)
OPTIONS = ("--retry-for", "0s", "--max-time", "10s", "--stall-timeout", "2s")
PLAN = ("--part-size", "100K")


def run_cases(
    test: str,
    block: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    check: Callable[[Case], None],
) -> None:
    """Run *check* with each case of *block*."""
    failures = Failures()
    with Sandbox() as sandbox:
        for number in numbers(block, CASES):
            case = Case(test, number, tmp_path / str(number), sandbox, monkeypatch)
            (case.folder / "file").write_bytes(CONTENT)
            with failures.collected():
                check(case)
            sandbox.clear_faults()
    failures.report()


def change_file(case: Case, path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the file at *path*."""
    before = path.read_bytes()
    after = change(before)
    case.what += f"\n  {path.name}: {before[:2500]!r}\n  changed to {after[:2500]!r}"
    path.write_bytes(after)


def changed_json(case: Case, data: bytes) -> bytes:
    """Return the JSON in *data* with some values changed."""
    value = json.loads(data)
    for _ in range(case.rng.choice([1, 1, 1, 2, 5])):
        value = change_json(case.rng, value)
    return json.dumps(value, ensure_ascii=case.rng.random() < 0.5, indent=2).encode("utf-8", "surrogatepass")


def sealed_checkpoint(case: Case, data: bytes) -> bytes:
    """Return a checkpoint with changed values and the digest of its content."""
    plain: dict[str, Any] = json.loads(data)
    del plain["digest"]
    for _ in range(case.rng.choice([1, 1, 1, 2, 5])):
        plain = change_json(case.rng, plain)
    written = json.dumps(plain, indent=2).removesuffix("\n}") if isinstance(plain, dict) else "["
    return checkpoints._sealed(written.encode() + b",\n")


def stop_early(case: Case) -> None:
    """Leave an upload without its last part, and its checkpoint."""
    case.sandbox.add_fault("error=403:AccessDenied,op=part,part=3,key=key,times=always")
    case.run("upload", "file", f"{case.bucket}/key", *PLAN, *OPTIONS)
    case.sandbox.clear_faults()


def check_checkpoint(case: Case) -> None:
    """Change the checkpoint of an interrupted upload, and run the commands that read it."""
    stop_early(case)
    path = next(case.folder.glob("*.obsup.json"))
    way = case.rng.randrange(4)
    change = (lambda data: damaged(case.rng, data)) if way == 0 else lambda data: changed_json(case, data)
    change_file(case, path, change if way < 2 else lambda data: sealed_checkpoint(case, data))
    target = f"{case.bucket}/key"
    commands = (
        *[("upload", "file", target, *PLAN)] * 4,
        *[
            ("upload", "file", target),
            ("upload", "file", target, *PLAN, "--dry-run"),
            ("status", "file", target),
        ],
        *[
            ("complete", "file", target),
            ("part", "file", target, "--part-number", "3"),
            ("init", "file", target),
        ],
        *[("parts", "--checkpoint", path.name, target), ("status", "file"), ("uploads", case.bucket, "-l")],
        *[("upload", "file", target, *PLAN, "--checkpoint", path.name), ("upload", "--json", "file", target)],
    )
    for command in case.rng.sample(commands, 2):
        case.run(command[0], *(OPTIONS if command[0] != "status" else ()), *command[1:])
        if command[0] in ("upload", "complete") and "--dry-run" not in command:
            case.require_stored("key", CONTENT)
        case.require_kept()


def check_record(case: Case) -> None:
    """Change a record of a started upload, and run the commands that read it."""
    stop_early(case)
    records = sorted(
        path for path in (case.folder / "state").rglob("*") if path.is_file() and path.stat().st_size
    )
    for path in records[: case.rng.choice([1, 10])]:
        is_json = path.read_bytes().startswith(b"{") and b"\n{" not in path.read_bytes()
        changes = (lambda data: damaged(case.rng, data), lambda data: changed_json(case, data))
        change_file(case, path, changes[is_json and case.rng.random() < 0.7])
    if case.rng.random() < 0.5:
        next(case.folder.glob("*.obsup.json")).unlink()
    target = f"{case.bucket}/key"
    commands = (
        *(
            ("uploads", case.bucket, "-l"),
            ("uploads", case.bucket, "--json"),
            ("upload", "file", target, *PLAN),
        ),
        *(("gc", case.bucket, "--older-than", "1d"), ("complete", "file", target), ("status", "file")),
    )
    for command in case.rng.sample(commands, 2):
        case.run(command[0], *(OPTIONS if command[0] != "status" else ()), *command[1:])
        if command[0] in ("upload", "complete"):
            case.require_stored("key", CONTENT)
        case.require_kept()


def check_journal(case: Case) -> None:
    """Change the journal of a batch and one of its files, and upload the files again."""
    folder = case.folder / "folder"
    folder.mkdir()
    contents = {f"small-{n}": CONTENT[: 1000 + n] for n in range(4)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    command = ("upload", "-r", "folder/", f"{case.bucket}/", *OPTIONS)
    case.run(*command)
    case.require(case.outcome is not None and case.outcome.code == 0, "the first run failed")

    def change(data: bytes) -> bytes:
        if case.rng.random() < 0.3:
            return damaged(case.rng, data)
        lines = data.split(b"\n")
        position = case.rng.randrange(len(lines) - 1)
        if not lines[position].startswith(b"{"):
            return damaged(case.rng, data)
        lines[position] = changed_json(case, lines[position]).replace(b"\n", b" ")
        return b"\n".join(lines)

    journal = next(path for path in case.folder.rglob("*.journal"))
    change_file(case, journal, change)
    contents["small-1"] = CONTENT[:999]
    (folder / "small-1").write_bytes(contents["small-1"])
    case.run(*command)
    for name, content in contents.items():
        case.require_stored(name, content)
    case.require_kept()


def check_receipt(case: Case) -> None:
    """Change the receipt of an object that is not the file, or is, and verify it."""
    is_right = case.rng.random() < 0.3
    content = CONTENT if is_right else CONTENT[::-1]
    (case.folder / "other").write_bytes(content)
    case.run("upload", "other", f"{case.bucket}/key", *PLAN, *OPTIONS, "--receipt", "receipt")
    changes = (lambda data: damaged(case.rng, data), lambda data: changed_json(case, data))
    change_file(case, case.folder / "receipt", case.rng.choice(changes))
    case.run("verify", "file", f"{case.bucket}/key", "--receipt", "receipt", *OPTIONS)
    case.require_stored("key", CONTENT)


def check_list(case: Case) -> None:
    """Change the lists that a user writes: the files of a batch, and the ETags of an upload."""
    if case.rng.random() < 0.5:
        written = damaged(case.rng, b"file\nmissing\nfile\n# x\n./file\n")
        (case.folder / "list").write_bytes(written)
        case.run("upload", "--from-list", "list", f"{case.bucket}/", *OPTIONS)
        if b"file" in written.split(b"\n"):
            case.require_stored("file", CONTENT)
        return
    upload_id = case.run("init", f"{case.bucket}/key", *OPTIONS).out.strip()
    selector = ("file", f"{case.bucket}/key", "--upload-id", upload_id, *PLAN, *OPTIONS)
    etags = [case.run("part", *selector, "--part-number", str(n)).out.strip() for n in (1, 2, 3)]
    listed = "".join(f"{n} {etag}\n" for n, etag in enumerate(etags, 1))
    (case.folder / "etags").write_text(listed)
    change_file(case, case.folder / "etags", lambda data: damaged(case.rng, data))
    case.run(
        "complete", "file", f"{case.bucket}/key", "--upload-id", upload_id, "--etags-from", "etags", *OPTIONS
    )
    case.require_stored("key", CONTENT)


@pytest.mark.parametrize("block", blocks(BLOCKS))
def test_no_changed_state_breaks_a_command(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What obsup has recorded is data: it can be damaged, edited, of another version, or malicious."""
    checks = (check_checkpoint, check_record, check_journal, check_receipt, check_list)

    def check(case: Case) -> None:
        case.rng.choices(checks, (6, 2, 2, 2, 1))[0](case)

    run_cases("state", block, tmp_path, monkeypatch, check)


# Their values would start other programs, wait for other machines, or write elsewhere.
_LEFT_OUT = {"endpoint", "proxy", "executor", "limit_rate", "until", "if_running", "from_list", "retry_for"}
_SAMPLES = {
    "parts": ("3", "0", "10001"),
    "part_size": ('"100K"', '"1"', '"5T"', "102400", '"100k"'),
    "jobs": ("1", '"auto"', "1000", '"2"'),
    "checkpoint": ('"state.json"', '"missing/state.json"', '"/dev/null"', '"."', '"~/x"', '"$HOME/x"'),
    "metadata": ('["a=b"]', '["a"]', '["=b"]', '["a=é"]', '"a=b"'),
    "ca_bundle": ('"file"', '"missing"'),
    "signature": ('"v4"', '"obs"', '"oss4"'),
}


def setting(case: Case, row: OptionRow) -> str:
    """Return a line of the configuration file: mostly with a value that fits, sometimes with any value."""
    way = case.rng.randrange(20)
    values = _SAMPLES.get(row.key, (row.sample or row.kind.sample, *(f'"{one}"' for one in row.kind.choices)))
    if way < 17:
        value = case.rng.choice(values)
    elif way == 17:
        value = json.dumps(any_json(case.rng))
    else:
        value = json.dumps(text(case.rng).replace("\ud800", "?"), ensure_ascii=way == 18)
    return f"{row.key} = {value}"


def credentials(case: Case) -> list[str]:
    """Return the lines of a profile's credentials, which may be wrong or incomplete."""
    pair = [
        f'access_key_id = "{case.sandbox.access_key}"',
        f'secret_access_key = "{case.sandbox.secret_key}"',
    ]
    ways: tuple[list[str], ...] = (
        *[pair] * 12,
        *(pair[:1], [], [*pair, 'security_token = ""'], [pair[0], "secret_access_key = 1"]),
        *(
            ["credential_process = 'echo {}'"],
            ["credential_process = '\"'"],
            ["credential_process = 'cat file'"],
        ),
        *(["credential_process = ''"], ["metadata_service = 'x'"], ["credential_process = '/missing -x'"]),
    )
    return case.rng.choice(ways)


def check_configuration(case: Case) -> None:
    """Write a configuration file and run commands that read them."""
    rows = [row for row in SETTINGS.values() if row.key not in _LEFT_OUT]
    lines = [
        "[defaults]",
        *(setting(case, row) for row in case.rng.sample(rows, case.rng.choice([0, 1, 1, 2, 4]))),
    ]
    lines += ["[profiles.p]", f'endpoint = "{case.sandbox.endpoint}"', *credentials(case)]
    lines += [setting(case, row) for row in case.rng.sample(rows, case.rng.choice([0, 1, 1, 2]))]
    written = "\n".join(lines).encode()
    if case.rng.random() < 0.25:
        # The address stays as it is: other machines take no part in tests.
        before, address, after = written.partition(case.sandbox.endpoint.encode())
        written = before + address + damaged(case.rng, after)
        written = written if case.rng.random() < 0.7 else damaged(case.rng, before) + b"\n"
    path = case.folder / "config.toml"
    path.write_bytes(written)
    path.chmod(case.rng.choice([0o600] * 15 + [0o644]))
    case.what += f"\n  {written!r}"
    own = ("AccessKeyID", "SecretAccessKey", "OBSUP_ENDPOINT")
    if case.rng.random() < 0.6:
        for name in own[: case.rng.choice([2, 3])]:
            case.monkeypatch.delenv(name)
    target, named = f"{case.bucket}/key", ("--config", "config.toml")
    profile = case.rng.choice([()] * 8 + [("--profile", "p")] * 12 + [("--profile", "x")])
    commands = (
        *[("upload", "file", target)] * 3,
        *(("upload", "file", target, "--dry-run"), ("verify", "file", target), ("uploads", case.bucket)),
        *(("init", target), ("upload", "-r", ".", f"{case.bucket}/x/"), ("upload", "file", target, "--json")),
    )
    command = case.rng.choice(commands)
    case.run("config", "show", *named, *profile, *case.rng.choice([(), ("--json",)]))
    case.run(command[0], *named, *profile, *OPTIONS, *command[1:])
    if (
        command[0] == "upload"
        and target in command
        and "--dry-run" not in command
        and b"dry_run" not in written
    ):
        case.require_stored("key", CONTENT)
    if b"restart" not in written:
        case.require_kept()


@pytest.mark.parametrize("block", blocks(BLOCKS))
def test_no_configuration_breaks_a_command(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration file is valid, or an error that names it."""
    run_cases("configuration", block, tmp_path, monkeypatch, check_configuration)
