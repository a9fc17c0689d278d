"""Locales with other encodings than UTF-8, for the environment of a command."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

_CHARMAPS = Path("/usr/share/i18n/charmaps")
# Python decodes file names as ASCII in this environment, as it did for every job of cron before PEP 538.
ASCII = "C"
ENCODINGS = [
    ASCII,
    *(
        one
        for one in ("GB18030", "ISO-8859-1")
        if which("localedef") and next(_CHARMAPS.glob(f"{one}*"), None) is not None
    ),
]
"""The encodings that this machine has: ASCII, and those that localedef can build."""


def environment(encoding: str, folder: Path) -> dict[str, str]:
    """Return the variables of a locale with *encoding*, which is built in *folder* unless it is there."""
    if encoding == ASCII:
        return {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    language = "zh_CN" if encoding == "GB18030" else "en_US"
    name = f"{language}.{encoding}"
    if not (folder / name).exists():
        subprocess.run(
            ["localedef", "-i", language, "-f", encoding, str(folder / name)], check=True, capture_output=True
        )
    return {"LC_ALL": name, "LOCPATH": str(folder), "PYTHONUTF8": "0"}
