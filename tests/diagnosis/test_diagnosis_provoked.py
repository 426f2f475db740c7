"""Failures provoked for real, over sockets on loopback, and what a person is told first."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

import franking
from franking.errors import Evidence, LoginError
from franking.registry import provider
from franking.sending.explain import explain
from franking.sending.testsend import TestReport, check, send_test
from servers.ports import closed_port
from servers.smtp import Fault, SmtpServer, hangs_up, resets, says, sends, silence
from servers.web import Authority

USERS = {"info@novak.cz": "heslo"}


def account(server: SmtpServer | int, **changes: Any) -> franking.Account:
    port = server if isinstance(server, int) else server.port
    settings: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "username": "info@novak.cz",
        "timeout": 5.0,
    }
    return franking.Account(name="shop", provider="smtp", sender="Jan Novák <info@novak.cz>", **{**settings, **changes})


def told(report: TestReport, code: str, first: str) -> None:
    assert report.diagnosis is not None
    assert report.diagnosis.code == code
    assert first in report.diagnosis.remedies[0]
    assert report.as_dict()["diagnosis"]["code"] == code
    assert report.outcome == "failed"


def test_a_printed_diagnosis_can_be_read() -> None:
    """README: ``print(report.ok, report.diagnosis)``."""
    with SmtpServer(users=USERS) as server:
        report = check(account(server), secret="heslo ")
    lines = str(report.diagnosis).split("\n")
    assert lines[0] == "The server refused the login"
    assert lines[2].startswith("1. The password ends with a blank.") and lines[3].startswith("2. ")


def test_a_stray_blank_in_the_password() -> None:
    with SmtpServer(users=USERS) as server:
        report = check(account(server), secret="heslo ")
    told(report, "login.refused", "ends with a blank")
    assert [hint.code for hint in report.hints] == ["secret.trailing-blank"]


def test_a_user_name_without_the_domain() -> None:
    with SmtpServer(users=USERS) as server:
        report = check(account(server, username="info"), secret="heslo")
    told(report, "login.refused", "info@novak.cz")


@pytest.mark.parametrize(
    ("host", "username", "told_to_try"),
    [
        ("127.0.0.1", "info", True),
        ("localhost", "info", True),
        ("localhost", "info@novak.cz", False),
        ("127.0.0.1", "ja@jinde.cz", False),
    ],
)
def test_the_whole_address_is_advised_once_and_only_where_it_helps(host: str, username: str, told_to_try: bool) -> None:
    with SmtpServer(users=USERS) as server:
        report = check(account(server, host=host, username=username), secret="heslo?")
    assert report.diagnosis is not None
    assert [text for text in report.diagnosis.remedies if "whole address" in text] == [
        text for text in report.diagnosis.remedies[:1] if told_to_try
    ]


@pytest.mark.parametrize("host", ["smtp.web.de", "smtp.free.fr", "SMTP.Laposte.net."])
def test_the_whole_address_is_not_advised_where_a_local_part_is_wanted(host: str) -> None:
    error = LoginError(
        "refused", step="login", evidence=Evidence("smtp", code=535, enhanced="5.7.8", text="authentication failed")
    )
    chosen = franking.Account(name="shop", provider="smtp", sender="jan@web.de", host=host, username="jan")
    assert "whole address" not in " ".join(explain(error, chosen, provider("smtp")).remedies)


@pytest.mark.parametrize(
    ("step", "reply", "code", "temporary"),
    [
        ("body", "550 5.4.5 Daily user sending quota exceeded", "quota.exceeded", True),
        ("mail", "452 4.7.1 You have exceeded your hourly sending limit", "quota.exceeded", True),
        ("rcpt", "552 5.2.2 The mailbox is over quota", "recipient.full", True),
        ("mail", "552 5.3.4 Message size limit exceeded", "message.too-large", False),
        ("body", "550 5.7.26 Unauthenticated email", "sender.domain-unauthenticated", False),
        ("rcpt", "450 4.7.1 Policy restrictions; try later", "greylisted", True),
        ("rcpt", "550 5.7.25 no", "client.no-reverse-dns", False),
    ],
)
def test_limits_and_policies_are_told_apart(step: str, reply: str, code: str, temporary: bool) -> None:
    with SmtpServer(faults=[Fault(step, says(reply))]) as server:
        report = send_test(account(server, username=None), "me@example.com")
    assert report.diagnosis is not None
    assert (report.diagnosis.code, report.diagnosis.temporary) == (code, temporary)


@pytest.mark.parametrize(
    "reply",
    ["530 5.7.0 Authentication required", "554 5.7.1 <me@example.com>: Relay access denied", "550 5.7.1 rejected"],
)
def test_a_server_that_wants_a_login_is_told_with_a_command_that_gives_one(reply: str) -> None:
    """And not with one that stores a password for an account without a login name."""
    with SmtpServer(faults=[Fault("rcpt", says(reply))]) as server:
        shop = account(server, username=None)
        flags = ("--from", "info@novak.cz", "--no-auth", "--host", "127.0.0.1")
        unsaved = send_test(shop.referred_to_as("smtp://127.0.0.1?from=info@novak.cz", flags), "me@example.com")
        saved = send_test(shop.referred_to_as("shop"), "me@example.com")
    told, kept = " ".join(unsaved.diagnosis.remedies), " ".join(saved.diagnosis.remedies)  # type: ignore[union-attr]
    assert (
        "`franking send-test --from info@novak.cz --host 127.0.0.1 --to me@example.com --username info@novak.cz`"
        in told
    )
    assert "franking login" not in told
    assert "`franking accounts add shop --update --username info@novak.cz`, then `franking login shop`" in kept


@pytest.mark.parametrize("token", [True, False])
def test_no_setting_is_offered_that_would_let_a_token_out(token: bool) -> None:
    problem = Evidence("settings", reason="plain-login", details={"token": token, "host": "smtp.novak.cz"})
    error = franking.SettingsError("not without TLS", step="login", evidence=problem)
    shop = franking.Account(
        name="shop", provider="smtp", sender="a@b.cz", host="smtp.novak.cz", security="none", username="a@b.cz"
    )
    assert ("allow_plain_login" in str(explain(error, shop, provider("smtp")))) is not token


def test_ssl_on_a_port_for_starttls() -> None:
    with SmtpServer(users=USERS) as server:
        report = check(account(server, security="tls"), secret="heslo")
    told(report, "tls.wrong-port", "--security starttls")


def test_no_tls_on_a_port_for_ssl() -> None:
    context = server_context(trustme.CA(), "127.0.0.1")
    with SmtpServer(users=USERS, context=context, implicit_tls=True) as server:
        report = check(account(server, security="starttls", timeout=0.3), secret="heslo")
    told(report, "greet.silent", "--security tls")


def test_a_closed_port() -> None:
    told(check(account(closed_port()), secret="heslo"), "connect.refused", "587")


def test_a_name_that_does_not_exist() -> None:
    report = check(account(587, host="smtp.gmai.invalid", security="starttls"), secret="heslo")
    told(report, "dns.not-found", "smtp.gmai.invalid")


@pytest.mark.parametrize(
    ("faults", "code", "first"),
    [
        ([Fault("greet", sends(b"* OK IMAP4rev1 Service Ready\r\n"))], "greet.not-smtp", "587"),
        ([Fault("greet", sends(b"SSH-2.0-OpenSSH_9.2\r\n"))], "greet.not-smtp", "587"),
        ([Fault("greet", hangs_up)], "greet.closed", "Wait"),
        ([Fault("greet", silence)], "greet.silent", "TLS from the start"),
        (
            [Fault("greet", says("554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org"))],
            "blocklisted",
            "587",
        ),
        (
            [Fault("greet", says("421 4.7.0 Error: too many connections from 192.0.2.1"))],
            "rate.connections",
            "one or two",
        ),
        ([Fault("auth", says("535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"))], "login.refused", "current one"),
        ([Fault("auth", says("454 4.7.0 Temporary authentication failure"))], "server.trouble", "Try again"),
        ([Fault("auth", hangs_up)], "connect.lost", "Try again"),
        ([Fault("auth", sends(b"garbage\r\n"))], "protocol.error", "Check server and port"),
    ],
)
def test_a_server_that_answers_otherwise(faults: list[Fault], code: str, first: str) -> None:
    timeout = 0.3 if faults[0].act is silence else 5.0
    with SmtpServer(users=USERS, faults=faults) as server:
        told(check(account(server, timeout=timeout), secret="heslo"), code, first)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (
            Fault("mail", says("553 5.7.1 <info@novak.cz>: Sender address rejected: not owned by user x")),
            "sender.not-owned",
        ),
        (Fault("rcpt", says("554 5.7.1 <me@example.cz>: Relay access denied")), "relay.denied"),
        (Fault("rcpt", says("450 4.2.0 <me@example.cz>: Recipient address rejected: Greylisted")), "greylisted"),
        (
            Fault("rcpt", says("550 5.1.1 <me@example.cz>: Recipient address rejected: User unknown")),
            "recipient.unknown",
        ),
        (Fault("mail", says("552 5.3.4 Message size exceeds fixed limit")), "message.too-large"),
        (Fault("body", says("550 5.7.1 message content rejected")), "message.spam"),
    ],
)
def test_a_message_that_is_refused(fault: Fault, code: str) -> None:
    with SmtpServer(users=USERS, faults=[fault], extensions=("8BITMIME", "ENHANCEDSTATUSCODES")) as server:
        report = send_test(account(server), to="me@example.cz", secret="heslo")
    assert report.diagnosis is not None
    assert report.diagnosis.code == code
    assert report.diagnosis.remedies


def test_a_reset_at_the_greeting() -> None:
    """The reset may come before anybody listened for the greeting: then it is a connection that was lost."""
    with SmtpServer(faults=[Fault("greet", resets)]) as server:
        report = check(account(server), secret="heslo")
    assert report.diagnosis is not None
    assert report.diagnosis.code in ("greet.closed", "connect.lost")
    assert report.diagnosis.temporary


def test_an_answer_that_never_comes_is_unknown() -> None:
    with SmtpServer(users=USERS, faults=[Fault("body", hangs_up)]) as server:
        report = send_test(account(server), to="me@example.cz", secret="heslo")
    assert report.diagnosis is not None
    assert (report.outcome, report.diagnosis.code) == ("unknown", "outcome.unknown")


def test_no_starttls() -> None:
    with SmtpServer(users=USERS) as server:
        told(check(account(server, security="starttls"), secret="heslo"), "tls.starttls-not-offered", "465")


def test_no_login_on_offer() -> None:
    with SmtpServer() as server:
        told(check(account(server), secret="heslo"), "login.not-offered", "encryption")


def test_a_login_that_waits_for_encryption_is_told_to_use_it_on_the_same_port(tmp_path: Path) -> None:
    context = Authority(tmp_path).context("localhost")
    with SmtpServer(users=USERS, context=context, plain_auth=False) as server:
        report = check(account(server), secret="heslo")
    assert report.diagnosis is not None
    assert report.diagnosis.code == "login.not-offered"
    assert f"port {server.port}" in report.diagnosis.cause
    assert "This port offers encryption" in report.diagnosis.remedies[0]


def test_only_oauth_on_offer() -> None:
    with SmtpServer(tokens={"info@novak.cz": "token"}) as server:
        report = check(account(server), secret="heslo")
    assert report.diagnosis is not None
    assert report.diagnosis.code == "login.mechanism"
    assert "XOAUTH2" in report.diagnosis.cause


# ---------------------------------------------------------------------------------------------------- certificates


def server_context(authority: trustme.CA, *names: str, **certificate: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **certificate).configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("case", "code", "first"),
    [
        ("other name", "tls.hostname", "smtp.hosting.cz"),
        ("expired", "tls.expired", "date and time"),
        ("unknown authority", "tls.unknown-issuer", "full chain"),
    ],
)
def test_a_certificate_that_is_not_to_be_trusted(case: str, code: str, first: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    expiry = {"not_after": datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)} if case == "expired" else {}
    context = server_context(authority, "smtp.hosting.cz" if case == "other name" else "localhost", **expiry)
    trusted = tmp_path / "ca.pem"
    (trustme.CA() if case == "unknown authority" else authority).cert_pem.write_to_path(str(trusted))
    with SmtpServer(users=USERS, context=context) as server:
        report = check(account(server, host="localhost", security="starttls", ca_file=str(trusted)), secret="heslo")
    told(report, code, first)


def test_an_ip_address_where_the_certificate_has_names(tmp_path: Path) -> None:
    authority = trustme.CA()
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with SmtpServer(users=USERS, context=server_context(authority, "smtp.novak.cz"), implicit_tls=True) as server:
        report = check(account(server, security="tls", ca_file=str(trusted)), secret="heslo")
    told(report, "tls.ip-address", "smtp.novak.cz")


def test_the_recipient_that_was_refused_is_named() -> None:
    with SmtpServer(refused={"nobody@example.com": "550 5.1.1 User unknown"}) as server:
        report = send_test(account(server, username=None), "nobody@example.com")
    assert report.diagnosis is not None
    assert report.diagnosis.cause == "The server knows no mailbox nobody@example.com."


def test_a_host_for_the_smtp_route_is_not_shown_on_the_way_to_an_api() -> None:
    mine = franking.Account(name="mine", provider="gmail", sender="me@gmail.com", host="smtp.example.com")
    report = send_test(mine, "me@example.com")
    assert report.outcome == "login-required"
    assert report.steps[0].detail == "Gmail and Google Workspace, gmail-api"
    assert report.diagnosis is not None
    assert report.diagnosis.cause == "Nobody has signed in for 'mine' yet.", "the command stands in the remedy, once"
    assert "franking login" in report.diagnosis.remedies[0]
