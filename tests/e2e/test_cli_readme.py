"""A test runs every command line of README.md and of the longer manual pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rich.text import Text

from obsup.sandbox.sandbox import Sandbox
from tests.support.readme import CRON_PAGE, PAGES, README, blocks
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
# The file that runs the blocks of each section.
RUN_BY = {
    "Quick start": ".ci/run",
    "Daily use": "tests/e2e/test_cli_readme.py",
    "Many files": "tests/e2e/test_readme_many.py",
    "Cron": "tests/e2e/test_cli_cron.py",
}
# The file that runs the blocks of each page. It names the mark of each block, or its kind.
PAGE_RUN_BY = {
    "obsup-checkpoint.7.md": "tests/unit/local/state/test_checkpoint_page.py",
    "obsup-cron.7.md": "tests/e2e/test_cli_cron.py",
    "obsup-fleets.7.md": "tests/e2e/test_pages_fleets.py",
    "obsup-streams.7.md": "tests/e2e/test_pages_streams.py",
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
            mark = block.mark.removeprefix("fleet: ") or block.kind
            assert block.kind not in SHELLS or f'"{mark}"' in test, f"{name}: no test runs {block}"


def test_the_recipe_of_cron_is_that_of_its_page() -> None:
    """The tests run the recipe of the page, so README.md must have the same text."""
    recipe = shell_blocks(sections()["Cron"])
    assert recipe == [block.text for block in blocks(CRON_PAGE) if block.mark in ("cron script", "crontab")]


def test_the_commands_for_daily_use(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """They are run unchanged, in order, against the sandbox; only the settings come from the test."""
    (block,) = shell_blocks(sections()["Daily use"])
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


def test_the_picture_shows_the_bar() -> None:
    """If this fails, draw man/progress.svg again with tests/tools/draw_bar.py."""
    from tests.tools.draw_bar import COLUMNS, ROWS, half_way

    svg = (ROOT / "man" / "progress.svg").read_text().replace("&#160;", " ")
    text = re.sub(r"<[^>]+>", "", svg)
    for line in half_way().lines(COLUMNS, ROWS):
        for word in Text.from_ansi(line).plain.split():
            assert word in text
