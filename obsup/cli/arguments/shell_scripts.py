"""Completion in bash, zsh and fish. Each script runs obsup, which prints one line per item: kind, value and help.

The script for PowerShell is Click's own. PowerShell does not search for it: a profile must load it.
"""

from __future__ import annotations

import os
from typing import ClassVar

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

VARIABLE = "_OBSUP_COMPLETE"

BASH = r"""# bash completion for obsup. Generated: do not edit.
_obsup_completion() {
    local kind value files='' begun
    local -a values=()
    COMPREPLY=()
    while IFS=$'\t' read -r kind value _; do
        case $kind in
            plain) values+=("$value") ;;
            file | dir) files=$kind begun=$value ;;
        esac
    done < <(COMP_WORDS=${COMP_LINE:0:COMP_POINT} COMP_BREAKS=$COMP_WORDBREAKS \
        _OBSUP_COMPLETE=bash_complete "$1" 2>/dev/null)
    if [[ $files && ${#values[@]} == 0 ]]; then
        # Nothing but files: readline completes them best, ~ and all.
        [[ $files == dir ]] && compopt -o dirnames || compopt -o default
    elif [[ $files ]]; then
        compopt -o filenames
        while read -r value; do values+=("$value"); done < <(compgen -f -- "$begun")
        COMPREPLY=("${values[@]}")
    else
        for value in "${values[@]}"; do
            [[ $value == */ ]] && compopt -o nospace
            printf -v value %q "$value"
            COMPREPLY+=("$value")
        done
    fi
}
complete -o nosort -F _obsup_completion obsup
"""

ZSH = r"""#compdef obsup
# zsh completion for obsup. Generated: do not edit.
_obsup() {
    local kind value help
    local -a values shown
    local -a lines
    lines=("${(@f)$(COMP_WORDS="${(pj:\n:)words[1,CURRENT]}" COMP_CWORD=$((CURRENT - 1)) \
        _OBSUP_COMPLETE=zsh_complete "${words[1]}" 2>/dev/null)}")
    local line
    for line in $lines; do
        kind=${line%%$'\t'*}
        value=${${line#*$'\t'}%%$'\t'*}
        help=${line##*$'\t'}
        case $kind in
            plain)
                if [[ $value == */ ]]; then
                    compadd -S '' -- "$value"
                else
                    values+=("$value")
                    shown+=("$value${help:+  -- $help}")
                fi
                ;;
            file | dir)
                [[ $PREFIX == -*=* ]] && compset -P '*='
                if [[ $kind == dir ]]; then _files -/; else _files; fi
                ;;
        esac
    done
    (( $#values )) && compadd -l -V obsup -d shown -a values
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _obsup "$@"
else
    compdef _obsup obsup
fi
"""

FISH = r"""# fish completion for obsup. Generated: do not edit.
function __obsup_complete
    set -l program (commandline -opc)[1]
    set -lx COMP_WORDS (string join \n -- (commandline -opc) | string collect)
    set -lx COMP_CWORD (commandline -ct)
    set -lx _OBSUP_COMPLETE fish_complete
    for line in ($program 2>/dev/null)
        set -l item (string split \t -- $line)
        switch $item[1]
            case file
                __fish_complete_path $item[2]
            case dir
                __fish_complete_directories $item[2]
            case plain
                printf '%s\t%s\n' $item[2] $item[3]
        end
    end
end
complete --command obsup --no-files --arguments '(__obsup_complete)'
"""


class _Lines(ShellComplete):
    """A shell whose script reads one line per item: kind, value and help, tab-separated."""

    source_template: ClassVar[str]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return the line of *item*. Values with tabs or line breaks are omitted."""
        help_text = " ".join((item.help or "").split())
        value = self.fit(str(item.value))
        return "" if set(value) & set("\t\n\r") else f"{item.type}\t{value}\t{help_text}"

    def fit(self, value: str) -> str:
        """Return *value* as this shell inserts it."""
        raise NotImplementedError

    def complete(self) -> str:
        return "\n".join(line for line in super().complete().split("\n") if line)

    def source(self) -> str:
        return self.source_template


class BashComplete(_Lines):
    """bash passes the line up to the cursor and replaces the text after the last word break."""

    name: ClassVar[str] = "bash"
    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        begun = "" if line[-1:].isspace() and not line.endswith("\\ ") else words.pop()
        breaks = set(os.environ.get("COMP_BREAKS", "")) & set(":=")
        # For --digest=md5, only the values are completed, without the option.
        is_value = begun.startswith("-") and "=" in begun
        self._kept = 0 if is_value else max((begun.rfind(one) + 1 for one in breaks), default=0)
        return words[1:], begun

    def fit(self, value: str) -> str:
        """Return *value* without the prefix that readline keeps."""
        return value[self._kept :]


class _WholeWord(_Lines):
    """A shell that replaces the whole word."""

    def get_completion_args(self) -> tuple[list[str], str]:
        words, begun = self.words()
        option, separator, _ = begun.partition("=")
        self._option = f"{option}=" if begun.startswith("-") and separator else ""
        return words, begun

    def words(self) -> tuple[list[str], str]:
        """Return the words before the cursor and the word at the cursor, without quotes."""
        raise NotImplementedError

    def fit(self, value: str) -> str:
        """Return *value* with the option that precedes it in the same word."""
        return f"{self._option}{value}"


class ZshComplete(_WholeWord):
    """zsh passes the words as typed, including quotes."""

    name: ClassVar[str] = "zsh"
    source_template = ZSH

    def words(self) -> tuple[list[str], str]:
        typed = [(split_arg_string(word) or [""])[0] for word in os.environ["COMP_WORDS"].split("\n")]
        at = int(os.environ["COMP_CWORD"])
        return typed[1:at], typed[at] if at < len(typed) else ""


class FishComplete(_WholeWord):
    """fish passes words without quotes, and the word at the cursor separately."""

    name: ClassVar[str] = "fish"
    source_template = FISH

    def words(self) -> tuple[list[str], str]:
        typed = os.environ["COMP_WORDS"].split("\n")
        return typed[1:], (split_arg_string(os.environ["COMP_CWORD"]) or [""])[0]


for _shell in (BashComplete, ZshComplete, FishComplete):
    add_completion_class(_shell)


def script(shell: str, command: click.Command) -> str:
    """Return the script of *shell* for *command*. Raises UsageError if Click has none."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(
            f"The installed version of Click cannot complete for {shell}. Install a newer one."
        )
    return kind(command, {}, "obsup", VARIABLE).source()
