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

__all__ = ["Target", "host_name", "parse_target"]

LONGEST = 1000  # characters; the longest address has 254 (RFC 5321 §4.5.3.1.3 with erratum 1690)

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3002: 0x2E, 0xFF61: 0x2E}
_DROPPED = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF))  # soft hyphen and the like, which pasting brings along
_DOT_LEADERS = frozenset("․‥…")  # NFKC makes dots of them, UTS #46 forbids them
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE | re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,6}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """The host or domain that was typed, as A-labels (``name``) and readable (``shown``), and what stood around it.

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


def parse_target(text: str) -> Target:
    """Parse a host, an address or a domain.

    Raises ``SettingsError`` where nothing was typed.
    """
    if len(text) > LONGEST:
        return Target(odd="too-long")
    text = text.translate(_FULL_WIDTH).translate(_DROPPED).strip()
    if not text:
        raise SettingsError(
            "Nothing was given; type a mail address, or the server that you were told to use.", field="host"
        )
    if "\\" in text or any(map(_unfit, text)):
        return Target(odd="characters")
    if text.endswith(">") and "<" in text:
        text = text[text.rindex("<") + 1 : -1].strip()
    scheme = _SCHEME.match(text)
    if scheme:
        return _host(_before_path(text[scheme.end() :]).rpartition("@")[2], explicit=True)
    if text[:7].lower() == "mailto:":
        text = text[7:].partition("?")[0]
    if "@" not in text:
        return _host(_before_path(text), explicit=False)
    local, _, domain = text.rpartition("@")
    quoted = len(local) > 1 and local.startswith('"') and local.endswith('"')
    if not quoted and ("@" in local or any(map(str.isspace, local))):
        return Target(odd="characters")
    found = _host(domain, explicit=False)
    if found.odd or found.ip or not local:
        return found
    return Target(found.name, found.shown, local=local)


def _unfit(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in JOINERS


def _before_path(text: str) -> str:
    return re.split(r"[/?#]", text, maxsplit=1)[0]


def _host(text: str, *, explicit: bool) -> Target:
    """Parse ``name``, ``name:port``, ``[name]:port`` or an IP address."""
    host, digits = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return Target(odd="characters")
        digits = rest[1:]
    elif text.count(":") == 1:
        host, _, digits = text.partition(":")
    if digits and not (_PORT.fullmatch(digits) and 0 < int(digits) < 65536):
        return Target(odd="characters")
    port = int(digits or 0) or None
    if _is_ip(host):
        return Target(shown=host, ip=True, explicit=True, port=port)
    names = host_name(host)
    if names is None:
        return Target(odd="characters")
    name, shown = names
    if _NUMBER.fullmatch(name.rpartition(".")[2]):  # 0x7f.1 and 2130706433 are addresses to many programs
        return Target(shown=shown, ip=True, explicit=True)
    return Target(name, shown, port=port, explicit=explicit or port is not None)


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
    return name, name if text.isascii() else unicodedata.normalize("NFKC", text).lower()
