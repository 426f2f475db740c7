"""Headers as old programs write them, made fit to be sent: encoded words, From, hidden recipients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from franking_cli.sendmail.options import Options

if TYPE_CHECKING:
    from franking.sending.mailer import Mailer


def encoded(data: bytes) -> bytes:
    """Write header fields of raw 8-bit text, as cron and old scripts make them, in RFC 2047: not every server takes
    them as they are.
    """
    import re

    if not re.match(rb"[!-9;-~]+[ \t]*:", data):
        return data  # no header, all of it is text
    head, blank, body = re.match(rb"(?s)(.*?)(\r?\n\r?\n|\Z)(.*)", data).groups()  # type: ignore[union-attr]
    fields = re.split(rb"\r?\n(?![ \t])", head)
    return b"\n".join(one if one.isascii() else _encoded_field(one) for one in fields) + blank + body


def _encoded_field(raw: bytes) -> bytes:
    from franking.errors import MessageError
    from franking.message.headers import ADDRESSED, address_field, field, read_addresses

    name, _, value = raw.partition(b":")
    try:
        text = " ".join(value.decode().split())
    except UnicodeDecodeError:
        text = " ".join(value.decode("latin-1").split())
    key = name.decode("latin-1").strip()
    try:
        addressed = key.lower().removeprefix("resent-") in ADDRESSED
        written = address_field(key, read_addresses(text, key.lower())) if addressed else field(key, text)
    except MessageError:
        return raw  # what is wrong with it is said later, in its own words
    return written.encode().removesuffix(b"\r\n")


def address_in(text: str) -> str:
    """Take the address out of ``<jan@novak.cz>`` or ``Jan <jan@novak.cz>``; names of this machine stay as they are."""
    from franking.message.address import Address

    text = text.strip()
    return Address.parse(text).address if "<" in text[1:] else text.strip("<>")


def with_from(data: bytes, mailer: Mailer, options: Options) -> bytes:
    """Return a message without a From one with the full name that -F named."""
    if options.name is None:
        return data
    import re

    head = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0]
    if re.search(rb"(?im)^from[ \t]*:", head):
        return data
    from email.utils import formataddr

    return b"From: " + formataddr((options.name, mailer.account.sender.address)).encode() + b"\n" + data


def with_hidden(data: bytes, recipients: list[str]) -> bytes:
    """Name in a Bcc the recipients whom no header names: an API delivers to the addresses of the headers, and takes Bcc
    off.
    """
    import re
    from email.parser import BytesHeaderParser

    from franking.message.headers import read_addresses

    fields = [
        (name, str(value))
        for name, value in BytesHeaderParser().parsebytes(data).items()
        if name.lower() in ("to", "cc", "bcc")
    ]
    written = {address.address.lower() for name, value in fields for address in read_addresses(value, name.lower())}
    hidden = ",\n ".join(address for address in recipients if address.lower() not in written).encode()
    if not hidden:
        return data
    if any(name.lower() == "bcc" for name, _ in fields):
        return re.sub(rb"(?im)^(bcc[ \t]*:)", lambda found: found[1] + b" " + hidden + b",\n", data, count=1)
    return b"Bcc: " + hidden + b"\n" + data
