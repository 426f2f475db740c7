"""What a person typed where a server or an address was asked for, read and normalised. Nothing is recognised here, no
network is asked.

``smtp.gmail.com``, ``SMTP.Gmail.com.``, ``smtps://me@smtp.gmail.com:465/`` and the same in full-width letters all name
one host; ``smtp.gmail.com@evil.example`` names ``evil.example``. What cannot be read for certain is marked ``odd``, so
that nothing is recognised in it. ``message/idna.py`` says how names become A-labels.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

from franking.errors import SettingsError
from franking.message.idna import to_ascii
from franking.text import JOINERS

__all__ = ["Typed", "host_name", "read"]

MAX_TYPED = 1000  # characters; the longest address has 254 (RFC 5321 §4.5.3.1.3 with erratum 1690)

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3002: 0x2E, 0xFF61: 0x2E}
_DROPPED = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF))  # soft hyphen and the like, which pasting brings along
_DOT_LEADERS = frozenset("․‥…")  # NFKC makes dots of them, UTS #46 forbids them
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE | re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Typed:
    """Hold what was typed: the host or domain as A-labels (``name``) and readable (``shown``), and what stood around
    it.

    ``local`` is the part before the @ of an address. ``explicit`` tells that only a host can be meant (a scheme or a
    port was given). ``odd`` says why the text cannot be read (the code of a text), ``ip`` that it is an IP address.
    """

    name: str = ""
    shown: str = ""
    local: str | None = None
    port: int | None = None
    explicit: bool = False
    ip: bool = False
    odd: str = ""

    @property
    def address(self) -> str | None:
        """Return the whole address, or None where none was typed."""
        return None if self.local is None else f"{self.local}@{self.shown}"


def read(text: str) -> Typed:
    """Read a host, an address or a domain.

    Raises ``SettingsError`` where nothing was typed.
    """
    if len(text) > MAX_TYPED:
        return Typed(odd="too-long")
    text = text.translate(_FULL_WIDTH).translate(_DROPPED).strip()
    if not text:
        raise SettingsError(
            "Nothing was given; type a mail address, or the server that you were told to use.", field="host"
        )
    if "\\" in text or any(
        unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in JOINERS for char in text
    ):
        return Typed(odd="characters")
    if text.endswith(">") and "<" in text:
        text = text[text.rindex("<") + 1 : -1].strip()
    scheme = _SCHEME.match(text)
    if scheme:
        return _host(re.split(r"[/?#]", text[scheme.end() :], maxsplit=1)[0].rpartition("@")[2], explicit=True)
    if text[:7].lower() == "mailto:":
        text = text[7:].partition("?")[0]
    if "@" not in text:
        return _host(re.split(r"[/?#]", text, maxsplit=1)[0], explicit=False)
    local, _, domain = text.rpartition("@")
    if not (local.startswith('"') and local.endswith('"') and len(local) > 1) and (
        "@" in local or any(map(str.isspace, local))
    ):
        return Typed(odd="characters")
    found = _host(domain, explicit=False)
    if found.odd or found.ip or not local:
        return found
    return Typed(found.name, found.shown, local=local)


def _host(text: str, *, explicit: bool) -> Typed:
    """Read ``name``, ``name:port``, ``[name]:port`` or an IP address."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return Typed(odd="characters")
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        return Typed(odd="characters")
    if _is_ip(host):
        return Typed(shown=host, ip=True, explicit=True, port=int(port) if port else None)
    names = host_name(host)
    if names is None:
        return Typed(odd="characters")
    name, shown = names
    if _NUMBER.fullmatch(name.rpartition(".")[2]):  # 0x7f.1 and 2130706433 are addresses to many programs
        return Typed(shown=shown, ip=True, explicit=True)
    return Typed(name, shown, port=int(port) if port else None, explicit=explicit or bool(port))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def host_name(text: str) -> tuple[str, str] | None:
    """Normalise a host name: its A-labels in lower case and its readable form, or None where it cannot be one."""
    text = text.removesuffix(".")
    if _DOT_LEADERS.intersection(text):
        return None
    try:
        name = to_ascii(text).lower()
    except ValueError:
        return None
    if not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return None  # underscores: records have such names, hosts do not
    return name, name if name.isascii() and text.isascii() else unicodedata.normalize("NFKC", text).lower()
