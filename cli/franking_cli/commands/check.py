"""``franking check``: the same steps as a send, up to the login; sends nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from franking.sending import testsend
from franking_cli.command import command
from franking_cli.console import Console, visible
from franking_cli.exit_codes import exit_code
from franking_cli.logs import show_dialogue
from franking_cli.options import (
    AccountName,
    PasswordStdin,
    Transcript,
    choose_account,
    name_to_report,
    password_for,
)
from franking_cli.screen import show_result, show_step

__all__ = ["run"]


@command(settings=True, reports=True)
def run(
    console: Console,
    account: AccountName = None,
    *,
    password_stdin: PasswordStdin = False,
    transcript: Transcript = False,
    settings: dict[str, Any],
) -> int:
    """Take the same steps as a send, up to the login; send nothing.

    franking check shop
    """
    console.about["account"] = name_to_report(account)
    chosen = choose_account(account, settings, password_stdin=password_stdin)
    console.about["account"] = chosen.name
    secret = password_for(console, chosen, from_stdin=password_stdin)
    if not console.json_output:
        console.say(console.words("check.begins", name=visible(chosen.name)), "strong")
    with show_dialogue(console, transcript):
        report = testsend.check(chosen, secret=secret, observer=partial(show_step, console))
    show_result(console, report, sent=console.words("check.ready"))
    return exit_code(report.error)
