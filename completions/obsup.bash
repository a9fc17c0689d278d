# bash completion for obsup. Generated: do not edit.
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
