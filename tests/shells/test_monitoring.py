"""What Prometheus's own tool says of the alerts of obsup-monitoring(7) and of the file that ``--metrics`` writes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.readme import MONITORING_PAGE, blocks
from tests.support.shell import Shell

pytestmark = [pytest.mark.shells, pytest.mark.timeout(300)]

LABELS = '{bucket="backups",key="nightly/",profile="nightly"}'


def promtool(folder: Path, *words: str, text: str = "") -> str:
    """Run promtool in *folder*; it must succeed. Return what it prints."""
    done = subprocess.run(
        ["promtool", *words], cwd=folder, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "values", "at", "summary"),
    [
        # Time 0 of the test is the Unix epoch: the last success was then.
        ("UploadMissing", {"obsup_last_success_timestamp_seconds": 0}, "26h", ""),
        (
            "UploadMissing",
            {"obsup_last_success_timestamp_seconds": 0},
            "27h",
            "No verified upload to backups/nightly/ for 1d 3h 0m 0s",
        ),
        ("UploadNeedsAction", {"obsup_exit_code": 75}, "1h", ""),
        ("UploadNeedsAction", {"obsup_exit_code": 0}, "1h", ""),
        ("UploadNeedsAction", {"obsup_exit_code": 77}, "1h", "obsup exits 77: see obsup help exit-status"),
    ],
)
def test_the_alerts_fire_when_they_should(
    name: str, values: dict[str, int], at: str, summary: str, tmp_path: Path
) -> None:
    """Checked and evaluated by promtool."""
    (rules,) = [one.text for one in blocks(MONITORING_PAGE) if one.kind == "yaml"]
    (tmp_path / "rules.yml").write_text(rules)
    promtool(tmp_path, "check", "rules", "rules.yml")
    series = [{"series": metric + LABELS, "values": f"{value}+0x2000"} for metric, value in values.items()]
    labels = {"bucket": "backups", "key": "nightly/", "profile": "nightly"}
    alert = {"exp_labels": labels, "exp_annotations": {"summary": summary}}
    expected = {"eval_time": at, "alertname": name, "exp_alerts": [alert] if summary else []}
    case = {"interval": "1m", "input_series": series, "alert_rule_test": [expected]}
    (tmp_path / "test.yml").write_text(
        json.dumps({"rule_files": ["rules.yml"], "tests": [case]})
    )  # JSON is YAML
    promtool(tmp_path, "test", "rules", "test.yml")


def test_the_metrics_are_accepted(shell: Shell) -> None:
    """Of an upload and of a failure; promtool also checks names and units."""
    (shell.folder / "bigfile").write_bytes(b"x" * 200_000)
    shell.run("upload", "bigfile", "bucket/key", "--metrics", "one.prom")
    shell.run(
        "upload",
        "bigfile",
        "bucket-without-keys/key",
        "--metrics",
        "two.prom",
        AccessKeyID="",
        SecretAccessKey="",
    )
    for name in ("one.prom", "two.prom"):
        text = (shell.folder / name).read_text()
        assert "obsup_exit_code" in text
        assert promtool(shell.folder, "check", "metrics", text=text) == ""
