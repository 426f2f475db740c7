"""The command line of sendmail(8), read without Typer: clusters, values that stand together, what is ignored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NoReturn

from franking_cli.sendmail.exit_codes import EX_OK, EX_USAGE

USAGE = """usage: franking-sendmail [options] [recipient …] < message

  -t              take the recipients from the headers To, Cc and Bcc as well
  -i, -oi         a line with a single dot does not end the message
  -f ADDRESS      sender of the envelope
  -F NAME         full name of the sender, where the message has no From
  -bs             speak SMTP on stdin and stdout
  -a ACCOUNT      account to send with (default: FRANKING_ACCOUNT, or the default account)
  -v              show the dialogue with the server on stderr
  --aliases FILE  recipients without a domain (default: the file aliases beside accounts.toml)
  --version       show the version

Other options of sendmail(8) are accepted and have no effect (-bm -oem -odi -om -n -N -R -B …)."""

_SWITCHES = {
    "-t": ("from_headers",),
    "-i": ("dots_are_text",),
    "-oi": ("dots_are_text",),
    "-ti": ("from_headers", "dots_are_text"),
    "-it": ("from_headers", "dots_are_text"),
    "-bs": ("smtp",),
    "-v": ("verbose",),
}
_SHOWN = ("--help", "--version")
_TAKES_VALUE = {"-f": "sender", "-r": "sender", "-F": "name", "-a": "account"}
_IGNORED_VALUE = ("-B", "-N", "-R", "-V", "-L", "-O", "-X", "-h", "-p", "-o", "-C", "-A")
_IGNORED_PREFIX = (*_IGNORED_VALUE, "-q", "-d")  # the last two have their value behind them, or none
_IGNORED = ("-bm", "-n", "-m", "-U", "-G", "-Ac", "-Am")


class Options:
    """What the command line asked for."""

    def __init__(self, arguments: list[str]) -> None:
        self.from_headers = self.dots_are_text = self.smtp = self.verbose = False
        self.sender: str | None = None
        self.name: str | None = None
        self.account: str | None = None
        self.aliases: str | None = None
        self.recipients: list[str] = []
        rest = iter(arguments)
        for word in rest:
            if word == "--":
                self.recipients.extend(rest)
            elif word.startswith("-") and word != "-":
                self._read(word, rest)
            else:
                self.recipients.append(word)

    def _read(self, word: str, rest: Iterator[str]) -> None:
        """Read one option; ``rest`` are the words behind it, where its value may stand."""
        if word in _SWITCHES:
            for name in _SWITCHES[word]:
                setattr(self, name, True)
        elif word in _SHOWN:
            _show(word)
        elif word.partition("=")[0] == "--aliases":
            self.aliases = word.partition("=")[2] or next(rest, None) or usage("--aliases needs a file")
        elif word[:2] in _TAKES_VALUE:
            value = word[2:] or next(rest, None)
            if value is None:  # an empty one is one: the sender of bounces
                usage(f"{word} needs a value")
            setattr(self, _TAKES_VALUE[word[:2]], value)
        elif word in _IGNORED_VALUE:
            next(rest, None)
        elif word not in _IGNORED and word[:2] not in _IGNORED_PREFIX:
            usage(f"{word} is no option that it knows; it has no queue, no daemon and no tables to build")


def _show(word: str) -> NoReturn:
    if word == "--help":
        print(USAGE)
    else:
        from franking import __version__

        print(f"franking-sendmail {__version__}")
    sys.exit(EX_OK)


def usage(why: str) -> NoReturn:
    """Say what is wrong with the command line, and exit."""
    print(f"franking-sendmail: {why}; see franking-sendmail --help", file=sys.stderr)
    sys.exit(EX_USAGE)
