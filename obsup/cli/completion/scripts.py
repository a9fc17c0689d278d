"""Completion in bash, zsh and fish. Each script runs obsup, which prints one line per item: kind, value and help.

The script for PowerShell is Click's own. PowerShell does not search for it: a profile must load it.
"""

from __future__ import annotations

from obsup.cli.completion.shells import VARIABLE

BASH = r"""# bash completion for obsup. Generated: do not edit.
_obsup_completion() {
    local kind value files='' begun at
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
        # Readline leaves a $ unquoted unless it is in the name of a file.
        for at in "${!values[@]}"; do [[ ${values[at]} == *'$'* ]] && unset "values[at]"; done
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


_SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str) -> str:
    """Return the script of *shell*. Raises UsageError if it is Click's, and this Click has none."""
    if shell in _SCRIPTS:
        return _SCRIPTS[shell]
    import click
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(
            f"The installed version of Click cannot complete for {shell}. Install a newer one."
        )
    return kind(click.Command("obsup"), {}, "obsup", VARIABLE).source()
