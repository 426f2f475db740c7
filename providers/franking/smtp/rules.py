"""How failures of any SMTP server are recognised, and what looks wrong in settings and passwords. Words are in texts/.

The rules go from the particular to the general: texts that mean one thing, then enhanced codes, then bare codes. An
enhanced code alone often lies (5.7.1 is relaying, spam, policy and SPF at once), hence the order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence
from franking.smtp.hints import hints, wants_address
from franking.smtp.services import service_at

__all__ = ["RULES", "by_token", "hints", "other_mailbox"]

_APP_PASSWORD = ("app-password", "authorisation-code", "secure-mail-key")
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


def by_token(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Return whether it was an access token that was shown at the login, and not a password."""
    mechanism = str(seen.details.get("mechanism") or values.get("auth") or "").upper()
    return mechanism in ("XOAUTH2", "OAUTHBEARER") or bool(seen.details.get("sasl"))


def other_mailbox(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Return whether the token belongs to another mailbox than the one that was logged in to."""
    who, username = str(values.get("who") or ""), str(values.get("username") or "")
    return by_token(seen, values) and bool(who and username) and who.casefold() != username.casefold()


def _by_password(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tell the texts whether a password was held back: an access token never travels in the open, whatever is set."""
    return {"by_password": not seen.details.get("token")}


def _whole_address(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Offer the address as the login name, where that is no address and the server is not known to want it so."""
    name = str(values.get("username") or "")
    return (
        {"whole_address": values.get("address")}
        if name and "@" not in name and wants_address(values.get("host"))
        else {}
    )


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

RULES: tuple[Rule, ...] = (
    # what no reply says: Franking itself saw it (first, because the words that came with it may say anything)
    Rule("protocol.error", kind=_SMTP, reason=("not-smtp",), step=("tls", "login", "message", "accepted")),
    Rule("greet.not-smtp", reason=("not-smtp",), temporary=False, note="N29 N30"),
    Rule("protocol.error", kind=_SMTP, reason=_GARBLED),
    Rule("tls.injected", kind=("tls",), reason=("plaintext-injected",), who="admin", temporary=False),
    Rule("tls.server-trouble", kind=("tls",), reason=("starttls-refused",), who="provider", note="N24"),
    Rule("tls.starttls-not-offered", reason=("starttls-not-offered",), temporary=False, note="N23"),
    Rule("tls.starttls-not-offered", text="STARTTLS extension not supported", temporary=False, note="N23"),
    Rule("login.not-offered", reason=("auth-not-offered",), temporary=False, note="N25"),
    Rule("login.not-offered", text="SMTP AUTH extension not supported", temporary=False, note="N25"),
    Rule("login.mechanism", reason=("no-common-mechanism", "no-mechanism"), temporary=False, note="N26"),
    Rule("login.mechanism", text="No suitable authentication method", temporary=False, note="N26"),
    Rule("login.not-ascii", reason=("not-ascii",), temporary=False, note="N27"),
    Rule("login.not-ascii", step=_LOGIN, text="'ascii' codec can't encode", temporary=False, note="N27"),
    Rule("login.needs-tls", reason=("plain-login",), adds=_by_password, temporary=False),
    Rule("message.needs-smtputf8", reason=("smtputf8", "smtputf8-not-offered"), temporary=False, note="N31"),
    Rule("message.needs-smtputf8", text="SMTPUTF8", temporary=False, note="N31 P29"),
    Rule("message.needs-8bitmime", reason=("8bitmime-not-offered",), temporary=False),
    Rule("greet.not-smtp", step=("greet",), text=r"IMAP|POP3|\bHTTP|/1\.[01] 400|OpenSSH", temporary=False, note="N29"),
    Rule("greet.not-smtp", kind=_SMTP, step=("greet",), codes=(500,), temporary=False, note="N30"),
    Rule("connect.lost", text="please run connect\\(\\) first|Server not connected", temporary=True, note="N32"),
    # words of other programs, pasted: each says less than the server's own reply
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
    # the greeting and the connection
    Rule(
        "tls.server-trouble",
        kind=_SMTP,
        codes=(454,),
        text="TLS (is )?(currently )?(not |un)available",
        who="provider",
        temporary=True,
        note="N24",
    ),
    Rule("tls.server-trouble", kind=_SMTP, step=("tls",), who="provider", note="N24"),
    Rule(
        "blocklisted",
        kind=_SMTP,
        text=r"blocked using|black ?list|block ?list|\brbl\b|dnsbl|spamhaus|spamcop",
        temporary=False,
        note="P38",
    ),
    Rule(
        "greet.name-refused",
        kind=_SMTP,
        text=r"(HELO|EHLO).*(rejected|invalid|not allowed|argument)",
        temporary=False,
        note="P20 G19",
    ),
    Rule(
        "client.no-reverse-dns",
        kind=_SMTP,
        text=r"cannot find your (reverse )?hostname|reverse (DNS|hostname)|\bPTR\b",
        temporary=False,
        note="P21",
    ),
    Rule("client.ip-not-allowed", kind=_SMTP, text="Unauthorized IP", temporary=False, note="P44"),
    Rule(
        "rate.connections",
        kind=_SMTP,
        text=r"too many (concurrent )?(SMTP )?connections|concurrent connection",
        temporary=True,
        note="P35",
    ),
    Rule("protocol.error", kind=_SMTP, text="synchroni[sz]ation error", temporary=False, note="P39"),
    Rule(
        "connect.lost",
        kind=_SMTP,
        text="timeout exceeded|idle timeout|timed out",
        codes=(421,),
        temporary=True,
        note="P36",
    ),
    # the login
    Rule(
        "login.too-many", kind=_SMTP, text="too many AUTH|too many (login|authentication)", temporary=True, note="P5 G6"
    ),
    Rule(
        "login.app-password",
        kind=_SMTP,
        text="#AUTH005|#MBR1212|app(lication)?[- ]specific password|app password",
        temporary=False,
        note="P41",
    ),
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
        codes=(535,),
        text="Authentication Credentials Invalid|Bad username / password",
        # the services send none; with 5.7.8 these words are any server's
        when=lambda seen, values: seen.enhanced is None,
        temporary=False,
        note="P43 P44",
    ),
    Rule(
        "login.service-credentials",
        kind=_SMTP,
        step=_LOGIN,
        codes=(535,),
        when=_at(_OWN_CREDENTIALS),
        temporary=False,
        note="P43 P44",
    ),
    Rule(
        "login.account-disabled",
        kind=_SMTP,
        step=_LOGIN,
        text=r"(account|user|mailbox).*\b(disabled|locked|suspended|expired|inactive)|password.*expired",
        codes=(5,),
        temporary=False,
        note="P3",
    ),
    Rule("server.trouble", kind=_SMTP, step=_LOGIN, codes=(4,), who="provider", temporary=True, note="P4 G7"),
    Rule("login.needs-tls", kind=_SMTP, codes=(538,), temporary=False, note="P9"),
    Rule("login.needs-tls", kind=_SMTP, enhanced=("5.7.11",), temporary=False, note="P9"),
    Rule(
        "login.too-long",
        kind=_SMTP,
        step=_LOGIN,
        codes=(500,),
        text="line too long|too long",
        who="provider",
        temporary=False,
        note="P10",
    ),
    Rule("login.too-long", kind=_SMTP, enhanced=("5.5.6",), who="provider", temporary=False, note="P10"),
    Rule(
        "login.not-offered",
        kind=_SMTP,
        text="AUTH command used when not advertised|authentication not enabled",
        temporary=False,
        note="P6",
    ),
    Rule(
        "login.not-offered",
        kind=_SMTP,
        step=_LOGIN,
        codes=(502, 503),
        text="not implemented|not enabled",
        temporary=False,
        note="P6",
    ),
    Rule("login.mechanism", kind=_SMTP, step=_LOGIN, codes=(504, 534), temporary=False, note="G10 M11"),
    Rule(
        "protocol.error",
        kind=_SMTP,
        text="Invalid base64|Authentication cancelled|Initial data not expected",
        temporary=False,
        note="P8",
    ),
    Rule("login.refused", kind=_SMTP, codes=(535,), adds=_whole_address, temporary=False, note="P1 P2 P3 P42 P43 P44"),
    Rule(
        "login.refused",
        kind=_SMTP,
        codes=(5,),
        text="authentication (failed|unsuccessful)|incorrect authentication",
        adds=_whole_address,
        temporary=False,
        note="P7",
    ),
    # sender, relaying, what must come first
    Rule(
        "tls.required",
        kind=_SMTP,
        codes=(530, 550, 554),
        text="STARTTLS|TLS required|TLS is required|encryption required",
        temporary=False,
        note="P11 G9",
    ),
    Rule(
        "sender.not-verified",
        kind=_SMTP,
        text="Email address is not verified|verified Sender Identity",
        temporary=False,
        note="P43 P44",
    ),
    Rule(
        "sender.not-owned",
        kind=_SMTP,
        text=r"not owned by user|must match authenticated|not one of your addresses|send as this sender"
        r"|sender .*not (allowed|permitted|authori[sz]ed)",
        temporary=False,
        note="P15 P17 P42",
    ),
    Rule(
        "quota.exceeded",
        kind=_SMTP,
        codes=(4, 5),
        text=r"\b(daily|hourly|sending|outgoing|submission)\b.{0,40}\b(quota|limit)\b.{0,40}\b(exceeded|reached|used)"
        r"|\b(exceeded|reached)\b.{0,40}\b(daily|hourly|sending|outgoing|submission)\b.{0,40}\b(quota|limit)",
        temporary=True,
        note="G20",
    ),
    Rule("login.missing", kind=_SMTP, text="Sender address rejected: not logged in", temporary=False, note="P16"),
    Rule(
        "relay.denied",
        kind=_SMTP,
        text=r"relay (access )?(denied|not permitted)|relaying (denied|not)|unable to relay|not permitted to relay",
        temporary=False,
        note="P13 P14",
    ),
    Rule("login.missing", kind=_SMTP, codes=(530,), temporary=False, note="P12 G8 M9"),
    Rule(
        "login.missing",
        kind=_SMTP,
        codes=(550, 553, 554),
        text="authentication (is )?required|not authenticated",
        temporary=False,
        note="P12",
    ),
    Rule(
        "sender.domain-unknown",
        kind=_SMTP,
        text="Sender address rejected: Domain not found",
        temporary=False,
        note="P18",
    ),
    Rule("sender.domain-unknown", kind=_SMTP, enhanced=("4.1.8", "5.1.8"), temporary=False, note="P18"),
    Rule("address.syntax", kind=_SMTP, text="need fully-qualified address", temporary=False, note="P19"),
    Rule("address.syntax", kind=_SMTP, enhanced=("5.1.3", "5.1.7"), temporary=False, note="P28 G28"),
    Rule("message.needs-smtputf8", kind=_SMTP, enhanced=("5.6.7",), temporary=False, note="P29"),
    Rule(
        "sender.domain-unauthenticated",
        kind=_SMTP,
        text=r"\bSPF\b|\bDKIM\b|\bDMARC\b",
        who="admin",
        temporary=False,
    ),
    Rule(
        "sender.domain-unauthenticated", kind=_SMTP, enhanced=UNAUTHENTICATED, who="admin", temporary=False, note="G39"
    ),
    Rule("client.no-reverse-dns", kind=_SMTP, enhanced=("4.7.25", "5.7.25"), temporary=False, note="P21"),
    # recipients
    Rule("greylisted", kind=_SMTP, codes=(4,), text="grey-?list|gray-?list", temporary=True, note="P22"),
    Rule(
        "rate.limited",
        kind=_SMTP,
        text="too much mail|Throttling failure|sending rate|rate limit",
        temporary=True,
        note="P40 P43",
    ),
    Rule("recipient.too-many", kind=_SMTP, codes=(4,), text="too many recipients", temporary=True, note="P25"),
    Rule("recipient.too-many", kind=_SMTP, text="too many recipients", temporary=False, note="P25"),
    Rule("recipient.refused", kind=_SMTP, text="no valid recipients", temporary=False, note="P30"),
    Rule(
        "greylisted",
        kind=_SMTP,
        codes=(450, 451),
        enhanced=("4.7.1", "4.2.0"),
        text="try (again|later)|temporar",
        temporary=True,
        note="P22",
    ),
    Rule("recipient.disabled", kind=_SMTP, codes=(5,), enhanced=("5.2.1",), temporary=False, note="G26"),
    Rule("recipient.full", kind=_SMTP, enhanced=("4.2.2", "5.2.2"), temporary=True, note="P24 G24"),
    Rule(
        "recipient.full",
        kind=_SMTP,
        text="quota|mailbox (is )?full|over ?quota",
        codes=(452, 552),
        temporary=True,
        note="P24",
    ),
    Rule(
        "recipient.unknown",
        kind=_SMTP,
        codes=(5,),
        text="user unknown|unrouteable address|no such (user|mailbox|recipient)|unknown (user|recipient)"
        "|does not exist",
        temporary=False,
        note="P23",
    ),
    Rule("recipient.unknown", kind=_SMTP, enhanced=("5.1.1", "5.1.10"), temporary=False, note="P23 G25 M31"),
    Rule("recipient.domain-unknown", kind=_SMTP, enhanced=("5.1.2",), temporary=False, note="G27"),
    # the message
    Rule("message.line-ends", kind=_SMTP, text="bare <?LF>?|bare (line feed|newline)", temporary=False, note="P32"),
    Rule("message.malformed", kind=_SMTP, text="header line is too long|header too long", temporary=False, note="P33"),
    Rule(
        "message.line-too-long",
        kind=_SMTP,
        step=("message", "accepted"),
        codes=(5,),
        text=r"\blines?\b( (is|that is|are|that are))? too long|too[- ]long lines?|lines? longer than"
        r"|maximum( allowed)? line length|line length .*exceed|line[- ]length limit",
        when=lambda seen, _: "recipient" not in seen.details,  # that would be a line of the dialogue
        temporary=False,
        note="P33",
    ),
    Rule("message.loop", kind=_SMTP, text='Received"? headers|mail loop|too many hops', temporary=False, note="P34"),
    Rule(
        "message.too-large",
        kind=_SMTP,
        codes=(5,),
        text="message size exceeds|message file too big|message (is )?too (large|big)|size limit|maximum message size",
        temporary=False,
        note="P26",
    ),
    Rule("message.too-large", kind=_SMTP, enhanced=("5.3.4", "5.2.3"), temporary=False, note="P26"),
    Rule("message.too-large", kind=_SMTP, step=("message", "accepted"), codes=(552,), temporary=False, note="P26"),
    Rule(
        "message.spam",
        kind=_SMTP,
        codes=(5,),
        text="content rejected|spam|message rejected|virus|milter",
        temporary=False,
        note="P31",
    ),
    Rule("message.malformed", kind=_SMTP, enhanced=("5.6.0",), temporary=False, note="P33"),
    # what is left: by its code alone
    Rule("server.trouble", kind=_SMTP, codes=(452,), enhanced=("4.3.1",), who="provider", temporary=True, note="P27"),
    Rule("greet.refused", kind=_SMTP, step=("greet",), codes=(5,), temporary=False, note="N28"),
    Rule("server.trouble", kind=_SMTP, codes=(4,), who="provider", temporary=True, note="N28 P37 G18 G43"),
    Rule("protocol.error", kind=_SMTP, codes=(2, 3, 500, 501, 502, 503), temporary=False, note="P8"),
)
