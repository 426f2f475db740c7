"""The header as old programs write it, made fit to be sent: encoded words, a full name, aliases, hidden recipients.

The library reads the fields; what nothing had to be changed in leaves octet by octet as it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from franking.errors import MessageError
from franking.message.address import Address
from franking.message.headers import ADDRESSED, address_field, field, read_addresses
from franking.message.raw import read_header

_RECIPIENTS = (b"to", b"cc", b"bcc")
_CLOSING = {'"': '"', "<": ">", "(": ")"}


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
        """Put the addresses in place of names of this machine in To, Cc and Bcc; what stands around them stays."""
        for place, (key, line) in enumerate(self._fields):
            if key in _RECIPIENTS:
                parts = listed(" ".join(_text(line).split()))
                found = [address for part in parts for address in _resolved(part, resolve)]
                if found != parts:
                    self._replace(place, ", ".join(found))

    def add_hidden(self, recipients: Iterable[str]) -> None:
        """Name in a Bcc the recipients whom no header names: an API delivers to the addresses of the headers, and takes
        Bcc off.
        """
        shown = self._named()
        hidden = [address for address in recipients if address.lower() not in shown]
        if hidden:
            hidden += [_text(line) for key, line in self._fields if key == b"bcc"]
            self._fields = [field for field in self._fields if field[0] != b"bcc"]
            self._add("Bcc", ", ".join(hidden))

    def _named(self) -> set[str]:
        """Return the addresses that To, Cc and Bcc name, in small letters."""
        named = [(key.decode(), _text(line)) for key, line in self._fields if key in _RECIPIENTS]
        return {address.address.lower() for key, text in named for address in read_addresses(text, key)}

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
    """Return an item of a list once for each address that its name leads to."""
    if any(sign in ":;" for sign, _ in _signs(part)):
        return [part]  # a group
    start, end = _place(part)
    return [part[:start] + address + part[end:] for address in resolve([part[start:end]])]


def _text(line: bytes) -> str:
    """Return a field's value, unfolded; old programs write Latin-1 where it is no UTF-8."""
    value = line.partition(b":")[2].replace(b"\r\n", b"").strip()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def address_in(text: str) -> str:
    """Take the address, or the name of this machine, out of ``Jan <jan@novak.cz>``, ``<root>`` or ``root (Cron)``."""
    start, end = _place(text)
    return text[start:end]


def _place(text: str) -> tuple[int, int]:
    """Return where in an item its address stands."""
    start, end = 0, len(text)
    for sign, place in _signs(text):
        if sign == "<":
            start, end = place + 1, text.find(">", place)
            if end < 0:
                end = len(text)
            break
        if sign == "(" and place:
            end = place
            break
    inside = text[start:end]
    return start + len(inside) - len(inside.lstrip()), start + len(inside.rstrip())


def listed(text: str) -> list[str]:
    """Take a list apart at its commas; those in quotes, angle brackets and comments part nothing."""
    parts, start = [], 0
    for sign, place in _signs(text):
        if sign == ",":
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def _signs(text: str) -> Iterator[tuple[str, int]]:
    """Yield the signs of a list of addresses, with their places; of quotes, brackets and comments the opening one."""
    closing = ""
    for found in re.finditer(r'\\.|[",<>():;]', text, re.DOTALL):
        sign = found[0]
        if closing:
            closing = "" if sign == closing else closing
        else:
            yield sign, found.start()
            closing = _CLOSING.get(sign, "")
