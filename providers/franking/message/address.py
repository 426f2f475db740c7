"""Addresses and envelopes: parse, print, IDNA, and whether SMTPUTF8 is needed. Nothing here composes a message.

What a person types is read leniently (``Novák, s.r.o. <info@novak.cz>`` has a comma in its name), what leaves is strict
RFC 5322. One text is one address: a comma never makes two of it, so that nobody can slip a second recipient into a form
field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from franking.errors import MessageError
from franking.message.idna import to_ascii, to_unicode
from franking.text import DIRECTION_CONTROLS, shortened

__all__ = ["Address", "Envelope"]

_LONGEST = 998  # characters of one typed address with its name: one header line
_LONGEST_LOCAL = 255  # RFC 5321 promises 64, but bounce addresses (VERP) are longer in practice

# Patterns that a plain address never meets are texts, compiled (and kept by re) when first used.
# said by what it lacks: a class with all of Unicode in it takes 4 ms to compile
_ATOM = r'[^\x00-\x20\x7f()<>\[\]:;@\\,."]+'
_DOT_ATOM = rf"{_ATOM}(?:\.{_ATOM})*\Z"
_QUOTED = r'"((?:[^"\\]|\\.)*)"\Z'
_SIMPLE = re.compile(  # nearly every address: plain ASCII, nothing to decide
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\Z"
)
_NAMED = r'(?P<name>.*?)<(?P<address>(?:"(?:[^"\\]|\\.)*"|[^<>"])*)>\Z'
_COMMENTED = r"(?P<address>[^\s()]+)\s*\((?P<name>[^()\\]*)\)\Z"
# what no name may hold: controls, line and paragraph separators, lone surrogates
_CONTROLS = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
_TURNS = f"[{DIRECTION_CONTROLS}]"  # nor these; the plain marks stay, because names in Arabic and Hebrew need them
_BLANKS = re.compile(" +")
_SEVERAL = "looks like more than one address; give a list with one address in each place"
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,."]|=\?')  # RFC 5322 section 3.2.3; =? would read as an encoded word


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox: ``address`` is ``local@domain`` as typed, ``name`` the display name or empty.

    Raises ``MessageError`` (a ``ValueError``) that says what is wrong.
    """

    address: str
    name: str = ""

    def __post_init__(self) -> None:
        for part in (self.address, self.name):
            if not isinstance(part, str):
                raise MessageError(f"An address and its name are texts, not {type(part).__name__}.", field="address")
        if self.name:
            _check_name(self.name)
            object.__setattr__(self, "name", self.name.strip())
        _wire(self.address)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``jan@novak.cz``, ``Jan Novák <jan@novak.cz>`` or the old ``jan@novak.cz (Jan Novák)``.

        Names may be quoted, encoded (RFC 2047) or bare; blanks at both ends go. Raises ``MessageError`` (a
        ``ValueError``) that says what is wrong: a group or several addresses are refused, and so are line breaks,
        control characters and direction controls.
        """
        if not isinstance(text, str):
            raise MessageError(f"An address is text, not {type(text).__name__}.", field="address")
        return _parse(text)

    @property
    def domain(self) -> str:
        """Return the part behind the @, as typed."""
        return self.address.rpartition("@")[2]

    @property
    def wire(self) -> str:
        """Return the address as SMTP carries it: the domain as A-labels unless the local part needs SMTPUTF8."""
        return _wire(self.address)

    @property
    def smtputf8(self) -> bool:
        """Return whether the address needs SMTPUTF8: a local part that is not ASCII (RFC 6531)."""
        return not _wire(self.address).isascii()

    def __str__(self) -> str:
        """Print it readable, non-ASCII letters as they are: ``Jan Novák <jan@novak.cz>``."""
        if not self.name:
            return self.address
        if _SPECIALS.search(self.name) or "  " in self.name:
            quoted = self.name.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{quoted}" <{self.address}>'
        return f"{self.name} <{self.address}>"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The sender and the recipients that are actually used, as distinct from the headers.

        mailer.send(message, envelope=franking.Envelope("bounces@novak.cz", ["jana@example.cz"]))

    Strings without display names, as SMTP carries them (domains as A-labels). ``sender`` may be empty (a bounce).
    Raises ``MessageError`` for anything that is no address, and when there is no recipient.
    """

    sender: str
    recipients: tuple[str, ...]

    def __init__(self, sender: str | Address, recipients: Iterable[str | Address]) -> None:
        if isinstance(recipients, str):
            raise MessageError("recipients: give a list of addresses, not one text.", field="recipients")
        object.__setattr__(self, "sender", "" if sender == "" else _bare(sender, "sender"))
        object.__setattr__(self, "recipients", tuple([_bare(recipient, "recipients") for recipient in recipients]))
        if not self.recipients:
            raise MessageError("recipients: there is none.", field="recipients")

    @classmethod
    def checked(cls, sender: Address, recipients: tuple[str, ...]) -> Envelope:
        """Make one of what a content says: its recipients were checked when they were read, and checking again takes
        longer than all the rest.
        """
        envelope = object.__new__(cls)
        put = object.__setattr__
        put(envelope, "sender", _wire(sender.address))
        put(envelope, "recipients", recipients)
        return envelope


def is_plain(text: str) -> bool:
    """Return whether a text is one ASCII address and nothing else, so that there is nothing to parse, check or map."""
    return len(text) < 255 and _SIMPLE.match(text) is not None


def _bare(address: str | Address, field: str) -> str:
    if isinstance(address, Address):
        return address.wire
    if not isinstance(address, str):
        raise MessageError(f"{field}: an address is text, not {type(address).__name__}.", field=field)
    try:
        return _wire(address)
    except MessageError as problem:
        raise MessageError(f"{field}: {problem}", field=field) from None


@lru_cache(maxsize=4096)
def _wire(address: str) -> str:
    """Check ``local@domain`` and return its form for SMTP."""
    if len(address) < 255 and _SIMPLE.match(address):
        return address
    _refuse_controls(address)
    local, at, domain = address.rpartition("@")
    if not address.strip():
        raise _wrong(address, "is empty")
    if "\uff20" in address and not at:
        raise _wrong(address, "has no @; the sign in it is a full-width @, please type the plain one")
    if not at:
        raise _wrong(address, "has no @")
    if not local or not domain:
        raise _wrong(address, f"has nothing {'behind' if local else 'before'} the @")
    _check_local(local, address)
    if domain.startswith("["):
        return f"{local}@{_literal(domain, address)}"
    if " " in domain:
        raise _wrong(address, "has a blank in it")
    # RFC 6531: who takes the local part takes the domain too; A-labels are understood everywhere, but would hide half
    # of the address
    mapped = to_ascii if local.isascii() else to_unicode
    try:
        return f"{local}@{mapped(domain)}"
    except ValueError as problem:
        raise _wrong(address, f"cannot be used: {problem}") from None


def _check_local(local: str, address: str) -> None:
    if len(local.encode()) > _LONGEST_LOCAL:
        raise _wrong(address, f"has more than {_LONGEST_LOCAL} octets before the @")
    if not local.isprintable():
        raise _wrong(address, "has an invisible character before the @")
    if re.match(_DOT_ATOM, local) or re.match(_QUOTED, local):
        return
    if "@" in local and not local.startswith('"'):
        raise _wrong(address, _SEVERAL)
    if ".." in f".{local}.":
        raise _wrong(address, f'has a dot too many before the @; if it is meant so, quote it: "{local}"@…')
    if " " in local:
        raise _wrong(address, "has a blank in it; a name before an address needs < and > around the address")
    raise _wrong(address, "has a sign before the @ that stands only in quotes there")


def _literal(domain: str, address: str) -> str:
    import ipaddress  # rare: an address literal (RFC 5321 section 4.1.3)

    inside = domain[1:-1] if domain.endswith("]") else ""
    try:
        if inside[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inside[5:])
        else:
            ipaddress.IPv4Address(inside)
    except ValueError:
        raise _wrong(address, "has an address literal that is none; write [192.0.2.1] or [IPv6:2001:db8::1]") from None
    return domain


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address:
    if len(text) < 255 and _SIMPLE.match(text):
        return Address(text)
    if len(text) > _LONGEST:
        raise _wrong(text, f"is longer than {_LONGEST} characters")
    _refuse_controls(text)
    text = text.strip()
    if text.endswith(">"):
        named = re.match(_NAMED, text)
        if not named:
            raise _wrong(text, "has a < or > too many, or a quotation mark without its partner")
        return Address(named["address"].strip(), _name(named["name"].strip(), text))
    if text.endswith(";") and ":" in text:
        raise _wrong(text, "is a group; give the addresses themselves")
    commented = text.endswith(")") and re.match(_COMMENTED, text)
    if commented:
        return Address(commented["address"], _decoded(commented["name"].strip()))
    return Address(text)


def _name(name: str, text: str) -> str:
    quoted = re.match(_QUOTED, name)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if "<" in name or ">" in name:
        raise _wrong(text, "has more than one address in it; give a list with one address in each place")
    if "@" in name and ("," in name or ";" in name):
        raise _wrong(text, _SEVERAL)
    return _decoded(name)


def _decoded(name: str) -> str:
    name = _BLANKS.sub(" ", name)
    if "=?" not in name:
        return name
    from email.errors import HeaderParseError  # rare: somebody gives an encoded name
    from email.header import decode_header, make_header

    try:
        return str(make_header(decode_header(name))).strip()
    except (HeaderParseError, LookupError, UnicodeError):
        return name


def _check_name(name: str) -> None:
    if len(name) > _LONGEST:
        raise MessageError(f"The name of an address is longer than {_LONGEST} characters.", field="address")
    if name.isprintable():
        return
    _refuse_controls(name)
    if re.search(_TURNS, name):
        raise _wrong(
            name, "has a sign in it that turns the direction of writing, which could make it look like another"
        )


def _refuse_controls(text: str) -> None:
    found = re.search(_CONTROLS, text)
    if found:
        raise _wrong(text, what_is(found[0]))


def without_refused(name: str) -> str:
    """Return a name that somebody else wrote without what ``Address`` refuses."""
    return re.sub(f"{_TURNS}|{_CONTROLS}", "", name)


def what_is(char: str) -> str:
    """Return in words which forbidden character was found: for errors."""
    if char in "\r\n\u0085\u2028\u2029":
        return "has a line break in it"
    if char == "\0":
        return "has a NUL character in it"
    if "\ud800" <= char <= "\udfff":
        return "has half a character in it (a lone surrogate)"
    return f"has a control character in it (U+{ord(char):04X})"


def _wrong(text: str, why: str) -> MessageError:
    printed = ascii if re.search(_CONTROLS, text[:80]) else repr
    return MessageError(f"The address {printed(shortened(text, 81))} {why}.", field="address")
