"""``franking send-test``: a test message by the path that sending uses, with a saved account, unsaved settings, or a
built-in server.
"""

from __future__ import annotations

from contextlib import nullcontext
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
    to: Annotated[str | None, typer.Option("--to", help="Where the test message goes; your own address.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start a built-in mail server and show what it received.")
    ] = False,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="Show the dialogue with the server, without secrets.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the message to stdout and send nothing.")] = False,
    settings: dict[str, Any],
) -> int:
    """Send a test message and say what is wrong, why, and who can mend it.

    With a saved account: franking send-test shop --to you@example.com.
    With unsaved settings: --provider smtp --from … --host … --port … --security … --username … --password-stdin.
    """
    from franking.errors import SettingsError
    from franking.message.address import Address
    from franking.sending import testsend
    from franking_cli.options import account_of, password_from_stdin, password_of, typed

    console.about["account"] = typed(account)
    if not to:
        raise typer.BadParameter("say where the test message goes: --to you@example.com", param_hint="--to")
    try:
        recipient = Address.parse(to).address
    except ValueError as problem:
        raise SettingsError(f"to: {problem}", field="to") from None
    console.about["to"] = (recipient,)
    more = ("--password-stdin",) if password_stdin else ()
    if embedded:
        from franking_cli.embedded_server import MailServer

        if account is not None:
            raise typer.BadParameter(
                "the built-in server has an account of its own; leave the name out", param_hint="--embedded"
            )
        server: Any = MailServer(sender=settings.get("sender") or to)
    else:
        server = nullcontext()
    with server:
        if embedded:
            chosen = server.account(settings, more)
            secret = password_from_stdin() if password_stdin else server.password
        else:
            chosen = account_of(account, settings, *more)
            secret = None if dry_run else password_of(console, chosen, from_stdin=password_stdin)
        console.about["account"] = chosen.name
        if dry_run:
            return _dry_run(console, chosen, recipient)
        if not console.json_output:
            console.say(f"Test message from {visible(str(chosen.sender))} to {visible(recipient)}", "strong")
        with console.transcript(transcript):
            report = testsend.send_test(chosen, recipient, secret=secret, observer=console.step)
        where = "The built-in server has it; nothing left this computer." if embedded else "Look into the inbox."
        console.result(report, sent=f"Message sent to {visible(recipient)}. {where}")
        if embedded and report.ok:
            _show_received(console, server)
    return exit_code(report.error)


def _dry_run(console: Console, account: Any, to: str) -> int:
    from franking.message.address import Address
    from franking.sending import testsend
    from franking.sending.mailer import connect
    from franking_cli.commands.send import predict

    with connect(account) as mailer:
        prepared = mailer.prepare(testsend.compose(account, Address.parse(to)))
        predict(console, mailer, prepared)
    return 0


def _show_received(console: Console, server: Any) -> None:
    for received in server.received:
        if console.json_output:
            continue
        console.say()
        console.say(
            f"What the built-in server received (from <{received.sender}> to {', '.join(received.recipients)}):",
            "strong",
        )
        console.data(received.content.decode("utf-8", "replace").replace("\r\n", "\n"))
