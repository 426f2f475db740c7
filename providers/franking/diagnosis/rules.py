"""From evidence to a diagnosis: what a rule is, and which one fits what was seen.

A ``Rule`` is a row of a table: what must have been seen, and the code of the remedy. The tables stand in ``generic.py``
and in each provider's ``rules.py``. Nothing here raises, retries or prints, and no words are known.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from franking.diagnosis.diagnosis import Diagnosis
from franking.diagnosis.phrases import Words, phrase
from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    FrankingError,
    LoginError,
    LoginRequired,
    MessageError,
    RecipientsRefused,
    Refused,
    SendError,
    SettingsError,
    Throttled,
    TLSError,
)
from franking.redaction import Redactor, redacted
from franking.text import visible

__all__ = ["FALLBACKS", "UNKNOWN_OUTCOME", "Rule", "deciding", "diagnose"]


class Said:
    """What the other side said, in two forms: ``text`` on one line without codes, and its plain ``words``."""

    __slots__ = ("text", "words")

    def __init__(self, seen: Evidence) -> None:
        self.text = _normal(seen)
        self.words = Words(self.text)


@dataclass(frozen=True, slots=True)
class Rule:
    """Recognise one failure: every condition that is given must hold; the first rule that matches decides.

    ``codes`` are reply codes or HTTP statuses; one digit stands for a whole class (4 = 400 to 499). ``enhanced`` may
    end in ``*``. ``text`` is a regular expression, searched ignoring case after white space is collapsed; ``phrase`` is
    looked for in the plain words (``phrases.py``). ``details`` asks that a detail of the evidence be one of these
    values, or, where it is a list, hold one of them. ``temporary`` None means: as the error says. ``when`` is for what
    no column can say; ``adds`` gives further values for the texts; ``route`` restricts to routes.
    """

    code: str
    kind: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    enhanced: tuple[str, ...] = ()
    text: str = ""
    phrase: str = ""
    reason: tuple[str, ...] = ()
    details: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    route: tuple[str, ...] = ()
    who: str = "you"
    temporary: bool | None = None
    when: Callable[[Evidence, Mapping[str, Any]], bool] | None = None
    adds: Callable[[Evidence, Mapping[str, Any]], Mapping[str, Any]] | None = None
    note: str = ""  # the row of the catalogue that it recognises, for the tests and the docs

    def fits(self, seen: Evidence, step: str | None, said: Said, values: Mapping[str, Any]) -> bool:
        """Return whether every condition holds; ``said`` is the evidence's text, ``values`` as for ``diagnose``."""
        return (
            (not self.kind or seen.kind in self.kind)
            and (not self.step or step in self.step)
            and (not self.codes or seen.code in self.codes or _class(seen) in self.codes)
            and (not self.enhanced or any(_like(seen.enhanced or "", pattern) for pattern in self.enhanced))
            and (not self.reason or seen.reason in self.reason)
            and (not self.route or values.get("route") in self.route)
            and all(_among(seen.details.get(name), wanted) for name, wanted in self.details.items())
            and (not self.text or _pattern(self.text).search(said.text) is not None)
            and (not self.phrase or phrase(self.phrase).among(said.words))
            and (self.when is None or self.when(seen, values))
        )


def diagnose(
    error: FrankingError, rules: Iterable[Rule], values: Mapping[str, Any], *, secrets: Iterable[str] = ()
) -> Diagnosis:
    """Find the first rule that matches an error's evidence; where none does, say what the error's class says.

    ``values`` describe the attempt for the texts and for ``when``: ``account, provider, route, host, port, security,
    username, sender, to, who, scopes, recommended, recommended_title`` and the account's other settings; what the
    evidence's details say wins. ``secrets`` are taken out of everything that comes out, in case that the other side
    echoed one.
    """
    seen = _evidence(error)
    known = _values(error, seen, values)
    rule = deciding(error, seen, rules, known)
    if rule.adds is not None:
        known |= rule.adds(seen, known)
    hidden = Redactor(secrets, public=_public(known))
    shown = {key: _shown(key, value, hidden) for key, value in known.items() if key not in _UNSHOWN}
    return Diagnosis(
        code=rule.code,
        values={key: value for key, value in shown.items() if value is not None},
        raw=redacted(_raw(seen), hidden),
        who=rule.who,
        temporary=error.temporary if rule.temporary is None else rule.temporary,
    )


def deciding(error: FrankingError, seen: Evidence, rules: Iterable[Rule], known: Mapping[str, Any]) -> Rule:
    """Return the rule that decides: the first that fits, else what the error's class says."""
    if error.possibly_sent:
        return UNKNOWN_OUTCOME
    said = Said(seen)
    for rule in rules:
        if rule.fits(seen, error.step, said, known):
            return rule
    return next(rule for kind, rule in FALLBACKS if isinstance(error, kind))


# ---------------------------------------------------------------------------------------------------- reading evidence

_REPLY = re.compile(r"(\d{3})[ -]?(?:(\d\.\d{1,3}\.\d{1,3})(?:\s+|$))?(.*)", re.DOTALL)
_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_BEHIND = re.compile(r"\(#([245]\.\d{1,3}\.\d{1,3})\)")  # qmail writes it behind the words


def _evidence(error: FrankingError) -> Evidence:
    """Return the error's evidence; that of refused recipients is their first reply. Codes that stand in the text are
    read from there.
    """
    seen = error.evidence or Evidence("")
    if error.evidence is None and isinstance(error, RecipientsRefused) and error.refused:
        seen = _first_refusal(error.refused)
    if seen.kind == "smtp" and (inner := _ENHANCED.match(seen.text)):
        seen = seen._replace(enhanced=inner[1])  # of two codes in a row the second is the server's own
    if seen.enhanced is None and seen.kind == "smtp" and (behind := _BEHIND.search(seen.text)):
        seen = seen._replace(enhanced=behind[1])
    return seen


def _first_refusal(refused: Mapping[str, Mapping[str, Any]]) -> Evidence:
    address, refusal = next(iter(refused.items()))
    seen = Evidence("smtp", text=str(refusal.get("reply", "")), details={"recipient": address})
    if reply := _REPLY.match(seen.text):
        seen = seen._replace(code=int(reply[1]), enhanced=reply[2], text=reply[3])
    return seen


def _normal(seen: Evidence) -> str:
    """Strip the codes that begin each line of a reply, then collapse white space."""
    lines = seen.text.splitlines()
    if seen.code is not None:
        prefix = re.compile(rf"\s*{seen.code}[ -]")
        lines = [prefix.sub("", line, count=1) for line in lines]
    return " ".join(" ".join(_ENHANCED.sub("", line, count=1) for line in lines).split())


def _values(error: FrankingError, seen: Evidence, values: Mapping[str, Any]) -> dict[str, Any]:
    known = {**values, **{key: value for key, value in seen.details.items() if value is not None}}
    sender = str(known.get("sender") or "")
    known.setdefault("address", sender.rpartition("<")[2].rstrip("> "))
    known.setdefault("to", known["address"])
    if known.get("account"):
        known.setdefault("name", known["account"])
        known.setdefault("again", (known["account"],))
    known.setdefault("no_login", not known.get("username"))
    known |= _place(error, seen, known)
    way = (known.get("port"), known.get("security"))
    known |= {"try_587": way != (587, "starttls"), "try_465": way != (465, "tls")}
    command = f"; run: {getattr(error, 'repair', None)}"  # the remedies say that
    problem = error.message.removesuffix(command)
    if problem != error.message:
        problem += "."
    known |= {
        "step": error.step,
        "problem": problem,
        "said": seen.text or None,
        "reason": seen.reason,
        "status": seen.code,
    }
    for name in ("field", "repair", "retry_after"):
        value = getattr(error, name, None)
        if isinstance(value, float) and math.isfinite(value):
            value = round(value)
        if value is not None:
            known[name] = value
    return known


def _place(error: FrankingError, seen: Evidence, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return for the texts where it happened, and what had gone well by then: it is not advised again."""
    what, login = seen.details.get("what"), str(known.get("username") or "")
    return {
        "at_sign_in": error.step == "secret",
        "at_login": error.step == "login",
        "at_sender": what == "sender",
        "at_content": what == "message",
        "logged_in": not known["no_login"] and error.step in ("message", "accepted"),
        "other_login": login if "@" in login and login.casefold() != str(known["address"]).casefold() else None,
    }


def _class(seen: Evidence) -> int:
    """Return the first digit of a reply, of its enhanced code where that is all there is."""
    if seen.code is not None:
        return seen.code // 100
    return int(seen.enhanced[0]) if seen.enhanced and seen.enhanced[0] in "245" else 0


def _like(enhanced: str, pattern: str) -> bool:
    return enhanced == pattern or (pattern.endswith("*") and enhanced.startswith(pattern[:-1]))


def _among(value: Any, wanted: tuple[Any, ...]) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return any(one in wanted for one in value)
    return value in wanted


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


# ---------------------------------------------------------------------------------------------------- what may be shown

_OUR_ADDRESSES = ("admin_consent_url",)  # composed by us of public parts, and of no use without their query
_UNSHOWN = ("claims", "sasl")
_COMMAND_WORDS = ("account", "again", "usage")  # typed on this side: cut short or tidied up they would not run


def _raw(seen: Evidence) -> str:
    if seen.kind in ("", "settings", "message") and not seen.text:
        return ""  # no other side has spoken
    sasl = seen.details.get("sasl")
    if not sasl:
        return seen.raw
    if not isinstance(sasl, str):
        sasl = json.dumps(sasl, ensure_ascii=False)
    return f"{seen.raw} {sasl}"


def _public(known: Mapping[str, Any]) -> Iterator[str]:
    """Yield what this side's own settings say: a password that is like the login name hides no name."""
    for key in ("username", "sender", "host", *_COMMAND_WORDS):
        value = known.get(key)
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield from map(str, value)


def _shown(key: str, value: Any, hidden: Redactor) -> Any:
    """Return a value fit for a text: a number as it is, text bounded and redacted, of a list the first eight; None for
    anything else.
    """
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _shown_text(key, value, hidden)
    if isinstance(value, tuple) and key in _COMMAND_WORDS:
        return tuple(_shown_text(key, str(word), hidden) for word in value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(redacted(str(one), hidden, 80) for one in list(value)[:8])
    return None


def _shown_text(key: str, value: str, hidden: Redactor) -> str:
    if key in _OUR_ADDRESSES:
        return visible(value, 1000)
    if key in _COMMAND_WORDS:
        return visible(hidden(value))
    return redacted(value, hidden, 1000 if key == "said" else 300)


UNKNOWN_OUTCOME = Rule("outcome.unknown")

# what is said where no rule fits: never an exception, never nothing
FALLBACKS: tuple[tuple[type[FrankingError], Rule], ...] = (
    (SettingsError, Rule("settings.invalid")),
    (MessageError, Rule("message.invalid")),
    (LoginRequired, Rule("login.required")),
    (ConnectTimeout, Rule("connect.timeout")),
    (ConnectError, Rule("connect.failed")),
    (TLSError, Rule("tls.failed")),
    (LoginError, Rule("login.failed")),
    (RecipientsRefused, Rule("recipient.refused")),
    (Throttled, Rule("rate.limited")),
    (Refused, Rule("send.refused")),
    (SendError, Rule("send.failed")),
    (FrankingError, Rule("unknown")),
)
