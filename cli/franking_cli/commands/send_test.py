"""``franking send-test``: a test message by the path that sending uses, with a saved account, unsaved settings, or a
built-in server.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from franking.account.account import Account
from franking.errors import SettingsError
from franking.message.address import Address
from franking.sending import testsend
from franking.sending.connect import connect
from franking_cli.command import command
from franking_cli.commands.send import predict
from franking_cli.console import Console, shell, visible
from franking_cli.exit_codes import exit_code
from franking_cli.logs import show_dialogue
from franking_cli.options import (
    AccountName,
    PasswordStdin,
    Transcript,
    choose_account,
    name_to_report,
    password_for,
    password_from_stdin,
)
from franking_cli.screen import show_result, show_step

if TYPE_CHECKING:
    from franking_cli.embedded_server import MailServer

__all__ = ["run"]


@command(settings=True, reports=True)
def run(
    console: Console,
    account: AccountName = None,
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="ADDRESS", help="Where the test message goes; your own address.")
    ] = None,
    embedded: Annotated[bool, typer.Option("--embedded", help="Send it to a built-in server, just to see.")] = False,
    show_message: Annotated[
        bool, typer.Option("--show-message", help="With --embedded: show the message as the server received it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the message to stdout and send nothing.")] = False,
    domain_check: Annotated[
        bool,
        typer.Option(
            "--domain-check/--no-domain-check",
            help="Also ask DNS whether receivers will trust it (SPF, DKIM, DMARC).",
            rich_help_panel="When it fails",
        ),
    ] = True,
    password_stdin: PasswordStdin = False,
    transcript: Transcript = False,
    settings: dict[str, Any],
) -> int:
    """Send a test message and say what is wrong, why, and who can mend it.

    franking send-test shop --to you@example.com
    franking send-test --from you@example.com --host smtp.example.com --username you@example.com --to you@example.com

    The first tests a saved account, the second settings that nobody saved.
    """
    console.about["account"] = name_to_report(account)
    if not to:
        raise typer.BadParameter("say where the test message goes: --to you@example.com", param_hint="--to")
    try:
        recipient = Address.parse(to)
    except ValueError as problem:
        raise SettingsError(f"to: {problem}", field="to") from None
    console.about["to"] = (recipient.address,)
    if show_message and not embedded:
        raise typer.BadParameter("it goes with --embedded", param_hint="--show-message")
    if embedded:
        if account is not None:
            raise typer.BadParameter(
                "the built-in server has an account of its own; leave the name out", param_hint="--embedded"
            )
        return _with_embedded_server(
            console,
            recipient,
            settings,
            password_stdin=password_stdin,
            transcript=transcript,
            dry_run=dry_run,
            show_message=show_message,
        )
    chosen = choose_account(account, settings, password_stdin=password_stdin)
    if dry_run:
        return _dry_run(console, chosen, recipient)
    secret = password_for(console, chosen, from_stdin=password_stdin)
    where = console.words("send-test.inbox")
    return _test(console, chosen, recipient, secret, transcript=transcript, where=where, domain_check=domain_check)


def _with_embedded_server(
    console: Console,
    recipient: Address,
    settings: dict[str, Any],
    *,
    password_stdin: bool,
    transcript: bool,
    dry_run: bool,
    show_message: bool,
) -> int:
    from franking_cli.embedded_server import MailServer

    with MailServer(sender=settings.get("sender") or str(recipient)) as server:
        account = server.account(settings, password_stdin=password_stdin)
        secret = server.password
        if password_stdin:
            secret = password_from_stdin()
        if dry_run:
            return _dry_run(console, account, recipient)
        where = console.words("send-test.built-in")
        code = _test(console, account, recipient, secret, transcript=transcript, where=where)
        if code == 0 and not console.json_output:
            if show_message:
                _show_received(console, server)
            console.say()
            following = console.style(shell("franking", "setup", recipient.address), "strong")
            console.raw(console.words("send-test.own-mailbox", command=following))
        return code


def _test(
    console: Console,
    account: Account,
    recipient: Address,
    secret: str | None,
    *,
    transcript: bool,
    where: str,
    domain_check: bool = False,
) -> int:
    console.about["account"] = account.name
    if not console.json_output:
        who, to = visible(str(account.sender)), visible(recipient.address)
        console.say(console.words("send-test.begins", sender=who, to=to), "strong")
    with show_dialogue(console, transcript):
        report = testsend.send_test(
            account,
            recipient.address,
            secret=secret,
            observer=partial(show_step, console),
            language=console.words.language,
            domain_check=domain_check,
        )
    show_result(console, report, sent=console.words("send-test.sent", to=visible(recipient.address), where=where))
    return exit_code(report.error)


def _dry_run(console: Console, account: Account, recipient: Address) -> int:
    console.about["account"] = account.name
    with connect(account) as mailer:
        predict(console, mailer, mailer.prepare(testsend.compose(account, recipient, language=console.words.language)))
    return 0


def _show_received(console: Console, server: MailServer) -> None:
    for received in server.received:
        to = ", ".join(received.recipients)
        console.say("\n" + console.words("send-test.received", sender=f"<{received.sender}>", to=to), "strong")
        console.data(received.content.decode("utf-8", "replace").replace("\r\n", "\n"))
