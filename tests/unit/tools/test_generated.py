"""man/ and completions/ are what the tree of commands makes of them today."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class

from obsup.cli.arguments.command import Commands
from obsup.cli.main import cli
from tests.tools.generate import generated, stale
from tests.tools.manpage import LONGER_PAGES, command_pages, walk
from tests.tools.markdown_page import text_page
from tests.tools.roff import Page, escape, prose

if not hasattr(click.Option, "get_help_extra") or get_completion_class("powershell") is None:
    pytest.skip("the files are generated with a newer Click", allow_module_level=True)

ROOT = Path(__file__).parents[3]
SECTIONS = ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES")
assert isinstance(cli, Commands)
PAGES = command_pages(cli)


def test_committed_files_are_current() -> None:
    """Generated files are regenerated, never edited."""
    wrong = [
        str(path.relative_to(ROOT)) for path, text in generated(ROOT, cli).items() if not _is(path, text)
    ]
    left = [str(path.relative_to(ROOT)) for path in stale(ROOT, cli)]
    assert not wrong + left, (
        "run this in the repository, and commit what it writes: python -m tests.tools.generate"
    )


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def test_there_is_a_page_for_every_command() -> None:
    """obsup(1), and one for each command that is shown."""
    assert set(PAGES) == {f"{node.name}.1" for node in walk(cli, "obsup")}
    assert {"obsup.1", "obsup-upload.1", "obsup-config-show.1"} <= PAGES.keys()
    assert "obsup-generate.1" not in PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_every_section(name: str) -> None:
    """In the order that readers of manuals know, with something in each; OPTIONS only if the command has some."""
    has_options = any(line.startswith(r"\fB\-") for line in PAGES[name].splitlines())
    expected = [title for title in SECTIONS if has_options or title != "OPTIONS"]
    titles = [title.strip('"') for title in re.findall(r"^\.SH (.+)$", PAGES[name], re.MULTILINE)]
    assert [title for title in titles if title in SECTIONS] == expected
    assert titles[-1] == "SEE ALSO"
    assert not re.search(r"^\.S[HS] .+\n\.SH ", PAGES[name], re.MULTILINE)


def test_every_option_and_its_variable_is_on_the_page() -> None:
    """What --help says, the manual says."""
    page = PAGES["obsup-upload.1"]
    for node in walk(cli, "obsup"):
        if node.words != ("obsup", "upload"):
            continue
        for one in node.command.params:
            if not getattr(one, "hidden", False) and one.opts[0].startswith("-"):
                assert all(escape(name) in page for name in one.opts)
                assert not one.envvar or escape(str(one.envvar)) in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--part-size", r"\-\-part\-size"),
        (r"a\b", r"a\(rsb"),
        ("it's `x` ~ ^", r"it\(aqs \(gax\(ga \(ti \(ha"),
        ('say "x"', r"say \(dqx\(dq"),
        ("Zürich", r"Z\[u00FC]rich"),
        ("2 × 3 – 4 …", r"2 \(mu 3 \(en 4 .\|.\|."),
    ],
)
def test_text_is_printed_letter_for_letter(text: str, expected: str) -> None:
    """No character of it means something to roff, or turns into one that a shell does not take."""
    assert escape(text) == expected


@pytest.mark.parametrize(
    "text", [".TH is a request", "'tis one too", "word " * 30 + ".so /etc/passwd and more"]
)
def test_no_line_of_text_is_a_request(text: str) -> None:
    """A line that begins with a dot or a quote would vanish, also where it is wrapped."""
    lines = prose(text).splitlines()
    assert lines
    assert not any(line.startswith((".", "'", r"\(aq")) for line in lines)


def test_examples_are_shown_as_they_are() -> None:
    """Also one that begins with a dot."""
    page = Page("x", 1, source="x", summary="x")
    page.section("EXAMPLES")
    page.example(["./run --all", "echo '$HOME'"])
    assert "\\&./run \\-\\-all\necho \\(aq$HOME\\(aq\n" in page.text()


def test_a_longer_page_is_made_from_a_little_markdown() -> None:
    """Sections, paragraphs, lists and blocks; what is for other readers is left out."""
    text = (
        "# obsup-cron: uploads by night\n\nWhat it *is* about.\n\n<!-- a mark -->\n## When it fails\n\n- look `here`\n"
        "- or there\n\n```sh\n.hidden --x\n\ny\n```\n\nThe end.\n"
    )
    name, page = text_page("obsup-cron.7", text)
    assert name == "obsup-cron.7"
    assert page.splitlines()[1].startswith(".TH OBSUP\\-CRON 7 ")
    body, _, others = page[page.index(".SH NAME") :].partition('.SH "SEE ALSO"\n')
    assert re.findall(r"obsup(?:\\-\w+)?", others) == [
        "obsup",
        *(escape(other) for other in LONGER_PAGES if other != "obsup-cron"),
    ]
    assert body == (
        ".SH NAME\nobsup\\-cron \\- uploads by night\n.SH DESCRIPTION\nWhat it is about.\n"
        '.SH "WHEN IT FAILS"\n.TP\n\\(bu\nlook here\n.TP\n\\(bu\nor there\n'
        ".PP\n.RS 4\n.EX\n\\&.hidden \\-\\-x\n\ny\n.EE\n.RE\n.PP\nThe end.\n"
    )


def test_every_longer_page_is_named_on_the_others() -> None:
    """SEE ALSO lists what is in man/pages, and nothing else."""
    there = sorted(path.name.removesuffix(".7.md") for path in ROOT.glob("man/pages/*"))
    assert there == sorted(LONGER_PAGES)


def test_a_narrow_table_is_aligned() -> None:
    """As it is on a terminal; a head without words is left out."""
    _, page = text_page("obsup-cron.7", "# obsup-cron: x\n\n| a | b |\n| --- | --- |\n| `one` | 2 |\n")
    assert ".EX\na    b\none  2\n.EE\n" in page
    _, page = text_page("obsup-cron.7", "# obsup-cron: x\n\n| | |\n| --- | --- |\n| one | 2 |\n")
    assert ".EX\none  2\n.EE\n" in page


def test_a_wide_table_becomes_an_item_a_row() -> None:
    """Nothing of it is cut off; of a link the name stays, and a star within a code."""
    row = f"| `--x` | [there](https://example.com) `OBS_*` | {'word ' * 14}|"
    _, page = text_page("obsup-cron.7", f"# obsup-cron: x\n\n| a | b | |\n| --- | --- | --- |\n{row}\n")
    body = page[page.index(".TP") :].replace("\n", " ")
    assert body.startswith(".TP \\fB\\-\\-x\\fR b: there OBS_*; word word ")
