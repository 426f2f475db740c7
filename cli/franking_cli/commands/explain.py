"""``franking explain``: what an error text means that another program showed, pasted or piped. Asks nobody, sends
nothing.
"""

from __future__ import annotations

import codecs
import sys
from typing import Annotated

import typer

from franking.account.config import resolve
from franking.errors import Evidence, SettingsError
from franking.sending.pasted import LONGEST, Explanation, explain_text
from franking_cli.command import command
from franking_cli.console import Console, visible
from franking_cli.screen import show_diagnosis

__all__ = ["run"]


@command
def run(
    console: Console,
    text: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="The error, in quotes; without it what is piped.")
    ] = None,
    *,
    host: Annotated[str | None, typer.Option("--host", help="The server that said it.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="The saved account, or URL, that met it.")] = None,
) -> int:
    """Say what an error means that another program showed: a log line, a dialog's text, a traceback, JSON.

    franking explain "535 5.7.8 Error: authentication failed"
    """
    words = " ".join(text or ()) or _piped(console)
    if not words.strip():
        evidence = Evidence("settings", reason="usage", details={"usage": (*console.path.split(), "--help")})
        raise SettingsError(console.words("explain.no-text"), field="text", evidence=evidence)
    met = None
    if account is not None:
        met = resolve(account)
    found = explain_text(words, account=met, host=host)
    if console.json_output:
        console.answer(found.as_dict())
    else:
        _show(console, found)
    return int(not found.recognised)


def _piped(console: Console) -> str:
    if console.interactive:
        console.say(console.words("explain.paste"), "strong")
    octets, limit = b"", 4 * LONGEST
    while chunk := sys.stdin.buffer.read(65536):
        octets = (octets + chunk)[-limit:]
    if octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # what PowerShell writes into files
        return octets.decode("utf-16", "replace")
    return octets.decode("utf-8-sig", "replace")


def _show(console: Console, found: Explanation) -> None:
    show_diagnosis(console, found.diagnosis, said="")
    if found.step is not None:
        where = console.said(found.step)
        if found.host:
            where += console.words("explain.at", host=visible(found.host))
        console.say("\n" + console.words("explain.step", where=where), "faint", indent="  ", hang="    ")
