"""A test runs every command line of README.md and of the longer manual pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from obsup.dialects.endpoints import recognise
from obsup.sandbox.sandbox import Sandbox
from tests.support.readme import PAGES, README, blocks
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
# The file that runs the blocks of each section.
RUN_BY = {
    "Quick start": ".ci/run",
    "One file": "tests/e2e/test_cli_readme.py",
    "Many files": "tests/e2e/test_readme_many.py",
    "The output of a command": "tests/e2e/test_cli_readme.py",
    "Cron": "tests/e2e/test_cli_readme.py",
    "Many machines": "tests/e2e/test_cli_readme.py",
}
# The file that runs the blocks of each page. It names the mark of each block, or its kind.
PAGE_RUN_BY = {
    "obsup-checkpoint.7.md": "tests/unit/local/state/test_checkpoint_page.py",
    "obsup-container.7.md": "tests/shells/test_container.py",
    "obsup-cron.7.md": "tests/e2e/test_cli_cron.py",
    "obsup-fleets.7.md": "tests/e2e/test_pages_fleets.py",
    "obsup-monitoring.7.md": "tests/e2e/test_metrics.py",
    "obsup-stores.7.md": "tests/e2e/test_pages_stores.py",
    "obsup-streams.7.md": "tests/e2e/test_pages_streams.py",
    "obsup-tutorial.7.md": "tests/e2e/test_pages_tutorial.py",
}
SHELLS = ("sh", "cron", "console", "bash")
ROOT = README.parent


def sections() -> dict[str, str]:
    """Return the sections of README.md by their titles."""
    parts = re.split(r"^## (.+)$", README.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def shell_blocks(text: str) -> list[str]:
    """Return the blocks of a section that contain commands for a shell or for cron."""
    return re.findall(rf"^```(?:{'|'.join(SHELLS)})\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_every_section_with_commands_has_a_test_that_runs_them() -> None:
    """A new section with commands needs an entry in RUN_BY."""
    with_commands = {title for title, text in sections().items() if shell_blocks(text)}
    assert with_commands == RUN_BY.keys()
    assert all((ROOT / path).is_file() for path in RUN_BY.values())


def test_every_block_of_a_longer_page_has_a_test_that_runs_it() -> None:
    """A page with commands names its test in PAGE_RUN_BY, and that test names each block or its kind."""
    with_commands = {
        page.name for page in PAGES.iterdir() if any(block.kind in SHELLS for block in blocks(page))
    }
    assert with_commands == PAGE_RUN_BY.keys()
    for name, path in PAGE_RUN_BY.items():
        test = (ROOT / path).read_text()
        for block in blocks(PAGES / name):
            mark = block.mark.removeprefix("fleet: ").removeprefix("store: ") or block.kind
            assert block.kind not in SHELLS or f'"{mark}"' in test, f"{name}: no test runs {block}"


def test_the_commands_for_one_file(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """They are run unchanged, in order, against the sandbox; only the settings come from the test."""
    (block,) = shell_blocks(sections()["One file"])
    for name in ("bigfile", "db.dump", "video.iso"):
        make_file(700_000, name)
    settings = [line for line in block.splitlines() if line.startswith("export ")]
    commands = [line for line in block.splitlines() if line not in settings and line.strip()]
    assert settings
    assert all(line.startswith("obsup ") for line in commands)
    outcome = shell.run_script("\n".join(commands))
    assert outcome.code == 0, outcome.err
    for bucket, key, name in (
        ("bucket", "key", "bigfile"),
        ("backups", "2026/db.dump", "db.dump"),
        ("media", "video.iso", "video.iso"),
    ):
        assert sandbox.object_path(bucket, key).read_bytes() == (shell.folder / name).read_bytes()


def test_the_endpoints_of_the_stores() -> None:
    """The host of each endpoint in the table determines the provider and the region."""
    rows = re.findall(r"^\| ([^|]+) \| `(https://[^`]+)` \|$", sections()["One file"], re.MULTILINE)
    found = {store: recognise(endpoint) for store, endpoint in rows}
    assert {store: (one.provider, one.region) for store, one in found.items()} == {
        "Huawei OBS": ("obs", "eu-west-101"),
        "Open Telekom Cloud": ("obs", "eu-de"),
        "Alibaba OSS": ("oss", "eu-central-1"),
        "Amazon S3": ("s3", "eu-central-1"),
    }


def test_the_output_of_a_command(sandbox: Sandbox, shell: Shell) -> None:
    """The command is run unchanged; a script stands in for pg_dump."""
    (block,) = shell_blocks(sections()["The output of a command"])
    pg_dump = shell.folder / "pg_dump"
    pg_dump.write_text('#!/bin/sh\necho "$@"\n')
    pg_dump.chmod(0o755)
    outcome = shell.run_script(f'PATH="$PWD:$PATH"\n{block}')
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("backups", "db.dump").read_text() == "--format custom mydb\n"


def test_the_crontab_line(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Its command is run unchanged, twice; the profile has no setting of its own."""
    (block,) = shell_blocks(sections()["Cron"])
    command = block.splitlines()[1].partition("  ")[2]
    (shell.folder / "dumps").mkdir()
    dump = make_file(700_000, "dumps/db.dump")
    config = shell.folder / "config.toml"
    config.write_text("[profiles.nightly]\njobs = 2\n")
    for _ in range(2):
        outcome = shell.run_script(f"export OBSUP_CONFIG={config}\n{command}")
        assert (outcome.code, outcome.err) == (0, "")
    assert sandbox.object_path("backups", "nightly/db.dump").read_bytes() == dump.read_bytes()
    assert len([one for one in sandbox.requests if one.operation == "put"]) == 1


def test_the_commands_for_many_machines(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """They are run unchanged; two machines are two shells only in the comments."""
    (block,) = shell_blocks(sections()["Many machines"])
    file = make_file(700_000)
    outcome = shell.run_script(block)
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == file.read_bytes()
