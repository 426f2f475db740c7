"""Zones of domains that send mail, for the name server of ``dns.py``: one record a line, whole names without the dot at
their end, TXT values of any length.
"""

from __future__ import annotations

import base64

__all__ = ["PROVIDERS", "dkim", "rsa_key", "zone"]

PROVIDERS = """
_spf.google.com TXT v=spf1 ip4:74.125.0.0/16 ip6:2001:4860:4000::/36 ~all
spf.protection.outlook.com TXT v=spf1 ip4:40.92.0.0/15 ip4:40.107.0.0/16 -all
spf.seznam.cz TXT v=spf1 ip4:77.75.72.0/21 ~all
_spf.we.wedos.net TXT v=spf1 ip4:46.28.104.0/21 ~all
_spf.websupport.cz TXT v=spf1 ip4:37.9.168.0/21 ~all
_spf.m1.websupport.sk TXT v=spf1 ip4:37.9.168.0/21 ~all
_spf.forpsi.com TXT v=spf1 ip4:81.2.192.0/20 ~all
"""
"""What those who send would publish of their servers."""


def zone(*texts: str) -> str:
    """Return records as a zone file."""
    lines = ["$TTL 60"]
    for line in "\n".join(texts).splitlines():
        if not line.strip():
            continue
        name, kind, value = line.strip().split(maxsplit=2)
        if kind == "TXT":
            value = " ".join(f'"{_quoted(value[at : at + 250])}"' for at in range(0, max(1, len(value)), 250))
        lines.append(f"{name}. IN {kind} {value}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def rsa_key(bits: int) -> str:
    """Return a public key as a DKIM record has it: always the same, and of any length."""
    numbers = _der(0x02, b"\x00" + ((1 << bits - 1) | 1).to_bytes(bits // 8)) + _der(0x02, (65537).to_bytes(3))
    kind = _der(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    octets = _der(0x30, kind + _der(0x03, b"\x00" + _der(0x30, numbers)))
    return base64.b64encode(octets).decode()


def _der(tag: int, value: bytes) -> bytes:
    if len(value) < 128:
        return bytes((tag, len(value))) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + value


def dkim(bits: int = 2048) -> str:
    """Return a DKIM record."""
    return f"v=DKIM1; k=rsa; p={rsa_key(bits)}"
