"""``obsup completion``: print the completion script of a shell."""

from __future__ import annotations

import click

from obsup.cli.arguments.command import command
from obsup.cli.arguments.command_names import SHELLS


@command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands, options, targets and upload ids in SHELL.

    \b
    obsup completion bash > ~/.local/share/bash-completion/completions/obsup
    obsup completion zsh > ~/.zfunc/_obsup
    obsup completion fish > ~/.config/fish/completions/obsup.fish
    obsup completion powershell | Out-String | Invoke-Expression

    In bash without the package bash-completion, add eval "$(obsup completion bash)" to ~/.bashrc. For PowerShell, add
    the last line to the file $PROFILE; that script is Click's own and was not tested in PowerShell.
    """
    from obsup.cli.completion.scripts import script
    from obsup.cli.report.output import print_result

    print_result(script(shell).rstrip("\n"))
