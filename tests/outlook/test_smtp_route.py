"""The settings of Outlook accounts, and their smtp route: XOAUTH2 with tokens of real size, and what Exchange's
refusals mean.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import errors
from franking.message.address import Address
from franking.outlook.facts import CLOUDS, CONSUMER_DOMAINS, FACTS, authority, graph_root, personal, scopes
from servers.microsoft import OUTLOOK, TENANT, Microsoft
from servers.smtp import Fault, SmtpServer, says
from servers.web import Authority


def outlook(sender: str = "jan@contoso.com", **settings: Any) -> franking.Account:
    return franking.Account(name="office", provider="outlook", sender=sender, **settings)


# -- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "settings", "host"),
    [
        ("jan@contoso.com", {}, "smtp.office365.com"),
        ("jan@outlook.cz", {}, "smtp-mail.outlook.com"),
        ("jan@HOTMAIL.co.uk", {}, "smtp-mail.outlook.com"),
        ("jan@contoso.onmicrosoft.com", {}, "smtp.office365.com"),
        ("jan@contoso.com", {"username": "jan@live.com"}, "smtp-mail.outlook.com"),
        ("jan@outlook.com", {"username": "jan@contoso.com"}, "smtp.office365.com"),
        ("jan@own.example", {"tenant": "consumers"}, "smtp-mail.outlook.com"),
        ("jan@contoso.us", {"cloud": "gcc-high"}, "smtp.office365.us"),
        ("jan@contoso.cn", {"cloud": "china"}, "smtp.partner.outlook.cn"),
        ("jan@contoso.com", {"host": "relay.contoso.com"}, "relay.contoso.com"),
        ("jan@mil.example", {"cloud": "dod", "host": "smtp.mil.example"}, "smtp.mil.example"),
    ],
)
def test_the_host_follows_from_the_kind_of_mailbox_and_the_cloud(
    sender: str, settings: dict[str, Any], host: str
) -> None:
    account = outlook(sender, route="smtp", **settings)
    assert (account.route, account.host, account.port, account.security) == ("outlook-smtp", host, 587, "starttls")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"app_only": True}, "tenant"),
        ({"app_only": True, "tenant": "Organizations"}, "tenant"),
        ({"app_only": True, "authority": "https://login.microsoftonline.com/common"}, "authority"),
        ({"app_only": True, "authority": "https://login.microsoftonline.com/Consumers/v2.0"}, "authority"),
        ({"app_only": True, "tenant": TENANT, "sender": "jan@outlook.com"}, "app_only"),
        ({"certificate": "/x.pem"}, "certificate"),
        ({"route": "smtp", "save_to_sent": False}, "save_to_sent"),
        ({"route": "smtp", "security": "none"}, "security"),
        ({"route": "smtp", "auth": "login"}, "auth"),
        ({"route": "smtp", "cloud": "dod"}, "host"),
        ({"route": "imap"}, "route"),
        ({"cloud": "germany"}, "cloud"),
        ({"tenant": "a/b"}, "tenant"),
        ({"tenant": ""}, "tenant"),
        ({"authority": "http://login.example/tenant"}, "authority"),
        ({"authority": "https://login.microsoftonline.com"}, "authority"),
        ({"authority": "https://login.microsoftonline.us/", "app_only": True}, "authority"),
        ({"authority": "https://jan:secret@login.example/t"}, "authority"),
        ({"authority": "https://login.example:x/t"}, "authority"),
        ({"graph_endpoint": "https://graph.example/v1.0"}, "graph_endpoint"),
        ({"graph_endpoint": "graph.example"}, "graph_endpoint"),
        ({"mailbox": "nobody"}, "mailbox"),
    ],
)
def test_what_cannot_go_together_is_refused_by_name(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        outlook(**settings)
    assert caught.value.field == field
    assert field in str(caught.value)


def test_clouds_and_overrides_of_addresses() -> None:
    for cloud in CLOUDS:
        account = outlook(cloud=cloud, tenant=TENANT)
        assert authority(account) == (f"{CLOUDS[cloud].login}/{TENANT}", True)
        assert graph_root(account) == f"{CLOUDS[cloud].graph}/v1.0"
    foreign = outlook(authority="https://sso.example/realms/x/", graph_endpoint="https://graph.example:8443/")
    assert authority(foreign) == ("https://sso.example/realms/x", False)
    assert authority(outlook(authority="https://sso.example/")) == ("https://sso.example", False)
    assert outlook(authority="https://sso.example", app_only=True).app_only
    assert graph_root(foreign) == "https://graph.example:8443/v1.0"
    assert authority(outlook(authority="https://login.microsoftonline.us/contoso.us")) == (
        "https://login.microsoftonline.us/contoso.us",
        True,
    )


def test_the_issuer_as_microsoft_writes_it_is_understood() -> None:
    issuer = f"https://login.microsoftonline.com/{TENANT}"
    assert authority(outlook(authority=f"{issuer}/v2.0")) == (issuer, True)
    assert authority(outlook(authority="https://sso.example/tenant/v2.0")) == ("https://sso.example/tenant/v2.0", False)


def test_scopes_are_those_of_the_cloud_and_never_overridden() -> None:
    graph = "https://graph.microsoft.com"
    assert scopes(outlook(graph_endpoint="https://localhost"), "graph") == (f"{graph}/Mail.Send",)
    assert scopes(outlook(), "outlook-smtp") == ("https://outlook.office.com/SMTP.Send",)
    assert scopes(outlook(large_attachments=True, mailbox="info@contoso.com"), "graph") == tuple(
        f"{graph}/{name}" for name in ("Mail.Send", "Mail.Send.Shared", "Mail.ReadWrite", "Mail.ReadWrite.Shared")
    )
    app = outlook(app_only=True, tenant=TENANT)
    assert scopes(app, "graph") == (f"{graph}/.default",)
    assert scopes(app, "outlook-smtp") == ("https://outlook.office365.com/.default",)
    assert scopes(outlook(cloud="china"), "graph") == ("https://microsoftgraph.chinacloudapi.cn/Mail.Send",)
    assert scopes(outlook(cloud="gcc-high"), "outlook-smtp") == ("https://outlook.office365.us/SMTP.Send",)


def test_consumer_domains_are_the_known_ones() -> None:
    assert len(CONSUMER_DOMAINS) == len(set(CONSUMER_DOMAINS)) == 102
    assert all(
        map(
            personal,
            ("outlook.cz", "outlook.sk", "hotmail.cz", "hotmail.sk", "Live.COM", "livemail.tw", "hotmail.com.tw"),
        )
    )
    assert not any(
        map(
            personal,
            (
                "live.cz",
                "live.sk",
                "passport.com",
                "webtv.net",
                "hotmail.com.mx",
                "contoso.com",
                "outlook.com.evil.tld",
            ),
        )
    )
    assert set(CONSUMER_DOMAINS) < set(FACTS.mail_domains)


# -- XOAUTH2 --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def context(ca: Authority) -> ssl.SSLContext:
    return ca.context("localhost", "127.0.0.1")


def jwt(audience: str, scope: str = "", **more: Any) -> str:
    """Make a token as work accounts have them, of real size."""
    claims = {"aud": audience, "scp": scope, "upn": "jan@contoso.com", "pad": "x" * 1_400, **more}
    parts = ({"alg": "RS256"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "sig"]
    )


class Token:
    """A secret with one token; a renewed one is given out when that was refused."""

    def __init__(self, *tokens: str, who: str | None = None) -> None:
        self._tokens = list(tokens)
        self.who = who

    def get(self, *, renew_after: str | None = None) -> str:
        if renew_after == self._tokens[0] and len(self._tokens) > 1:
            del self._tokens[0]
        return self._tokens[0]


GOOD = jwt(OUTLOOK, "SMTP.Send")
SMALL = franking.Message(to=["jana@example.cz"], bcc=["boss@example.cz"], subject="x", text="y")


Start = Callable[..., SmtpServer]


@pytest.fixture
def start(context: ssl.SSLContext) -> Iterator[Start]:
    running: list[SmtpServer] = []

    def make(**settings: Any) -> SmtpServer:
        server = SmtpServer(
            **{"context": context, "plain_auth": False, "tokens": {"jan@contoso.com": GOOD}, **settings}
        )
        running.append(server.__enter__())
        return server

    yield make
    for server in running:
        server.__exit__()


def road(server: SmtpServer, ca: Authority, **settings: Any) -> franking.Account:
    given = {
        "route": "smtp",
        "host": "localhost",
        "port": server.port,
        "ca_file": ca.ca_file,
        "timeout": 10,
        **settings,
    }
    return outlook(**given)


def test_a_token_of_real_size_goes_after_the_servers_334(start: Start, ca: Authority) -> None:
    server = start()
    assert len(GOOD) > 1_900
    receipt = franking.send(road(server, ca), SMALL, secret=Token(GOOD))
    assert receipt.route == "outlook-smtp"
    assert receipt.accepted == ("jana@example.cz", "boss@example.cz")
    (message,) = server.messages
    assert (message.user, message.tls) == ("jan@contoso.com", True)
    assert b"boss@example.cz" not in message.data
    assert "AUTH XOAUTH2" in server.wait().lines


@pytest.mark.parametrize(
    ("settings", "who", "wanted"),
    [
        ({}, None, "jan@contoso.com"),
        ({}, "upn@contoso.com", "upn@contoso.com"),
        ({"mailbox": "info@contoso.com"}, "upn@contoso.com", "info@contoso.com"),
        ({"mailbox": "info@contoso.com", "username": "me@contoso.com"}, "upn@contoso.com", "me@contoso.com"),
    ],
)
def test_who_logs_in(start: Start, ca: Authority, settings: dict[str, Any], who: str | None, wanted: str) -> None:
    server = start(tokens={wanted: GOOD})
    franking.send(road(server, ca, **settings), SMALL, secret=Token(GOOD, who=who))
    assert server.messages[0].user == wanted


def test_a_refused_token_is_renewed_once(start: Start, ca: Authority) -> None:
    server = start()
    franking.send(road(server, ca), SMALL, secret=Token("old" + GOOD, GOOD))
    assert (len(server.messages), len(server.sessions)) == (1, 2)


REFUSALS = [
    ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", "microsoft.basic-auth-off"),
    (
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
            "Visit https://aka.ms/smtp_auth_disabled for more information."
        ),
        "microsoft.smtp-auth-disabled",
    ),
    (
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. "
            "Visit https://aka.ms/smtp_auth_disabled for more information."
        ),
        "microsoft.smtp-auth-disabled-mailbox",
    ),
    (
        (
            "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. "
            "Contact your administrator."
        ),
        "microsoft.security-defaults",
    ),
    (
        (
            "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated "
            "successfully. "
            "Contact your administrator."
        ),
        "microsoft.policy-blocked",
    ),
    ("535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", "microsoft.password-refused"),
]


@pytest.mark.parametrize(("reply", "code"), REFUSALS)
def test_the_six_meanings_of_535_5_7_139(start: Start, ca: Authority, reply: str, code: str) -> None:
    tail = " [PR3P195CA0012.EURP195.PROD.OUTLOOK.COM 2026-11-21T10:00:00.000Z 08DE28A1B2C3D4E5]"
    server = start(faults=[Fault("auth-answer", says(reply + tail), nth=None)])
    report = franking.send_test(road(server, ca), to="me@example.cz", secret=Token(GOOD))
    assert report.diagnosis is not None
    assert (report.outcome, report.diagnosis.code) == ("failed", code)
    if "smtp-auth" in code:
        assert any("graph" in remedy for remedy in report.diagnosis.remedies)


@pytest.mark.parametrize(
    ("token", "settings", "code"),
    [
        (jwt("https://graph.microsoft.com", "Mail.Send"), {}, "microsoft.wrong-audience"),
        (jwt(OUTLOOK, "IMAP.AccessAsUser.All"), {}, "microsoft.scope-missing"),
        (
            jwt("https://outlook.office365.com", roles=["SMTP.SendAsApp"]),
            {"app_only": True, "tenant": TENANT},
            "microsoft.app-only-mailbox",
        ),
        (GOOD, {"mailbox": "info@contoso.com"}, "microsoft.shared-mailbox"),
        (GOOD, {"username": "other@contoso.com"}, "login.other-mailbox"),
        (GOOD, {}, "microsoft.token-refused"),
        ("EwBopaque" + "x" * 1_900, {}, "microsoft.token-refused"),
    ],
)
def test_the_meanings_of_535_5_7_3(
    start: Start, ca: Authority, token: str, settings: dict[str, Any], code: str
) -> None:
    reply = (
        "535 5.7.3 Authentication unsuccessful "
        "[AM0PR01CA0075.eurprd01.prod.exchangelabs.com 2026-11-21T10:00:00.000Z 08DE]"
    )
    server = start(faults=[Fault("auth-answer", says(reply), nth=None)])
    report = franking.send_test(road(server, ca, **settings), to="me@example.cz", secret=Token(token))
    assert report.diagnosis is not None
    assert report.diagnosis.code == code
    told = f"{report.as_dict()} {report.error} {report.error.evidence if report.error else ''}"
    assert token not in told


def test_both_routes_by_one_real_sign_in(tmp_path: Path, start: Start, ca: Authority) -> None:
    """Sign in once, then send by Graph and by SMTP; each gets the token of its own resource."""
    from franking.auth.sources import secret_for
    from franking.auth.store import MemoryStore
    from franking.outlook import login
    from franking.outlook.provider import OutlookProvider
    from outlook.test_login import Person

    with Microsoft(tmp_path, authority=ca) as microsoft:
        graph = outlook(**microsoft.settings())
        person = Person(microsoft)
        grant = login.login(graph, person)
        person.done()

        def secret(account: franking.Account) -> Any:
            return secret_for(account, OutlookProvider(), MemoryStore(), {}, grant.dumps())

        franking.send(graph, SMALL, secret=secret(graph))
        assert len(microsoft.graph.sent) == 1
        by_smtp = secret(outlook(**microsoft.settings(route="smtp")))
        token = by_smtp.get()
        assert microsoft.tokens[token].resource == OUTLOOK
        server = start(tokens={"jan@contoso.com": token})
        receipt = franking.send(road(server, ca), SMALL, secret=by_smtp)
        assert (receipt.route, server.messages[0].user) == ("outlook-smtp", "jan@contoso.com")


def test_the_sender_of_an_account_may_be_an_address_value() -> None:
    assert outlook(Address("jan@outlook.sk"), route="smtp").host == "smtp-mail.outlook.com"  # type: ignore[arg-type]
