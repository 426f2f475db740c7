"""How failures of any SMTP server are recognised: what was seen, said, known of the host, and what a code says alone.

Six tables, from what proves most to what proves least. An enhanced code often lies (5.7.1 is relaying, spam, policy and
SPF at once), hence words come before codes. The words themselves stand in ``diagnosis/words/``, what is told about a
code in ``diagnosis/texts/``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from franking.diagnosis.rules import Rule
from franking.diagnosis.words.access import ACCESS
from franking.diagnosis.words.limits import LIMITS
from franking.diagnosis.words.login import LOGIN, REFUSED_LOGIN
from franking.diagnosis.words.message import MESSAGE, SPAM, TROUBLE
from franking.diagnosis.words.recipient import RECIPIENT
from franking.diagnosis.words.refusals import in_order
from franking.diagnosis.words.sender import SENDER
from franking.diagnosis.words.topics import TOPICS
from franking.diagnosis.words.topics_mail import MAIL_TOPICS
from franking.diagnosis.words.translations import LOGIN_TRANSLATIONS, TRANSLATIONS
from franking.errors import Evidence
from franking.smtp.hints import hints, wants_address
from franking.smtp.services import service_at

__all__ = ["RULES", "by_token", "hints", "other_mailbox"]

_APP_PASSWORD = ("app-password", "authorisation-code", "secure-mail-key")
_SENDER_DOMAIN = ("sender-domain",)
_OWN_CREDENTIALS = ("ses", "api-key", "mailgun", "postmark", "smtp-key", "mailjet")
"""What the table of well-known services remarks of those that never take the mailbox's, or the customer account's, own
password.
"""


UNAUTHENTICATED = ("5.7.20", "5.7.21", "5.7.22", "5.7.23", "5.7.24", "5.7.26")
"""DKIM, SPF or both of the sender's domain did not pass (RFC 7372)."""


def _at(remarks: tuple[str, ...]) -> Callable[[Evidence, Mapping[str, Any]], bool]:
    def there(seen: Evidence, values: Mapping[str, Any]) -> bool:
        service = service_at(values.get("host"))
        return service is not None and any(remark in remarks for remark in service.remarks)

    return there


def _not_shut_out(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Return whether the words beside a code speak of no policy: where they do, the code has lied."""
    return re.search(r"(?i)\b(?:block|bann|polic|spam|denied|not allowed|prohibit|forbid)", seen.text) is None


def by_token(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Return whether it was an access token that was shown at the login, and not a password."""
    mechanism = str(seen.details.get("mechanism") or values.get("auth") or "").upper()
    return mechanism in ("XOAUTH2", "OAUTHBEARER") or bool(seen.details.get("sasl"))


def other_mailbox(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Return whether the token belongs to another mailbox than the one that was logged in to."""
    who, username = str(values.get("who") or ""), str(values.get("username") or "")
    return by_token(seen, values) and bool(who and username) and who.casefold() != username.casefold()


def _by_password(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return for the texts whether a password was held back: an access token never travels in the open."""
    return {"by_password": not seen.details.get("token")}


def _about_login(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return for the texts what is known of logins at this host, and the address as the login name where that is no
    address and the server is not known to want it so.
    """
    name, service = str(values.get("username") or ""), service_at(values.get("host"))
    known: dict[str, Any] = {
        f"remark_{remark.replace('-', '_')}": True for remark in (service.remarks if service else ())
    }
    if name and "@" not in name and wants_address(values.get("host")):
        known["whole_address"] = values.get("address")
    return known


_SMTP = ("smtp", "sasl")
_LOGIN = ("login",)
_GARBLED = (
    "line-too-long",
    "too-many-replies",
    "mixed-codes",
    "reply-too-long",
    "unexpected-reply",
    "endless-challenges",
    "bad-challenge",
)
"""What Franking's own reader calls replies that no server should send."""

_OTHER_SERVICE = (
    r"^(\* (OK|PREAUTH|BYE)|\+OK|OK \[CAPABILITY|HTTP/\d|SSH-\d|2\.0-OpenSSH)"
    r"|^\S* ?(IMAP4?\w*|POP3) ready|^/1\.[01] \d{3}"
)
"""How servers for reading mail, web pages and shells begin: a link or a name somewhere in a greeting says nothing."""

SEEN: tuple[Rule, ...] = (
    # what no reply says: Franking itself saw it (first, because the words that came with it may say anything)
    Rule("protocol.error", kind=_SMTP, reason=("not-smtp",), step=("tls", "login", "message", "accepted")),
    Rule("greet.not-smtp", reason=("not-smtp",), temporary=False, note="N29 N30"),
    Rule("protocol.error", kind=_SMTP, reason=_GARBLED),
    Rule("tls.injected", kind=("tls",), reason=("plaintext-injected",), who="admin", temporary=False),
    Rule("tls.starttls-not-offered", reason=("starttls-not-offered",), temporary=False, note="N23"),
    Rule("tls.starttls-not-offered", text="STARTTLS extension not supported", temporary=False, note="N23"),
    Rule("login.not-offered", reason=("auth-not-offered",), temporary=False, note="N25"),
    Rule("login.not-offered", text="SMTP AUTH extension not supported", temporary=False, note="N25"),
    Rule("login.mechanism", reason=("no-mechanism",), temporary=False, note="N26"),
    Rule("login.mechanism", text="No suitable authentication method", temporary=False, note="N26"),
    Rule("login.service-credentials", reason=("api-key-wanted",), temporary=False),
    Rule("login.not-ascii", step=_LOGIN, text="'ascii' codec can't encode", temporary=False, note="N27"),
    Rule("login.needs-tls", reason=("plain-login",), adds=_by_password, temporary=False),
    Rule("message.needs-smtputf8", reason=("smtputf8", "smtputf8-not-offered"), temporary=False, note="N31"),
    Rule("message.needs-smtputf8", text="internationalized email support", temporary=False, note="N31"),
    Rule("message.needs-8bitmime", reason=("8bitmime-not-offered",), temporary=False),
    Rule("greet.not-smtp", step=("greet",), text=_OTHER_SERVICE, temporary=False, note="N29"),
    Rule(
        "greet.not-smtp", kind=_SMTP, step=("greet",), codes=(500,), phrase="line too long", temporary=False, note="N30"
    ),
    Rule("connect.lost", text="please run connect\\(\\) first|Server not connected", temporary=True, note="N32"),
)
"""What no reply says: Franking itself saw it. The words that came with it may say anything."""

PASTED: tuple[Rule, ...] = (
    Rule("login.refused", text=r"SMTP Error: Could not authenticate|\bEAUTH\b", temporary=False, note="N34"),
    Rule(
        "connect.failed",
        text=r"SMTP connect\(\) failed|Could not connect to SMTP host|\bECONNECTION\b|\bESOCKET\b",
        note="N34",
    ),
    Rule("connect.timeout", text=r"\bETIMEDOUT\b", temporary=True, note="N34"),
    Rule(
        "send.refused",
        text=r"SMTP Error: data not accepted|From address failed|\bEMESSAGE\b",
        temporary=False,
        note="N34",
    ),
    Rule("recipient.refused", text=r"\bEENVELOPE\b", temporary=False, note="N34"),
    Rule("login.required", text=r"\bEOAUTH2\b", temporary=False, note="N34"),
    Rule("login.missing", text=r"Missing credentials for", temporary=False, note="N34"),
)
"""Words of other programs: each says less than the server's own reply."""

OWN_WORDS: tuple[Rule, ...] = (
    Rule(
        "sender.not-owned", kind=_SMTP, phrase="sender rejected", when=_at(_SENDER_DOMAIN), temporary=False, note="P17"
    ),
    Rule("quota.exceeded", kind=_SMTP, phrase="policy violation", when=_at(_SENDER_DOMAIN), temporary=True),
    Rule("sender.not-owned", kind=_SMTP, phrase="relaying disallowed", when=_at(("data-centre",)), temporary=False),
)
"""What words mean at one service that mean something else, or little, elsewhere: its help pages say so."""

KNOWN: tuple[Rule, ...] = (
    Rule(
        "login.app-password",
        kind=_SMTP,
        step=_LOGIN,
        codes=(535,),
        when=_at(_APP_PASSWORD),
        temporary=False,
        note="P41 P42",
    ),
    Rule(
        "login.service-credentials",
        kind=_SMTP,
        step=_LOGIN,
        codes=(535,),
        when=_at(_OWN_CREDENTIALS),
        adds=_about_login,
        temporary=False,
        note="P43 P44",
    ),
)
"""What a refused login means at a service that is known to want something else than the mailbox's password."""

_ENVELOPE = {"what": ("sender", "recipient", None)}
_NOT_THE_SENDER = {"what": ("recipient", "message", None)}

CODES: tuple[Rule, ...] = (
    Rule("tls.server-trouble", reason=("starttls-refused",), who="provider", note="N24"),
    Rule("login.needs-tls", kind=_SMTP, codes=(538,), temporary=False, note="P9"),
    Rule("login.needs-tls", kind=_SMTP, enhanced=("5.7.11",), temporary=False, note="P9"),
    Rule("login.needs-tls", kind=_SMTP, step=_LOGIN, enhanced=("5.7.10",), temporary=False),
    Rule("tls.required", kind=_SMTP, enhanced=("5.7.10",), temporary=False),
    Rule("login.too-long", kind=_SMTP, enhanced=("5.5.6",), who="provider", temporary=False, note="P10"),
    Rule("login.mechanism", kind=_SMTP, step=_LOGIN, codes=(504,), temporary=False, note="G10 M11"),
    Rule("login.refused", kind=_SMTP, codes=(535,), adds=_about_login, temporary=False, note="P1 P42"),
    Rule(
        "sender.domain-unknown", kind=_SMTP, enhanced=("4.1.8", "5.1.8"), details=_ENVELOPE, temporary=False, note="P18"
    ),
    Rule("sender.domain-unknown", kind=_SMTP, enhanced=("4.7.27", "5.7.27"), temporary=False),
    Rule("address.syntax", kind=_SMTP, enhanced=("5.1.3", "5.1.7"), temporary=False, note="P28 G28"),
    Rule("message.needs-smtputf8", kind=_SMTP, enhanced=("5.6.7",), temporary=False, note="P29"),
    Rule(
        "sender.domain-unauthenticated", kind=_SMTP, enhanced=UNAUTHENTICATED, who="admin", temporary=False, note="G39"
    ),
    Rule("client.no-reverse-dns", kind=_SMTP, enhanced=("4.7.25", "5.7.25"), temporary=False, note="P21"),
    Rule(
        "greylisted",
        kind=_SMTP,
        codes=(450, 451),
        enhanced=("4.7.1", "4.2.0"),
        phrase="try again|later",
        details={"what": ("recipient", None)},
        temporary=True,
        note="P22",
    ),
    Rule(
        "recipient.disabled",
        kind=_SMTP,
        enhanced=("5.2.1",),
        details=_NOT_THE_SENDER,
        when=_not_shut_out,
        temporary=False,
        note="G26",
    ),
    Rule(
        "recipient.full",
        kind=_SMTP,
        enhanced=("4.2.2", "5.2.2"),
        details=_NOT_THE_SENDER,
        when=_not_shut_out,
        temporary=True,
        note="P24",
    ),
    Rule(
        "recipient.unknown",
        kind=_SMTP,
        enhanced=("5.1.1", "5.1.10"),
        details=_NOT_THE_SENDER,
        when=_not_shut_out,
        temporary=False,
        note="P23 G25 M31",
    ),
    Rule(
        "recipient.domain-unknown",
        kind=_SMTP,
        enhanced=("5.1.2",),
        details=_NOT_THE_SENDER,
        temporary=False,
        note="G27",
    ),
    Rule("recipient.domain-unknown", kind=_SMTP, enhanced=("4.1.2",), details=_NOT_THE_SENDER, temporary=True),
    Rule("message.too-large", kind=_SMTP, enhanced=("5.3.4", "5.2.3"), temporary=False, note="P26"),
    Rule("message.malformed", kind=_SMTP, enhanced=("5.6.0",), when=_not_shut_out, temporary=False, note="P33"),
    Rule(
        "server.trouble",
        kind=_SMTP,
        codes=(4,),
        enhanced=("4.3.0", "4.3.1", "4.3.3", "4.3.5"),  # 4.3.2 and 4.4.5 are said of too much as well
        who="provider",
        temporary=True,
        note="P27 P37 G18",
    ),
)
"""What a code says by itself where no words are understood: only what it means everywhere."""

QUOTED: tuple[Rule, ...] = (
    Rule("greet.refused", kind=_SMTP, step=("greet",), codes=(5,), temporary=False, note="N28"),
    Rule("login.failed", kind=_SMTP, step=_LOGIN, codes=(5,), temporary=False),
    Rule("recipient.refused", kind=_SMTP, codes=(5,), details={"what": ("recipient",)}, temporary=False),
    Rule("send.refused", kind=_SMTP, codes=(5,), temporary=False),
    Rule("server.not-now", kind=_SMTP, codes=(4,), temporary=True, note="N28"),
    Rule("protocol.error", kind=_SMTP, codes=(2, 3), temporary=False),
)
"""What nobody recognises: the server is quoted, with what step and class of the code do say."""

RULES: tuple[Rule, ...] = (
    *SEEN,
    *OWN_WORDS,
    *in_order(ACCESS, LIMITS, LOGIN, SENDER, RECIPIENT, MESSAGE, TROUBLE, TRANSLATIONS),
    *in_order(SPAM),
    *in_order(TOPICS, MAIL_TOPICS),
    *PASTED,
    *KNOWN,
    *(replace(rule, adds=_about_login) for rule in in_order(REFUSED_LOGIN, LOGIN_TRANSLATIONS)),
    *CODES,
    *QUOTED,
)
