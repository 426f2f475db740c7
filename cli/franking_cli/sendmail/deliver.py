"""One delivery: a message from standard input to a receipt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from franking.errors import MessageError
from franking.message.address import Envelope
from franking.sending.mailer import Mailer
from franking_cli.sendmail.aliases import Aliases
from franking_cli.sendmail.headers import Header, address_in
from franking_cli.sendmail.options import Options


def deliver(
    mailer: Mailer, data: bytes, options: Options, aliases: Aliases, recipients: Sequence[str] | None = None
) -> dict[str, Any]:
    """Send one message; return the recipients that were refused while others were accepted.

    ``recipients`` are those of a dialogue, in which neither the command line nor the headers name any.
    """
    if not data.strip():
        raise MessageError("The message is empty.", field="message")
    from_headers = options.from_headers and recipients is None
    if recipients is None:
        recipients = options.recipients
    resolved = aliases.resolve(recipients)
    own = mailer.account.sender.address
    api = mailer.provider.facts.route(mailer.route).api
    header = Header(data)
    header.encode()
    if options.name is not None:
        header.name_sender(options.name, own)
    if from_headers or api:
        header.follow_aliases(aliases.resolve)
    sender = own
    if api:
        header.add_hidden(resolved)
    else:
        sender = _sender(options.sender, own, rewrite=mailer.account.rewrite_from)
    data = header.message()
    envelope = _beside_headers(mailer, data, sender, resolved) if from_headers else Envelope(sender, resolved)
    if options.queue or mailer.account.queue:
        mailer.queue(data, key=options.key, envelope=envelope)
        return {}
    return dict(mailer.send(data, envelope=envelope).refused)


def _beside_headers(mailer: Mailer, data: bytes, sender: str, resolved: list[str]) -> Envelope | None:
    """Return the envelope of a message whose headers name recipients; None where nothing is beside them."""
    if not resolved and sender == mailer.account.sender.address:
        return None
    found = mailer.prepare(data).envelope.recipients
    return Envelope(sender, dict.fromkeys((*found, *resolved)))


def _sender(text: str | None, own: str, *, rewrite: bool) -> str:
    """Return the sender of the envelope; names of this machine (root, www-data) are known to no mailbox provider, and
    where the header's From is rewritten, so is this one. An empty one, that of bounces, stays.
    """
    if text is None:
        return own
    sender = address_in(text)
    return own if sender and (rewrite or "@" not in sender) else sender
