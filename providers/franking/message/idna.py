"""Domain names in the form that DNS and SMTP carry: A-labels. A pure function; it looks nothing up and knows no
addresses.

The standard library encodes IDNA 2003, which turns ``ß`` into ``ss`` and refuses every script younger than Unicode 3.2.
Here stand the mapping of UTS #46 (non-transitional, as browsers do it: full-width forms, capitals and ideographic full
stops map) and the checks of RFC 5891 that keep a mapped name from becoming something else.
"""

from __future__ import annotations

import re
from functools import lru_cache

from franking.text import JOINERS, shortened

__all__ = ["to_ascii", "to_unicode"]

_ASCII_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\Z")
# texts, compiled by the first name outside ASCII
_DOTS = "[.\u3002\uff0e\uff61]"  # UTS #46 section 2.3: all four separate labels
# UTS #46 "ignored": soft hyphen, combining grapheme joiner, Mongolian selectors, zero width space, word joiner,
# variation selectors, BOM
_IGNORED = "[\u00ad\u034f\u180b-\u180d\u200b\u2060\ufe00-\ufe0f\ufeff]"
_FOLDED = {"ß": "ß", "ς": "ς", "ẞ": "ß"}  # UTS #46 "deviations": letters of their own since IDNA 2008


@lru_cache(maxsize=4096)
def to_ascii(domain: str) -> str:
    """Return a domain name as A-labels: ``háčky.cz`` → ``xn--hky-ela4t.cz``; ASCII stays as typed.

    A dot at the end is refused. Raises ``ValueError`` that says what is wrong (UTS #46; RFC 5891 section 4.2; RFC 1035
    section 2.3.4).
    """
    name = ".".join([_encode(label, domain) for label in _map(domain).split(".")])
    if len(name) > 253:
        raise _wrong(domain, "is longer than the 253 characters that DNS allows")
    return name


def to_unicode(domain: str) -> str:
    """Return a domain name mapped, but with its letters: ``HÁČKY.cz`` → ``háčky.cz``; A-labels and ASCII stay as typed.
    Raises ``ValueError``.
    """
    to_ascii(domain)
    return _map(domain)


def _encode(label: str, domain: str) -> str:
    if not label:
        raise _wrong(domain, "has an empty part (two dots in a row, or a dot at an end)")
    encoded = label
    if not label.isascii():
        _check(label, domain)
        encoded = "xn--" + label.encode("punycode").decode("ascii")
    if not _ASCII_LABEL.match(encoded):
        raise _wrong(domain, f"has a part that is no name: {label!r}")
    if len(encoded) > 63:
        raise _wrong(domain, "has a part longer than 63 characters")
    return encoded


def _map(domain: str) -> str:
    if domain.isascii():
        return domain
    import unicodedata  # only a name outside ASCII needs the tables

    text = re.sub(_IGNORED, "", re.sub(_DOTS, ".", domain))
    text = unicodedata.normalize("NFKC", text)
    text = unicodedata.normalize("NFKC", "".join(_FOLDED.get(char) or char.casefold() for char in text))
    return re.sub(_DOTS, ".", text)


def _check(label: str, domain: str) -> None:
    import unicodedata

    if label.startswith("-") or label.endswith("-") or label[2:4] == "--":
        raise _wrong(domain, "has hyphens where no name may have them")
    if unicodedata.category(label[0]).startswith("M"):
        raise _wrong(domain, "has a part that begins with a combining mark")
    for place, char in enumerate(label):
        if char in JOINERS:  # RFC 5892 appendix A: joiners only behind a virama
            if place == 0 or unicodedata.combining(label[place - 1]) != 9:
                raise _wrong(domain, "has an invisible joiner in it")
        elif (char.isascii() and not (char.isalnum() or char == "-")) or unicodedata.category(char)[0] in "CZ":
            raise _wrong(domain, f"has a sign in it that no name may have: {char!r}")


def _wrong(domain: str, why: str) -> ValueError:
    return ValueError(f"the domain {shortened(domain, 81)!r} {why}")
