"""What a domain's records and published settings say, asked of a real name server and a real HTTPS server on
loopback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dns.resolver
import pytest

import franking
from franking.discovery import lookup
from franking.net import tls
from servers.dns import DnsServer
from servers.names import Names
from servers.web import Authority, Reply, WebServer

ZONE = """
$TTL 60
workspace.example.      IN MX 10 smtp.google.com.
workspace-old.example.  IN MX 1 aspmx.l.google.com.
workspace-old.example.  IN MX 5 alt1.aspmx.l.google.com.
workspace-old.example.  IN MX 10 aspmx2.googlemail.com.
m365.example.           IN MX 0 m365-example.mail.protection.outlook.com.
m365-new.example.       IN MX 10 m365new-example.c-v1.mx.microsoft.
gcc.example.            IN MX 10 gcc-example.mail.protection.office365.us.
filtered.example.       IN MX 10 eu-smtp-inbound-1.mimecast.com.
filtered.example.       IN MX 10 eu-smtp-inbound-2.mimecast.com.
filtered-srv.example.   IN MX 10 mx0a-0001.pphosted.com.
_submissions._tcp.filtered-srv.example. IN SRV 0 1 465 smtp.office365.com.
migrating.example.      IN MX 10 migrating-example.mail.protection.outlook.com.
migrating.example.      IN MX 20 mail.oldhost.example.
behind.example.         IN MX 10 behind-example.mail.protection.outlook.com.
behind.example.         IN MX 5 mx1.barracudanetworks.com.
both.example.           IN MX 10 both-example.mail.protection.outlook.com.
both.example.           IN MX 20 aspmx.l.google.com.
null.example.           IN MX 0 .
nomx.example.           IN A 192.0.2.1
srv.example.            IN MX 10 mx.srv.example.
_submissions._tcp.srv.example. IN SRV 10 0 465 backup.srv.example.
_submissions._tcp.srv.example. IN SRV 0 5 465 light.srv.example.
_submissions._tcp.srv.example. IN SRV 0 50 465 mail.srv.example.
_submission._tcp.srv.example.  IN SRV 0 1 587 mail.srv.example.
starttls.example.       IN MX 10 mx.starttls.example.
_submission._tcp.starttls.example. IN SRV 0 1 587 mail.starttls.example.
nosrv.example.          IN MX 10 mx.nosrv.example.
_submissions._tcp.nosrv.example. IN SRV 0 0 0 .
gsrv.example.           IN MX 10 mx.gsrv.example.
_submissions._tcp.gsrv.example. IN SRV 0 1 465 smtp.gmail.com.
hoster.example.         IN MX 10 mx.hoster.example.
agree.example.          IN MX 10 mx.agree.example.
_submissions._tcp.agree.example. IN SRV 0 1 465 smtp.agree.example.
clash.example.          IN MX 10 clash-example.mail.protection.outlook.com.
wedos.example.          IN MX 1 wes1-mx1.wedos.net.
wedos.example.          IN MX 10 wes1-mx-backup.wedos.net.
loop.example.           IN CNAME loop2.example.
loop2.example.          IN CNAME loop.example.
alias.example.          IN CNAME workspace.example.
odd.example.            IN MX 10 smtp.gmail.com.evil.example.
odd.example.            IN MX 10 notgoogle.com.
seznam.cz.              IN MX 10 mx1.seznam.cz.
post.cz.                IN MX 10 post-cz.mail.protection.outlook.com.
xn--hky-ela4t.example.  IN MX 1 smtp.google.com.
unknown.example.        IN MX 10 mail.unknown.example.
""" + "\n".join(
    f"huge.example. IN MX {number} a-rather-long-name-of-a-mail-server-{number:03}.huge.example."
    for number in range(200)
)

CONFIG = """<?xml version="1.0"?>
<clientConfig version="1.1"><emailProvider id="{domain}"><domain>{domain}</domain>
<incomingServer type="imap"><hostname>imap.{domain}</hostname><port>993</port>
<socketType>SSL</socketType></incomingServer>
<outgoingServer type="smtp"><hostname>{host}</hostname><port>{port}</port><socketType>{security}</socketType>
<username>{username}</username><authentication>{auth}</authentication></outgoingServer></emailProvider></clientConfig>"""


def config(
    domain: str,
    host: str,
    port: int = 465,
    security: str = "SSL",
    username: str = "%EMAILADDRESS%",
    auth: str = "password-cleartext",
) -> bytes:
    return CONFIG.format(domain=domain, host=host, port=port, security=security, username=username, auth=auth).encode()


PUBLISHED = {
    "hoster.example": config("hoster.example", "smtp.hoster.example", 587, "STARTTLS", "%EMAILLOCALPART%"),
    "agree.example": config("agree.example", "smtp.agree.example"),
    "clash.example": config("clash.example", "smtp.%EMAILDOMAIN%"),
    "wedos.example": config("wedos.example", "wes1-smtp.wedos.net"),
    "workspace-old.example": config("workspace-old.example", "smtp.gmail.com"),
    "plain.example": config("plain.example", "smtp.plain.example", 25, "plain"),
    "oauth.example": config("oauth.example", "smtp.oauth.example", auth="OAuth2"),
}


@pytest.fixture(scope="module")
def names() -> Iterator[DnsServer]:
    silent = {"slow.example", "_submissions._tcp.halfslow.example", "_submission._tcp.halfslow.example"}
    with DnsServer(
        ZONE + "\nhalfslow.example. IN MX 1 smtp.google.com.", silent=silent, broken={"broken.example"}
    ) as server:
        yield server


class Published:
    """A handed-in fetcher that knows a few documents and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, url: str, seconds: float) -> bytes:
        self.asked.append(url)
        domain = url.split("/")[2].removeprefix("autoconfig.")
        if not url.startswith("https://autoconfig.") or domain not in PUBLISHED:
            raise OSError("404")
        return PUBLISHED[domain]


def ask(names: DnsServer, text: str, *, timeout: float = 20.0, **rest: Any) -> franking.Recommendation:
    rest.setdefault("fetch", Published())
    return franking.recommend(text, resolver=names.resolver, timeout=timeout, **rest)


@pytest.mark.parametrize(
    ("typed", "provider", "confidence", "host"),
    [
        ("me@workspace.example", "gmail", "certain", "smtp.gmail.com"),
        ("workspace.example", "gmail", "certain", "smtp.gmail.com"),
        ("Jan <me@WORKSPACE.example.>", "gmail", "certain", "smtp.gmail.com"),
        ("me@workspace-old.example", "gmail", "certain", "smtp.gmail.com"),
        ("me@alias.example", "gmail", "certain", "smtp.gmail.com"),
        ("me@háčky.example", "gmail", "certain", "smtp.gmail.com"),
        ("me@m365.example", "outlook", "certain", "smtp.office365.com"),
        ("me@m365-new.example", "outlook", "certain", "smtp.office365.com"),
        ("me@gcc.example", "outlook", "certain", "smtp.office365.us"),
        ("me@migrating.example", "outlook", "likely", "smtp.office365.com"),
        ("me@behind.example", "outlook", "likely", "smtp.office365.com"),
        ("me@both.example", "outlook", "likely", "smtp.office365.com"),
        ("me@filtered.example", None, "unknown", None),
        ("me@filtered-srv.example", "outlook", "likely", "smtp.office365.com"),
        ("me@null.example", None, "unknown", None),
        ("me@nomx.example", None, "unknown", None),
        ("me@srv.example", "smtp", "likely", "mail.srv.example"),
        ("me@starttls.example", "smtp", "likely", "mail.starttls.example"),
        ("me@nosrv.example", None, "unknown", None),
        ("me@gsrv.example", "gmail", "likely", "smtp.gmail.com"),
        ("me@hoster.example", "smtp", "likely", "smtp.hoster.example"),
        ("me@agree.example", "smtp", "certain", "smtp.agree.example"),
        ("me@clash.example", "outlook", "likely", "smtp.office365.com"),
        ("me@wedos.example", "smtp", "certain", "wes1-smtp.wedos.net"),
        ("me@plain.example", "smtp", "likely", "smtp.plain.example"),
        ("me@seznam.cz", "smtp", "certain", "smtp.seznam.cz"),
        ("me@post.cz", "outlook", "likely", "smtp.office365.com"),
        ("me@odd.example", None, "unknown", None),
        ("me@unknown.example", None, "unknown", None),
        ("me@huge.example", None, "unknown", None),
        ("me@loop.example", None, "unknown", None),
        ("me@broken.example", None, "unknown", None),
        ("me@missing.example", None, "unknown", None),
    ],
)
def test_a_domain(names: DnsServer, typed: str, provider: str | None, confidence: str, host: str | None) -> None:
    found = ask(names, typed)
    assert (found.provider, found.confidence, found.settings["host"]) == (provider, confidence, host)
    assert found.evidence
    assert found.kind == ("address" if "@" in typed else "domain")


def sources(found: franking.Recommendation) -> list[str]:
    return [clue.source for clue in found.evidence]


def test_every_answer_is_told(names: DnsServer) -> None:
    found = ask(names, "me@agree.example")
    assert sources(found) == ["mx", "srv", "autoconfig"]
    assert found.evidence[0].detail == "mx.agree.example: not known"
    assert "smtp.agree.example, port 465" in found.evidence[1].detail
    assert "https://autoconfig.agree.example/mail/config-v1.1.xml" in found.evidence[2].detail


def test_srv_priority_and_weight(names: DnsServer) -> None:
    found = ask(names, "me@srv.example")
    assert [clue.detail.partition(",")[0] for clue in found.evidence if clue.source == "srv"] == [
        "mail.srv.example",
        "light.srv.example",
        "backup.srv.example",
        "mail.srv.example",
    ]
    assert found.settings == {
        "route": "smtp",
        "host": "mail.srv.example",
        "port": 465,
        "security": "tls",
        "username": "me@srv.example",
    }
    assert ask(names, "me@starttls.example").settings["security"] == "starttls"


def test_published_settings_are_taken_over(names: DnsServer) -> None:
    settings = {"route": "smtp", "host": "smtp.hoster.example", "port": 587, "security": "starttls", "username": "me"}
    assert ask(names, "me@hoster.example").settings == settings


def test_contradictions_are_named(names: DnsServer) -> None:
    clash = ask(names, "me@clash.example")
    assert any(
        "mx" in w and "autoconfig" in w and "smtp.clash.example" in w and "Microsoft" in w for w in clash.warnings
    )
    both = ask(names, "me@both.example")
    assert any("aspmx.l.google.com" in warning for warning in both.warnings)
    migrating = ask(names, "me@migrating.example")
    assert any("mail.oldhost.example" in warning for warning in migrating.warnings)
    moved = ask(names, "me@post.cz")
    assert any("Seznam" in warning for warning in moved.warnings)
    assert not ask(names, "me@workspace-old.example").warnings
    assert not ask(names, "me@wedos.example").warnings


def test_a_filter_says_nothing(names: DnsServer) -> None:
    found = ask(names, "me@filtered.example")
    assert "Mimecast" in found.reason
    assert all("filter" in clue.detail for clue in found.evidence)
    behind = ask(names, "me@behind.example")
    assert any("Barracuda" in warning for warning in behind.warnings)
    assert not any("does not" in warning for warning in behind.warnings)


def test_a_null_mx_is_told(names: DnsServer) -> None:
    found = ask(names, "me@null.example")
    assert any("receives no mail" in warning for warning in found.warnings)
    assert found.evidence[0].detail == "the domain says that it receives no mail"


def test_no_server_for_sending_is_told(names: DnsServer) -> None:
    assert "srv" in sources(ask(names, "me@nosrv.example"))


def test_a_missing_domain_is_told(names: DnsServer) -> None:
    assert "does not exist" in ask(names, "me@missing.example").reason


def test_an_error_of_the_name_server_is_told(names: DnsServer) -> None:
    for domain in ("broken.example", "loop.example"):
        found = ask(names, domain)
        assert "no answer" in found.reason or "Nothing" in found.reason
        assert found.evidence[0].source == "mx"


def test_silence_ends_at_the_deadline(names: DnsServer) -> None:
    found = ask(names, "me@slow.example", timeout=0.3)
    assert (found.provider, found.confidence) == (None, "unknown")
    assert "no answer" in found.reason
    assert found.evidence[0].detail == "no answer in time"


def test_an_answer_that_lacks_a_part_warns(names: DnsServer) -> None:
    found = ask(names, "me@halfslow.example", timeout=0.5)
    assert found.provider == "gmail"
    assert any("SRV" in warning for warning in found.warnings)


def test_a_fetcher_that_never_returns_is_left_behind(names: DnsServer) -> None:
    import threading

    gone = threading.Event()

    def never(url: str, seconds: float) -> bytes:
        gone.wait(30)
        raise OSError

    found = ask(names, "me@workspace.example", fetch=never, timeout=0.5)
    gone.set()
    assert found.provider == "gmail"
    assert any("autoconfig" in warning for warning in found.warnings)


def test_a_huge_answer_comes_over_tcp_and_is_shown_in_part(names: DnsServer) -> None:
    before = names.over_tcp
    found = ask(names, "me@huge.example")
    assert names.over_tcp > before
    shown = [clue.detail for clue in found.evidence if clue.source == "mx"]
    assert len(shown) == 9
    assert shown[-1] == "and 192 more"


def test_no_question_where_the_name_is_enough(names: DnsServer) -> None:
    names.asked.clear()
    fetch = Published()
    for typed in (
        "me@gmail.com",
        "smtp.gmail.com",
        "smtp.seznam.cz",
        "mail.novak.cz:25",
        "mailhub",
        "10.0.0.1",
        "smtp.azurecomm.net",
    ):
        ask(names, typed, fetch=fetch)
    franking.recommend("me@workspace.example", resolver=names.resolver, fetch=fetch, offline=True)
    assert names.asked == []
    assert fetch.asked == []


def test_all_questions_are_asked_and_only_over_https(names: DnsServer) -> None:
    names.asked.clear()
    fetch = Published()
    ask(names, "me@unknown.example", fetch=fetch)
    assert set(names.asked) == {
        ("unknown.example", "MX"),
        ("_submissions._tcp.unknown.example", "SRV"),
        ("_submission._tcp.unknown.example", "SRV"),
    }
    assert sorted(fetch.asked) == [
        "https://autoconfig.unknown.example/mail/config-v1.1.xml",
        "https://unknown.example/.well-known/autoconfig/mail/config-v1.1.xml",
    ]


def test_smtp_of_the_domain_is_never_guessed(names: DnsServer) -> None:
    found = ask(names, "me@unknown.example").as_dict()
    assert "smtp.unknown.example" not in str(found)


def test_unencrypted_and_oauth_only_settings_are_warned_of(names: DnsServer) -> None:
    assert any("not encrypted" in warning for warning in ask(names, "me@plain.example").warnings)
    assert any("OAuth only" in warning for warning in ask(names, "me@oauth.example").warnings)


def test_the_system_without_a_resolver_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(lookup, "system_resolver", none)
    found = franking.recommend("me@workspace.example", fetch=Published())
    assert found.confidence == "unknown"
    assert "no answer" in found.reason


# --- the document itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not xml",
        b"<html><body>404</body></html>",
        b"<clientConfig>",
        b"<clientConfig/>",
        config("x.example", "10.0.0.1 evil"),
        config("x.example", "localhost"),
        config("x.example", "a..b"),
        config("x.example", "smtp.x.example", 0),
        config("x.example", "smtp.x.example", 70000),
        config("x.example", "smtp.x.example", security="FTP"),
        config("x.example", "smtp.x.example").replace(b'type="smtp"', b'type="exchange"'),
        b'<?xml version="1.0"?><!DOCTYPE clientConfig>' + config("x.example", "smtp.x.example").partition(b"?>")[2],
        (
            b'<!DOCTYPE c [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><clientConfig><outgoingServer type="smtp">'
            b"<hostname>&b;"
            b".example</hostname><port>25</port><socketType>SSL</socketType></outgoingServer></clientConfig>"
        ),
        b'<!DOCTYPE c SYSTEM "file:///etc/passwd"><clientConfig/>',
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE c><clientConfig/>').encode("utf-16"),
        b"<clientConfig>" + b"<a>" * 10000,
    ],
)
def test_what_is_no_settings_document(document: bytes) -> None:
    assert lookup.read_autoconfig(document, "x.example") == ()


def test_the_document_of_a_hoster() -> None:
    found = lookup.read_autoconfig(
        config("x.example", "mail.%EMAILDOMAIN%", 587, "STARTTLS", "%EMAILLOCALPART%"), "x.example"
    )
    assert found == (lookup.Published(lookup.Server("mail.x.example", 587, "starttls"), "local-part"),)


def test_a_document_that_cannot_be_read_is_told(names: DnsServer) -> None:
    found = ask(names, "me@unknown.example", fetch=lambda url, seconds: b"<html/>")
    assert any(clue.source == "autoconfig" and "cannot be read" in clue.detail for clue in found.evidence)
    assert found.provider is None


# --- settings that a domain publishes, by a real HTTPS server ---------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextlib.contextmanager
def publishing(document: bytes, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """Serve a document at the two places where a hoster's settings are looked for."""
    hosts = ("autoconfig.hoster.example", "hoster.example")
    with WebServer(lambda request: Reply(200, document), authority, context=authority.context(*hosts)) as web:
        system = Names(monkeypatch)
        for host in hosts:
            system.lead(host, web.port)
        yield web


def test_settings_come_over_https(names: DnsServer, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = partial(lookup.fetch_https, ca_file=authority.ca_file, reachable=lambda address: True)
    with publishing(PUBLISHED["hoster.example"], authority, monkeypatch):
        found = ask(names, "me@hoster.example", fetch=fetch)
    assert found.settings["host"] == "smtp.hoster.example"


def test_a_large_document_is_cut_off_and_refused(
    names: DnsServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = partial(lookup.fetch_https, ca_file=authority.ca_file, reachable=lambda address: True)
    with publishing(b"x" * 10_000_000, authority, monkeypatch):
        found = ask(names, "me@hoster.example", fetch=fetch)
    assert found.provider is None
    assert any("cannot be read" in clue.detail for clue in found.evidence)


def test_a_domain_leads_nobody_to_this_computer(
    names: DnsServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who types an address may be a stranger, and so may be who owns its domain."""
    with publishing(PUBLISHED["hoster.example"], authority, monkeypatch) as web:
        contexts: list[object] = []
        trusting = partial(tls.context, authority.ca_file)
        monkeypatch.setattr(tls, "context", lambda ca_file: contexts.append(1) or trusting())
        found = franking.recommend("me@hoster.example", resolver=names.resolver, timeout=5)
        assert (web.connections, web.requests) == (0, [])
    assert len(contexts) == 2  # both places were tried, up to the address that they lead to
    assert found.provider is None
