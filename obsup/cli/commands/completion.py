"""``obsup completion``: print the completion script of a shell."""

from __future__ import annotations

import click

from obsup.cli.arguments.command import command


@command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish", "powershell")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, targets and upload ids in SHELL.

    \b
    obsup completion bash > ~/.local/share/bash-completion/completions/obsup
    obsup completion zsh > ~/.zfunc/_obsup
    obsup completion fish > ~/.config/fish/completions/obsup.fish
    obsup completion powershell | Out-String | Invoke-Expression

    In bash without the package bash-completion, add eval "$(obsup completion bash)" to ~/.bashrc. For PowerShell, add
    the last line to the file $PROFILE; that script is Click's own and was not tested in PowerShell.
    """
    from obsup.cli.arguments.shell_scripts import script
    from obsup.cli.report.output import print_result

    print_result(script(shell, ctx.find_root().command).rstrip("\n"))
