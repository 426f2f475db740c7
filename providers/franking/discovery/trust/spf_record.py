"""An SPF record as it is written (RFC 7208 §12): read into terms, or the term that is wrong; and written anew with
another sender in it. No network is asked; what a record permits is found out in ``spf.py``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Network", "Record", "Term", "is_spf", "joined", "parse", "with_include", "without"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TERM = re.compile(r"([+?~-]?)([A-Za-z][A-Za-z0-9_.-]*)(?:([:=/])(.*))?")
_MACROS = re.compile(r"(?:[!-$&-~]|%(?:[%_-]|\{[slodiphv](?:0*[1-9][0-9]*)?r?[-.+,/_=]*\}))+", re.IGNORECASE)
_LENGTHS = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?")
_PREFIX = re.compile(r"0|[1-9][0-9]{0,2}")
_ENDINGS = "-~?+"  # the strictest first


@dataclass(frozen=True, slots=True)
class Term:
    """One mechanism or modifier: ``text`` as it is written, ``name`` in lower case, ``qualifier`` one of ``+-~?``.

    ``domain`` is what stands behind the colon or the equals sign, ``network`` that of an ip4 or ip6; ``four`` and
    ``six`` are the lengths behind an a or mx.
    """

    text: str
    name: str
    qualifier: str = "+"
    domain: str = ""
    network: Network | None = None
    four: int = 32
    six: int = 128

    @property
    def macro(self) -> bool:
        """Return whether only a message can tell what it names."""
        return "%" in self.domain


@dataclass(frozen=True, slots=True)
class Record:
    """A record's terms as they count: the mechanisms up to the first ``all``, and ``redirect`` where nothing ends
    them. ``problem`` is the term that is wrong; then nobody reads the record any further.
    """

    text: str
    terms: tuple[Term, ...] = ()
    redirect: Term | None = None
    problem: str = ""

    @property
    def end(self) -> str:
        """Return the qualifier of ``all``, or nothing where there is none."""
        return self.terms[-1].qualifier if self.terms and self.terms[-1].name == "all" else ""


def is_spf(text: str) -> bool:
    """Return whether a TXT record is one of SPF (RFC 7208 §4.5)."""
    return text[:7].lower() in ("v=spf1", "v=spf1 ")


def parse(text: str) -> Record:
    """Read a record; never raises."""
    terms: list[Term] = []
    modifiers: dict[str, Term] = {}
    for word in text[6:].split(" "):
        if not word:
            continue
        term = _term(word)
        if term is None or term.name in modifiers:  # a second redirect or exp (§6)
            return Record(text, problem=word)
        if term.name in ("redirect", "exp"):
            modifiers[term.name] = term
        elif term.name:
            terms.append(term)
    ends = [place for place, term in enumerate(terms) if term.name == "all"]
    if ends:
        return Record(text, tuple(terms[: ends[0] + 1]))
    return Record(text, tuple(terms), modifiers.get("redirect"))


def _term(word: str) -> Term | None:
    """Read one word: None for what is wrong, a term without a name for a modifier that nobody knows."""
    found = _TERM.fullmatch(word)
    if found is None:
        return None
    qualifier, name, sign, value = found[1], found[2].lower(), found[3], found[4] or ""
    if sign == "=":
        return _modifier(word, qualifier, name, value)
    term = Term(word, name, qualifier or "+", value.lower().removesuffix("."))
    match name:
        case "all":
            return None if sign else replace(term, domain="")
        case "ip4" | "ip6":
            network = _network(value, name) if sign == ":" else None
            return None if network is None else replace(term, domain="", network=network)
        case "include" | "exists":
            return term if sign == ":" and _MACROS.fullmatch(value) else None
        case "ptr":
            return term if sign is None or (sign == ":" and _MACROS.fullmatch(value)) else None
        case "a" | "mx":
            return _hosts(term, word)
        case _:
            return None


def _modifier(word: str, qualifier: str, name: str, value: str) -> Term | None:
    if qualifier:
        return None
    if name not in ("redirect", "exp"):
        return Term(word, "")  # "must be ignored no matter where, or how often" (§6)
    if not value or (name == "redirect" and not _MACROS.fullmatch(value)):
        return None
    return Term(word, name, domain=value.lower().removesuffix("."))


def _hosts(term: Term, word: str) -> Term | None:
    """Read an a or mx: a domain, or none, and the lengths behind it."""
    rest = word[len(term.name) + (word[0] in _ENDINGS) :]
    place = rest.find("/", rest.rfind("}") + 1)  # a macro may have a slash inside
    if place < 0:
        place = len(rest)
    domain, lengths = rest[:place], _LENGTHS.fullmatch(rest[place:])
    if lengths is None or (domain and not (domain[0] == ":" and _MACROS.fullmatch(domain[1:]))):
        return None
    four, six = int(lengths[1] or 32), int(lengths[2] or 128)
    if four > 32 or six > 128:
        return None
    return replace(term, domain=domain[1:].lower().removesuffix("."), four=four, six=six)


def _network(value: str, name: str) -> Network | None:
    address, slash, length = value.partition("/")
    if (slash and not _PREFIX.fullmatch(length)) or "%" in address:
        return None
    kind = ipaddress.IPv4Network if name == "ip4" else ipaddress.IPv6Network
    try:
        return kind(value, strict=False)
    except ValueError:
        return None


# -- written anew -----------------------------------------------------------------------------------------------------


def with_include(text: str, include: str) -> str:
    """Return a record with another include in it, before what ends it."""
    words = text.split()
    ends = (at for at, word in enumerate(words) if at and re.fullmatch(r"[+?~-]?all|redirect=.*", word.lower()))
    words.insert(next(ends, len(words)), f"include:{include}")
    return " ".join(words)


def without(text: str, unwanted: Iterable[str]) -> str:
    """Return a record without some of its words, and with ``~all`` where nothing ends it any more."""
    gone = {word.lower() for word in unwanted}
    words = [word for word in text.split() if word.lower() not in gone]
    record = parse(" ".join(words))
    if record.end in ("", "?", "+") and record.redirect is None:
        words = [word for word in words if not re.fullmatch(r"[+?]?all", word.lower())] + ["~all"]
    return " ".join(words)


def joined(texts: Iterable[str]) -> str:
    """Return one record that permits what several do, and ends as the mildest of them that ends at all."""
    words: dict[str, str] = {}
    ends: list[str] = []
    redirects: dict[str, str] = {}
    for text in texts:
        for word in text.split()[1:]:
            if re.fullmatch(r"[+?~-]?all", word.lower()):
                ends.append(word[0] if word[0] in _ENDINGS else "+")
            elif word.lower().startswith("redirect="):
                redirects[word.lower()] = word
            else:
                words.setdefault(word.lower(), word)
    # what a redirect permits an include does; only a record that stands alone can end with one
    words |= {key: f"include:{word.partition('=')[2]}" for key, word in redirects.items()}
    mild = [end for end in ends if end in "-~"]
    end = max(mild, key=_ENDINGS.index) if mild else "~"
    return " ".join(["v=spf1", *words.values(), f"{end}all"])
