"""``obsup generate``, hidden: writes man/ and completions/ of the repository from the tree of commands."""

from __future__ import annotations

from pathlib import Path

import click

from obsup.cli import options
from obsup.cli.help import command

COMMAND = "obsup generate"


@command(hidden=True, short_help="Write man/ and completions/.")
@click.argument("folder", type=options.FOLDER, default=".")
def generate(folder: Path) -> None:
    """Write the manual and the completions into the repository at FOLDER.

    \b
    obsup generate
    obsup generate ~/src/obsup

    What is there and is generated no more is removed.
    """
    for path, text in generated(folder).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in stale(folder):
        path.unlink()


def generated(folder: Path) -> dict[Path, str]:
    """Return every generated file of the repository at *folder* with what belongs into it."""
    from obsup.cli.completion import scripts
    from obsup.cli.help import Commands
    from obsup.cli.longpage import text_page
    from obsup.cli.main import cli
    from obsup.cli.manpage import command_pages

    assert isinstance(cli, Commands)
    longer = [text_page(path.stem, path.read_text()) for path in sorted(folder.glob("man/pages/*.md"))]
    pages = [*command_pages(cli).items(), *longer]
    files = {folder / "man" / f"man{name[-1]}" / name: text for name, text in pages}
    return files | {folder / "completions" / name: text for name, text in scripts(cli).items()}


def stale(folder: Path) -> list[Path]:
    """Return the files in the generated folders of the repository at *folder* that are generated no more."""
    there = [*folder.glob("man/man[0-9]/*"), *folder.glob("completions/*")]
    return sorted(set(there) - set(generated(folder)))
