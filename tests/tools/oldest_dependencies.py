"""Print the oldest allowed version of each runtime dependency as constraints for pip: ``click==8.1``, one per line."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def oldest_versions(requirements: list[str]) -> list[str]:
    """Return the constraint of each requirement. Raises ValueError for one without a lower bound."""
    constraints = []
    for requirement in requirements:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)(,[^;]*)?(; .*)?", requirement)
        if match is None:
            raise ValueError(f"{requirement} has no lower bound")
        constraints.append(f"{match[1]}=={match[2]}")
    return constraints


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sys.stdout.writelines(f"{line}\n" for line in oldest_versions(project["dependencies"]))
