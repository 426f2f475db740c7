# made by docs/generate.py, do not edit
function __franking_asked --argument-names action
    env _FRANKING_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$action \
        _TYPER_COMPLETE_ARGS=(commandline -cp) franking
end
complete --command franking --no-files --arguments "(__franking_asked get-args)" --condition "__franking_asked is-args"
