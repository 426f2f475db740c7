"""The man pages of all commands, in roff, and the files by which shells complete: written from the program itself, as
the pages of commands are. ``generate.py`` writes them; the wheel and the Debian package carry them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from franking import __version__
from franking_cli.app import COMMANDS, build, load
from franking_cli.help import EVERY, divided, metavar, spelled
from franking_cli.sendmail.options import USAGE

ENVIRONMENT = {
    "FRANKING_ACCOUNT": "the account to send with, where none is named",
    "FRANKING_CONFIG": "the settings file",
    "FRANKING_GMAIL_CLIENT_SECRETS": "the file of Google's console, for accounts that name none",
    "FRANKING_LANGUAGE": "the language of what a person reads: cs or en",
    "FRANKING_OUTBOX": "the directory of the outbox",
    "FRANKING_OUTLOOK_CLIENT_ID": "the application at Microsoft, for accounts that name none",
    "FRANKING_SECRET_NAME": "the password or sign-in of the account NAME, in capitals",
    "FRANKING_STATE_DIR": "where passwords, sign-ins and the outbox lie",
    "FRANKING_STORE": "how secrets are kept: file, encrypted, keyring, or the address of a shared store",
    "FRANKING_STORE_KEY": "the key of an encrypted or a shared store",
    "NO_COLOR": "no colour on a terminal",
}
FILES = {
    "~/.config/franking/accounts.toml": "the user's settings",
    "/etc/franking/accounts.toml": "the system's settings, where the user has none",
    "~/.local/state/franking/": "passwords, sign-ins and the outbox; mode 0700",
}
EXITS = {
    0: "done",
    1: "refused, or failed for good",
    2: "wrong usage, settings or message; a password is missing",
    3: "it is not known whether the message was accepted; nothing is sent again by itself",
    4: "somebody has to sign in",
    5: "failed for now; the same may work later",
    130: "interrupted; nothing was sent",
}


def overview() -> str:
    """Return franking(1): every command in a line, exit codes, environment, files."""
    lines = _top("franking", "send mail through the mailbox that you already have")
    lines += [".SH SYNOPSIS", r"\fBfranking\fR \fICOMMAND\fR [\fIOPTION\fR …]", ".SH DESCRIPTION"]
    lines += [_text("Begin with franking setup; franking docs shows the manual."), ".SH OPTIONS"]
    lines += [*_list((spelled(each), each.help) for each in build().params), ".SH COMMANDS"]
    for name, text in COMMANDS.items():
        lines += [".TP", rf"\fBfranking\-{_plain(name)}\fR(1)", _text(text)]
    lines += [".SH EXIT STATUS", "The first that fits of 3, 130, 2, 4, 5, 1, 0.", *_list(EXITS.items())]
    lines += [".SH ENVIRONMENT", *_list(ENVIRONMENT.items()), ".SH FILES", *_list(FILES.items())]
    lines += [".SH EXAMPLES", ".EX", "franking setup you@example.com", ".EE"]
    return _page(lines, ["franking-sendmail", *(f"franking-{name}" for name in COMMANDS)])


def command(name: str) -> str:
    """Return the page of one command; a group's has a section for each of its words, and what all of them take once."""
    made = load(name)
    lines = _top(f"franking-{name}", COMMANDS[name].removesuffix("."))
    lines += [".SH SYNOPSIS"]
    words = getattr(made, "commands", None)
    inner = {f"franking {name} {word}": one for word, one in words.items()} if words else {f"franking {name}": made}
    for path, one in inner.items():
        lines += [".br"] if lines[-1] != ".SH SYNOPSIS" else []
        arguments = (_plain(metavar(each)) for each in one.params if each.param_type_name == "argument")
        lines.append(
            " ".join((rf"\fB{_plain(path)}\fR", *(rf"\fI{each}\fR" for each in arguments), r"[\fIOPTION\fR …]"))
        )
    every: list[tuple[str, str]] = []
    for path, one in inner.items():
        lines += [f'.SH "{path.upper()}"'] if words else [".SH DESCRIPTION"]
        examples, prose = divided(one.help)
        for paragraph in prose:
            lines += [".PP", _text(paragraph)]
        panels: dict[str, list[tuple[str, str]]] = {}
        for each in one.params:
            heading = getattr(each, "rich_help_panel", None) or ("Options" if each.opts[0][0] == "-" else "Arguments")
            panels.setdefault(heading, []).append((spelled(each), str(each.help or "")))
        every = panels.pop(EVERY, every)
        for heading in sorted(panels, key=lambda heading: heading != "Arguments"):
            lines += [f'.SS "{_plain(heading)}"', *_list(panels[heading])]
        if examples:
            lines += [".SS Examples", ".EX", *map(_text, examples), ".EE"]
    lines += [
        f'.SH "{EVERY.upper()}"',
        *_list(every),
        ".SH EXIT STATUS",
        _text("As franking(1) tells, where nothing else is said here."),
    ]
    return _page(lines, ["franking", "franking-sendmail"])


def sendmail() -> str:
    """Return franking-sendmail(1)."""
    first, *rest = USAGE.splitlines()
    lines = _top("franking-sendmail", "stand in for sendmail(8)")
    lines += [".SH SYNOPSIS", rf"\fB{_plain(first.removeprefix('usage: '))}\fR", ".SH DESCRIPTION"]
    lines += [_text("Read a message from standard input and send it through an account of franking(1)."), ".SH OPTIONS"]
    lines += _list(match.groups() for line in rest if (match := re.fullmatch(r"  (-.*?)  +(.*)", line)))
    lines += [".PP", _text(rest[-1]), ".SH EXIT STATUS", "As sysexits.h has them; 70 where it is not known whether"]
    lines += ["the message was accepted, and never 75 then."]
    return _page(lines, ["franking", "franking-outbox"])


def _top(name: str, text: str) -> list[str]:
    title = rf'.TH "{_plain(name.upper())}" "1" "" "franking {__version__}" "Franking"'
    return [title, ".SH NAME", rf"{_plain(name)} \- {_text(text[0].lower() + text[1:])}"]


def _page(lines: list[str], others: Iterable[str]) -> str:
    also = ", ".join(rf"\fB{_plain(name)}\fR(1)" for name in others)
    # names of commands and options are to be copied: nothing is divided
    return (
        "\n".join(['.\\" made by docs/generate.py; do not edit', lines[0], ".nh", *lines[1:], ".SH SEE ALSO", also])
        + "\n"
    )


def _list(rows: Iterable[Any]) -> list[str]:
    return [line for name, text in rows for line in (".TP", rf"\fB{_plain(str(name))}\fR", _text(text) or r"\&")]


def _plain(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def _text(text: str) -> str:
    text = _plain(" ".join(text.split()))
    return rf"\&{text}" if text.startswith((".", "'")) else text


BASH = """# completion of franking in bash; made by docs/generate.py, do not edit
_franking_completion() {
    local IFS=$'\\n'
    mapfile -t COMPREPLY < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \\
        _FRANKING_COMPLETE=complete_bash "$1")
    [[ -n ${COMPREPLY[0]} ]] || COMPREPLY=() # names of files, then
}

complete -o default -F _franking_completion franking
"""
ZSH = """#compdef franking
# made by docs/generate.py, do not edit
eval "$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _FRANKING_COMPLETE=complete_zsh franking)"
"""
FISH = """# made by docs/generate.py, do not edit
function __franking_asked --argument-names action
    env _FRANKING_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$action \\
        _TYPER_COMPLETE_ARGS=(commandline -cp) franking
end
complete --command franking --no-files --arguments "(__franking_asked get-args)" --condition "__franking_asked is-args"
"""
PAGES = {
    "man/franking.1": overview,
    "man/franking-sendmail.1": sendmail,
    **{f"man/franking-{name}.1": lambda name=name: command(name) for name in COMMANDS},
    "completion/franking.bash": lambda: BASH,
    "completion/_franking": lambda: ZSH,
    "completion/franking.fish": lambda: FISH,
}
