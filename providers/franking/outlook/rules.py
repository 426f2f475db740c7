"""How failures of Outlook.com and Microsoft 365 are recognised by SMTP, and all of the provider's rules together.

Microsoft's enhanced codes say little (``5.7.139`` has six meanings, ``5.7.3`` as many), so texts decide. The sign-in's
answers are in ``signin_rules.py``, Graph's in ``graph_rules.py``; the rules of every SMTP server follow at the end.
Words are in texts/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence
from franking.outlook.graph_rules import BY_GRAPH, by_route
from franking.outlook.signin_rules import SIGN_IN
from franking.smtp.rules import RULES as SMTP_RULES
from franking.smtp.rules import by_token, other_mailbox

__all__ = ["RULES"]

GRAPH_ID = "00000003-0000-0000-c000-000000000000"
"""Microsoft Graph's own id, which stands as audience in some of its tokens."""

_SMTP = ("smtp", "sasl")
_LOGIN = ("login",)
_CHOSEN_SENDERS = ("5.7.12", "5.7.124", "5.7.129", "5.7.133", "5.7.134", "5.7.135", "5.7.136", "5.7.193")


def _everywhere(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return for the texts that the whole organisation is meant, and not just this mailbox."""
    return {**by_route(seen, values), "everywhere": True}


def _no_smtp_scope(seen: Evidence, values: Mapping[str, Any]) -> bool:
    scopes = values.get("scopes") or ()
    wanted = ("smtp.send", "smtp.sendasapp", "/.default")
    return by_token(seen, values) and bool(scopes) and not any(word in str(scopes).lower() for word in wanted)


def _graph_token(seen: Evidence, values: Mapping[str, Any]) -> bool:
    audience = str(values.get("audience") or "").lower()
    return by_token(seen, values) and ("graph" in audience or audience == GRAPH_ID)


def _app_only(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return by_token(seen, values) and bool(values.get("app_only"))


def _shared(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return by_token(seen, values) and bool(values.get("mailbox"))


BY_SMTP: tuple[Rule, ...] = (
    # 535 5.7.139: the words behind "Authentication unsuccessful," decide
    Rule(
        "microsoft.basic-auth-off",
        _SMTP,
        text="basic authentication is (disabled|not supported)",
        temporary=False,
        note="M1 M10",
    ),
    Rule(
        "microsoft.smtp-auth-disabled",
        _SMTP,
        text="disabled for the Tenant",
        adds=_everywhere,
        temporary=False,
        note="M2",
    ),
    Rule(
        "microsoft.smtp-auth-disabled-mailbox",
        _SMTP,
        text="SmtpClientAuth.* disabled for the Mailbox",
        adds=by_route,
        temporary=False,
        note="M3",
    ),
    Rule(
        "microsoft.smtp-auth-disabled",
        _SMTP,
        text="SmtpClientAuth|smtp_auth_disabled",
        adds=by_route,
        temporary=False,
        note="M2",
    ),
    Rule("microsoft.security-defaults", _SMTP, text="security defaults", adds=by_route, temporary=False, note="M4"),
    Rule(
        "microsoft.policy-blocked", _SMTP, text="did not meet the criteria", adds=by_route, temporary=False, note="M5"
    ),
    Rule("microsoft.password-refused", _SMTP, text="credentials were incorrect", temporary=False, note="M6"),
    Rule("microsoft.password-expired", _SMTP, _LOGIN, text="password.*expired", temporary=False, note="M7"),
    Rule(
        "microsoft.account-locked",
        _SMTP,
        _LOGIN,
        text="account (is|has been) (locked|blocked|disabled)",
        temporary=False,
        note="M7",
    ),
    Rule("login.failed", _SMTP, _LOGIN, (535,), ("5.7.139",), temporary=False),  # a seventh meaning: it is quoted
    # 535 5.7.3: no words at all; what is known of the token decides
    Rule(
        "microsoft.wrong-audience", _SMTP, _LOGIN, (535,), when=_graph_token, adds=by_route, temporary=False, note="M8"
    ),
    Rule(
        "microsoft.scope-missing",
        _SMTP,
        _LOGIN,
        (535,),
        when=_no_smtp_scope,
        adds=by_route,
        temporary=False,
        note="M8",
    ),
    Rule(
        "microsoft.app-only-mailbox",
        _SMTP,
        _LOGIN,
        (535,),
        when=_app_only,
        who="admin",
        adds=by_route,
        temporary=False,
        note="M8",
    ),
    Rule(
        "microsoft.shared-mailbox",
        _SMTP,
        _LOGIN,
        (535,),
        when=_shared,
        who="admin",
        adds=by_route,
        temporary=False,
        note="M8",
    ),
    Rule("login.other-mailbox", _SMTP, _LOGIN, (535,), when=other_mailbox, temporary=False, note="M8"),
    Rule("microsoft.token-refused", _SMTP, _LOGIN, (535,), when=by_token, adds=by_route, temporary=False, note="M8"),
    Rule("microsoft.password-refused", _SMTP, _LOGIN, (535,), ("5.7.3",), temporary=False, note="M6 M8"),
    # sender and account
    Rule("login.missing", _SMTP, enhanced=("5.7.57",), temporary=False, note="M9"),
    Rule(
        "microsoft.send-as-denied",
        _SMTP,
        text="SendAsDenied|send as this sender",
        adds=by_route,
        temporary=False,
        note="M12 M13 M14",
    ),
    Rule(
        "microsoft.send-as-denied",
        _SMTP,
        enhanced=("5.7.60", "5.2.252"),
        adds=by_route,
        temporary=False,
        note="M12 M13",
    ),
    Rule(
        "message.too-large",
        _SMTP,
        codes=(5,),
        text="MaxSubmissionExceeded|SubmissionExceededException",
        temporary=False,
    ),
    Rule(
        "microsoft.account-suspended",
        _SMTP,
        codes=(5,),
        text="OutboundSpam|WASCL|STOREDRV.Submission",
        temporary=True,
        note="M15",
    ),
    Rule(
        "microsoft.sender-blocked",
        _SMTP,
        text="bad outbound|recognized as a valid sender",
        who="admin",
        temporary=False,
        note="M20",
    ),
    Rule(
        "microsoft.sender-banned",
        _SMTP,
        enhanced=("5.7.501", "5.7.502", "5.7.503", "5.7.511"),
        who="provider",
        temporary=False,
        note="M21",
    ),
    Rule("microsoft.domain-unregistered", _SMTP, enhanced=("5.7.750",), who="admin", temporary=False, note="M24"),
    Rule(
        "microsoft.tenant-blocked",
        _SMTP,
        enhanced=("5.7.70*", "5.7.71*", "5.7.72*", "5.7.73*", "5.7.74*"),
        who="admin",
        temporary=False,
        note="M22 M23",
    ),
    # limits
    Rule("rate.connections", _SMTP, text="thread limit|concurrent connection", temporary=True, note="M16"),
    Rule("rate.limited", _SMTP, text="submission rate for this client", temporary=True, note="M17"),
    Rule("connect.lost", _SMTP, text="Connection dropped", temporary=True, note="M17"),
    Rule(
        "rate.limited",
        _SMTP,
        codes=(4,),
        enhanced=("4.7.5*", "4.7.6*", "4.7.8*"),
        when=lambda seen, _: len(seen.enhanced or "") == 7,
        note="M18",
        temporary=True,
    ),
    Rule("tls.client-outdated", _SMTP, text=r"TLS 1\.0 and 1\.1", temporary=False, note="M35"),
    Rule("quota.exceeded", _SMTP, enhanced=("5.7.232", "5.7.233"), who="admin", temporary=True, note="M25"),
    Rule(
        "quota.exceeded", _SMTP, text="submission quota|daily limit for message recipients", temporary=True, note="M26"
    ),
    Rule("quota.exceeded", _SMTP, enhanced=("5.1.90",), temporary=True, note="M26"),
    Rule(
        "server.trouble",
        _SMTP,
        codes=(4,),
        text="not accepting network messages|PRX",
        who="provider",
        temporary=True,
        note="M19",
    ),
    Rule(
        "server.trouble",
        _SMTP,
        codes=(421,),
        enhanced=("4.3.2",),
        text="service not available",
        who="provider",
        temporary=True,
        note="M19",
    ),
    Rule("server.trouble", _SMTP, enhanced=("4.4.316",), who="provider", temporary=True, note="M19"),
    Rule("recipient.too-many", _SMTP, text="too many recipients", temporary=False, note="M30"),
    # the message
    Rule("message.malformed", _SMTP, enhanced=("5.7.512",), temporary=False, note="M27"),
    Rule("message.too-large", _SMTP, enhanced=("5.3.4", "5.2.3"), temporary=False, note="M28"),
    Rule("message.line-ends", _SMTP, enhanced=("5.6.11",), temporary=False, note="M29"),
    # servers that only receive
    Rule(
        "server.not-for-sending",
        _SMTP,
        text="Relay Access Denied|Direct Send not allowed",
        temporary=False,
        note="M32 M33",
    ),
    Rule("server.not-for-sending", _SMTP, enhanced=("5.7.64", "5.7.68"), temporary=False, note="M32 M33"),
    Rule("server.not-for-sending", _SMTP, codes=(550,), text="Unable to relay", temporary=False, note="M32"),
    Rule("recipient.unknown", _SMTP, enhanced=("5.4.1",), temporary=False, note="M31"),
    # mailboxes and groups that take mail of chosen senders only (Exchange's list of NDRs)
    Rule("recipient.policy", _SMTP, enhanced=_CHOSEN_SENDERS, who="admin", temporary=False),
    Rule(
        "sender.domain-unauthenticated",
        _SMTP,
        enhanced=("5.7.509", "5.7.515", "5.7.23"),
        who="admin",
        temporary=False,
        note="M34",
    ),
)


RULES: tuple[Rule, ...] = (*BY_SMTP, *SIGN_IN, *BY_GRAPH, *SMTP_RULES)
