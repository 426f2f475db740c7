"""``franking check``: the same steps as a send, up to the login; sends nothing."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from franking_cli.command import command as framed
from franking_cli.console import Console, exit_code, visible

__all__ = ["command"]


@framed(settings=True, reports=True)
def command(
    console: Console,
    account: Annotated[
        str | None, typer.Argument(help="A saved account's name, or an account URL; the default account without.")
    ] = None,
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="Show the dialogue with the server, without secrets.")
    ] = False,
    settings: dict[str, Any],
) -> int:
    """Take the same steps as a send, up to the login; send nothing."""
    from franking.sending import testsend
    from franking_cli.options import account_of, password_of, typed

    console.about["account"] = typed(account)
    chosen = account_of(account, settings, *(("--password-stdin",) if password_stdin else ()))
    console.about["account"] = chosen.name
    secret = password_of(console, chosen, from_stdin=password_stdin)
    if not console.json_output:
        console.say(f"Checking {visible(chosen.name)}", "strong")
    with console.transcript(transcript):
        report = testsend.check(chosen, secret=secret, observer=console.step)
    console.result(report, sent="All is ready for sending. Nothing was sent.")
    return exit_code(report.error)
