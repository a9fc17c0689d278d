"""Change one table of the configuration file; everything else, comments included, stays."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from obsup.local.config.file import Config, Profile
from obsup.local.config.saved_table import changed_text, without_present

SETTINGS: dict[str, str | int] = {"endpoint": "https://new", "jobs": 8}

FILE = """# mine
[defaults]   # for all
profile = "p"

[profiles.p] # nightly
# doctor: old
endpoint = "https://old"   # was here
access_key_id = "A"

[profiles."my store"]
endpoint = "https://other"
"""


@pytest.mark.parametrize(
    ("content", "profile", "expected"),
    [
        (
            FILE,
            "p",
            FILE.replace(
                '# doctor: old\nendpoint = "https://old"   # was here\n',
                '# doctor: new\nendpoint = "https://new"\njobs = 8\n',
            ),
        ),
        (
            FILE,
            "my store",
            FILE.replace(
                'endpoint = "https://other"\n', '# doctor: new\nendpoint = "https://new"\njobs = 8\n'
            ),
        ),
        (
            FILE,
            None,
            FILE.replace("# for all\n", '# for all\n# doctor: new\nendpoint = "https://new"\njobs = 8\n'),
        ),
        ("", None, '[defaults]\n# doctor: new\nendpoint = "https://new"\njobs = 8\n'),
        (
            "[profiles.a]",
            'b"',
            '[profiles.a]\n\n[profiles."b\\""]\n# doctor: new\nendpoint = "https://new"\njobs = 8\n',
        ),
    ],
    ids=["profile", "quoted", "defaults", "new-file", "new-table"],
)
def test_only_the_table_changes(content: str, profile: str | None, expected: str) -> None:
    """Remarks of an earlier run are replaced, and the result is valid."""
    changed = changed_text(content, profile, SETTINGS, ["new"])
    assert changed == expected
    assert changed_text(changed, profile, SETTINGS, ["new"]) == expected
    assert tomllib.loads(changed)


@pytest.mark.parametrize(
    "content",
    [
        'profiles = { p = { endpoint = "https://old" } }\n',
        'profiles.p.endpoint = "https://old"\n',
        '[profiles]\np.endpoint = "https://old"\n',
        '[profiles.p]\nendpoint = """\nhttps://old"""\n',
        '[profiles.p]\naccess_key_id = """\nendpoint = 1\n"""\n',
        'x = """\n[profiles.p]\n"""\n',
    ],
    ids=["inline", "dotted", "dotted-below", "long-value", "key-in-text", "table-in-text"],
)
def test_a_form_that_lines_cannot_change_is_left_alone(content: str) -> None:
    """Nothing is written that would lose or change another value."""
    assert changed_text(content, "p", SETTINGS) is None


def test_part_size_and_jobs_of_the_user_stay() -> None:
    """They are preferences, not what the store requires."""
    config = Config(Path("x"), {"jobs": 3}, {"p": Profile("p", {"parts": 5})})
    found: dict[str, str | int] = {"endpoint": "e", "part_size": "16M", "jobs": 8}
    assert without_present(config, "p", found) == {"endpoint": "e", "jobs": 8}
    assert without_present(config, None, found) == {"endpoint": "e", "part_size": "16M"}
