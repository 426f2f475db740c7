"""Header fields: checked, encoded and folded on the way out; addresses read on the way in. It knows fields, not
messages; a Date and a Message-ID it can make.

ASCII values take the short way; all others are encoded by the standard library's ``email.header`` (RFC 2047). A line is
folded at 78 characters where it has blanks, and never longer than the 998 that RFC 5322 section 2.1.1 allows.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from franking.errors import MessageError
from franking.message.address import Address, what_is, without_refused
from franking.message.idna import to_ascii

__all__ = [
    "ADDRESSED",
    "Added",
    "added_now",
    "address_field",
    "custom_field",
    "date_now",
    "disposition",
    "encoded",
    "field",
    "groups_field",
    "new_id",
    "quoted",
    "read_addresses",
    "refuse_controls",
    "text_field",
]


# the fields of RFC 5322 that hold addresses; Resent- too
ADDRESSED = frozenset(("from", "sender", "reply-to", "to", "cc", "bcc"))
_ADDRESSED_TOO = (
    "sender",
    "disposition-notification-to",
    "return-receipt-to",
    "errors-to",
    "mail-followup-to",
    "mail-reply-to",
)
_NAME = re.compile(r"[!-9;-~]+\Z")  # RFC 5322 section 3.6.8: printable ASCII without the colon
_CONTROLS = "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"  # a tab is a blank
_WORDS = re.compile(r"[ \t]*[^ \t]+")
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,."\t]|=\?|  ')
# one address of a list without groups and comments: commas inside quotes and angle brackets separate nothing
_ITEM = re.compile(r'(?:[^",;:()<>\\\[\]]|"(?:[^"\\]|\\.)*"|<(?:[^<>"]|"(?:[^"\\]|\\.)*")*>)+')
_ENCODED = r"=\?[^?]+\?[BbQq]\?[^?]*\?="  # looks like an encoded word to some reader or other
_FOLD, _LONGEST = 78, 998
_LONGEST_ODD = 2_000  # characters that the full parser gets at once: it takes a tenth of a second for the worst of them
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def refuse_controls(value: str, name: str) -> None:
    """Raise ``MessageError`` that names the field where a text has line breaks, NUL, other controls or lone surrogates
    in it.
    """
    if not isinstance(value, str):
        raise MessageError(f"{name}: this is text, not {type(value).__name__}.", field=name)
    found = not value.isprintable() and re.search(_CONTROLS, value)
    if found:
        raise MessageError(f"{name}: the text {what_is(found[0])}.", field=name)


def field(name: str, value: str, *, where: str | None = None) -> str:
    """Write one field, folded, with its CRLF. ``where`` is what an error calls it (the name in lower case).

    Raises ``MessageError`` for a name that is none, and for controls in the value.
    """
    if type(value) is not str or not value.isprintable():  # asked here too: nearly every value needs no call
        refuse_controls(value, where or name.lower())
    value = value.strip()
    if value.isascii() and len(name) + len(value) <= _FOLD - 2 and _NAME.match(name):
        return f"{name}: {value}\r\n"
    if not value.isascii() or max(map(len, value.split()), default=0) >= _LONGEST - len(name) - 2:
        value = encoded(value, name)
    return _folded(name, value, where or name.lower())


def text_field(name: str, value: str) -> str:
    """Write a field of text that a person typed: what only looks encoded arrives as typed, not decoded."""
    if "=?" in value and re.search(_ENCODED, value):
        value = encoded(value, name)
    return field(name, value)


def custom_field(name: str, value: str) -> str:
    """Write a field that the application named itself. In one that holds addresses they stay readable for machines."""
    if name.lower() in _ADDRESSED_TOO and not value.isascii():
        return address_field(name, read_addresses(value, name.lower()))
    return field(name, value, where="headers")


def address_field(name: str, addresses: Sequence[Address]) -> str:
    """Write a field of addresses, folded, with its CRLF."""
    if len(addresses) == 1:
        return _lone(name, addresses[0].name, addresses[0].address)
    return _listed(name, [_mailbox(address.name, address.address) for address in addresses])


@lru_cache(maxsize=1024)  # by texts, which C compares: the sender of a mailing is the same in every message
def _lone(name: str, shown: str, address: str) -> str:
    return _listed(name, [_mailbox(shown, address)])


def _listed(name: str, mailboxes: Iterable[str]) -> str:
    value = ", ".join(mailboxes)
    if len(name) + len(value) <= _FOLD - 2:
        return f"{name}: {value}\r\n"
    return _folded(name, value, name.lower())


def groups_field(name: str, groups: Iterable[tuple[str | None, Iterable[Address]]]) -> str:
    """Write a field of addresses some of which stand in groups (``Friends: a@example.cz, b@example.cz;``); None is no
    group.
    """
    items = []
    for label, addresses in groups:
        members = ", ".join([_mailbox(address.name, address.address) for address in addresses])
        if label is not None:
            members = f"{_phrase(label)}: {members};"
        items.append(members)
    return _folded(name, ", ".join(items), name.lower())


def _folded(name: str, value: str, where: str) -> str:
    """Fold before blanks: unfolding takes only the CRLF away, so no blank is lost or added (RFC 5322 section 2.2.3)."""
    if not _NAME.match(name):
        raise MessageError(f"headers: {name[:80]!r} is no name of a header field.", field="headers")
    lines: list[str] = []
    line = f"{name}:"
    for word in _WORDS.findall(" " + value):
        if len(line) + len(word) > _FOLD and len(line) > len(name) + 1:
            lines.append(line)
            line = word
        else:
            line += word
    lines.append(line)
    if max(map(len, lines)) > _LONGEST:
        raise MessageError(
            f"{where}: a line of this header field would be longer than {_LONGEST} characters.", field=where
        )
    return "\r\n".join(lines) + "\r\n"


def encoded(value: str, name: str = "") -> str:
    """Return a text as encoded words with a blank between them (RFC 2047); decoders drop these blanks."""
    from email.header import Header  # the long way, only for what ASCII cannot say

    words = Header(value, "utf-8", maxlinelen=max(40, 75 - len(name) - 2)).encode(linesep="\n")
    return " ".join(words.split())


@lru_cache(maxsize=4096)
def _mailbox(shown: str, address: str) -> str:
    wire = Address(address).wire
    return f"{_phrase(shown)} <{wire}>" if shown else wire


def _phrase(name: str) -> str:
    if not name.isascii() or len(name) > 60 or "=?" in name:
        return encoded(name)
    return quoted(name) if _SPECIALS.search(name) else name


def disposition(kind: str, name: str | None) -> str:
    """Write Content-Disposition, with the file name as RFC 2231 says where ASCII cannot hold it."""
    if name is None:
        return f"Content-Disposition: {kind}\r\n"
    if name.isascii() and "%" not in name and "=?" not in name:
        return f"Content-Disposition: {kind};\r\n filename={quoted(name)}\r\n"
    from urllib.parse import quote  # rare: a file name that ASCII cannot hold

    pieces = re.findall(r".{1,50}(?<!%)(?<!%.)", quote(name, safe=""))  # never cut inside %C3
    pieces[0] = f"utf-8''{pieces[0]}"
    lines = [f" filename*{place}*={piece}" for place, piece in enumerate(pieces)]
    if len(pieces) == 1:
        lines = [f" filename*={pieces[0]}"]
    return f"Content-Disposition: {kind};\r\n" + ";\r\n".join(lines) + "\r\n"


def quoted(text: str) -> str:
    """Return a parameter's value as a quoted string (RFC 2045 section 5.1)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@lru_cache(maxsize=1024)
def read_addresses(value: str, name: str) -> tuple[Address, ...]:
    """Read the addresses of a field that somebody else wrote; the members of groups count, groups themselves do not.

    ``value`` is unfolded. Raises ``MessageError`` that names the field where an address is none that mail can be sent
    to.
    """
    if '"' not in value:  # nothing between commas is no address, and the full parser takes long over many of them
        value = ",".join([part for part in value.split(",") if part.strip()])
    if len(value) <= _LONGEST_ODD or '"' not in value:
        items = _ITEM.findall(value)
        if ",".join(items) == value:
            try:
                return tuple([Address.parse(item) for item in items])
            except MessageError:
                pass  # the full parser knows better
        if len(value) <= _LONGEST_ODD:
            return tuple(_read(value, name))
    found: list[Address] = []
    for piece in _pieces(value, name):
        with suppress(MessageError):
            if "(" not in piece:  # a comment is no part of a name
                found.append(Address.parse(piece))
                continue
        found.extend(_read(piece, name))
    return tuple(found)


def _pieces(value: str, name: str) -> Iterator[str]:
    """Cut a long field at the commas between addresses: the full parser takes time by the square of what it is given,
    so that it gets one address at a time. The names of groups go.
    """
    start, quoted, depth, angle = 0, False, 0, False
    for found in re.finditer(r'\\.|["(),<>:;]', f"{value},", re.DOTALL):
        sign = found[0]
        if sign == '"' and not depth:
            quoted = not quoted
        elif quoted:
            continue
        elif sign in "()":
            depth = max(depth + (1 if sign == "(" else -1), 0)
        elif depth:
            continue
        elif sign in "<>":
            angle = sign == "<"
        elif angle:
            continue
        elif sign == ":":
            start = found.end()
        elif sign in ",;":
            piece = value[start : found.start()].strip()
            start = found.end()
            if len(piece) > _LONGEST_ODD:
                raise _unreadable(name)
            if piece:
                yield piece
    if quoted or depth or angle:
        raise _unreadable(name)


def _unreadable(name: str) -> MessageError:
    return MessageError(
        f"{name}: the addresses in this header field cannot be read; please give envelope=.", field=name
    )


def _read(value: str, name: str) -> Iterable[Address]:
    from email import policy
    from email.errors import MessageError as EmailError

    try:
        found = policy.default.header_factory("to", value).addresses
        listed = [(address.username, address.domain, address.addr_spec, address.display_name) for address in found]
    except (EmailError, ValueError, IndexError, AttributeError, TypeError, KeyError, RecursionError) as problem:
        raise _unreadable(name) from problem
    for local, domain, address, shown in listed:
        if not local and not domain:
            continue
        if not domain:
            raise MessageError(f"{name}: {local[:80]!a} is no whole address; it lacks the @ and a domain.", field=name)
        try:
            yield Address(address, without_refused(shown))
        except MessageError as problem:
            raise MessageError(f"{name}: {problem}", field=name) from None


class Added(NamedTuple):
    """What a message gets that has no Message-ID or Date of its own: kept by whoever sends it again later."""

    message_id: str
    date: str


def added_now(origin: Address) -> Added:
    """Return what a message of this moment gets."""
    return Added(new_id(origin), date_now())


def date_now() -> str:
    """Return the time now as RFC 5322 section 3.3 writes it, in UTC."""
    return _date(int(time.time()))


@lru_cache(maxsize=1)  # the same text serves for a whole second
def _date(now: int) -> str:
    t = time.gmtime(now)
    return f"{_DAYS[t[6]]}, {t[2]:02} {_MONTHS[t[1] - 1]} {t[0]:04} {t[3]:02}:{t[4]:02}:{t[5]:02} +0000"


def new_id(origin: Address) -> str:
    """Make a Message-ID that tells nothing of this machine: 128 random bits in the sender's domain."""
    return f"<{os.urandom(16).hex()}@{_right_side(origin.address)}>"


@lru_cache(maxsize=256)
def _right_side(address: str) -> str:
    domain = address.rpartition("@")[2]
    return domain if domain.startswith("[") else to_ascii(domain)
