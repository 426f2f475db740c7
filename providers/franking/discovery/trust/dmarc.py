"""A domain's DMARC record (RFC 9989): where it is looked for, which one counts, and what it asks of receivers. No
network is asked here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from franking.discovery.trust.questions import Answer
from franking.discovery.trust.tags import read_tags

__all__ = ["Dmarc", "find", "names", "with_tag"]

_POLICIES = ("none", "quarantine", "reject")
_RECORD = re.compile(r"v\s*=\s*dmarc1\s*(?:;|$)", re.IGNORECASE)
_NEARLY = re.compile(r"v\s*=\s*dmarc", re.IGNORECASE)
_MOST = 8  # names on the way up (§4.10)


@dataclass(frozen=True, slots=True)
class Dmarc:
    """The record that counts for a domain, where it stands, and the ``policy`` that it has for that domain.

    ``problem``: ``missing``, ``multiple``, ``syntax``, ``unanswered``, or nothing. ``tags`` are those of the record.
    """

    text: str = ""
    location: str = ""
    policy: str = ""
    problem: str = ""
    tags: Mapping[str, str] | None = None

    @property
    def testing(self) -> bool:
        """Return whether its policy is only tried out."""
        return (self.tags or {}).get("t", "").lower() == "y"

    @property
    def percent(self) -> str:
        """Return the ``pct`` of older records, which nobody reads any more."""
        return (self.tags or {}).get("pct", "")


def names(domain: str) -> tuple[str, ...]:
    """Return the domains whose records may count, from the domain itself up (the tree walk)."""
    labels = domain.split(".")
    first = max(1, len(labels) - _MOST + 1)
    return (domain, *(".".join(labels[place:]) for place in range(first, len(labels))))


def find(domain: str, answers: Mapping[str, Answer]) -> Dmarc:
    """Find the record that counts; ``answers`` are the TXT records below ``_dmarc`` of each of the ``names``.
    The domain is one that exists, so that ``np`` does not count.
    """
    walked: list[tuple[str, str]] = []
    for name in names(domain):
        answer = answers[name]
        if answer.unknown:
            return Dmarc(location=name, problem="unanswered")
        records = [text for text in answer.values if _RECORD.match(text)]
        if name == domain and (own := _own(domain, answer.values, records)) is not None:
            return own
        if len(records) != 1:
            continue  # several are as good as none
        walked.append((name, records[0]))
        if read_tags(records[0]).get("psd", "").lower() in ("y", "n"):
            break
    if not walked:
        return Dmarc(problem="missing")
    name, text = walked[-1]
    if read_tags(text).get("psd", "").lower() == "y" and len(walked) > 1 and walked[-2][0].partition(".")[2] == name:
        name, text = walked[-2]  # the domain of the organisation is one below the public suffix
    return _judged(name, text, "sp" if name != domain else "p")


def _own(domain: str, texts: tuple[str, ...], records: list[str]) -> Dmarc | None:
    """Return what the domain itself says, or None where somebody above it decides."""
    if len(records) > 1:
        return Dmarc(records[0], domain, problem="multiple", tags=read_tags(records[0]))
    if records:
        return _judged(domain, records[0], "p")
    for text in texts:
        if _NEARLY.match(text.lstrip()):
            return Dmarc(text, domain, problem="syntax", tags=read_tags(text))
    return None


def _judged(location: str, text: str, tag: str) -> Dmarc:
    tags = read_tags(text)
    for name in ("p", "sp", "np"):
        if name in tags and tags[name].lower() not in _POLICIES:
            return Dmarc(text, location, problem="syntax", tags=tags)
    policy = tags.get(tag, tags.get("p", "none"))  # a record without one asks for nothing (§4.7)
    return Dmarc(text, location, policy.lower(), tags=tags)


def with_tag(tags: Mapping[str, str], **changed: str) -> str:
    """Return a record with other policies; those that are none are left out, and what nobody reads any more."""
    words = ["v=DMARC1"]
    for name, value in {"p": tags.get("p", "none"), **tags, **changed}.items():
        broken = name in ("p", "sp", "np") and value.lower() not in _POLICIES
        if name not in ("v", "pct", "rf", "ri") and not broken:
            words.append(f"{name}={value}")
    return "; ".join(words)
