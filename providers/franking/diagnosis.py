"""From evidence to a diagnosis: rules, the values that they yield, and the generic rules that hold for every provider.

A ``Rule`` is a row of a table: what must have been seen, and the code of the remedy. A ``Diagnosis`` is a value; its words are
looked up in ``texts/<language>.toml`` only when somebody reads them. Nothing here raises, retries or prints.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from franking import texts
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
from franking.redaction import HIDDEN, forms, redacted

__all__ = ["FALLBACKS", "GENERIC", "UNKNOWN_OUTCOME", "Diagnosis", "Hint", "Rule", "Words", "diagnose", "with_hints"]


class Words(NamedTuple):
    """Hold a diagnosis in one language: what happened, why, and what to do, the likeliest first."""

    title: str
    cause: str
    remedies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Say what went wrong, why, and who can mend it (``you``, ``admin``, ``provider``).

    ``code`` names the remedy and is never renamed. ``values`` fill the texts. ``raw`` is what the other side said, untouched but
    bounded and without secrets. ``title``, ``cause`` and ``remedies`` are read from the English texts; ``text(language)`` gives another.
    """

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    who: str = "you"
    temporary: bool = False

    @property
    def title(self) -> str:
        return self.text().title

    @property
    def cause(self) -> str:
        return self.text().cause

    @property
    def remedies(self) -> tuple[str, ...]:
        return self.text().remedies

    def __str__(self) -> str:
        """Give what a person wants to read: title, cause, and the remedies, numbered."""
        title, cause, remedies = self.text()
        return "\n".join((title, cause, *(f"{number}. {remedy}" for number, remedy in enumerate(remedies, 1))))

    def text(self, language: str = "en") -> Words:
        """Give title, cause and remedies in a language, in English where it is not there. Hints that were attached lead the remedies."""
        words = texts.entry(self.code, language)
        leading = [hint.say(language) for hint in self.values.get("hints", ())]
        own = [texts.fill(remedy, self.values) for remedy in words["remedies"]]
        return Words(
            title=texts.fill(words["title"], self.values) or self.code,
            cause=texts.fill(words["cause"], self.values) or "",
            remedies=tuple(remedy for remedy in (*leading, *own) if remedy),
        )

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Give the ``diagnosis`` object of the JSON reports."""
        title, cause, remedies = self.text(language)
        return {
            "code": self.code,
            "title": title,
            "cause": cause,
            "remedies": list(remedies),
            "who": self.who,
            "temporary": self.temporary,
            "raw": self.raw,
        }


@dataclass(frozen=True, slots=True)
class Hint:
    """Point at something that looks wrong in the settings, without changing it: a code and the values for its text."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.say()

    def say(self, language: str = "en") -> str:
        """Give the sentence in a language, in English where it is not there."""
        return texts.fill(texts.entry(self.code, language).get("text", self.code), self.values) or self.code

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Give one object of the ``hints`` list of the JSON reports."""
        return {"code": self.code, "text": self.say(language)}


@dataclass(frozen=True, slots=True)
class Rule:
    """Recognise one failure: every condition that is given must hold; the first rule that matches decides.

    ``codes`` are reply codes or HTTP statuses; one digit stands for a whole class (4 = 400 to 499). ``enhanced`` may end in ``*``.
    ``text`` is a regular expression, searched ignoring case after white space is collapsed. ``details`` asks that a detail of the evidence
    be one of these values, or, where it is a list, hold one of them. ``temporary`` None means: as the error says. ``when`` is for what
    no column can say; ``adds`` gives further values for the texts; ``route`` restricts to routes.
    """

    code: str
    kind: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    enhanced: tuple[str, ...] = ()
    text: str = ""
    reason: tuple[str, ...] = ()
    details: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    route: tuple[str, ...] = ()
    who: str = "you"
    temporary: bool | None = None
    when: Callable[[Evidence, Mapping[str, Any]], bool] | None = None
    adds: Callable[[Evidence, Mapping[str, Any]], Mapping[str, Any]] | None = None
    note: str = ""  # the row of the catalogue that it recognises, for the tests and the docs

    def fits(self, seen: Evidence, step: str | None, words: str, values: Mapping[str, Any]) -> bool:
        """Tell whether every given condition holds; ``words`` is the evidence's text in normal form, ``values`` as for ``diagnose``."""
        return (
            (not self.kind or seen.kind in self.kind)
            and (not self.step or step in self.step)
            and (not self.codes or seen.code in self.codes or (seen.code or 0) // 100 in self.codes)
            and (not self.enhanced or any(_like(seen.enhanced or "", pattern) for pattern in self.enhanced))
            and (not self.reason or seen.reason in self.reason)
            and (not self.route or values.get("route") in self.route)
            and all(_among(seen.details.get(name), wanted) for name, wanted in self.details.items())
            and (not self.text or _pattern(self.text).search(words) is not None)
            and (self.when is None or self.when(seen, values))
        )


def diagnose(error: FrankingError, rules: Iterable[Rule], values: Mapping[str, Any], *, secrets: Iterable[str] = ()) -> Diagnosis:
    """Find the first rule that matches an error's evidence; where none does, say what the error's class says.

    ``values`` describe the attempt for the texts and for ``when``: ``account, provider, route, host, port, security, username, sender,
    to, who, scopes, recommended, recommended_title`` and the account's other settings; what the evidence's details say wins.
    ``secrets`` are taken out of everything that comes out, in case that the other side echoed one.
    """
    seen = _evidence(error)
    known = _values(error, seen, values)
    words = _normal(seen)
    rule = UNKNOWN_OUTCOME if error.possibly_sent else next((row for row in rules if row.fits(seen, error.step, words, known)), None)
    if rule is None:
        rule = next(row for kind, row in FALLBACKS if isinstance(error, kind))
    if rule.adds is not None:
        known |= rule.adds(seen, known)
    hidden = forms(secrets)
    return Diagnosis(
        code=rule.code,
        values={key: shown for key, value in known.items() if (shown := _shown(key, value, hidden)) is not None},
        raw=redacted(_raw(seen), hidden) if error.evidence is not None or seen.text else "",
        who=rule.who,
        temporary=error.temporary if rule.temporary is None else rule.temporary,
    )


def with_hints(diagnosis: Diagnosis, hints: Iterable[Hint]) -> Diagnosis:
    """Let the hints that explain this failure lead its remedies: those on name and password where they were refused, others before it."""
    leading = tuple(hint for hint in hints if _explains(hint.code, diagnosis))
    said = {"whole_address": None} if any(hint.code == "username.not-an-address" for hint in leading) else {}  # no need to say it twice
    return replace(diagnosis, values={**diagnosis.values, **said, "hints": leading}) if leading else diagnosis


def _explains(hint: str, diagnosis: Diagnosis) -> bool:
    subject, step = hint.partition(".")[0], diagnosis.values.get("step")
    refused = step == "login" and diagnosis.values.get("status", 0) // 100 == 5
    match subject:
        case "secret":
            return refused
        case "username":
            return refused or diagnosis.code.startswith("sender.")
        case "host":
            return step == "tls" if hint == "host.ip-with-tls" else step in ("settings", "resolve", "connect", "tls", "greet")
        case "port":
            return hint != "port.none-with-login" and (step in ("connect", "tls", "greet") or (step == "login" and not refused))
        case _:
            return False


# ---------------------------------------------------------------------------------------------------- reading evidence

_REPLY = re.compile(r"(\d{3})[ -]?(?:(\d\.\d{1,3}\.\d{1,3})(?:\s+|$))?(.*)", re.DOTALL)
_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


def _evidence(error: FrankingError) -> Evidence:
    """Take the error's evidence; that of refused recipients is their first reply. Codes that stand in the text are read from there."""
    seen = error.evidence
    if seen is None and isinstance(error, RecipientsRefused) and error.refused:
        address, answer = next(iter(error.refused.items()))
        seen = Evidence("smtp", text=str(answer.get("reply", "")), details={"recipient": address})
        if reply := _REPLY.match(seen.text):
            seen = replace(seen, code=int(reply[1]), enhanced=reply[2], text=reply[3])
    if seen is None:
        return Evidence("")
    if seen.enhanced is None and seen.kind == "smtp" and (first := _ENHANCED.match(seen.text)):
        seen = replace(seen, enhanced=first[1])
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
    known["no_login"] = not known.get("username")
    way = (known.get("port"), known.get("security"))
    known |= {"try_587": way != (587, "starttls"), "try_465": way != (465, "tls")}
    command = f"; run: {getattr(error, 'repair', None)}"  # the remedies say that
    problem = error.message.removesuffix(command) + "." if error.message.endswith(command) else error.message
    known |= {"step": error.step, "problem": problem, "said": seen.text or None, "reason": seen.reason, "status": seen.code}
    for name in ("field", "repair", "retry_after"):
        if (value := getattr(error, name, None)) is not None:
            known[name] = round(value) if isinstance(value, float) and math.isfinite(value) else value
    return known


def _like(enhanced: str, pattern: str) -> bool:
    return enhanced.startswith(pattern[:-1]) if pattern.endswith("*") else enhanced == pattern


def _among(value: Any, wanted: tuple[Any, ...]) -> bool:
    return any(one in wanted for one in value) if isinstance(value, list | tuple | set | frozenset) else value in wanted


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


# ---------------------------------------------------------------------------------------------------- what may be shown

_OUR_ADDRESSES = ("admin_consent_url",)  # composed by us of public parts, and of no use without their query
_UNSHOWN = ("claims", "sasl")
_WORDS = ("account", "again", "usage")  # parts of commands, typed on this side: cut short or tidied up they would not run


def _raw(seen: Evidence) -> str:
    if seen.kind in ("", "settings", "message") and not seen.text:
        return ""  # no other side has spoken
    sasl = seen.details.get("sasl")
    return f"{seen.raw} {sasl if isinstance(sasl, str) else json.dumps(sasl, ensure_ascii=False)}" if sasl else seen.raw


def _word(word: str, hidden: tuple[str, ...]) -> str:
    for form in hidden:
        word = word.replace(form, HIDDEN)
    return texts.visible(word, 2000)


def _shown(key: str, value: Any, hidden: tuple[str, ...]) -> Any:
    """Give a value fit for a text: numbers as they are, text bounded and redacted, a list as its first eight; nothing else."""
    if key in _UNSHOWN:
        return None
    if isinstance(value, bool | int | float):
        return value
    if key in _WORDS and isinstance(value, str | tuple):
        words = tuple(_word(str(one), hidden) for one in ((value,) if isinstance(value, str) else value))
        return words[0] if isinstance(value, str) else words
    if isinstance(value, str):
        return texts.visible(value, 1000) if key in _OUR_ADDRESSES else redacted(value, hidden, 300)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(redacted(str(one), hidden, 80) for one in list(value)[:8])
    return None


# ---------------------------------------------------------------------------------------------------- generic rules


def _https(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Tell whether it was a sign-in server or an API that was not reached, whose address nobody typed."""
    return values.get("step") == "secret" or bool(values.get("api")) or seen.details.get("scheme") in ("http", "https")


def _plain(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return values.get("security") != "tls"


def _tls(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return values.get("security") != "starttls"


_WRONG_PORT = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_OUTDATED = (
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED",
    "DH_KEY_TOO_SMALL",
    "EE_KEY_TOO_SMALL",
    "CA_MD_TOO_WEAK",
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED",
    "NO_CIPHERS_AVAILABLE",
    "WRONG_SIGNATURE_TYPE",
)
_NETWORK = ("dns", "connect")
_CUT = ("reset", "closed", "eof", "UNEXPECTED_EOF_WHILE_READING")


def _verify(*codes: int) -> Mapping[str, tuple[Any, ...]]:
    return {"verify_code": codes}


GENERIC: tuple[Rule, ...] = (
    # the command line's own
    Rule("usage", kind=("settings",), reason=("usage",), temporary=False),
    Rule("bug", kind=("settings",), reason=("bug",), temporary=False),
    Rule("interrupted", reason=("interrupted",), temporary=False),
    # what is kept here
    Rule("store.insecure", kind=("store",), reason=("loose-mode",), temporary=False),
    Rule("store.not-ours", kind=("store",), reason=("link", "not-ours", "foreign-owner"), temporary=False),
    Rule("store.broken", kind=("store",), reason=("damaged", "newer", "not-a-grant"), temporary=False),
    Rule("store.cannot-write", kind=("store",), reason=("unwritable",), temporary=False),
    Rule("store.locked", kind=("store",), reason=("lock-timeout",), temporary=True),
    Rule("store.unavailable", kind=("store",), temporary=False),
    Rule("secret.missing", kind=("settings",), reason=("no-password",), temporary=False),
    Rule("secret.source", kind=("settings",), reason=("secret-source",), temporary=False),
    Rule("secret.not-a-sign-in", kind=("settings",), reason=("given-grant",), temporary=False),
    Rule("settings.no-account", kind=("settings",), reason=("no-account",), temporary=False),
    Rule("settings.extra", kind=("settings",), reason=("extra-missing", "missing-extra"), temporary=False),
    Rule("account.disabled", step=("settings",), when=lambda seen, values: values.get("field") == "enabled", temporary=False),
    Rule("settings.ca-file", kind=("settings",), reason=("ca-file",), temporary=False),
    # a sign-in that did not come about
    Rule("login.required", kind=("oauth",), reason=("no-grant",), temporary=False),
    Rule("login.timeout", kind=("oauth",), reason=("sign-in-timeout",), temporary=False, note="O23"),
    Rule("login.code-refused", kind=("oauth",), reason=("state-mismatch", "mismatching_state"), temporary=False, note="O22"),
    Rule("login.paste-not-understood", kind=("oauth",), reason=("paste-not-understood",), temporary=False),
    Rule("login.other-mailbox", kind=("oauth",), reason=("wrong-account",), temporary=False),
    Rule("https.not-understood", reason=("unreadable", "unreadable-answer", "upload-protocol"), temporary=True),
    Rule("login.insecure-address", kind=("oauth",), reason=("insecure_transport",), temporary=False, note="O21"),
    Rule("login.insecure-address", kind=("oauth",), text="MUST utilize https", temporary=False, note="O21"),
    # many messages: a limit that we keep ourselves
    Rule("quota.exceeded", kind=("limit",), reason=("per-day",), temporary=True),
    # the message, before anything left
    Rule("message.too-large", kind=("message", "smtp"), reason=("too-large", "size"), temporary=False),
    Rule("message.attachment", kind=("message",), reason=("attachment-unreadable", "attachment-changed", "changed"), temporary=False),
    Rule("recipient.too-many", kind=("message",), reason=("too-many-recipients",), temporary=False),
    Rule("message.envelope-differs", kind=("message",), reason=("envelope-differs",), temporary=False),
    # a sign-in server or an API: nobody typed its address
    Rule("https.untrusted", kind=("tls",), reason=("certificate", "CERTIFICATE_VERIFY_FAILED"), when=_https, temporary=False, note="N33"),
    Rule("https.unreachable", kind=(*_NETWORK, "tls"), when=_https, temporary=True, note="N33"),
    # the name
    Rule("dns.not-found", kind=("dns",), reason=("not-found",), temporary=False, note="N1"),
    Rule("dns.unavailable", kind=("dns",), reason=("no-dns", "timeout"), temporary=True, note="N2"),
    Rule("dns.no-address", kind=("dns",), reason=("no-address",), temporary=False, note="N3"),
    Rule("dns.bad-name", reason=("bad-name",), temporary=False, note="N4"),
    # the certificate
    Rule("tls.self-signed", kind=("tls",), details=_verify(18), temporary=False, note="N12"),
    Rule("tls.private-authority", kind=("tls",), details=_verify(19), temporary=False, note="N13"),
    Rule("tls.unknown-issuer", kind=("tls",), details=_verify(2, 20, 21), temporary=False, note="N14"),
    Rule("tls.expired", kind=("tls",), details=_verify(10), temporary=False, note="N15"),
    Rule("tls.not-yet-valid", kind=("tls",), details=_verify(9), temporary=False, note="N16"),
    Rule("tls.hostname", kind=("tls",), details=_verify(62), temporary=False, note="N17"),
    Rule("tls.ip-address", kind=("tls",), details=_verify(64), temporary=False, note="N18"),
    Rule("tls.incomplete-certificate", kind=("tls",), details=_verify(*range(79, 96)), temporary=False, note="N19"),
    Rule("tls.certificate", kind=("tls",), reason=("certificate", "CERTIFICATE_VERIFY_FAILED"), temporary=False),
    # the handshake
    Rule("tls.wrong-port", kind=("tls",), reason=_WRONG_PORT, when=_tls, temporary=False, note="N11"),
    Rule("tls.outdated", kind=("tls",), reason=_OUTDATED, who="provider", temporary=False, note="N20 N22"),
    Rule("tls.interrupted", kind=("tls", "connect"), step=("tls",), reason=(*_CUT, *_WRONG_PORT, "timeout"), temporary=True, note="N21"),
    # the connection
    Rule("connect.refused", kind=("connect",), reason=("refused",), temporary=False, note="N5"),
    Rule("connect.unreachable", kind=("connect",), reason=("unreachable",), temporary=True, note="N7"),
    Rule("greet.silent", kind=("connect",), step=("greet",), reason=("timeout",), when=_plain, temporary=False, note="N8"),
    Rule("greet.closed", kind=("connect",), step=("connect", "greet"), reason=_CUT, temporary=True, note="N9 N10"),
    Rule("connect.timeout", kind=("connect",), step=("resolve", "connect"), reason=("timeout",), temporary=True, note="N6"),
    Rule("connect.stalled", kind=("connect",), reason=("timeout",), temporary=True),
    Rule("connect.lost", kind=("connect", "tls"), reason=_CUT, temporary=True, note="N32"),
)

UNKNOWN_OUTCOME = Rule("outcome.unknown")

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
"""What is said where no rule matches: never an exception, never nothing."""
