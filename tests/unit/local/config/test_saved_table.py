"""Change one table of the configuration file; everything else, comments included, stays."""

from __future__ import annotations

import tomllib

import pytest

from obsup.local.config.saved_table import changed_text

SETTINGS: dict[str, str] = {"endpoint": "https://new", "region": "r"}

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
                '# doctor: new\nendpoint = "https://new"\nregion = "r"\n',
            ),
        ),
        (
            FILE,
            "my store",
            FILE.replace(
                'endpoint = "https://other"\n', '# doctor: new\nendpoint = "https://new"\nregion = "r"\n'
            ),
        ),
        (
            FILE,
            None,
            FILE.replace("# for all\n", '# for all\n# doctor: new\nendpoint = "https://new"\nregion = "r"\n'),
        ),
        ("", None, '[defaults]\n# doctor: new\nendpoint = "https://new"\nregion = "r"\n'),
        (
            "[profiles.a]",
            'b"',
            '[profiles.a]\n\n[profiles."b\\""]\n# doctor: new\nendpoint = "https://new"\nregion = "r"\n',
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
