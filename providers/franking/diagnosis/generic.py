"""The rules that hold whatever the provider: network, TLS, what a code class says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence
from franking.text import size_in_words

__all__ = ["GENERIC"]


def _https(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Return whether it was a sign-in server or an API that was not reached, whose address nobody typed."""
    return values.get("step") == "secret" or bool(values.get("api")) or seen.details.get("scheme") in ("http", "https")


def _known_host(seen: Evidence, values: Mapping[str, Any]) -> bool:
    """Return whether the name is surely right: then a resolver that does not know it is cut off, or filters."""
    return bool(values.get("known_host"))


def _not_implicit_tls(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return values.get("security") != "tls"


def _not_starttls(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return values.get("security") != "starttls"


def _sizes(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: size_in_words(size) for key in ("size", "limit") if isinstance(size := values.get(key), int)}


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


def _on(kind: str, code: str, *reasons: str, temporary: bool = False, **more: Any) -> Rule:
    """Return the rule for one kind of evidence with one of these reasons; most failures stay until somebody acts."""
    return Rule(code, (kind,), reason=reasons, temporary=temporary, **more)


GENERIC: tuple[Rule, ...] = (
    # the command line's own
    _on("settings", "usage", "usage"),
    _on("settings", "bug", "bug"),
    Rule("interrupted", kind=("",), reason=("interrupted",), temporary=False),
    Rule("text.not-understood", reason=("not-understood",), temporary=False),
    Rule("machine.exhausted", reason=("exhausted",), who="admin", temporary=True),
    # what is kept here
    _on("store", "store.insecure", "loose-mode"),
    _on("store", "store.not-ours", "link", "not-ours", "foreign-owner"),
    _on("store", "store.broken", "damaged", "newer", "not-a-grant"),
    _on("store", "store.cannot-write", "unwritable"),
    _on("store", "store.away", "server-away", who="admin", temporary=True),
    _on("store", "store.busy", "server-busy", who="admin", temporary=True),
    _on("store", "store.lock-lost", "lock-lost", temporary=True),
    _on("store", "store.refused", "server-refused", who="admin"),
    _on("store", "store.no-rights", "no-rights", who="admin"),
    _on("store", "store.unfit", "unfit", who="admin"),
    _on("store", "store.no-table", "no-table", who="admin"),
    _on("store", "store.other-table", "other-table", who="admin"),
    _on("store", "store.address", "bad-address", who="admin"),
    _on("store", "store.wrong-key", "other-key", who="admin"),
    _on("store", "store.no-key", "no-shared-key", who="admin"),
    _on("store", "store.locked", "lock-timeout", temporary=True),
    _on("store", "store.not-now", "not-now", temporary=True),
    _on("store", "store.short-key", "short-key"),
    _on("settings", "store.not-shared", "no-shared-store"),
    _on("store", "store.unavailable"),
    _on("outbox", "outbox.not-ours", "owner"),
    _on("outbox", "outbox.not-private", "mode"),
    _on("outbox", "outbox.newer", "newer"),
    _on("outbox", "outbox.unsuitable", "network"),
    _on("outbox", "outbox.damaged", "damaged"),
    _on("outbox", "outbox.cannot-write", "unwritable"),
    _on("outbox", "outbox.busy", "full", "busy", temporary=True),
    _on("outbox", "outbox.body-missing", "body-missing"),
    _on("outbox", "outbox.interrupted", "interrupted"),
    _on("outbox", "outbox.resolved", "resolved"),
    _on("outbox", "outbox.found", "found"),
    _on("broker", "broker.away", "away", temporary=True),
    _on("broker", "broker.time-limit", "time-limit", temporary=True),
    _on("settings", "secret.missing", "no-password"),
    _on("settings", "secret.source", "secret-source"),
    _on("settings", "secret.elsewhere", "bound-elsewhere"),
    _on("settings", "secret.not-a-sign-in", "given-grant"),
    _on("settings", "settings.no-account", "no-account"),
    _on("settings", "settings.value", "value"),
    _on("settings", "settings.file", "file"),
    _on("settings", "settings.folder-gone", "no-directory"),
    _on("settings", "settings.insecure", "open-to-writing"),
    _on("settings", "settings.extra", "extra-missing"),
    Rule(
        "account.disabled",
        step=("settings",),
        when=lambda seen, values: values.get("field") == "enabled",
        temporary=False,
    ),
    _on("settings", "settings.ca-file", "ca-file"),
    _on("settings", "settings.host-not-allowed", "host-not-allowed"),
    # a sign-in that did not come about
    _on("oauth", "login.required", "no-grant"),
    _on("oauth", "login.timeout", "sign-in-timeout", note="O23"),
    _on("oauth", "login.no-device", "no-device-endpoint"),
    _on("oauth", "login.code-refused", "state-mismatch", "mismatching_state", note="O22"),
    _on("oauth", "login.paste-not-understood", "paste-not-understood"),
    _on("oauth", "login.other-mailbox", "wrong-account"),
    Rule("https.not-understood", reason=("unreadable", "unreadable-answer", "upload-protocol"), temporary=True),
    _on("oauth", "login.insecure-address", "insecure_transport", note="O21"),
    _on("oauth", "login.insecure-address", text="MUST utilize https", note="O21"),
    Rule("login.sign-in-refused", kind=("oauth",), when=lambda seen, _: bool(seen.reason)),
    # a limit that we keep ourselves
    _on("limit", "limit.per-minute", "per-minute", temporary=True),
    _on("limit", "limit.per-day", "per-day", temporary=True),
    _on("limit", "limit.recipients-per-day", "recipients-per-day", temporary=True),
    _on("limit", "limit.connections", "connections", temporary=True),
    _on("limit", "rate.limited", "retry-after", temporary=True),
    # what is known of a message that several workers may be handed
    _on("journal", "journal.busy", "busy", temporary=True),
    _on("journal", "journal.interrupted", "interrupted"),
    _on("message", "message.key-reused", "key-reused"),
    # the message, before anything left
    Rule("message.too-large", kind=("message", "smtp"), reason=("too-large", "size"), temporary=False, adds=_sizes),
    _on("message", "message.attachment", "attachment-unreadable", "attachment-changed", "changed"),
    _on("message", "address.syntax", "not-an-address"),
    _on("message", "recipient.too-many", "too-many-recipients"),
    _on("message", "message.envelope-differs", "envelope-differs"),
    # a sign-in server or an API: nobody typed its address
    _on("tls", "https.untrusted", "certificate", "CERTIFICATE_VERIFY_FAILED", when=_https, note="N33"),
    Rule("https.unreachable", kind=(*_NETWORK, "tls"), when=_https, temporary=True, note="N33"),
    # the name
    _on("dns", "dns.unavailable", "not-found", temporary=True, when=_known_host, note="N2"),
    _on("dns", "dns.not-found", "not-found", note="N1"),
    _on("dns", "dns.unavailable", "no-dns", "timeout", temporary=True, note="N2"),
    _on("dns", "dns.no-address", "no-address", note="N3"),
    Rule("dns.bad-name", reason=("bad-name",), temporary=False, note="N4"),
    # the certificate
    _on("tls", "tls.self-signed", details=_verify(18), note="N12"),
    _on("tls", "tls.private-authority", details=_verify(19), note="N13"),
    _on("tls", "tls.unknown-issuer", details=_verify(2, 20, 21), note="N14"),
    _on("tls", "tls.expired", details=_verify(10), note="N15"),
    _on("tls", "tls.not-yet-valid", details=_verify(9), note="N16"),
    _on("tls", "tls.hostname", details=_verify(62), note="N17"),
    _on("tls", "tls.ip-address", details=_verify(64), note="N18"),
    _on("tls", "tls.outdated", details=_verify(66, 67, 68), who="provider", note="N20 N22"),
    _on("tls", "tls.incomplete-certificate", details=_verify(*range(79, 96)), note="N19"),
    _on("tls", "tls.certificate", "certificate", "CERTIFICATE_VERIFY_FAILED"),
    # the handshake
    _on("tls", "tls.wrong-port", *_WRONG_PORT, when=_not_starttls, note="N11"),
    _on("tls", "tls.outdated", *_OUTDATED, who="provider", note="N20 N22"),
    Rule(
        "tls.interrupted",
        kind=("tls", "connect"),
        step=("tls",),
        reason=(*_CUT, *_WRONG_PORT, "timeout"),
        temporary=True,
        note="N21",
    ),
    # the connection
    _on("connect", "connect.refused", "refused", note="N5"),
    _on("connect", "connect.unreachable", "unreachable", temporary=True, note="N7"),
    _on("connect", "greet.silent", "timeout", step=("greet",), when=_not_implicit_tls, temporary=True, note="N8"),
    _on("connect", "greet.closed", *_CUT, step=("connect", "greet"), temporary=True, note="N9 N10"),
    _on("connect", "connect.timeout", "timeout", step=("resolve", "connect"), temporary=True, note="N6"),
    _on("connect", "connect.stalled", "timeout", temporary=True),
    Rule("connect.lost", kind=("connect", "tls"), reason=_CUT, temporary=True, note="N32"),
)
