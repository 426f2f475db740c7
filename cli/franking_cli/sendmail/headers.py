"""The header as old programs write it, made fit to be sent: encoded words, a full name, aliases, hidden recipients.

The library reads the fields; what nothing had to be changed in leaves octet by octet as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from franking.errors import MessageError
from franking.message.address import Address
from franking.message.headers import ADDRESSED, address_field, field, read_addresses
from franking.message.raw import read_header

_RECIPIENTS = (b"to", b"cc", b"bcc")


class Header:
    """The header of one message that is being made fit; ``message`` is the whole of it afterwards."""

    def __init__(self, data: bytes) -> None:
        self._data, self._changed = data, False
        self._fields, self._body = read_header(data)

    def message(self) -> bytes:
        """Return the message with what was changed in its header."""
        if not self._changed:
            return self._data
        return b"".join([*(line + b"\r\n" for _, line in self._fields), b"\r\n", self._body])

    def encode(self) -> None:
        """Write fields of raw 8-bit text, as cron and old scripts make them, in RFC 2047: not every server takes them
        as they are.
        """
        for place, (_, line) in enumerate(self._fields):
            if not line.isascii():
                self._replace(place, " ".join(_text(line).split()))

    def name_sender(self, name: str, address: str) -> None:
        """Add a From with the full name that -F named, where there is none."""
        if any(key == b"from" for key, _ in self._fields):
            return
        self._add("From", str(Address(address, name)))

    def follow_aliases(self, resolve: Callable[[Iterable[str]], list[str]]) -> None:
        """Put the addresses in place of names without a domain in To, Cc and Bcc."""
        for place, (key, line) in enumerate(self._fields):
            text = " ".join(_text(line).split())
            if key in _RECIPIENTS and "<" not in text and '"' not in text:
                parts = listed(text)
                found = [address for part in parts for address in _resolved(part, resolve)]
                if found != parts:
                    self._replace(place, ", ".join(found))

    def add_hidden(self, recipients: Iterable[str]) -> None:
        """Name in a Bcc the recipients whom no header names: an API delivers to the addresses of the headers, and takes
        Bcc off.
        """
        named = [(key, _text(line)) for key, line in self._fields if key in _RECIPIENTS]
        shown = {address.address.lower() for key, text in named for address in read_addresses(text, key.decode())}
        hidden = [address for address in recipients if address.lower() not in shown]
        if hidden:
            hidden += [text for key, text in named if key == b"bcc"]
            self._fields = [field for field in self._fields if field[0] != b"bcc"]
            self._add("Bcc", ", ".join(hidden))

    def _add(self, name: str, text: str) -> None:
        self._fields.insert(0, (name.lower().encode(), _written(name, text)))
        self._changed = True

    def _replace(self, place: int, text: str) -> None:
        """Write a field anew; where it cannot be, what is wrong with it is said later, in its own words."""
        key, line = self._fields[place]
        with suppress(MessageError):
            self._fields[place] = (key, _written(line.partition(b":")[0].decode().strip(), text))
            self._changed = True


def _written(name: str, text: str) -> bytes:
    lower = name.lower()
    if lower.removeprefix("resent-") in ADDRESSED and not text.isascii():
        line = address_field(name, read_addresses(text, lower))
    else:
        line = field(name, text)
    return line.encode().removesuffix(b"\r\n")


def _resolved(part: str, resolve: Callable[[Iterable[str]], list[str]]) -> list[str]:
    return [part] if "@" in part or ":" in part or ";" in part else resolve([part])


def _text(line: bytes) -> str:
    """Return a field's value, unfolded; old programs write Latin-1 where it is no UTF-8."""
    value = line.partition(b":")[2].replace(b"\r\n", b"").strip()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def address_in(text: str) -> str:
    """Take the address out of ``<jan@novak.cz>`` or ``Jan <jan@novak.cz>``; names of this machine stay as they are."""
    text = text.strip()
    if "<" in text[1:]:
        return Address.parse(text).address
    return text.strip("<>")


def listed(text: str) -> list[str]:
    """Take a list apart at its commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
