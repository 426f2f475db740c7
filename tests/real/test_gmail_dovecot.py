"""The route ``gmail-smtp`` at Dovecot's submission service, which checks the token's signature itself (a JWT, validated
locally).
"""

from __future__ import annotations

import uuid

import pytest

import franking
from franking.auth.secret import Password
from servers.daemon import Certificates
from servers.dovecot import Dovecot, token
from servers.postfix import Postfix

USER = "info@example.cz"


def account(dovecot: Dovecot, certificates: Certificates, security: str, **settings: str) -> franking.Account:
    return franking.Account(
        name="workspace",
        provider="gmail",
        sender=f"Jan Novák <{USER}>",
        route="smtp",
        host="localhost",
        port=dovecot.tls_port if security == "tls" else dovecot.port,
        security=security,
        ca_file=str(certificates.ca),
        timeout=20.0,
        **settings,
    )


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize(("auth", "length"), [("auto", 220), ("xoauth2", 2_000), ("oauthbearer", 2_000)])
def test_a_signed_token_lets_the_mail_through(
    dovecot: Dovecot, postfix: Postfix, certificates: Certificates, security: str, auth: str, length: int
) -> None:
    message = franking.Message(
        to=["jana@example.com"],
        bcc=["boss@example.com"],
        subject="Žluťoučký kůň",
        text="x\n",
        message_id=f"<{uuid.uuid4()}@example.cz>",
    )
    with franking.connect(
        account(dovecot, certificates, security, auth=auth), secret=Password(token(USER, length=length))
    ) as mailer:
        receipt = mailer.send(message)
    assert receipt.route == "gmail-smtp"
    assert receipt.accepted == ("jana@example.com", "boss@example.com")
    assert b"boss@example.com" not in postfix.inbox.find(receipt.message_id)


@pytest.mark.parametrize(("expires_in", "user"), [(-3600.0, USER), (3600.0, "somebody-else@example.cz")])
def test_a_token_that_does_not_fit_is_refused_with_the_servers_json(
    dovecot: Dovecot, certificates: Certificates, expires_in: float, user: str
) -> None:
    refused = token(user, length=220, expires_in=expires_in)
    report = franking.send_test(account(dovecot, certificates, "tls"), to="jana@example.com", secret=Password(refused))
    assert (report.outcome, report.possibly_sent) == ("failed", False)
    assert report.diagnosis is not None
    assert report.diagnosis.code in ("google.token-refused", "login.other-mailbox")
    assert report.error is not None
    assert report.error.evidence is not None
    assert report.error.evidence.details["sasl"]["status"], "the JSON before the refusal"
    assert refused not in f"{report.as_dict()} {report.error!r} {report.error.evidence!r}"
