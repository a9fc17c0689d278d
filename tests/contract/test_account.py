"""The contract tests run against the account that the environment configures; here it is a sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox

ROOT = Path(__file__).parents[2]


pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_contract_suite_runs_against_an_account(provider: str, tmp_path: Path) -> None:
    """Every test passes, none is skipped, and no upload is left open."""
    with Sandbox(buckets=["account"], aws_vendor="s3") as store:
        settings = {
            "ENDPOINT": store.endpoint,
            "BUCKET": "account",
            "ACCESS_KEY_ID": store.access_key,
            "SECRET_ACCESS_KEY": store.secret_key,
            "PROVIDER": provider,
            "REGION": "eu-1",
            "ADDRESSING": "path",
        }
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-n",
                "0",
                f"--basetemp={tmp_path / 'nested'}",
                "-k",
                "account and not contract_suite",
                "tests/contract",
            ],
            cwd=ROOT,
            env={**os.environ, **{f"OBSUP_TEST_{name}": value for name, value in settings.items()}},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout[-2000:]
        passed = re.search(r"(\d+) passed, \d+ deselected in", run.stdout)
        assert passed is not None
        assert int(passed[1]) >= 50
        assert "skipped" not in run.stdout
        assert store.uploads() == []
