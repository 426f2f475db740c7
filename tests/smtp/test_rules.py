"""Every row on networks, TLS and SMTP servers of the catalogue of failures, with the row's own words."""

from __future__ import annotations

import pytest

from catalogue import GENERIC, VALUES, ConnectTimeout, MessageError, Row, judged, seen, smtp
from franking.diagnosis.rules import diagnose
from franking.errors import ConnectError, LoginError, Refused, TLSError
from franking.smtp.rules import RULES
from tiers import one_of_each

ALL = (*RULES, *GENERIC)


def certificate(code: int, message: str) -> object:
    return seen(
        "tls",
        "CERTIFICATE_VERIFY_FAILED",
        message,
        verify_code=code,
        verify_message=message,
        names=["smtp.hosting.cz", "*.hosting.cz"],
    )


TLS = {"port": 465, "security": "tls"}
NETWORK = [
    Row("N1", "dns.not-found", seen("dns", "not-found", "Name or service not known", errno=-2), "resolve"),
    Row(
        "N2",
        "dns.unavailable",
        seen("dns", "no-dns", "Temporary failure in name resolution", errno=-3),
        "resolve",
        temporary=True,
    ),
    Row("N3", "dns.no-address", seen("dns", "no-address", "No address associated with hostname", errno=-5), "resolve"),
    Row(
        "N4",
        "dns.bad-name",
        seen("dns", "bad-name", "encoding with 'idna' codec failed (label empty or too long)"),
        "resolve",
    ),
    Row("N5", "connect.refused", seen("connect", "refused", "Connection refused", errno=111), "connect"),
    Row(
        "N6",
        "connect.timeout",
        seen("connect", "timeout", "timed out"),
        "connect",
        temporary=True,
        error=ConnectTimeout,
    ),
    Row(
        "N7",
        "connect.unreachable",
        seen("connect", "unreachable", "Network is unreachable", errno=101),
        "connect",
        temporary=True,
    ),
    Row(
        "N8",
        "greet.silent",
        seen("connect", "timeout", "timed out"),
        "greet",
        values={"port": 465},
        temporary=True,
        error=ConnectTimeout,
    ),
    Row("N9", "greet.closed", seen("connect", "closed", "Connection unexpectedly closed"), "greet", temporary=True),
    Row(
        "N10", "greet.closed", seen("connect", "reset", "[Errno 104] Connection reset by peer"), "greet", temporary=True
    ),
    Row(
        "N11",
        "tls.wrong-port",
        seen("tls", "WRONG_VERSION_NUMBER", "wrong version number"),
        "tls",
        values={"security": "tls"},
    ),
    Row("N11", "tls.wrong-port", seen("tls", "RECORD_LAYER_FAILURE"), "tls", values={"security": "tls"}),
    Row("N11", "tls.wrong-port", seen("tls", "PACKET_LENGTH_TOO_LONG"), "tls", values={"security": "tls"}),
    Row("N12", "tls.self-signed", certificate(18, "self-signed certificate"), "tls"),
    Row("N13", "tls.private-authority", certificate(19, "self-signed certificate in certificate chain"), "tls"),
    Row("N14", "tls.unknown-issuer", certificate(20, "unable to get local issuer certificate"), "tls"),
    Row("N15", "tls.expired", certificate(10, "certificate has expired"), "tls"),
    Row("N16", "tls.not-yet-valid", certificate(9, "certificate is not yet valid"), "tls"),
    Row(
        "N17",
        "tls.hostname",
        certificate(62, "Hostname mismatch, certificate is not valid for 'mail.novak.cz'."),
        "tls",
    ),
    Row(
        "N18",
        "tls.ip-address",
        certificate(64, "IP address mismatch, certificate is not valid for '192.0.2.7'."),
        "tls",
    ),
    Row("N19", "tls.incomplete-certificate", certificate(85, "Missing Authority Key Identifier"), "tls"),
    Row("N20", "tls.outdated", seen("tls", "TLSV1_ALERT_PROTOCOL_VERSION"), "tls", who="provider"),
    Row("N20", "tls.outdated", seen("tls", "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED"), "tls", who="provider"),
    Row("N21", "tls.interrupted", seen("tls", "UNEXPECTED_EOF_WHILE_READING"), "tls", temporary=True),
    Row(
        "N21",
        "tls.interrupted",
        seen("connect", "reset", "Connection reset by peer"),
        "tls",
        temporary=True,
        error=ConnectError,
    ),
    Row("N22", "tls.outdated", seen("tls", "DH_KEY_TOO_SMALL"), "tls", who="provider"),
    Row("N22", "tls.outdated", seen("tls", "SSLV3_ALERT_HANDSHAKE_FAILURE"), "tls", who="provider"),
    Row("N22", "tls.outdated", seen("tls", "UNSAFE_LEGACY_RENEGOTIATION_DISABLED"), "tls", who="provider"),
    Row("N23", "tls.starttls-not-offered", seen("tls", "starttls-not-offered"), "tls"),
    Row("N23", "tls.starttls-not-offered", seen("tls", text="STARTTLS extension not supported by server."), "tls"),
    Row(
        "N24",
        "tls.server-trouble",
        smtp("454 4.7.0 TLS not available due to local problem"),
        "tls",
        who="provider",
        temporary=True,
    ),
    Row("N25", "login.not-offered", seen("sasl", "auth-not-offered"), "login"),
    Row("N25", "login.not-offered", seen("sasl", text="SMTP AUTH extension not supported by server."), "login"),
    Row("N26", "login.mechanism", seen("sasl", "no-mechanism", mechanisms=["XOAUTH2", "NTLM"]), "login"),
    Row("N26", "login.mechanism", seen("sasl", text="No suitable authentication method found."), "login"),
    Row(
        "N27",
        "login.not-ascii",
        seen("sasl", text="'ascii' codec can't encode character '\\xe9' in position 1"),
        "login",
    ),
    Row("N28", "greet.refused", smtp("554 No SMTP service here"), "greet"),
    Row("N28", "server.trouble", smtp("421 Too busy, come back later"), "greet", who="provider", temporary=True),
    Row("N29", "greet.not-smtp", seen("smtp", "not-smtp", "* OK IMAP ready"), "greet"),
    *[
        Row("N29", "greet.not-smtp", seen("smtp", None, text), "greet")
        for text in (
            "OK [CAPABILITY IMAP4rev1] IMAP ready",
            "+OK POP3 ready",
            "HTTP/1.1 400 Bad Request",
            "SSH-2.0-OpenSSH_9.6",
        )
    ],
    Row("N30", "greet.not-smtp", smtp("500 Line too long."), "greet"),
    Row("N31", "message.needs-smtputf8", seen("message", "smtputf8"), error=MessageError),
    Row(
        "N31",
        "message.needs-smtputf8",
        seen(
            "message",
            None,
            "… require internationalized email support, but the server does not advertise support for SMTPUTF8",
        ),
    ),
    Row("N32", "connect.lost", seen("connect", "closed", "Server not connected"), error=ConnectError, temporary=True),
    Row("N32", "connect.lost", seen("connect", None, "please run connect() first"), error=ConnectError, temporary=True),
    Row(
        "N33",
        "https.unreachable",
        seen("connect", "refused", host="oauth2.googleapis.com"),
        "secret",
        temporary=True,
        error=ConnectError,
    ),
    Row("N33", "https.unreachable", seen("dns", "not-found", scheme="https"), "resolve", temporary=True),
    Row("N33", "https.untrusted", seen("tls", "CERTIFICATE_VERIFY_FAILED", scheme="https", verify_code=19), "tls"),
    Row("N34", "login.refused", seen("smtp", None, "SMTP Error: Could not authenticate."), "login"),
    Row("N34", "connect.failed", seen("connect", None, "SMTP connect() failed."), "connect", temporary=True),
    Row(
        "N34",
        "connect.failed",
        seen("connect", None, "SMTP Error: Could not connect to SMTP host."),
        "connect",
        temporary=True,
    ),
    Row("N34", "send.refused", seen("smtp", None, "SMTP Error: data not accepted.")),
    Row("N34", "send.refused", seen("smtp", None, "The following From address failed: info@novak.cz")),
    Row("N34", "login.refused", seen("smtp", None, "Invalid login: EAUTH"), "login"),
    Row("N34", "connect.failed", seen("connect", None, "ECONNECTION"), "connect", temporary=True),
    Row("N34", "connect.failed", seen("connect", None, "ESOCKET"), "connect", temporary=True),
    Row("N34", "connect.timeout", seen("connect", None, "ETIMEDOUT"), "connect", temporary=True),
    Row("N34", "recipient.refused", seen("smtp", None, "EENVELOPE")),
    Row("N34", "send.refused", seen("smtp", None, "EMESSAGE")),
    Row("N34", "login.required", seen("smtp", None, "EOAUTH2"), "login"),
    Row("N34", "login.missing", seen("smtp", None, 'Missing credentials for "PLAIN"'), "login"),
]

SERVERS = [
    Row("P1", "login.refused", smtp("535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"), "login"),
    Row("P2", "login.refused", smtp("535 Incorrect authentication data"), "login"),
    Row("P3", "login.refused", smtp("535 5.7.8 Authentication failed."), "login"),
    Row("P3", "login.account-disabled", smtp("535 5.7.8 User account is disabled."), "login"),
    Row("P3", "login.account-disabled", smtp("535 5.7.8 Password expired."), "login"),
    Row(
        "P4",
        "server.trouble",
        smtp("454 4.7.0 Temporary authentication failure."),
        "login",
        who="provider",
        temporary=True,
    ),
    Row(
        "P4",
        "server.trouble",
        smtp("454 4.7.0 Account is temporarily unavailable."),
        "login",
        who="provider",
        temporary=True,
    ),
    Row("P5", "login.too-many", smtp("450 4.7.1 Error: too many AUTH commands from host"), "login", temporary=True),
    Row("P6", "login.not-offered", smtp("503 AUTH command used when not advertised"), "login"),
    Row("P6", "login.not-offered", smtp("502 5.5.1 Error: command not implemented"), "login"),
    Row("P6", "login.not-offered", smtp("503 5.5.1 Error: authentication not enabled"), "login"),
    Row("P7", "login.refused", smtp("550 5.1.0 info@novak.cz authentication failed"), "login"),
    Row("P8", "protocol.error", smtp("501 Invalid base64 data"), "login"),
    Row("P8", "protocol.error", smtp("501 Authentication cancelled"), "login"),
    Row("P8", "protocol.error", smtp("553 Initial data not expected"), "login"),
    Row(
        "P9", "login.needs-tls", smtp("538 5.7.11 Encryption required for requested authentication mechanism"), "login"
    ),
    Row("P10", "login.too-long", smtp("500 5.5.6 Authentication exchange line is too long"), "login", who="provider"),
    Row("P10", "login.too-long", smtp("500 Line too long"), "login", who="provider"),
    Row("P10", "login.too-long", smtp("500 Command line too long"), "login", who="provider"),
    Row("P11", "tls.required", smtp("530 5.7.0 Must issue a STARTTLS command first")),
    Row("P11", "tls.required", smtp("530 5.7.0 TLS required.")),
    Row("P12", "login.missing", smtp("530 5.7.0 Authentication required.")),
    Row("P12", "login.missing", smtp("530 5.7.1 Authentication required")),
    Row("P13", "relay.denied", smtp("554 5.7.1 <jana@example.cz>: Relay access denied")),
    Row("P13", "relay.denied", smtp("454 4.7.1 <jana@example.cz>: Relay access denied")),
    Row("P14", "relay.denied", smtp("550 relay not permitted")),
    Row("P14", "relay.denied", smtp("550 5.7.1 Relaying denied")),
    Row(
        "P15", "sender.not-owned", smtp("553 5.7.1 <a@b.cz>: Sender address rejected: not owned by user info@novak.cz")
    ),
    Row("P16", "login.missing", smtp("553 5.7.1 <a@b.cz>: Sender address rejected: not logged in")),
    Row("P17", "sender.not-owned", smtp("550 5.1.0 sender domain must match authenticated domain")),
    Row("P17", "sender.not-owned", smtp("553 sender domain must match authenticated domain")),
    Row("P18", "sender.domain-unknown", smtp("450 4.1.8 <a@b.invalid>: Sender address rejected: Domain not found")),
    Row("P18", "sender.domain-unknown", smtp("550 5.1.8 <a@b.invalid>: Sender address rejected: Domain not found")),
    Row("P19", "address.syntax", smtp("504 5.5.2 <root>: Sender address rejected: need fully-qualified address")),
    Row("P19", "address.syntax", smtp("504 5.5.2 <root>: Recipient address rejected: need fully-qualified address")),
    Row("P20", "greet.name-refused", smtp("504 5.5.2 <pc>: Helo command rejected: need fully-qualified hostname")),
    Row("P20", "greet.name-refused", smtp("450 4.7.1 <pc>: Helo command rejected: Host not found")),
    Row("P20", "greet.name-refused", smtp("550 5.7.1 <pc>: Helo command rejected: Host not found"), "greet"),
    Row(
        "P21", "client.no-reverse-dns", smtp("450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]")
    ),
    Row(
        "P21",
        "client.no-reverse-dns",
        smtp("550 5.7.25 Client host rejected: cannot find your reverse hostname, [192.0.2.1]"),
    ),
    Row(
        "P22", "greylisted", smtp("450 4.2.0 <jana@example.cz>: Recipient address rejected: Greylisted"), temporary=True
    ),
    Row("P22", "greylisted", smtp("451 4.7.1 Greylisting in action, please come back later"), temporary=True),
    Row("P22", "greylisted", smtp("451 4.7.1 Service unavailable - try again later"), temporary=True),
    Row(
        "P23",
        "recipient.unknown",
        smtp("550 5.1.1 <x@novak.cz>: Recipient address rejected: User unknown in local recipient table"),
    ),
    Row("P23", "recipient.unknown", smtp("550 Unrouteable address")),
    Row("P23", "recipient.unknown", smtp("550 No such user here")),
    Row("P24", "recipient.full", smtp("452 4.2.2 The recipient's mailbox is over quota"), temporary=True),
    Row(
        "P24",
        "recipient.full",
        smtp("552 5.2.2 <x@novak.cz>: Quota exceeded (mailbox for user is full)"),
        temporary=True,
    ),
    Row("P25", "recipient.too-many", smtp("452 4.5.3 Error: too many recipients"), temporary=True),
    Row("P25", "recipient.too-many", smtp("550 too many recipients")),
    Row("P26", "message.too-large", smtp("552 5.3.4 Message size exceeds fixed limit")),
    Row("P26", "message.too-large", smtp("552 5.3.4 Error: Message file too big"), "accepted"),
    Row("P26", "message.too-large", smtp("552 Message size exceeds maximum permitted")),
    Row("P27", "server.trouble", smtp("452 4.3.1 Insufficient system storage"), who="provider", temporary=True),
    Row("P28", "address.syntax", smtp("501 5.1.7 Bad sender address syntax")),
    Row("P28", "address.syntax", smtp("501 5.1.3 Bad recipient address syntax")),
    Row("P29", "message.needs-smtputf8", smtp("553 5.6.7 Must declare SMTPUTF8 to send unicode address")),
    Row("P30", "recipient.refused", smtp("554 5.5.1 Error: no valid recipients")),
    Row("P31", "message.spam", smtp("550 5.7.1 message content rejected"), "accepted"),
    Row("P31", "message.spam", smtp("554 5.7.1 Spam message rejected"), "accepted"),
    Row("P32", "message.line-ends", smtp("550 5.5.2 Error: bare <LF> received"), "accepted"),
    Row("P32", "message.line-ends", smtp("521 5.5.2 Error: bare <LF> received"), "accepted"),
    Row("P33", "message.malformed", smtp("552 A message header line is too long"), "accepted"),
    Row("P33", "message.malformed", smtp("554 5.6.0 Message is badly built"), "accepted"),
    Row("P33", "message.line-too-long", smtp("554 5.6.0 Message contains a line that is too long"), "accepted"),
    Row("P33", "message.line-too-long", smtp("500 5.0.0 Line too long"), "accepted"),
    Row("P33", "message.line-too-long", smtp("500 Line too long (see RFC5321 4.5.3.1.6)"), "accepted"),
    Row("P33", "message.line-too-long", smtp("501 Syntax error - line too long"), "accepted"),
    Row("P33", "message.line-too-long", smtp("550 maximum allowed line length is 998 octets, got 1802"), "accepted"),
    Row("P33", "message.line-too-long", smtp("550 Maximum line length exceeded (see RFC 5322 2.1.1)."), "accepted"),
    Row("P33", "message.line-too-long", smtp("552 message line is too long"), "accepted"),
    Row("P33", "message.line-too-long", smtp("550 Line length in message or single header exceeds 8192"), "accepted"),
    Row("P33", "message.line-too-long", smtp("550 Lines longer than SMTP allows found"), "accepted"),
    Row("P34", "message.loop", smtp('550 Too many "Received" headers - suspected mail loop'), "accepted"),
    Row(
        "P35",
        "rate.connections",
        smtp("421 Too many concurrent SMTP connections; please try again later"),
        "greet",
        temporary=True,
    ),
    Row(
        "P35",
        "rate.connections",
        smtp("421 4.7.0 mx.example.cz Error: too many connections from 192.0.2.1"),
        "greet",
        temporary=True,
    ),
    Row("P36", "connect.lost", smtp("421 4.4.2 mx.example.cz Error: timeout exceeded"), temporary=True),
    Row("P37", "server.trouble", smtp("421 4.3.0 Server configuration error"), who="provider", temporary=True),
    Row("P37", "server.trouble", smtp("451 4.3.5 Server configuration error"), who="provider", temporary=True),
    Row("P37", "server.trouble", smtp("451 4.3.0 Error: queue file write error"), who="provider", temporary=True),
    Row(
        "P38",
        "blocklisted",
        smtp("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
        "greet",
    ),
    Row("P39", "protocol.error", smtp("554 SMTP synchronization error"), "greet"),
    Row("P40", "rate.limited", smtp("450 4.7.1 Error: too much mail from 192.0.2.1"), temporary=True),
    Row("P41", "login.app-password", smtp("535 5.7.0 (#AUTH005) Too many bad auth attempts."), "login"),
    Row("P41", "login.app-password", smtp("535 5.7.0 (#MBR1212) Incorrect username or password."), "login"),
    Row(
        "P42",
        "login.app-password",
        smtp("535 5.7.8 Error: authentication failed"),
        "login",
        values={"host": "smtp.mail.me.com"},
    ),
    Row(
        "P42",
        "login.app-password",
        smtp("535 5.7.0 Error: authentication failed"),
        "login",
        values={"host": "smtp.mail.me.com"},
    ),
    Row(
        "P42",
        "login.refused",
        smtp("535 5.7.8 Error: authentication failed"),
        "login",
        values={"host": "smtp.notmail.me.com.evil.example"},
    ),
    Row("P42", "sender.not-owned", smtp("550 5.7.0 From address is not one of your addresses")),
    Row(
        "P43",
        "login.service-credentials",
        smtp("535 Authentication Credentials Invalid"),
        "login",
        values={"host": "email-smtp.eu-west-1.amazonaws.com"},
    ),
    Row("P43", "sender.not-verified", smtp("554 Message rejected: Email address is not verified."), "accepted"),
    Row("P43", "rate.limited", smtp("454 Throttling failure: Maximum sending rate exceeded."), temporary=True),
    Row(
        "P44",
        "login.service-credentials",
        smtp("535 Authentication failed: Bad username / password"),
        "login",
        values={"host": "smtp.sendgrid.net"},
    ),
    Row("P44", "login.service-credentials", smtp("535 5.7.8 Error"), "login", values={"host": "smtp.sendgrid.net"}),
    Row(
        "P44",
        "sender.not-verified",
        smtp("550 The from address does not match a verified Sender Identity."),
        "accepted",
    ),
    Row("P44", "client.ip-not-allowed", smtp("525 5.7.1 Unauthorized IP address"), "login"),
]

ROWS = [*NETWORK, *SERVERS]


@pytest.mark.parametrize("row", one_of_each(ROWS, lambda row: row.code), ids=str)
def test_a_row_is_recognised(row: Row) -> None:
    judged(row, ALL)


def test_no_row_is_left_out() -> None:
    assert {row.row for row in ROWS} == {f"N{n}" for n in range(1, 35)} | {f"P{n}" for n in range(1, 45)}


def test_login_refused_leads_with_the_usual_culprits() -> None:
    error = LoginError("x", evidence=smtp("535 5.7.8 Error: authentication failed"))
    found = diagnose(error, ALL, {**VALUES, "username": "info"})
    assert found.code == "login.refused"
    assert "info@novak.cz instead of info" in found.remedies[0]
    assert "old one" in found.remedies[1]
    assert "another mailbox" in found.remedies[2]
    assert "first or last character" in found.remedies[3]


def test_a_better_road_leads_a_refused_login() -> None:
    error = LoginError("x", evidence=smtp("535 5.7.8 Username and Password not accepted."))
    known = {**VALUES, "recommended": "gmail", "recommended_title": "Gmail and Google Workspace"}
    first = diagnose(error, ALL, known).remedies[0]
    assert "Gmail and Google Workspace" in first
    assert "`franking setup info@novak.cz --provider gmail`" in first


def test_a_certificate_names_the_right_server() -> None:
    error = TLSError("x", step="tls", evidence=certificate(62, "Hostname mismatch"))  # type: ignore[arg-type]
    found = diagnose(error, ALL, VALUES)
    assert "smtp.hosting.cz" in found.remedies[0]
    assert "smtp.novak.cz" in found.cause


def test_ssl_on_587_and_starttls_on_465_name_the_settings_that_work() -> None:
    wrong = TLSError("x", step="tls", evidence=seen("tls", "WRONG_VERSION_NUMBER"))
    first = diagnose(wrong, ALL, {**VALUES, "security": "tls"}).remedies[0]
    assert "franking send-test shop --to me@example.cz --port 587 --security starttls" in first
    silent = ConnectError("x", step="greet", evidence=seen("connect", "timeout"))
    first = diagnose(silent, ALL, {**VALUES, "port": 465}).remedies[0]
    assert "franking send-test shop --to me@example.cz --port 465 --security tls" in first


@pytest.mark.parametrize(
    ("reply", "code", "temporary"),
    [
        ("550 5.0.0 Because I say so", "send.refused", False),
        ("451 4.0.0 Not now", "server.not-now", True),
        ("500 5.5.1 What?", "send.refused", False),
        ("535 No", "login.refused", False),
        ("550 5.1.1 Nobody", "recipient.unknown", False),
        ("552 Too much", "send.refused", False),
    ],
)
def test_what_is_left_is_told_by_its_code(reply: str, code: str, temporary: bool) -> None:
    found = diagnose(Refused("x", step="message", evidence=smtp(reply)), ALL, VALUES)
    assert (found.code, found.temporary) == (code, temporary)
