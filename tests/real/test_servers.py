"""The real servers are what the other tests take them for: shown with the standard library alone, without a line of
ours.
"""

from __future__ import annotations

import base64
import smtplib
import ssl
import uuid

import pytest

from servers import dovecot as dovecot_facts
from servers.dovecot import Dovecot, token
from servers.exim import Exim
from servers.maildir import Maildir
from servers.opensmtpd import OpenSMTPD
from servers.postfix import SIZE_LIMIT, Postfix

SECURITIES = ("none", "starttls", "tls")
USERS = tuple(dovecot_facts.PASSWORDS)


def open_client(port: int, security: str, trust: ssl.SSLContext) -> smtplib.SMTP:
    if security == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(
            "localhost", port, local_hostname="client.test", timeout=20, context=trust
        )
    else:
        client = smtplib.SMTP("localhost", port, local_hostname="client.test", timeout=20)
    if security == "starttls":
        client.starttls(context=trust)
    client.ehlo()
    return client


def plain(client: smtplib.SMTP, user: str, password: str) -> tuple[int, bytes]:
    return client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())


def bearer(client: smtplib.SMTP, mechanism: str, user: str, access: str) -> tuple[int, bytes]:
    head = f"user={user}\1" if mechanism == "XOAUTH2" else f"n,a={user},\1"
    code, text = client.docmd("AUTH", mechanism)
    assert code == 334
    code, text = client.docmd(base64.b64encode(f"{head}auth=Bearer {access}\1\1".encode()).decode())
    if code == 334:
        assert b'"status"' in base64.b64decode(text)
        return client.docmd("" if mechanism == "XOAUTH2" else "AQ==")
    return code, text


def message() -> tuple[str, bytes]:
    """Make a message with a long run of 8-bit lines and lines that begin with dots, Bcc included: nothing may change on
    the way.
    """
    name = f"<{uuid.uuid4()}@example.cz>"
    head = (
        f"Message-ID: {name}\r\nDate: Sat, 21 Nov 2026 10:00:00 +0100\r\nFrom: info@example.cz\r\n"
        "To: a@example.cz\r\nBcc: b@example.cz\r\n"
    )
    head += (
        "Subject: =?utf-8?q?Dobr=C3=BD?= den\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    )
    return name, head.encode() + "\r\n.\r\n..\r\nPříliš žluťoučký kůň\r\n".encode() * 50


def deliver(client: smtplib.SMTP, inbox: Maildir) -> None:
    name, raw = message()
    refused = client.sendmail(
        "info@example.cz", ["a@example.cz", "nobody@example.cz", "later@example.cz"], raw, ["BODY=8BITMIME"]
    )
    assert {address: answer[0] // 100 for address, answer in refused.items()} == {
        "nobody@example.cz": 5,
        "later@example.cz": 4,
    }
    assert inbox.find(name) == raw
    assert inbox.copies(name) == 1


def port_of(server: Postfix | Dovecot | Exim, security: str) -> int:
    if isinstance(server, Postfix) and security == "none":
        return server.plain_port
    return server.tls_port if security == "tls" else server.port


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("user", [None, *USERS])
def test_postfix(postfix: Postfix, trust: ssl.SSLContext, security: str, user: str | None) -> None:
    with open_client(port_of(postfix, security), security, trust) as client:
        offered = {"pipelining", "chunking", "smtputf8", "8bitmime", "size", "auth", "dsn"}
        assert offered <= set(client.esmtp_features)
        assert int(client.esmtp_features["size"]) == SIZE_LIMIT
        if user:
            assert plain(client, user, "wrong")[0] == 535
            assert plain(client, user, dovecot_facts.PASSWORDS[user])[0] == 235
        deliver(client, postfix.inbox)


def test_postfix_offers_no_login_before_tls_where_it_offers_tls(postfix: Postfix, trust: ssl.SSLContext) -> None:
    with open_client(postfix.port, "none", trust) as client:
        assert "starttls" in client.esmtp_features
        assert "auth" not in client.esmtp_features
    with open_client(postfix.plain_port, "none", trust) as client:
        assert "starttls" not in client.esmtp_features


def test_postfix_refuses_to_relay_and_another_ones_sender(postfix: Postfix, trust: ssl.SSLContext) -> None:
    with open_client(postfix.port, "starttls", trust) as client:
        client.mail("info@example.cz")
        assert client.rcpt("a@elsewhere.test") == (554, b"5.7.1 <a@elsewhere.test>: Relay access denied")
        client.rset()
        assert plain(client, "jan", dovecot_facts.PASSWORDS["jan"])[0] == 235
        client.mail("boss@example.cz")
        code, text = client.rcpt("a@example.cz")
        assert (code, text) == (553, b"5.7.1 <boss@example.cz>: Sender address rejected: not owned by user jan")


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("server", ["postfix", "dovecot"])
def test_tokens(
    server: str, mechanism: str, request: pytest.FixtureRequest, trust: ssl.SSLContext, postfix: Postfix
) -> None:
    target = request.getfixturevalue(server)
    user = "info@example.cz"
    assert len(token(user)) >= 2000
    with open_client(target.tls_port, "tls", trust) as client:
        assert bearer(client, mechanism, user, token(user, expires_in=-60))[0] == 535
    with open_client(target.tls_port, "tls", trust) as client:
        assert bearer(client, mechanism, user, token(user))[0] == 235
        name, raw = message()
        assert client.sendmail("info@example.cz", ["a@example.cz"], raw) == {}
        assert postfix.inbox.find(name) == raw


def test_dovecot_refuses_a_long_initial_response(dovecot: Dovecot, trust: ssl.SSLContext) -> None:
    with open_client(dovecot.tls_port, "tls", trust) as client:
        line = base64.b64encode(f"user=x\1auth=Bearer {token('x')}\1\1".encode()).decode()
        assert client.docmd("AUTH", "XOAUTH2 " + line)[0] == 500


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("user", USERS)
def test_dovecot(dovecot: Dovecot, postfix: Postfix, trust: ssl.SSLContext, security: str, user: str) -> None:
    with open_client(port_of(dovecot, security), security, trust) as client:
        assert "smtputf8" not in client.esmtp_features
        assert {"pipelining", "chunking"} <= set(client.esmtp_features)
        assert plain(client, user, "wrong")[0] == 535
        assert plain(client, user, dovecot_facts.PASSWORDS[user])[0] == 235
        deliver(client, postfix.inbox)


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("user", [None, *USERS])
def test_exim(exim: Exim, trust: ssl.SSLContext, security: str, user: str | None) -> None:
    with open_client(port_of(exim, security), security, trust) as client:
        assert {"pipelining", "chunking", "smtputf8", "8bitmime", "size"} <= set(client.esmtp_features)
        assert client.esmtp_features["auth"].split() == ["CRAM-MD5", "PLAIN", "LOGIN"]
        if user:
            assert plain(client, user, "wrong")[0] == 535
            assert plain(client, user, dovecot_facts.PASSWORDS[user])[0] == 235
        deliver(client, exim.inbox)


def test_exim_knows_cram_md5(exim: Exim, trust: ssl.SSLContext) -> None:
    with open_client(exim.port, "none", trust) as client:
        client.user, client.password = "info@example.cz", dovecot_facts.PASSWORDS["info@example.cz"]
        assert client.auth("CRAM-MD5", client.auth_cram_md5)[0] == 235


def test_opensmtpd(opensmtpd: OpenSMTPD, trust: ssl.SSLContext) -> None:
    with open_client(opensmtpd.port, "none", trust) as client:
        assert not {"pipelining", "chunking", "starttls", "auth"} & set(client.esmtp_features)
        name, raw = message()
        raw = raw.replace(b"Bcc: b@example.cz\r\n", b"")  # OpenSMTPD takes Bcc off by itself
        refused = client.sendmail("info@example.cz", ["a@example.cz", "nobody@example.cz"], raw, ["BODY=8BITMIME"])
        assert {address: answer[0] for address, answer in refused.items()} == {"nobody@example.cz": 550}
        assert opensmtpd.inbox.find(name) == raw
