"""``franking send``: one message from flags, files, stdin or a ready .eml file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from franking.errors import MessageError
from franking.message.address import Address, Envelope
from franking.message.message import Message
from franking.message.prepare import Prepared
from franking.provider import SupportsPlan
from franking.sending import testsend
from franking.sending.connect import account_for, connect
from franking.sending.mailer import Mailer
from franking.text import size_in_words
from franking_cli.command import command, file_named
from franking_cli.console import Console, visible
from franking_cli.exit_codes import exit_code
from franking_cli.logs import show_dialogue
from franking_cli.moments import moment
from franking_cli.options import AccountName, PasswordStdin, Transcript, name_to_report, password_from_stdin
from franking_cli.screen import answer_report, show_result, show_step

if TYPE_CHECKING:
    from franking.outbox.entry import OutboxEntry

__all__ = ["given_or_read", "predict", "run"]

_Many = list[str] | None


def _part(flag: str, meaning: str, metavar: str | None = None) -> Any:
    return typer.Option(flag, help=meaning, metavar=metavar, rich_help_panel="The message")


def _later(flag: str, meaning: str, metavar: str | None = None) -> Any:
    return typer.Option(flag, help=meaning, metavar=metavar, rich_help_panel="The outbox")


@command(reports=True)
def run(
    console: Console,
    account: AccountName = None,
    *,
    to: Annotated[_Many, typer.Option("--to", metavar="ADDRESS", help="Recipient; may be repeated.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Subject.")] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Text; without it and --text-file, --html, --html-file: from stdin.")
    ] = None,
    attach: Annotated[_Many, typer.Option("--attach", metavar="FILE", help="File to attach; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the .eml to stdout and send nothing.")] = False,
    text_file: Annotated[Path | None, _part("--text-file", "File with the text (UTF-8).")] = None,
    html: Annotated[str | None, _part("--html", "HTML, beside the text or alone.")] = None,
    html_file: Annotated[Path | None, _part("--html-file", "File with the HTML (UTF-8).")] = None,
    cc: Annotated[_Many, _part("--cc", "Recipient of a copy; may be repeated.", "ADDRESS")] = None,
    bcc: Annotated[_Many, _part("--bcc", "Hidden recipient; may be repeated.", "ADDRESS")] = None,
    sender: Annotated[
        str | None, _part("--from", "Header From, by default the account's; it also finds the account.", "ADDRESS")
    ] = None,
    reply_to: Annotated[str | None, _part("--reply-to", "Where answers go.", "ADDRESS")] = None,
    header: Annotated[_Many, _part("--header", "A header of your own; may be repeated.", "'NAME: VALUE'")] = None,
    eml: Annotated[Path | None, _part("--eml", "Send this .eml file as it is.")] = None,
    queue: Annotated[bool, _later("--queue", "Put it into the outbox instead of sending it now.")] = False,
    key: Annotated[str | None, _later("--key", "With --queue: names it, so that it goes only once.", "KEY")] = None,
    not_before: Annotated[
        str | None, _later("--not-before", "With --queue: +2h, or ISO 8601 with a zone.", "TIME")
    ] = None,
    password_stdin: PasswordStdin = False,
    transcript: Transcript = False,
) -> int:
    """Send one message.

    franking send shop --to jana@example.com --subject "Invoice" --attach invoice.pdf --text "Good morning"
    """
    console.without_hints = True
    _check_queue(queue, {"--key": key, "--not-before": not_before})
    console.about["account"] = name_to_report(account)
    recipients = {"to": to or (), "cc": cc or (), "bcc": bcc or ()}
    composed = {
        "--from": sender,
        "--reply-to": reply_to,
        "--subject": subject,
        "--text": text,
        "--text-file": text_file,
        "--html": html,
        "--html-file": html_file,
        "--attach": attach,
        "--header": header,
    }
    message: Message | bytes
    addresses: list[str] = []  # that an .eml file is sent to, whatever it names itself
    if eml is not None:
        message = _ready(eml, composed)
        addresses = _addresses(recipients)
    else:
        message = _compose(console, recipients, composed, stdin_used=password_stdin)
    secret = password_from_stdin() if password_stdin else None
    with connect(account_for(account, message), secret=secret) as mailer:
        console.about["account"] = mailer.account.name
        envelope = Envelope(mailer.account.sender.address, addresses) if addresses else None
        if queue or mailer.account.queue:
            begin = not_before and moment(not_before, "--not-before")
            _show_queued(console, mailer.queue(message, key=key, not_before=begin or None, envelope=envelope))
            return 0
        if dry_run:
            predict(console, mailer, mailer.prepare(message, envelope=envelope))
            return 0
    with show_dialogue(console, transcript):
        report = testsend.send_watched(
            mailer.account, message, envelope=envelope, secret=secret, observer=partial(show_step, console)
        )
    accepted = report.receipt.accepted if report.receipt else report.to
    show_result(console, report, sent=f"Message accepted for {visible(', '.join(accepted))}.")
    return exit_code(report.error)


# --- the outbox -------------------------------------------------------------------------------------------------------


def _check_queue(queue: bool, wanted: Mapping[str, str | None]) -> None:
    for flag, value in wanted.items():
        if value and not queue:
            raise typer.BadParameter("it goes with --queue", param_hint=flag)


def _show_queued(console: Console, entry: OutboxEntry) -> None:
    if console.json_output:
        console.answer(entry.as_dict())
    else:
        console.data(entry.id)


# --- dry run ----------------------------------------------------------------------------------------------------------


def predict(console: Console, mailer: Mailer, prepared: Prepared) -> None:
    """Write the .eml to stdout and say to stderr by which route it would go, how large it is and what the limits
    are.
    """
    route, content, recipients = (
        mailer.provider.facts.route(mailer.route),
        prepared.content,
        prepared.envelope.recipients,
    )
    size = content.size_with_bcc() if route.api else content.size
    how = None
    if isinstance(mailer.provider, SupportsPlan):
        with mailer.explained():  # there may be no way for it
            how = str(mailer.provider.plan(mailer.account, content))
    if console.json_output:
        answer_report(
            console,
            _checked(mailer, prepared),
            bytes=size,
            limit=route.size,
            smtputf8=content.smtputf8,
            eight_bit=content.eight_bit,
            how=how,
        )
        return
    words = console.words
    console.say(words("send.route", route=mailer.route, title=mailer.provider.title))
    sender = f"<{prepared.envelope.sender}>"
    console.say(words("send.envelope", sender=sender, to=", ".join(recipients)), hang=" " * 12)
    size_allowed = _allowed(console, route.size and size_in_words(route.size))
    number = f"{len(recipients)}{_allowed(console, route.recipients)}"
    console.say(words("send.size", size=f"{size_in_words(size)}{size_allowed}", number=number))
    if how is not None:
        console.say(words("send.how", how=console.said(how, "details")), hang=" " * 12)
    console.say(words("send.nothing"))
    console.binary(content.chunks(bcc=True))


def _checked(mailer: Mailer, prepared: Prepared) -> testsend.TestReport:
    return testsend.TestReport(
        ok=True,
        outcome="checked",
        account=mailer.account.name,
        provider=mailer.provider.name,
        route=mailer.route,
        sender=str(mailer.account.sender),
        to=tuple(prepared.envelope.recipients),
        message_id=prepared.content.message_id,
        hints=testsend.hints_for(mailer.account),
    )


def _allowed(console: Console, limit: object) -> str:
    return console.words("send.allowed", limit=limit) if limit else ""


# --- composing --------------------------------------------------------------------------------------------------------


def _ready(path: Path, composed: Mapping[str, Any]) -> bytes:
    """Read a message that is sent as it is: no flag may say what it already says itself."""
    for flag, value in composed.items():
        if value:
            raise typer.BadParameter(f"the .eml file is sent as it is; leave {flag} out", param_hint="--eml")
    return _read(path)


def _compose(
    console: Console, recipients: Mapping[str, Any], composed: Mapping[str, Any], *, stdin_used: bool
) -> Message:
    """Make the message of what the flags gave; the text comes from stdin where no flag gave one."""
    if not any(recipients.values()):
        raise typer.BadParameter("give at least one recipient: --to jana@example.com", param_hint="--to")
    text = given_or_read("--text", composed["--text"], composed["--text-file"])
    html = given_or_read("--html", composed["--html"], composed["--html-file"])
    if text is None and html is None:
        text = _text_from_stdin(console, stdin_used=stdin_used)
    return Message(
        **recipients,
        sender=composed["--from"],
        reply_to=composed["--reply-to"],
        subject=composed["--subject"] or "",
        text=text,
        html=html,
        attachments=composed["--attach"] or (),
        headers=_headers(composed["--header"] or ()),
    )


def _text_from_stdin(console: Console, *, stdin_used: bool) -> str:
    if stdin_used:
        raise typer.BadParameter(
            "stdin holds the password; give the text with --text or --text-file", param_hint="--text"
        )
    if console.interactive:
        console.say(console.words("send.type"), "faint")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise MessageError("text: stdin is not UTF-8; convert it first (iconv -t utf-8).", field="text") from None


def _headers(lines: Sequence[str]) -> dict[str, str] | None:
    """Read ``Name: value`` of each ``--header``; None where there is none."""
    headers: dict[str, str] = {}
    seen = set()
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not name:
            raise typer.BadParameter(f"{line!r} is not of the form 'Name: value'", param_hint="--header")
        if name.lower() in seen:
            raise typer.BadParameter(f"{name} is given twice; one of the two would be lost", param_hint="--header")
        seen.add(name.lower())
        headers[name] = value.strip()
    return headers or None


def _addresses(recipients: Mapping[str, Sequence[str]]) -> list[str]:
    return [Address.parse(each).address for many in recipients.values() for each in many]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        words = f"{path}: cannot be read: {problem.strerror}."
        raise MessageError(words, evidence=file_named(path)) from None


def given_or_read(flag: str, text: str | None, file: Path | None) -> str | None:
    """Return what was given itself, or the file's text; None where neither was."""
    if text is not None and file is not None:
        raise typer.BadParameter(f"give either {flag} or {flag}-file", param_hint=f"{flag}-file")
    return read_text(file) if file is not None else text


def read_text(path: Path) -> str:
    """Read a file of text. Raises ``MessageError`` for what is not UTF-8."""
    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MessageError(f"{path}: is not UTF-8; convert it first (iconv -t utf-8).", field=str(path)) from None
