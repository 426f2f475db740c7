"""``franking check-domain``: will mail from an account or a domain be trusted? Asks DNS only, sends nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from franking.account.config import load, resolve
from franking.discovery.domain_check import Deliverability, check_account, check_domain
from franking_cli.command import command
from franking_cli.console import Console, shell
from franking_cli.trusted import show_check

__all__ = ["run"]

_EXIT = {"good": 0, "warning": 1, "unknown": 5}


@command
def run(
    console: Console,
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="ACCOUNT-OR-DOMAIN", help="A saved account, an address or a domain; the default account without."
        ),
    ] = None,
    *,
    via: Annotated[
        str | None,
        typer.Option(
            "--via", metavar="google|microsoft|HOST", help="Who sends the mail, where the account does not tell."
        ),
    ] = None,
) -> int:
    """Say whether receivers will trust mail from an account or a domain: SPF, DKIM, DMARC.

    franking check-domain shop
    franking check-domain example.com --via google

    Only DNS is asked. What is missing is told with the record to publish, and who can do it. Exit code 0: they will,
    1: something is to be mended, 5: the name server did not tell.
    """
    found = _checked(account, via)
    if console.json_output:
        console.answer(found.as_dict())
        return _EXIT[found.verdict]
    show_check(console, found)
    if found.verdict != "good":
        again = [account] if account else []
        command_line = shell("franking", "check-domain", *again, *(("--via", via) if via else ()))
        console.say("\n" + console.words("screen.following", command=command_line))
    return _EXIT[found.verdict]


def _checked(text: str | None, via: str | None) -> Deliverability:
    """Check an account first, else an address or a domain: what has no dot can only be an account."""
    if text is None or "://" in text or text in load().names or ("@" not in text and "." not in text):
        return check_account(resolve(text), via=via)
    return check_domain(text, via=via)
