"""The rules that hold whatever the provider: network, TLS, what a code class says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence

__all__ = ["GENERIC"]


def _https(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Return whether it was a sign-in server or an API that was not reached, whose address nobody typed."""
    return values.get("step") == "secret" or bool(values.get("api")) or seen.details.get("scheme") in ("http", "https")


def _not_implicit_tls(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return values.get("security") != "tls"


def _not_starttls(seen: Evidence, values: Mapping[str, Any]) -> bool:
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
    Rule(
        "account.disabled",
        step=("settings",),
        when=lambda seen, values: values.get("field") == "enabled",
        temporary=False,
    ),
    Rule("settings.ca-file", kind=("settings",), reason=("ca-file",), temporary=False),
    # a sign-in that did not come about
    Rule("login.required", kind=("oauth",), reason=("no-grant",), temporary=False),
    Rule("login.timeout", kind=("oauth",), reason=("sign-in-timeout",), temporary=False, note="O23"),
    Rule(
        "login.code-refused",
        kind=("oauth",),
        reason=("state-mismatch", "mismatching_state"),
        temporary=False,
        note="O22",
    ),
    Rule("login.paste-not-understood", kind=("oauth",), reason=("paste-not-understood",), temporary=False),
    Rule("login.other-mailbox", kind=("oauth",), reason=("wrong-account",), temporary=False),
    Rule("https.not-understood", reason=("unreadable", "unreadable-answer", "upload-protocol"), temporary=True),
    Rule("login.insecure-address", kind=("oauth",), reason=("insecure_transport",), temporary=False, note="O21"),
    Rule("login.insecure-address", kind=("oauth",), text="MUST utilize https", temporary=False, note="O21"),
    # many messages: a limit that we keep ourselves
    Rule("quota.exceeded", kind=("limit",), reason=("per-day",), temporary=True),
    # the message, before anything left
    Rule("message.too-large", kind=("message", "smtp"), reason=("too-large", "size"), temporary=False),
    Rule(
        "message.attachment",
        kind=("message",),
        reason=("attachment-unreadable", "attachment-changed", "changed"),
        temporary=False,
    ),
    Rule("recipient.too-many", kind=("message",), reason=("too-many-recipients",), temporary=False),
    Rule("message.envelope-differs", kind=("message",), reason=("envelope-differs",), temporary=False),
    # a sign-in server or an API: nobody typed its address
    Rule(
        "https.untrusted",
        kind=("tls",),
        reason=("certificate", "CERTIFICATE_VERIFY_FAILED"),
        when=_https,
        temporary=False,
        note="N33",
    ),
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
    Rule("tls.wrong-port", kind=("tls",), reason=_WRONG_PORT, when=_not_starttls, temporary=False, note="N11"),
    Rule("tls.outdated", kind=("tls",), reason=_OUTDATED, who="provider", temporary=False, note="N20 N22"),
    Rule(
        "tls.interrupted",
        kind=("tls", "connect"),
        step=("tls",),
        reason=(*_CUT, *_WRONG_PORT, "timeout"),
        temporary=True,
        note="N21",
    ),
    # the connection
    Rule("connect.refused", kind=("connect",), reason=("refused",), temporary=False, note="N5"),
    Rule("connect.unreachable", kind=("connect",), reason=("unreachable",), temporary=True, note="N7"),
    Rule(
        "greet.silent",
        kind=("connect",),
        step=("greet",),
        reason=("timeout",),
        when=_not_implicit_tls,
        temporary=False,
        note="N8",
    ),
    Rule("greet.closed", kind=("connect",), step=("connect", "greet"), reason=_CUT, temporary=True, note="N9 N10"),
    Rule(
        "connect.timeout",
        kind=("connect",),
        step=("resolve", "connect"),
        reason=("timeout",),
        temporary=True,
        note="N6",
    ),
    Rule("connect.stalled", kind=("connect",), reason=("timeout",), temporary=True),
    Rule("connect.lost", kind=("connect", "tls"), reason=_CUT, temporary=True, note="N32"),
)
