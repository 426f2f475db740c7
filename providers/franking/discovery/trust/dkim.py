"""A DKIM key as it stands in DNS (RFC 6376 §3.6.1, RFC 8463): whether a receiver can check a signature with it. Which
names keys have is a fact of who signs (``provider.SenderFacts``); no network is asked here.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from franking.discovery.trust.tags import read_tags

__all__ = ["SHORTEST", "USUAL", "Key", "best", "read_key"]

SHORTEST, USUAL = 1024, 2048
"""Bits of an RSA key: with fewer than the first nobody trusts a signature (RFC 8301 §3.2), the second is usual."""

_RSA = bytes.fromhex("06092a864886f70d010101")
_STATES = ("ok", "testing", "key-short", "broken", "revoked", "missing")
"""What a key can be, the best first."""


@dataclass(frozen=True, slots=True)
class Key:
    """What stands at a selector. ``state``: ``ok``, ``testing`` (signatures count as if they were not there),
    ``key-short``, ``broken``, ``revoked``, ``missing``; ``bits`` of an RSA key, 0 for another kind.
    """

    state: str
    selector: str = ""
    bits: int = 0

    @property
    def usable(self) -> bool:
        """Return whether a signature with it counts."""
        return self.state == "ok"


def best(keys: list[Key]) -> Key:
    """Return the key that is told of: the one that works, else the one that is nearest to it."""
    return min(keys, key=lambda key: (_STATES.index(key.state), -key.bits), default=Key("missing"))


def read_key(texts: tuple[str, ...], selector: str) -> Key:
    """Read what stands at a selector; never raises. What is no key at all (a wildcard's record) is none."""
    keys = [key for text in texts if (key := _read(text, selector)) is not None]
    return best(keys) if keys else Key("missing", selector)


def _read(text: str, selector: str) -> Key | None:
    tags = read_tags(text)
    if "p" not in tags:
        return Key("broken", selector) if tags.get("v", "").upper() == "DKIM1" else None
    if tags.get("v", "DKIM1") != "DKIM1" or (tags.get("k") or "rsa").lower() not in ("rsa", "ed25519"):
        return Key("broken", selector)
    octets = re.sub(r"\s", "", tags["p"])
    if not octets:
        return Key("revoked", selector)
    try:
        key = base64.b64decode(octets + "=" * (-len(octets) % 4), validate=True)
    except (binascii.Error, ValueError):
        return Key("broken", selector)
    state, bits = "ok", 0
    if (tags.get("k") or "rsa").lower() == "rsa":
        bits = _rsa_bits(key)
        state = "broken"
        if bits:
            state = "ok" if bits >= SHORTEST else "key-short"
    elif len(key) != 32:
        state = "broken"
    if state == "ok" and "y" in re.split(r"\s*:\s*", tags.get("t", "").lower()):
        state = "testing"
    return Key(state, selector, bits)


def _rsa_bits(octets: bytes) -> int:
    """Return the length of an RSA key (SubjectPublicKeyInfo, or the bare RSAPublicKey), 0 for what is none."""
    body = _value(octets, 0x30)
    if body.startswith(b"\x30"):  # the algorithm's identifier comes first
        algorithm = _value(body, 0x30)
        if not algorithm.startswith(_RSA):
            return 0
        body = _value(_after(body), 0x03)
        body = _value(body[1:], 0x30) if body[:1] == b"\x00" else b""
    return int.from_bytes(_value(body, 0x02)).bit_length()


def _head(octets: bytes) -> tuple[int, int]:
    """Return where the value of the first DER element begins and ends."""
    if len(octets) < 2 or octets[1] < 0x80:
        length = octets[1] if len(octets) > 1 else 0
        return 2, 2 + length
    count = octets[1] & 0x7F
    return 2 + count, 2 + count + int.from_bytes(octets[2 : 2 + min(count, 4)])


def _value(octets: bytes, tag: int) -> bytes:
    """Return the value of the first DER element, nothing where it is another kind or cut off."""
    begin, end = _head(octets)
    return octets[begin:end] if octets[:1] == bytes((tag,)) and end <= len(octets) else b""


def _after(octets: bytes) -> bytes:
    return octets[_head(octets)[1] :]
