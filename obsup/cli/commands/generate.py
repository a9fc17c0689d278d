"""``obsup generate``, hidden: write the man pages and the completions of the repository from the commands."""

from __future__ import annotations

from pathlib import Path

import click

from obsup.cli.arguments import types
from obsup.cli.arguments.command import Commands, command


@command("generate", hidden=True, short_help="Write man/ and completions/.")
@click.pass_context
@click.argument("folder", type=types.FOLDER, default=".")
def generate(ctx: click.Context, folder: Path) -> None:
    """Write the man pages and the completions into the repository at FOLDER.

    \b
    obsup generate
    obsup generate ~/src/obsup

    Removes files that are not generated any more.
    """
    root = ctx.find_root().command
    assert isinstance(root, Commands)
    for path, text in generated(folder, root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in stale(folder, root):
        path.unlink()


def generated(folder: Path, root: Commands) -> dict[Path, str]:
    """Return the text of every generated file of the repository at *folder*."""
    from obsup.cli.docs.completion import scripts
    from obsup.cli.docs.manpage import command_pages
    from obsup.cli.docs.markdown_page import text_page

    longer = [text_page(path.stem, path.read_text()) for path in sorted(folder.glob("man/pages/*.md"))]
    pages = [*command_pages(root).items(), *longer]
    files = {folder / "man" / f"man{name[-1]}" / name: text for name, text in pages}
    return files | {folder / "completions" / name: text for name, text in scripts(root).items()}


def stale(folder: Path, root: Commands) -> list[Path]:
    """Return the files in the generated folders of the repository at *folder* that are not generated any more."""
    existing = [*folder.glob("man/man[0-9]/*"), *folder.glob("completions/*")]
    return sorted(set(existing) - set(generated(folder, root)))
