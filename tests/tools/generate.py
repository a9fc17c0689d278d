"""Write the man pages and the completions of the repository: ``python -m tests.tools.generate``."""

from __future__ import annotations

from pathlib import Path

from obsup.cli.arguments.command import Commands
from obsup.cli.completion.scripts import script
from obsup.cli.main import cli
from tests.tools.manpage import command_pages
from tests.tools.markdown_page import text_page

ROOT = Path(__file__).parents[2]
COMPLETIONS = {"bash": "obsup.bash", "zsh": "_obsup", "fish": "obsup.fish", "powershell": "obsup.ps1"}


def generated(folder: Path, root: Commands) -> dict[Path, str]:
    """Return the text of every generated file of the repository at *folder*."""
    longer = [text_page(path.stem, path.read_text()) for path in sorted(folder.glob("man/pages/*.md"))]
    pages = [*command_pages(root).items(), *longer]
    files = {folder / "man" / f"man{name[-1]}" / name: text for name, text in pages}
    scripts = [(name, script(shell)) for shell, name in COMPLETIONS.items()]
    return files | {folder / "completions" / name: text for name, text in scripts}


def stale(folder: Path, root: Commands) -> list[Path]:
    """Return the files in the generated folders of the repository at *folder* that are not generated any more."""
    existing = [*folder.glob("man/man[0-9]/*"), *folder.glob("completions/*")]
    return sorted(set(existing) - set(generated(folder, root)))


if __name__ == "__main__":
    assert isinstance(cli, Commands)
    for path, text in generated(ROOT, cli).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in stale(ROOT, cli):
        path.unlink()
