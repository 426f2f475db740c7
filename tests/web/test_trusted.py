"""The yellow result: a test that was sent, and why receivers may distrust it, in the page's language; and the test
message itself, which speaks it too.
"""

from __future__ import annotations

import email
from collections.abc import Callable, Iterator
from email import policy

import pytest

from franking.discovery import domain_check
from servers.dns import DnsServer
from servers.smtp import SmtpServer
from servers.zones import PROVIDERS, zone
from web.conftest import Served, settings

ZONE = "novak.cz MX 1 mail.novak.cz\nnovak.cz TXT v=spf1 mx +all"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    with DnsServer(zone(PROVIDERS, ZONE)) as server:
        monkeypatch.setattr(domain_check, "system_resolver", lambda: server.resolver)
        monkeypatch.setattr(domain_check, "TIMEOUT", 60.0)
        yield server


@pytest.mark.parametrize(
    ("language", "heading", "told", "who", "subject"),
    [
        (
            "en",
            "Receivers may distrust it",
            "permits everybody",
            "Whoever looks after the DNS",
            "Test message from Franking",
        ),
        (
            "cs",
            "Příjemci jí možná nebudou věřit",
            "povoluje posílat komukoli",
            "Správce DNS domény",
            "Zkušební zpráva od Frankingu",
        ),
    ],
)
def test_what_receivers_may_distrust_is_yellow(
    served: Callable[..., Served],
    mailbox: SmtpServer,
    names: DnsServer,
    language: str,
    heading: str,
    told: str,
    who: str,
    subject: str,
) -> None:
    page = served(language=language).browser().press("test", **settings(mailbox))
    result = page.result
    assert (result["data-outcome"], result["data-colour"]) == ("sent", "yellow")
    text = " ".join(result.text.split())
    assert heading in text and told in text and who in text and "v=spf1 mx ~all" in text
    (message,) = mailbox.messages
    assert subject in str(email.message_from_bytes(message.data, policy=policy.default)["Subject"])


def test_what_receivers_trust_is_green(served: Callable[..., Served], mailbox: SmtpServer, names: DnsServer) -> None:
    browser = served(language="cs").browser()
    page = browser.press("test", **settings(mailbox, **{"from": "info@gmail.com"}))
    assert page.result["data-colour"] == "green"
    told = browser.ask("GET", "/status.json").json["deliverability"]
    assert (told["verdict"], told["findings"]) == ("good", [])
    assert not names.asked


def test_what_nobody_knows_is_green(served: Callable[..., Served], mailbox: SmtpServer) -> None:
    page = served().browser().press("test", **settings(mailbox))
    assert page.result["data-colour"] == "green"
