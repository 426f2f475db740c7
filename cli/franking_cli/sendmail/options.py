"""The command line of sendmail(8), read without Typer: clusters, values that stand together, what is ignored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NoReturn

from franking_cli.sendmail.exit_codes import EX_OK, EX_USAGE, complain

USAGE = """usage: franking-sendmail [options] [recipient …] < message

  -t              take the recipients from the headers To, Cc and Bcc as well
  -i, -oi         a line with a single dot does not end the message
  -f ADDRESS      sender of the envelope
  -F NAME         full name of the sender, where the message has no From
  -bs             speak SMTP on stdin and stdout
  --queue         put the message into the outbox instead of sending it now
  --key KEY       with --queue: what names the message, so that it goes only once
  -q              deliver what is due in the outbox
  -bp             list what waits in the outbox (so does the name mailq)
  -a ACCOUNT      account to send with (default: FRANKING_ACCOUNT, or the default account)
  -C FILE         settings file (default: FRANKING_CONFIG, accounts.toml of the user or of the system)
  -v              show the dialogue with the server on stderr
  --aliases FILE  recipients without a domain (default: the file aliases beside accounts.toml)
  --version       show the version

Other options of sendmail(8) are accepted and have no effect (-bm -oem -odi -om -n -N -R -B …)."""

_SHOWN = ("--help", "--version")
_SWITCHES = {"t": "from_headers", "i": "dots_are_text", "v": "verbose"}
_VALUES = {"f": "sender", "r": "sender", "F": "name", "a": "account", "C": "settings"}
_LONG_VALUES = {"--aliases": "aliases", "--key": "key"}
_MODES = {
    "bs": "smtp",
    "bm": "",
    "bp": "lists",
    "oi": "dots_are_text",
}  # what a value of -b and -o means, where it means anything
_IGNORED = "cGmnUx"
_IGNORED_VALUES = "ABehLMNOopRVX"
_IGNORED_REST = "d"  # their value stands behind them, or there is none


class Options:
    """What the command line asked for."""

    def __init__(self, arguments: list[str]) -> None:
        self.from_headers = self.dots_are_text = self.smtp = self.verbose = self.queue = self.runs = self.lists = False
        self.key: str | None = None
        self.sender: str | None = None
        self.name: str | None = None
        self.account: str | None = None
        self.settings: str | None = None
        self.aliases: str | None = None
        self.recipients: list[str] = []
        rest = iter(arguments)
        for word in rest:
            if word == "--":
                self.recipients.extend(rest)
            elif word.startswith("--"):
                self._read_long(word, rest)
            elif word.startswith("-") and word != "-":
                self._read(word, rest)
            else:
                self.recipients.append(word)

    def _read_long(self, word: str, rest: Iterator[str]) -> None:
        name, _, value = word.partition("=")
        if word in _SHOWN:
            _show(word)
        elif word == "--queue":
            self.queue = True
        elif name in _LONG_VALUES:
            setattr(self, _LONG_VALUES[name], value or next(rest, None) or usage(f"{name} needs a value"))
        else:
            _unknown(word)

    def _read(self, word: str, rest: Iterator[str]) -> None:
        """Read a cluster as getopt does: switches, and at last an option whose value is the rest of it or the next
        word.
        """
        letters = iter(word[1:])
        for letter in letters:
            if letter in _SWITCHES:
                setattr(self, _SWITCHES[letter], True)
            elif letter == "q":  # an interval behind it is for daemons
                self.runs = True
                return
            elif letter in _IGNORED_REST:
                return
            elif letter in _VALUES or letter in _IGNORED_VALUES or letter == "b":
                value = "".join(letters) or next(rest, None)
                if value is None:  # an empty one is one: the sender of bounces
                    usage(f"-{letter} needs a value")
                self._take(letter, value)
            elif letter not in _IGNORED:
                _unknown(word)

    def _take(self, letter: str, value: str) -> None:
        if letter in _VALUES:
            setattr(self, _VALUES[letter], value)
        elif letter == "b" and letter + value not in _MODES:
            _unknown(f"-b{value}")
        elif name := _MODES.get(letter + value):
            setattr(self, name, True)


def _show(word: str) -> NoReturn:
    if word == "--help":
        print(USAGE)
    else:
        from franking import __version__

        print(f"franking-sendmail {__version__}")
    sys.exit(EX_OK)


def _unknown(word: str) -> NoReturn:
    usage(f"{word} is no option that it knows; it has no daemon and no tables to build")


def usage(why: str) -> NoReturn:
    """Say what is wrong with the command line, and exit."""
    complain(f"{why}; see franking-sendmail --help")
    sys.exit(EX_USAGE)
