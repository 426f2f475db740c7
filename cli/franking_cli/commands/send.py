"""``franking send``: one message from flags, files, stdin or a ready .eml file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from franking_cli.command import command as framed
from franking_cli.console import Console, exit_code, visible

__all__ = ["command", "predict", "read_text"]

_Many = list[str] | None


@framed(reports=True)
def command(
    console: Console,
    account: Annotated[
        str | None, typer.Argument(help="A saved account's name, or an account URL; the default account without.")
    ] = None,
    *,
    to: Annotated[_Many, typer.Option("--to", help="Recipient; may be repeated.")] = None,
    cc: Annotated[_Many, typer.Option("--cc", help="Recipient of a copy; may be repeated.")] = None,
    bcc: Annotated[_Many, typer.Option("--bcc", help="Hidden recipient; may be repeated.")] = None,
    reply_to: Annotated[str | None, typer.Option("--reply-to", help="Where answers go.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Subject.")] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="Text; without --text, --text-file and --html-file it is read from stdin."),
    ] = None,
    text_file: Annotated[Path | None, typer.Option("--text-file", help="File with the text (UTF-8).")] = None,
    html_file: Annotated[Path | None, typer.Option("--html-file", help="File with the HTML (UTF-8).")] = None,
    attach: Annotated[_Many, typer.Option("--attach", help="File to attach; may be repeated.")] = None,
    header: Annotated[_Many, typer.Option("--header", help="'Name: value'; may be repeated.")] = None,
    eml: Annotated[Path | None, typer.Option("--eml", help="Send this .eml file as it is.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the .eml to stdout and send nothing.")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="Show the dialogue with the server, without secrets.")
    ] = False,
) -> int:
    """Send one message."""
    from franking.sending import testsend
    from franking.sending.mailer import connect
    from franking_cli.options import password_from_stdin, typed

    console.without_hints = True
    console.about["account"] = typed(account)
    composed = {
        "--to": to,
        "--cc": cc,
        "--bcc": bcc,
        "--reply-to": reply_to,
        "--subject": subject,
        "--text": text,
        "--text-file": text_file,
        "--html-file": html_file,
        "--attach": attach,
        "--header": header,
    }
    message: Any
    if eml is not None:
        clash = [flag for flag, value in composed.items() if value and flag not in ("--to", "--cc", "--bcc")]
        if clash:
            raise typer.BadParameter(f"the .eml file is sent as it is; leave {clash[0]} out", param_hint="--eml")
        message = _read(eml)
    else:
        if not (to or cc or bcc):
            raise typer.BadParameter("give at least one recipient: --to jana@example.com", param_hint="--to")
        message = _compose(console, composed, stdin_used=password_stdin)
    secret = password_from_stdin() if password_stdin else None
    with connect(account, secret=secret) as mailer:
        console.about["account"] = mailer.account.name
        recipients = [*(to or ()), *(cc or ()), *(bcc or ())] if eml is not None else []
        envelope = _envelope(mailer, recipients) if recipients else None
        if dry_run:
            predict(console, mailer, mailer.prepare(message, envelope=envelope))
            return 0
    with console.transcript(transcript):
        report = testsend.send_watched(mailer.account, message, envelope=envelope, secret=secret, observer=console.step)
    console.result(
        report,
        sent=f"Message accepted for {visible(', '.join(report.receipt.accepted if report.receipt else report.to))}.",
    )
    return exit_code(report.error)


def predict(console: Console, mailer: Any, prepared: Any) -> None:
    """Write the .eml to stdout and say to stderr by which route it would go, how large it is and what the limits
    are.
    """
    from franking.provider import SupportsPlan

    route = mailer.provider.facts.route(mailer.route)
    size = prepared.content.size_with_bcc() if route.api else prepared.content.size
    limit = f" of {route.size:,} allowed" if route.size else ""
    at_most = f" of {route.recipients:,} allowed" if route.recipients else ""
    how = None
    if isinstance(mailer.provider, SupportsPlan):
        with mailer.explained():  # there may be no way for it
            how = str(mailer.provider.plan(mailer.account, prepared.content))
    if console.json_output:
        from franking.sending.testsend import TestReport, hints_for

        account = mailer.account
        report = TestReport(
            ok=True,
            outcome="checked",
            account=account.name,
            provider=mailer.provider.name,
            route=mailer.route,
            sender=str(account.sender),
            to=tuple(prepared.envelope.recipients),
            message_id=prepared.content.message_id,
            hints=hints_for(account),
        )
        console.report(
            report,
            bytes=size,
            limit=route.size,
            smtputf8=prepared.content.smtputf8,
            eight_bit=prepared.content.eight_bit,
            how=how,
        )
        return
    console.say(f"Route:      {mailer.route} ({mailer.provider.title})")
    console.say(f"Envelope:   <{prepared.envelope.sender}> to {', '.join(prepared.envelope.recipients)}", hang=" " * 12)
    console.say(f"Size:       {size:,} bytes{limit}; recipients: {len(prepared.envelope.recipients)}{at_most}")
    if how is not None:
        console.say(f"How:        {how}", hang=" " * 12)
    console.say("Nothing was sent.")
    console.binary(prepared.content.chunks(bcc=True))


def _compose(console: Console, given: dict[str, Any], *, stdin_used: bool) -> Any:
    from franking.errors import MessageError
    from franking.message.message import Message

    text, html = given["--text"], None
    if given["--text-file"]:
        if text is not None:
            raise typer.BadParameter("give either --text or --text-file", param_hint="--text-file")
        text = read_text(given["--text-file"])
    if given["--html-file"]:
        html = read_text(given["--html-file"])
    if text is None and html is None:
        if stdin_used:
            raise typer.BadParameter(
                "stdin holds the password; give the text with --text or --text-file", param_hint="--text"
            )
        if console.interactive:
            console.say("Type the text; end with Ctrl-D.", "faint")
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise MessageError("text: stdin is not UTF-8; convert it first (iconv -t utf-8).", field="text") from None
    headers: dict[str, str] = {}
    for line in given["--header"] or ():
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise typer.BadParameter(f"{line!r} is not of the form 'Name: value'", param_hint="--header")
        if name.strip().lower() in (known.lower() for known in headers):
            raise typer.BadParameter(
                f"{name.strip()} is given twice; one of the two would be lost", param_hint="--header"
            )
        headers[name.strip()] = value.strip()
    return Message(
        to=given["--to"] or (),
        cc=given["--cc"] or (),
        bcc=given["--bcc"] or (),
        reply_to=given["--reply-to"],
        subject=given["--subject"] or "",
        text=text,
        html=html,
        attachments=given["--attach"] or (),
        headers=headers or None,
    )


def _envelope(mailer: Any, recipients: list[str]) -> Any:
    from franking.message.address import Address, Envelope

    return Envelope(mailer.account.sender.address, [Address.parse(one).address for one in recipients])


def _read(path: Path) -> bytes:
    from franking.errors import MessageError

    try:
        return path.read_bytes()
    except OSError as problem:
        raise MessageError(f"{path}: cannot be read: {problem.strerror}.") from None


def read_text(path: Path) -> str:
    from franking.errors import MessageError

    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MessageError(f"{path}: is not UTF-8; convert it first (iconv -t utf-8).", field=str(path)) from None
