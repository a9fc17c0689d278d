"""``--metrics``: a file for the textfile collector of node_exporter, read here with the Prometheus parser."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import LARGE_SIZE, make_files
from tests.support.readme import MONITORING_PAGE, block, blocks
from tests.support.shell import Shell
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
LABELS = {"bucket": "bucket", "key": "key", "profile": ""}


def read(path: Path, labels: dict[str, str] = LABELS) -> dict[str, float]:
    """Return the values by metric, or by metric and its own label; each must have the common *labels*."""
    values = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.type == "gauge"
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert labels.items() <= sample.labels.items()
            own = "".join(f" {value}" for name, value in sample.labels.items() if name not in labels)
            values[sample.name.removeprefix("obsup_") + own] = sample.value
    return values


def test_the_metrics_of_an_upload(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Counts, sizes, and the reason of a retry; any user can read the file."""
    make_file(600_000)
    sandbox.add_fault("error=503:SlowDown,op=part,part=2")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "3", "--metrics", "run.prom")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    path = shell.folder / "run.prom"
    values = read(path)
    assert values.pop("duration_seconds") > 0
    assert values["last_run_timestamp_seconds"] == values.pop("last_success_timestamp_seconds")
    assert values.pop("last_run_timestamp_seconds") > 1.7e9
    assert values == {
        "exit_code": 0,
        "sent_bytes": 600_000,
        "size_bytes": 600_000,
        "sent_parts": 3,
        "resent_parts": 0,
        "retries 503 SlowDown": 1,
    }
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444


def test_a_signal_while_the_metrics_are_written(shell: Shell, make_file: MakeFile) -> None:
    """The result stays the only object on stdout. The metrics are a pipe that nobody reads, so that writing waits."""
    make_file(10)
    os.mkfifo(shell.folder / "run.prom")
    with shell.begin("upload", "bigfile", "bucket/key", "--json", "--metrics", "run.prom") as process:
        assert process.stdout is not None
        result = process.stdout.readline()
        status = Path(f"/proc/{process.pid}/stat")
        wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "S", process=process)
        process.terminate()
        rest, err = process.communicate(timeout=60)
    assert (json.loads(result)["status"], rest, process.returncode) == ("completed", "", 143)
    assert "stopped by SIGTERM" in err


def test_the_metrics_of_a_run_whose_result_cannot_be_printed(shell: Shell, make_file: MakeFile) -> None:
    """They have its exit code, not that of the run before."""
    make_file(10)
    command = "upload bigfile bucket/key --metrics run.prom"
    assert shell.run(*command.split()).code == 0
    outcome = shell.run_script(f"obsup {command} --json >/dev/full || exit $?")
    assert (outcome.code, read(shell.folder / "run.prom")["exit_code"]) == (74, 74)


@pytest.mark.slow
def test_a_failure_keeps_the_time_of_the_last_success(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """A failed run writes its exit code; the first run of all has no success to show."""
    make_file(600_000)
    arguments = ("upload", "bigfile", "bucket/key", "--metrics", "run.prom")
    path = shell.folder / "run.prom"
    sandbox.add_fault("error=403:AccessDenied,times=always")
    assert shell.run(*arguments).code == 77
    assert read(path)["exit_code"] == 77
    assert "last_success_timestamp_seconds" not in read(path)
    sandbox.clear_faults()
    assert shell.run(*arguments).code == 0
    success = read(path)["last_success_timestamp_seconds"]
    sandbox.add_fault("error=403:AccessDenied,times=always")
    make_file(700_000)
    assert shell.run(*arguments).code == 77
    values = read(path)
    assert values["last_success_timestamp_seconds"] == success < values["last_run_timestamp_seconds"]
    assert shell.run("upload", "bigfile", "bucket/other", "--metrics", "run.prom").code == 77
    assert "last_success_timestamp_seconds" not in read(path, {**LABELS, "key": "other"})
    away = ("--endpoint", "http://127.0.0.1:1", "--retry-for", "1s")
    assert shell.run(*arguments, *away).code == 75
    assert read(path)["retries connection refused"] >= 1, "the label has no host"


def test_the_metrics_of_many_files(sandbox: Sandbox, shell: Shell) -> None:
    """Files by outcome, and the bytes of all."""
    make_files(shell, "photos/a.jpg", "photos/b.jpg", "photos/c.jpg")
    labels = {"bucket": "bucket", "key": "2026/", "profile": "nightly"}
    (shell.folder / "obsup.toml").write_text("[profiles.nightly]\n")
    arguments = (
        "upload",
        "-r",
        "photos",
        "obs://bucket/2026/",
        "--metrics",
        "run.prom",
        "--config",
        "obsup.toml",
    )
    sandbox.add_fault("error=400:InvalidStorageClass,op=put,key=2026/photos/b.jpg")
    outcome = shell.run(*arguments, "--profile", "nightly")
    values = read(shell.folder / "run.prom", labels)
    assert values["exit_code"] == outcome.code == 69, outcome.err
    assert (values["files sent"], values["files failed"]) == (2, 1)
    assert shell.run(*arguments, "--profile", "nightly").code == 0
    values = read(shell.folder / "run.prom", labels)
    assert (values["files sent"], values["files skipped"]) == (1, 2)
    sizes = {path.name: path.stat().st_size for path in (shell.folder / "photos").iterdir()}
    assert values["size_bytes"] == sum(sizes.values())
    assert (values["sent_bytes"], values["sent_parts"]) == (sizes["b.jpg"], 1)


def test_the_metrics_of_large_and_small_files(sandbox: Sandbox, shell: Shell) -> None:
    """The size of a file in parts counts once; parts of large files and requests of small ones are both sent."""
    make_files(shell, "tree/small", "tree/empty.d/x")
    make_files(shell, "tree/large", size=LARGE_SIZE)
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", "--metrics", "run.prom")
    assert outcome.code == 0, outcome.err
    values = read(shell.folder / "run.prom", {"bucket": "bucket", "key": "p/", "profile": ""})
    total = sum(path.stat().st_size for path in (shell.folder / "tree").rglob("*") if path.is_file())
    assert (values["size_bytes"], values["sent_bytes"]) == (total, total)
    assert (values["sent_parts"], values["resent_parts"], values["files sent"]) == (4, 0, 3)


def test_metrics_that_cannot_be_written(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """The object is in place, but what was asked for is not: 74. SOURCE is never overwritten: 2."""
    source = make_file(600_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--metrics", "nowhere/run.prom")
    assert outcome.code == 74
    assert outcome.err.startswith("Error: the metrics nowhere/run.prom cannot be written.")
    assert "is done, only the metrics are missing" in outcome.err
    assert "Next:  Create its folder or name another file with --metrics." in outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert shell.run("upload", "bigfile", "bucket/key", "--metrics", "bigfile").code == 2


def test_the_commands_of_the_page(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """They are run unchanged but for the folder; curl is a script that records its last argument."""
    make_file(600_000, "db.dump")
    (shell.folder / "curl").write_text('#!/bin/sh\nfor last; do :; done; echo "$last" > ping\n')
    (shell.folder / "curl").chmod(0o755)
    (shell.folder / "obsup.toml").write_text("[profiles.nightly]\n")
    settings = 'export OBSUP_CONFIG="$PWD/obsup.toml" PING_URL=http://ping/1 PATH="$PWD:$PATH"\n'
    outcome = shell.run_script(settings + block(MONITORING_PAGE, "ping"))
    assert outcome.code == 0, outcome.err
    assert (shell.folder / "ping").read_text() == "http://ping/1\n"
    command = block(MONITORING_PAGE, "metrics").replace("/var/lib/node_exporter", ".")
    outcome = shell.run_script(settings + command)
    assert outcome.code == 0, outcome.err
    labels = {"bucket": "backups", "key": "nightly/", "profile": "nightly"}
    named = set(re.findall(r"^\| `(.*)` \|", MONITORING_PAGE.read_text(), re.MULTILINE))
    names = {name.partition("{")[0].removeprefix("obsup_") for row in named for name in row.split("`, `")}
    assert {name.partition(" ")[0] for name in read(shell.folder / "obsup.prom", labels)} <= names


def test_the_queries_of_the_page_use_existing_metrics() -> None:
    """The alerts and the panel name metrics of the table; the panel is valid JSON."""
    text = {one.kind: one.text for one in blocks(MONITORING_PAGE)}
    table = MONITORING_PAGE.read_text().partition("An alert")[0]
    for query in (text["yaml"], json.loads(text["json"])["targets"][0]["expr"]):
        found = re.findall(r"\bobsup_\w+", query)
        assert found
        assert all(f"`{name}`" in table for name in found)
