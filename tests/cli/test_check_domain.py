"""``franking check-domain`` and the yellow result of ``send-test``: what is shown, what is JSON, how each ends. DNS is
a server on loopback.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from franking.account.account import Account
from franking.account.editing import save
from franking.discovery import domain_check
from franking_cli.app import run
from reports import report
from servers.dns import DnsServer
from servers.smtp import Fault, SmtpServer, says
from servers.zones import PROVIDERS, dkim, zone

ZONE = f"""
good.cz MX 1 smtp.google.com
good.cz TXT v=spf1 include:_spf.google.com ~all
google._domainkey.good.cz TXT {dkim()}
_dmarc.good.cz TXT v=DMARC1; p=reject
poor.cz MX 1 mail.poor.cz
poor.cz TXT v=spf1 mx -all
mail.poor.cz A 192.0.2.1
"""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    with DnsServer(zone(PROVIDERS, ZONE), broken={"broken.cz", "_dmarc.broken.cz"}) as server:
        monkeypatch.setattr(domain_check, "system_resolver", lambda: server.resolver)
        monkeypatch.setattr(domain_check, "TIMEOUT", 60.0)  # of a busy machine
        yield server


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run(["check-domain", *arguments, "--json"])
    out, _ = capsys.readouterr()
    assert len(out.splitlines()) == 1
    return code, json.loads(out)


def test_json_is_the_contract(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = answer(capsys, "poor.cz", "--via", "google")
    assert code == 1 and list(told) == ["verdict", "domain", "account", "via", "findings"]
    assert (told["verdict"], told["domain"], told["account"], told["via"]) == ("warning", "poor.cz", None, "google")
    for finding in told["findings"]:
        assert list(finding) == ["code", "level", "text", "remedies", "record"]
    missing = next(finding for finding in told["findings"] if finding["code"] == "spf.sender-missing")
    assert missing["record"] == {
        "name": "poor.cz",
        "type": "TXT",
        "value": "v=spf1 mx include:_spf.google.com -all",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "verdict"),
    [
        (("good.cz",), 0, "good"),
        (("Jan <jan@good.cz>",), 0, "good"),
        (("gmail.com",), 0, "good"),
        (("poor.cz", "--via", "smtp.forpsi.com"), 1, "warning"),
        (("gone.cz",), 1, "warning"),
        (("broken.cz",), 5, "unknown"),
    ],
)
def test_how_it_ends(
    names: DnsServer, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, verdict: str
) -> None:
    ended, told = answer(capsys, *arguments)
    assert (ended, told["verdict"]) == (code, verdict)


@pytest.mark.parametrize(
    "arguments", [("nobody",), ("192.0.2.1",), ("",), ("good.cz", "--via", "gogle"), (), ("smtp://x",), ("a", "b")]
)
def test_what_was_asked_for_wrongly(
    names: DnsServer, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    ended, told = answer(capsys, *arguments)
    assert ended == 2 and told["diagnosis"]["remedies"]
    assert not names.asked


def test_an_account_comes_first_else_the_default_one(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    save(Account(name="poor.cz", provider="smtp", sender="a@good.cz", host="smtp.gmail.com", username="a@good.cz"))
    for arguments in (("poor.cz",), ()):
        code, told = answer(capsys, *arguments)
        assert (code, told["domain"], told["account"], told["via"]) == (0, "good.cz", "poor.cz", "google")
    code, told = answer(capsys, "a@poor.cz")
    assert (code, told["domain"], told["account"]) == (0, "poor.cz", None)


def test_for_the_eye(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check-domain", "poor.cz", "--via", "google"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split(maxsplit=2) == ["poor.cz", "TXT", "v=spf1 mx include:_spf.google.com -all"]
    assert "! Receivers may distrust mail from poor.cz." in err and "through google" in err
    assert "Whoever looks after the DNS of poor.cz" in err and "admin.google.com" in err
    assert err.rstrip().endswith("Next: franking check-domain poor.cz --via google")
    assert run(["check-domain", "good.cz"]) == 0
    assert "✓ Nothing was found that makes receivers distrust mail from good.cz." in capsys.readouterr().err
    assert run(["check-domain", "gmail.com"]) == 0
    assert "service's own" in capsys.readouterr().err
    assert run(["check-domain", "poor.cz"]) == 0
    assert "Who sends it is not known" in capsys.readouterr().err


def test_in_czech(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check-domain", "poor.cz", "--via", "google", "--language", "cs"]) == 1
    out, err = capsys.readouterr()
    assert "příjemci možná nebudou věřit" in err and "Správce DNS domény poor.cz" in " ".join(err.split())
    assert "v=spf1 mx include:_spf.google.com -all" in out


# -- beside a test message --------------------------------------------------------------------------------------------


def sent_by(server: SmtpServer, *more: str, sender: str = "info@poor.cz") -> int:
    arguments = ["--from", sender, "--host", "127.0.0.1", "--port", str(server.port), "--security", "none", "--no-auth"]
    return run(["send-test", *arguments, "--to", "me@example.cz", *more])


def test_a_test_that_receivers_may_distrust_is_yellow_and_ok(
    names: DnsServer, smtp_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server()
    assert sent_by(server, "--json", sender="info@gone.cz") == 0
    told = report(capsys.readouterr().out)
    assert (told["ok"], told["outcome"], told["deliverability"]["verdict"]) == (True, "sent", "warning")
    assert sent_by(server, sender="info@gone.cz") == 0
    err = capsys.readouterr().err
    assert "\n! " in err and "✓ sent" not in err
    assert "It was sent, but receivers may distrust it:" in err and "gone.cz does not exist" in err
    assert len(server.messages) == 2


def test_a_test_that_receivers_trust_or_that_nobody_can_judge_is_green(
    names: DnsServer, smtp_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server()
    for sender, verdict in (("info@good.cz", "good"), ("info@broken.cz", "unknown")):
        assert sent_by(server, "--json", sender=sender) == 0
        assert report(capsys.readouterr().out)["deliverability"]["verdict"] == verdict
        assert sent_by(server, sender=sender) == 0
        err = capsys.readouterr().err
        assert "✓ " in err and "distrust" not in err


def test_nobody_is_asked_where_that_is_wanted(
    names: DnsServer, smtp_server: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server()
    assert sent_by(server, "--json", "--no-domain-check") == 0
    assert report(capsys.readouterr().out)["deliverability"] is None
    stays = ["--provider", "file", "--path", str(tmp_path / "mails"), "--from", "info@poor.cz"]
    assert run(["send-test", *stays, "--to", "me@example.cz", "--json"]) == 0
    assert report(capsys.readouterr().out)["deliverability"] is None
    assert run(["check", "--provider", "file", "--path", str(tmp_path), "--from", "info@poor.cz", "--json"]) == 0
    assert report(capsys.readouterr().out)["deliverability"] is None
    assert run(["send-test", "--embedded", "--to", "info@poor.cz", "--json"]) == 0
    assert report(capsys.readouterr().out)["deliverability"] is None
    assert not names.asked


def test_a_test_that_failed_says_nothing_of_it(
    names: DnsServer, smtp_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server(faults=[Fault("mail", says("550 5.7.1 no"))])
    assert sent_by(server, "--json") == 1
    told = report(capsys.readouterr().out)
    assert told["diagnosis"] and told["deliverability"] is None
