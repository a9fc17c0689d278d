"""The command lines of obsup-streams(7), run unchanged with stand-ins for the producers."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.pipes import Bash
from tests.support.readme import STREAMS_PAGE, blocks
from tests.support.shell import Shell

DUMP = "what the producer wrote"
# Each stand-in fails if its arguments are not those of the page.
PRODUCERS = {
    "pg_dump": "-Fc shop",
    "tar": "-czf - -C /srv www",
    "zfs": "send tank/home@daily",
    "mysqldump": "--single-transaction wiki",
}


def block(language: str) -> list[str]:
    """Return the lines of the page's block in *language*."""
    (found,) = [one.text for one in blocks(STREAMS_PAGE) if one.kind == language]
    return found.splitlines()


def cron_lines() -> tuple[dict[str, str], list[str]]:
    """Return the variables and the commands of the crontab, as cron would read them."""
    variables, commands = {}, []
    for line in block("cron"):
        if assignment := re.fullmatch(r"(\w+)=(\S*)", line):
            variables[assignment[1]] = assignment[2]
        else:
            fields = line.split(maxsplit=5)
            assert [re.fullmatch(r"\d+|\*", field) is not None for field in fields[:5]] == [True] * 5
            assert "%" not in fields[5].replace("\\%", ""), "cron ends a command at a bare %"
            commands.append(fields[5].replace("\\%", "%"))
    return variables, commands


@pytest.fixture
def bash(shell: Shell, sandbox: Sandbox, tmp_path: Path, home: Path) -> Bash:
    """Bash with obsup, the stand-ins, and the profile that the crontab names."""
    made = Bash.with_folder(shell, tmp_path / "bin")
    for name, arguments in PRODUCERS.items():
        made.stand_in(name, f'[ "$*" = "{arguments}" ] || exit 64; printf "{DUMP}"; exit ${{DUMP_EXIT:-0}}')
    made.stand_in("ssh", f'[ "$1 $3" = "db1 shop.dump" ] || exit 64; printf "{DUMP}" | "$2"')
    config = home / ".config/obsup/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[profiles.nightly]\nendpoint = "{sandbox.endpoint}"\n')
    return made


def run(bash: Bash, line: str, variables: dict[str, str]) -> int:
    """Run *line* as cron does, with /bin/sh; return its exit code."""
    (bash.shell.folder / "line").write_text(line + "\n")
    exports = "".join(f"export {name}={value}; " for name, value in variables.items())
    return bash.run(f"{exports} sh ./line").code


def test_there_are_examples_for_each_producer() -> None:
    """pg_dump, tar, zfs send, mysqldump: a command line, and a cron line."""
    for name in PRODUCERS:
        for lines in (block("sh"), cron_lines()[1]):
            assert any(f"-- {name} " in line or f"'{name} " in line for line in lines)


@pytest.mark.parametrize("line", [*block("sh"), *cron_lines()[1]])
def test_each_command_line_works(bash: Bash, sandbox: Sandbox, line: str) -> None:
    """The object is what the producer wrote; if the producer fails, there is none."""
    variables = cron_lines()[0]
    bucket = sandbox.directory / "backups"
    if "--from-command" in line:
        assert run(bash, line, {**variables, "DUMP_EXIT": "3"}) == 76
        assert list(bucket.rglob("*")) == []
    assert run(bash, line, variables) == 0
    (stored,) = bucket.iterdir()
    data = stored.read_bytes()
    assert (gzip.decompress(data) if "| gzip" in line else data).decode() == DUMP
