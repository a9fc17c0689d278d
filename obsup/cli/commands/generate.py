"""``obsup generate``, hidden: writes man/ and completions/ of the repository from the tree of commands."""

from __future__ import annotations

from pathlib import Path

import click

from obsup.cli.arguments import options
from obsup.cli.arguments.command import Commands, command


@command(hidden=True, short_help="Write man/ and completions/.")
@click.pass_context
@click.argument("folder", type=options.FOLDER, default=".")
def generate(ctx: click.Context, folder: Path) -> None:
    """Write the manual and the completions into the repository at FOLDER.

    \b
    obsup generate
    obsup generate ~/src/obsup

    What is there and is generated no more is removed.
    """
    root = ctx.find_root().command
    assert isinstance(root, Commands)
    for path, text in generated(folder, root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in stale(folder, root):
        path.unlink()


def generated(folder: Path, root: Commands) -> dict[Path, str]:
    """Return every generated file of the repository at *folder* with what belongs into it."""
    from obsup.cli.docs.completion import scripts
    from obsup.cli.docs.manpage import command_pages
    from obsup.cli.docs.markdown_page import text_page

    longer = [text_page(path.stem, path.read_text()) for path in sorted(folder.glob("man/pages/*.md"))]
    pages = [*command_pages(root).items(), *longer]
    files = {folder / "man" / f"man{name[-1]}" / name: text for name, text in pages}
    return files | {folder / "completions" / name: text for name, text in scripts(root).items()}


def stale(folder: Path, root: Commands) -> list[Path]:
    """Return the files in the generated folders of the repository at *folder* that are generated no more."""
    there = [*folder.glob("man/man[0-9]/*"), *folder.glob("completions/*")]
    return sorted(set(there) - set(generated(folder, root)))
