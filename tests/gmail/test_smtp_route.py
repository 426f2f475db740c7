"""The route ``gmail-smtp``: XOAUTH2 as smtp.gmail.com does it, with tokens from Google's fake, and what its refusals
mean.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth.secret import Password
from franking.auth.sources import secret_for
from franking.auth.store import MemoryStore
from franking.gmail.provider import GmailProvider
from servers.google import MAIL, SEND, Google
from servers.person import Person, browse
from servers.smtp import Fault, SmtpServer, says
from servers.web import Authority

GMAIL = GmailProvider()
MESSAGE = franking.Message(to=["jana@example.cz"], bcc=["boss@example.cz"], subject="x", text="y")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    return authority.context("localhost", "127.0.0.1")


Start = Callable[..., SmtpServer]


@pytest.fixture
def start(context: ssl.SSLContext) -> Iterator[Start]:
    running: list[SmtpServer] = []

    def make(tokens: dict[str, str], **settings: Any) -> SmtpServer:
        server = SmtpServer(
            **{"context": context, "implicit_tls": True, "tokens": tokens, "name": "smtp.gmail.com", **settings}
        )
        running.append(server.__enter__())
        return server

    yield make
    for server in running:
        server.__exit__()


def road(server: SmtpServer, authority: Authority, **settings: Any) -> franking.Account:
    given = {
        "host": "localhost",
        "port": server.port,
        "security": "tls",
        "ca_file": authority.ca_file,
        "timeout": 10,
        **settings,
    }
    return franking.Account(name="shop", provider="gmail", **{"sender": "Me <me@gmail.com>", "route": "smtp", **given})


def test_login_refresh_and_send_by_smtp(start: Start, authority: Authority, tmp_path: Path) -> None:
    """From the browser to the server's 250: the token that Google issued is the one that SMTP lets in."""
    with Google(authority) as google:
        file = tmp_path / "client.json"
        file.write_text(json.dumps(google.client_secrets()))
        server = start({}, mechanisms=("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"))
        account = road(server, authority, client_secrets=str(file))
        grant = GMAIL.login(account, Person(lambda url: browse(url, authority.ca_file)))
        store = MemoryStore({"shop": GMAIL.refresh(account, grant, None).dumps()})
        secret = secret_for(account, GMAIL, store, {})
        token = secret.get()
        assert set(google.access[token].scopes) >= {MAIL}
        server.tokens["me@gmail.com"] = token
        receipt = franking.send(account, MESSAGE, secret=secret)
    assert receipt.route == "gmail-smtp"
    assert receipt.accepted == ("jana@example.cz", "boss@example.cz")
    (arrived,) = server.messages
    assert (arrived.user, arrived.tls, arrived.recipients) == (
        "me@gmail.com",
        True,
        ["jana@example.cz", "boss@example.cz"],
    )
    assert b"boss@example.cz" not in arrived.data
    assert token not in str(server.sessions[0].plain)


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("auth", ["auto", "xoauth2", "oauthbearer"])
def test_both_mechanisms_by_either_kind_of_tls(start: Start, authority: Authority, security: str, auth: str) -> None:
    token = "ya29." + "t" * 1_900
    server = start({"me@gmail.com": token}, implicit_tls=security == "tls", plain_auth=False)
    franking.send(road(server, authority, security=security, auth=auth), MESSAGE, secret=Password(token))
    used = [line.split()[1] for line in server.sessions[0].lines if line.startswith("AUTH")]
    assert used == ["OAUTHBEARER" if auth == "oauthbearer" else "XOAUTH2"]


class SignedIn:
    """A secret that knows who signed in, as a grant's does."""

    who = "me@gmail.com"

    def get(self, *, renew_after: str | None = None) -> str:
        return "ya29.token"


@pytest.mark.parametrize(
    ("settings", "secret", "wanted"),
    [
        ({}, Password("ya29.token"), "me@gmail.com"),
        ({"sender": "alias@novak.cz"}, SignedIn(), "me@gmail.com"),
        ({"sender": "alias@novak.cz"}, Password("ya29.token"), "alias@novak.cz"),
        ({"username": "other@novak.cz"}, SignedIn(), "other@novak.cz"),
    ],
)
def test_who_logs_in(start: Start, authority: Authority, settings: dict[str, Any], secret: Any, wanted: str) -> None:
    server = start({wanted: "ya29.token"})
    franking.send(road(server, authority, **settings), MESSAGE, secret=secret)
    assert server.messages[0].user == wanted


def test_a_refused_token_shows_googles_own_reason_and_the_other_road(start: Start, authority: Authority) -> None:
    server = start({"me@gmail.com": "ya29.right"})
    report = franking.send_test(road(server, authority), to="me@gmail.com", secret=Password("ya29.canary-of-this-test"))
    assert (report.ok, report.outcome) == (False, "failed")
    assert report.diagnosis is not None
    assert report.diagnosis.code == "google.token-refused"
    assert "535" in report.diagnosis.raw
    assert {step.name for step in report.steps if step.status == "failed"} == {"login"}
    assert report.error is not None
    assert report.error.evidence is not None
    assert report.error.evidence.details["sasl"]["status"] == "401", "the JSON before the 535 is kept"
    assert '"status": "401"' in report.diagnosis.raw
    assert any("--route api" in remedy for remedy in report.diagnosis.remedies)
    assert "canary" not in f"{report.as_dict()} {report.error!r} {report.error.evidence!r}"


def test_a_token_for_the_api_alone_is_told(start: Start, authority: Authority) -> None:
    """A sign-in with gmail.send cannot log in to SMTP; it is known before anything is sent."""
    with Google(authority) as google:
        from franking.auth.secret import Grant

        grant = Grant(
            provider="gmail",
            route="gmail-api",
            who="me@gmail.com",
            scopes=("openid", "email", SEND),
            created_at=1.0,
            refreshed_at=1.0,
            data={
                "refresh_token": google.give_refresh(),
                "client_id": "c",
                "client_secret": "s",
                "token_uri": f"{google.url}/token",
            },
        )
        server = start({})
        account = road(server, authority)
        secret = secret_for(account, GMAIL, MemoryStore({"shop": grant.dumps()}), {})
        report = franking.send_test(account, to="me@gmail.com", secret=secret)
        assert google.requests == []
    assert report.outcome == "login-required"
    assert report.diagnosis is not None
    assert report.diagnosis.code == "google.scope-missing"
    assert server.sessions == []


def test_too_many_logins_is_temporary(start: Start, authority: Authority) -> None:
    token = "ya29.token"
    reply = (
        "454 4.7.0 Too many login attempts, please try again later. For more information, go to "
        "https://support.google.com/mail - gsmtp"
    )
    server = start(
        {"me@gmail.com": token},
        faults=[Fault("auth-answer", says(reply), nth=None), Fault("auth", says(reply), nth=None)],
    )
    report = franking.send_test(road(server, authority), to="me@gmail.com", secret=Password(token))
    assert report.diagnosis is not None
    assert report.diagnosis.temporary
    assert len(server.sessions) == 1, "nobody tries again at once"
