"""``franking recommend``: what goes to stdout, what to stderr, and how it ends. Names are asked of a server on
loopback.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from franking.discovery import lookup
from franking_cli.app import run
from servers.dns import DnsServer
from servers.smtp import SmtpServer
from servers.web import Authority

ZONE = """
workspace.example. 60 IN MX 1 smtp.google.com.
clash.example.     60 IN MX 1 clash-example.mail.protection.outlook.com.
_submissions._tcp.clash.example. 60 IN SRV 0 1 465 smtp.clash.example.
nobody.example.    60 IN MX 1 mail.nobody.example.
"""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    def nothing(url: str, seconds: float) -> bytes:
        raise OSError(url)

    with DnsServer(ZONE) as server:
        monkeypatch.setattr(lookup, "system_resolver", lambda: server.resolver)
        monkeypatch.setattr(lookup, "fetch_https", nothing)
        yield server


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run(["recommend", *arguments, "--json"])
    out, _ = capsys.readouterr()
    assert len(out.splitlines()) == 1
    return code, json.loads(out)


def test_json_is_the_contract(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, value = answer(capsys, "me@workspace.example")
    assert code == 0
    assert list(value) == ["input", "kind", "provider", "confidence", "reason", "evidence", "settings", "warnings"]
    assert (value["kind"], value["provider"], value["confidence"]) == ("address", "gmail", "certain")
    assert value["settings"] == {
        "route": "gmail-api",
        "host": "smtp.gmail.com",
        "port": 465,
        "security": "tls",
        "username": "me@workspace.example",
    }


def test_an_address_that_nobody_knows_has_a_next_step_too(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "Jan <me@nobody.example>"]) == 0
    assert capsys.readouterr().err.rstrip().endswith("Next: franking setup me@nobody.example --host SERVER")
    assert run(["recommend", "me@@nobody.example"]) == 0
    assert "Next" not in capsys.readouterr().err


def test_offline_asks_nobody(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, value = answer(capsys, "me@workspace.example", "--offline")
    assert (code, value["provider"], value["confidence"]) == (0, None, "unknown")
    assert names.asked == []


def test_for_the_eye(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "me@clash.example"]) == 0
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["provider", "outlook"],
        ["route", "graph"],
        ["host", "smtp.office365.com"],
        ["port", "587"],
        ["security", "starttls"],
        ["username", "me@clash.example"],
    ]
    assert "✓ Outlook.com and Microsoft 365 (likely)" in err
    assert "! Not everything agrees" in err
    assert "srv        smtp.clash.example, port 465" in err
    assert "Next: franking setup me@clash.example" in err


def test_nothing_known(names: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "nobody.example"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "No recommendation" in err
    assert "mail.nobody.example: not known" in err


def test_an_unknown_host_leads_to_the_probe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "mail.nobody.example:587"]) == 0
    assert "Next: franking recommend --probe mail.nobody.example:587" in capsys.readouterr().err


def test_nothing_typed_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "  "]) == 2
    assert run(["recommend"]) == 2
    code, value = answer(capsys, " ")
    assert (code, value["ok"]) == (2, False)


def test_control_characters_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "smtp.\x1b[31m\x07example.com\u202e"]) == 0
    assert run(["recommend", "--offline", "a\u200db.example"]) == 0
    out, err = capsys.readouterr()
    assert not any(char in out + err for char in "\x1b\x07\u202e")


def test_the_probe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = Authority(tmp_path)
    with SmtpServer(users={"jana": "secret"}, context=authority.context("localhost"), plain_auth=False) as server:
        host = f"localhost:{server.port}"
        code, value = answer(capsys, host, "--probe", "--ca-file", authority.ca_file)
        assert code == 0
        best = value["probe"][0]
        assert (best["port"], best["security"], best["trusted"], best["auth"]) == (
            server.port,
            "starttls",
            True,
            ["PLAIN", "LOGIN"],
        )
        assert {one["port"] for one in value["probe"]} == {server.port, 25, 465, 587, 2525}
        assert value["advice"].startswith(f"Use port {server.port} with STARTTLS")
        settings = {"route": "smtp", "host": "localhost", "port": server.port, "security": "starttls", "username": None}
        assert (value["provider"], value["confidence"], value["settings"]) == ("smtp", "likely", settings)
        assert value["evidence"][-1]["source"] == "probe"
        assert run(["recommend", host, "--probe", "--ca-file", authority.ca_file]) == 0
    err = " ".join(capsys.readouterr().err.split())
    assert f"✓ {server.port} STARTTLS" in err
    assert "login PLAIN, LOGIN" in err
    assert value["advice"] in err
    assert err.endswith(f"franking setup --provider smtp --host localhost --port {server.port} --security starttls")


def test_a_probe_without_a_server_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "me@nobody.example", "--offline", "--probe"]) == 2
    assert "There is no server to try" in capsys.readouterr().err
