# completion of franking in bash; made by docs/generate.py, do not edit
_franking_completion() {
    local IFS=$'\n'
    mapfile -t COMPREPLY < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \
        _FRANKING_COMPLETE=complete_bash "$1")
    [[ -n ${COMPREPLY[0]} ]] || COMPREPLY=() # names of files, then
}

complete -o default -F _franking_completion franking
