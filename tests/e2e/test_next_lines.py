"""The command of the "Next:" line, run in a shell after the failure that prints it, leads where it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.support.forked_commands import ForkedCommands
from tests.support.matrix import mostly_slow
from tests.support.next_cases.all_cases import CASES
from tests.support.next_lines import World, check_case

BY_NAME = {case.name: case for case in CASES}
EVERY_RUN = ("engine/verify/comparison: Comparison._upload", "engine/upload/resume: source_changed")


@pytest.fixture(scope="module")
def commands() -> Iterator[ForkedCommands]:
    """Commands of obsup that start at once."""
    with ForkedCommands() as running:
        yield running


@pytest.mark.parametrize("name", mostly_slow(BY_NAME, *EVERY_RUN))
def test_the_next_command_leads_where_it_says(
    commands: ForkedCommands,
    make_file: Callable[..., Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """As a user would run it."""
    case = BY_NAME[name]
    make_file(300_000)
    tls: tuple[Path, ...] = ()
    if case.tls:
        authority = Authority(tmp_path_factory.mktemp("authority"))
        certificate, key = authority.files("127.0.0.1")
        tls = (certificate, key, authority.bundle) if case.tls == "client" else (certificate, key)
        names = ("OBSUP_CA_BUNDLE", "CA", "CERT", "KEY")
        for variable, path in zip(names, (authority.bundle, authority.bundle, certificate, key), strict=True):
            monkeypatch.setenv(variable, str(path))
    with Sandbox(tls=tls or None, limits={"parts": case.max_parts}) as sandbox:
        check_case(World(tmp_path, sandbox, commands, case))
