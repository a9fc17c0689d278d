"""What a TAB answers, shell by shell, without the shells; those are tried in tests/shells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.cli.completion.known_words import known_profiles, known_targets, known_uploads
from obsup.local.state import started_uploads
from obsup.model import Target, Upload

HEAVY = {
    "click",
    "requests",
    "urllib3",
    "rich",
    "msgspec",
    "shutil",
    "ssl",
    "obsup.cli.commands",
    "obsup.dialects.registry",
    "obsup.engine",
    "obsup.store",
    "obsup.local.config",
    "obsup.local.source",
    "obsup.local.state",
}


def answer(shell: str, words: list[str], *, here: Path, **extra: str) -> list[list[str]]:
    """The items that obsup offers *shell* for the last of *words*, as kind, value, help."""
    asked = {
        "bash": {"COMP_WORDS": " ".join(words), "COMP_BREAKS": " \t\n\"'><=;|&(:"},
        "zsh": {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)},
        "fish": {"COMP_WORDS": "\n".join(words[:-1]), "COMP_CWORD": words[-1]},
    }[shell]
    done = subprocess.run(
        [sys.executable, "-m", "obsup"],
        env={**os.environ, **asked, "_OBSUP_COMPLETE": f"{shell}_complete", **extra},
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t") for line in done.stdout.splitlines() if line]


def remember(bucket: str, key: str, upload_id: str) -> None:
    """Have this machine know an upload, as an upload would."""
    target = Target("obs", "https://obs.example", bucket, key)
    started_uploads.add(started_uploads.StartedUpload(Upload(target, upload_id), "/srv/db", None, 1.0))


@pytest.mark.parametrize(
    ("shell", "words", "values"),
    [
        ("bash", ["obsup", "doc"], ["doctor"]),
        ("zsh", ["obsup", "upload", "--digest", "md"], ["md5"]),
        ("bash", ["obsup", "upload", "--digest=md"], ["md5"]),
        ("zsh", ["obsup", "upload", "--digest=md"], ["--digest=md5"]),
        ("fish", ["obsup", "upload", "--digest=md"], ["--digest=md5"]),
        ("zsh", ["obsup", "verify", "f", "obs://backups/2"], ["obs://backups/2026/db dump"]),
        ("bash", ["obsup", "verify", "f", "obs://backups/2"], ["//backups/2026/db dump"]),
        ("fish", ["obsup", "verify", "f", "bac"], ["backups/2026/db dump", "backups/"]),
        ("zsh", ["obsup", "abort", "backups/2026/db\\ dump", "--upload-id", ""], ["UPLOAD1"]),
        ("zsh", ["obsup", "doctor", "s3://"], ["s3://backups"]),
    ],
)
def test_each_shell_gets_the_text_to_insert(
    home: Path, tmp_path: Path, shell: str, words: list[str], values: list[str]
) -> None:
    """bash breaks words at colons and equals signs; zsh and fish replace the whole of it."""
    remember("backups", "2026/db dump", "UPLOAD1")
    found = answer(shell, words, here=tmp_path)
    assert [value for kind, value, *_ in found if kind == "plain"] == values


def test_a_source_is_left_to_the_shell(tmp_path: Path) -> None:
    """It knows files best."""
    assert answer("zsh", ["obsup", "upload", "big"], here=tmp_path) == [["file", "big", ""]]


def test_a_key_cannot_forge_another_item(home: Path, tmp_path: Path) -> None:
    """What has a tab or a line break in it is not offered."""
    remember("backups", "one\nplain\tforged\t", "U1")
    remember("backups", "good", "U2")
    values = [item[1] for item in answer("zsh", ["obsup", "status", "f", "backups/"], here=tmp_path)]
    assert values == ["backups/good"]


def test_checkpoints_beside_a_source_are_known(tmp_path: Path) -> None:
    """An upload of this folder, whose registry was lost."""
    plain = {"format": 1, "target": {"bucket": "media", "key": "video.iso"}, "uploadId": "U3"}
    (tmp_path / "video.iso.0a1b2c3d.obsup.json").write_text(json.dumps(plain))
    (tmp_path / "torn.0a1b2c3d.obsup.json").write_text('{"target": ')
    (tmp_path / "list.0a1b2c3d.obsup.json").write_text("[1]")
    assert known_targets({"HOME": str(tmp_path)}, tmp_path) == ["media/video.iso"]
    assert known_uploads({"HOME": str(tmp_path)}, tmp_path) == {"U3": "media/video.iso"}


def test_a_completed_upload_is_not_offered_by_its_id(home: Path, tmp_path: Path) -> None:
    """Its target is: it may be uploaded again."""
    remember("backups", "open", "U1")
    remember("backups", "done", "U2")
    finished = next(one for one in started_uploads.find_open() if one.upload.upload_id == "U2")
    started_uploads.finish(finished)
    words = ["obsup", "abort", "--upload-id", ""]
    assert [item[1] for item in answer("zsh", words, here=tmp_path)] == ["U1"]
    assert "backups/done" in [item[1] for item in answer("zsh", ["obsup", "verify", "f", "b"], here=tmp_path)]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["media/film"], ["U2"]),
        (["video", "obs://media/film"], ["U2"]),
        (["video", "media/"], ["U2", "U3"]),
        (["media/other"], []),
        (["./video"], ["U1", "U2", "U3"]),
        (["video"], ["U1", "U2", "U3"]),
    ],
)
def test_the_ids_are_those_of_the_target_on_the_line(
    words: list[str], ids: list[str], tmp_path: Path
) -> None:
    """An id of another target would be refused. A word that is a file is not a target."""
    (tmp_path / "video").touch()
    for bucket, key, upload_id in (("backups", "a", "U1"), ("media", "film", "U2"), ("media", "video", "U3")):
        remember(bucket, key, upload_id)
    offered = answer("zsh", ["obsup", "complete", *words, "--upload-id", ""], here=tmp_path)
    assert sorted(item[1] for item in offered) == ids


def test_help_completes_its_topics(tmp_path: Path) -> None:
    """Commands, their subcommands, and the exit status table."""
    assert [item[1] for item in answer("zsh", ["obsup", "help", "e"], here=tmp_path)] == ["exit-status"]
    assert [item[1] for item in answer("zsh", ["obsup", "help", "up"], here=tmp_path)] == [
        "upload",
        "uploads",
    ]
    assert [item[1] for item in answer("zsh", ["obsup", "help", "config", ""], here=tmp_path)] == [
        "init",
        "show",
    ]
    assert answer("zsh", ["obsup", "help", "upload", ""], here=tmp_path) == []


@pytest.mark.parametrize("text", ["", "[profiles", "profiles = 3", "[defaults]\n"])
def test_a_configuration_without_profiles_offers_none(tmp_path: Path, text: str) -> None:
    """Nor does one that is no TOML: a TAB is silent."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert known_profiles({}, path) == []
    assert known_profiles({"HOME": str(tmp_path)}, None) == []


@pytest.mark.parametrize(
    "words", ["obsup ", "obsup upload --", "obsup verify f b", "obsup upload --profile "]
)
def test_a_tab_loads_little(home: Path, tmp_path: Path, words: str) -> None:
    """Nobody waits for Click, for the engine, for requests or for Rich to complete a word."""
    remember("backups", "db", "U1")
    program = (
        "import os, sys\nos._exit = sys.exit\nimport obsup.__main__ as m\n"
        "try: m.main()\nexcept SystemExit: pass\n"
        f"print('LOADED', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "_OBSUP_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_BREAKS": ":="},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"
    assert len(done.stdout.splitlines()) > 1 or words.endswith("--profile ")


@pytest.mark.parametrize(
    ("line", "word", "items"),
    [
        (
            "obsup doc",
            1,
            [["plain", "doctor", "Test credentials, permissions and limits with a tiny upload."]],
        ),
        ("obsup upload --digest md", 3, [["plain", "md5", "_"]]),
        ("obsup upload big", 2, [["file", "big", "_"]]),
        ("obsup gc ", 2, [["plain", "backups", "_"]]),
    ],
)
def test_powershell_gets_three_lines_an_item(
    home: Path, tmp_path: Path, line: str, word: int, items: list[list[str]]
) -> None:
    """What Click's script reads: kind, value, help. The script itself is not run here."""
    remember("backups", "2026/db dump", "UPLOAD1")
    script = (Path(__file__).parents[3] / "completions" / "obsup.ps1").read_text()
    asked = {"_OBSUP_COMPLETE": "powershell_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)}
    assert all(f"$env:{name} = " in script for name in asked)
    done = subprocess.run(
        [sys.executable, "-m", "obsup"],
        env={**os.environ, **asked},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = done.stdout.splitlines()
    assert [found[at : at + 3] for at in range(0, len(found), 3)] == items
