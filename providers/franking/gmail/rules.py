"""How failures of Gmail and Google Workspace are recognised: SMTP and the Gmail API. Words are in texts/.

Google ends its SMTP replies with ``- gsmtp`` and names a help page (``?p=BadCredentials``), which is steadier than the
sentence. The sign-in's answers are in ``signin_rules.py``; the rules of every SMTP server follow at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence
from franking.gmail.signin_rules import SIGN_IN
from franking.smtp.rules import RULES as SMTP_RULES
from franking.smtp.rules import by_token, other_mailbox

__all__ = ["RULES"]

FULL_SCOPE = "https://mail.google.com/"
"""The only scope with which Google's SMTP lets a token in."""

_SMTP = ("smtp", "sasl")
_LOGIN = ("login",)
_HTTP = ("http",)
_REFUSED = "Username and Password not accepted|BadCredentials"


def _by_route(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return which route it took, for texts that name the other one."""
    return {"by_smtp": values.get("route") == "gmail-smtp", "by_api": values.get("route") == "gmail-api"}


def _project(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    found = re.search(r"project (?:number )?(\d{6,20})", seen.text)
    return {"project": found[1]} if found else {}


def _no_smtp_scope(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return by_token(seen, values) and bool(values.get("scopes")) and FULL_SCOPE not in str(values["scopes"])


BY_SMTP: tuple[Rule, ...] = (
    # the login; a token's refusal comes as JSON first, then as the same 535 as a password's
    Rule(
        "google.scope-missing",
        _SMTP,
        _LOGIN,
        (535,),
        when=_no_smtp_scope,
        adds=_by_route,
        temporary=False,
        note="G4 G5",
    ),
    Rule("login.other-mailbox", _SMTP, _LOGIN, (535,), when=other_mailbox, temporary=False, note="G4 G5"),
    Rule("protocol.error", _SMTP, codes=(535,), text="Optional Argument not permitted", temporary=False, note="G12"),
    Rule(
        "google.app-password-needed",
        _SMTP,
        text="Application-specific password|InvalidSecondFactor",
        temporary=False,
        note="G2",
    ),
    Rule(
        "google.web-login-needed",
        _SMTP,
        text="in (?:via|with) your web browser and|WebLoginRequired|answer/78754",
        temporary=True,
        adds=_by_route,
        note="G3",
    ),
    Rule(
        "google.token-refused", _SMTP, _LOGIN, (535,), when=by_token, adds=_by_route, temporary=False, note="G1 G4 G5"
    ),
    Rule("google.password-refused", _SMTP, codes=(535,), text=_REFUSED, temporary=False, note="G1"),
    Rule(
        "protocol.error",
        _SMTP,
        text="Cannot Decode response|identity changes|STARTTLS may not be|pipeline after",
        note="G11 G13 G14",
        temporary=False,
    ),
    # the connection
    Rule(
        "greet.name-refused",
        _SMTP,
        codes=(421,),
        text="Try again later, closing connection",
        temporary=True,
        note="G15",
    ),
    Rule("recipient.policy", _SMTP, text="not in whitelist", who="admin", temporary=False, note="G16"),
    Rule("google.message-id-reused", _SMTP, text="same Message-ID", temporary=False, note="G33"),
    Rule("rate.limited", _SMTP, text="unusual rate of", temporary=True, note="G17"),
    Rule("connect.lost", _SMTP, text="Connection expired|Timeout - closing connection", temporary=True, note="G18 G43"),
    # limits
    Rule("quota.exceeded", _SMTP, text="relay limit exceeded for customer", who="admin", temporary=True, note="G37"),
    Rule(
        "quota.exceeded",
        _SMTP,
        text="Daily (user )?sending quota|relay limit exceeded for user|DailyLimit",
        temporary=True,
        note="G20",
    ),
    Rule("recipient.too-many", _SMTP, text="message has too many recipients", temporary=False, note="G21"),
    Rule("recipient.too-many", _SMTP, text="Domain policy size per transaction", temporary=True, note="G22"),
    Rule("recipient.busy", _SMTP, text="receiving mail (too quickly|at a rate)", temporary=True, note="G23"),
    # the message
    Rule(
        "message.blocked-content",
        _SMTP,
        text="potential security issue|illegal attachment|BlockedMessage",
        temporary=False,
        note="G29",
    ),
    Rule(
        "message.too-large",
        _SMTP,
        codes=(552,),
        text="size limit|MaxSizeError|number of attachments|header size",
        temporary=False,
        note="G30",
    ),
    Rule(
        "message.malformed",
        _SMTP,
        text="valid address in the From|duplicate headers|valid Message-ID|RFC 5322|RfcMessageNonCompliant"
        "|message is malformed",
        temporary=False,
        note="G31 G32",
    ),
    Rule("message.loop", _SMTP, text="exceeded 50 hops", temporary=False, note="G32"),
    # who may send, and through which server
    Rule("google.sending-denied", _SMTP, text="Mail Sending denied", who="admin", temporary=False, note="G34"),
    Rule(
        "google.relay-not-registered",
        _SMTP,
        text="Mail relay denied|Invalid credentials for relay|answer/6140680",
        who="admin",
        temporary=False,
        note="G35 G36",
    ),
    Rule(
        "server.not-for-sending",
        _SMTP,
        text="send email directly to our servers|NotAuthorizedError",
        temporary=False,
        note="G38",
    ),
    Rule("recipient.policy", _SMTP, text="policy that prohibited|- gcdp", who="admin", temporary=False, note="G41"),
    Rule(
        "sender.domain-unauthenticated",
        _SMTP,
        text="Unauthenticated ?email|requires all senders to authenticate|fails to pass authentication",
        who="admin",
        temporary=False,
        note="G39",
    ),
    Rule(
        "client.no-reverse-dns", _SMTP, enhanced=("4.7.23", "4.7.25", "5.7.23", "5.7.25"), temporary=False, note="G40"
    ),
    Rule("tls.required", _SMTP, enhanced=("4.7.29", "5.7.29"), temporary=False, note="G40"),
    Rule(
        "sender.domain-unauthenticated",
        _SMTP,
        enhanced=("4.7.26", "5.7.26", "4.7.27", "5.7.27", "4.7.30", "5.7.30", "4.7.32", "5.7.32"),
        who="admin",
        temporary=False,
        note="G39 G40",
    ),
    # the dialogue
    Rule("protocol.error", _SMTP, text="protocol violation", temporary=True, note="G43"),
    Rule(
        "protocol.error",
        _SMTP,
        codes=(502, 503, 554, 555),
        text="unrecognized command|(HELO|MAIL|RCPT) first|Syntax error|Unauthenticated commands",
        temporary=False,
        note="G42",
    ),
)

BY_API: tuple[Rule, ...] = (
    Rule(
        "google.scope-missing",
        _HTTP,
        reason=("insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        adds=_by_route,
        temporary=False,
        note="A2",
    ),
    Rule(
        "google.scope-missing",
        _HTTP,
        text="insufficient authentication scopes",
        adds=_by_route,
        temporary=False,
        note="A2",
    ),
    Rule(
        "google.api-disabled",
        _HTTP,
        reason=("accessNotConfigured", "SERVICE_DISABLED"),
        adds=_project,
        temporary=True,
        note="A3",
    ),
    Rule("google.api-disabled", _HTTP, text="has not been used in project", adds=_project, temporary=True, note="A3"),
    Rule("rate.connections", _HTTP, text="Too many concurrent requests", temporary=True, note="A9"),
    Rule("quota.exceeded", _HTTP, text=r"\(Mail sending\)", temporary=True, note="A10"),
    Rule("google.project-quota", _HTTP, reason=("dailyLimitExceeded",), temporary=True, note="A6"),
    Rule(
        "rate.limited",
        _HTTP,
        reason=("rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"),
        temporary=True,
        note="A4 A5",
    ),
    Rule("rate.limited", _HTTP, codes=(429,), temporary=True, note="A11"),
    Rule(
        "google.admin-policy", _HTTP, reason=("domainPolicy",), who="admin", adds=_by_route, temporary=False, note="A7"
    ),
    Rule("google.delegation-denied", _HTTP, text="Delegation denied", temporary=False, note="A8"),
    Rule("google.no-mailbox", _HTTP, text="Mail service not enabled", temporary=False, note="A12"),
    Rule(
        "google.service-account-subject",
        _HTTP,
        reason=("failedPrecondition", "FAILED_PRECONDITION"),
        temporary=False,
        note="A13",
    ),
    Rule(
        "address.syntax",
        _HTTP,
        text="Invalid (To|Cc|Bcc|From) header|Recipient address required",
        temporary=False,
        note="A14",
    ),
    Rule("message.too-large", _HTTP, codes=(413,), temporary=False, note="A18"),
    Rule("message.too-large", text="Media larger than", temporary=False, note="A18"),
    Rule("google.token-refused", _HTTP, codes=(401,), adds=_by_route, temporary=False, note="A1"),
    Rule("api.bad-request", _HTTP, codes=(400, 404), temporary=False, note="A15 A16 A17 A19"),
    Rule("server.trouble", _HTTP, codes=(5,), who="provider", temporary=True, note="A20"),
)

RULES: tuple[Rule, ...] = (*BY_SMTP, *SIGN_IN, *BY_API, *SMTP_RULES)
