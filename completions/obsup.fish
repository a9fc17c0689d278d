# fish completion for obsup. Generated: do not edit.
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
