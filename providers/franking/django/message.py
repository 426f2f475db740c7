"""Django's message → the MIME message that is sent, and the recipients Django means. It composes nothing itself.

An address is refused where a reader of the header would take it for another, or for several: Django's own SMTP backend
refuses these too. What Django's cannot carry and Franking can stays: ``Novák s.r.o. <…>``, a name before the @ that
needs SMTPUTF8.
"""

from __future__ import annotations

import email.policy
from email.encoders import encode_quopri
from email.errors import HeaderParseError, InvalidHeaderDefect, NonPrintableDefect
from email.headerregistry import AddressHeader
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import django
from franking.errors import MessageError
from franking.message.address import Address, is_plain

if TYPE_CHECKING:
    from email.message import Message as MIMEMessage

    from django.core.mail import EmailMessage

__all__ = ["PLACEHOLDERS", "mime_of", "recipients_of"]

PLACEHOLDERS = ("webmaster@localhost", "root@localhost")
"""Django's defaults for DEFAULT_FROM_EMAIL and SERVER_EMAIL: nobody chose them, and no mailbox provider would take
them.
"""

# fits every server; Django's default assumes 8BITMIME without asking
_SEVEN_BIT = email.policy.SMTP.clone(cte_type="7bit")


def recipients_of(message: EmailMessage) -> dict[str, None]:
    """Return who gets it, each once, in order: Django's own word, since a To among its headers is for show.

    Raises ``MessageError`` for an address, the From's too, that would not be read as it is meant.
    """
    sender = str(message.from_email)
    if any(sign in sender for sign in "@<,;"):  # Django lets local mailboxes be: webmaster
        _refuse_misread(sender)
    recipients: dict[str, None] = {}
    for recipient in message.recipients():
        typed = str(recipient)
        _refuse_misread(typed)
        recipients[Address.parse(typed).wire] = None
    return recipients


def mime_of(message: EmailMessage) -> MIMEMessage:
    """Make Django's own MIME message; Bcc goes in (each route takes it out again), and a From that nobody chose comes
    off.
    """
    mime: MIMEMessage
    if django.VERSION >= (6,):
        mime = message.message(policy=_SEVEN_BIT)
    else:
        mime = message.message()
        for part in mime.walk():
            if part["Content-Transfer-Encoding"] == "8bit":
                del part["Content-Transfer-Encoding"]
                encode_quopri(part)
        _write_international(mime, message)
    if message.bcc:
        mime["Bcc"] = ", ".join(str(one) for one in message.bcc if one)
    if str(mime["From"]) in PLACEHOLDERS:
        del mime["From"]
    return mime


def _write_international(mime: MIMEMessage, message: EmailMessage) -> None:
    """Write the addresses that need SMTPUTF8 as they are: Django before 6 makes words of them, which are no address."""
    own = {name.lower() for name in message.extra_headers}
    for name, typed in (("From", [message.from_email]), ("To", message.to), ("Cc", message.cc)):
        if name.lower() not in own and any("@" in str(one) and Address.parse(str(one)).smtputf8 for one in typed):
            del mime[name]
            mime.set_raw(name, ", ".join(str(one) for one in typed if one))


@lru_cache(maxsize=1024)
def _refuse_misread(typed: str) -> None:
    if is_plain(typed):
        return
    address = Address.parse(typed)
    try:
        read: Any = AddressHeader.value_parser(typed)
        defects = [
            defect for defect in read.all_defects if isinstance(defect, InvalidHeaderDefect | NonPrintableDefect)
        ]
        mailboxes = read.all_mailboxes
    except (HeaderParseError, ValueError, IndexError):  # of the standard library's parser
        defects, mailboxes = [], []
    if defects or len(mailboxes) != 1:
        raise MessageError(
            f"The address {typed!r} would not be read as one address; put its name in quotation marks: {address}",
            field="address",
        )
