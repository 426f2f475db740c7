"""One delivery: a message from standard input to a receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from franking_cli.sendmail.aliases import Aliases
from franking_cli.sendmail.headers import address_in, encoded, with_from, with_hidden
from franking_cli.sendmail.options import Options

if TYPE_CHECKING:
    from franking.sending.mailer import Mailer


def deliver(
    mailer: Mailer, data: bytes, options: Options, aliases: Aliases, recipients: list[str] | None = None
) -> dict[str, Any]:
    """Send one message; give the recipients that were refused while others were accepted."""
    from franking.errors import MessageError
    from franking.message.address import Envelope

    if not data.strip():
        raise MessageError("The message is empty.", field="message")
    from_headers = options.from_headers and recipients is None
    named = options.recipients if recipients is None else recipients
    if data.startswith(b"From "):  # the line before each message of a mailbox file
        data = data.partition(b"\n")[2]
    if not data.isascii():
        data = encoded(data)
    data = with_from(data, mailer, options)
    api = mailer.provider.facts.route(mailer.route).api
    if from_headers or api:
        data = aliases.rewrite(data)
    recipients = aliases.resolve(named)
    if api:
        data = with_hidden(data, recipients)
    own = mailer.account.sender.address
    sender = own if options.sender is None or api else address_in(options.sender)
    if sender and "@" not in sender:  # root, www-data: names of this machine, which no mailbox provider knows
        sender = own
    envelope = None
    if not from_headers:
        envelope = Envelope(sender, recipients)
    elif recipients or sender != own:
        found = mailer.prepare(data).envelope.recipients
        envelope = Envelope(sender, dict.fromkeys((*found, *recipients)))
    return dict(mailer.send(data, envelope=envelope).refused)
