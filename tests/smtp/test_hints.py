"""Credential hygiene: what looks wrong is pointed at, nothing is changed, and no password ever comes out."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.diagnosis.diagnosis import Hint
from franking.diagnosis.rules import diagnose
from franking.errors import ConnectError, Evidence, LoginError
from franking.sending.explain import explain
from franking.sending.testsend import hints_for
from franking.smtp.hints import hints
from franking.smtp.services import Service, table


def account(**changes: Any) -> franking.Account:
    settings: dict[str, Any] = {
        "name": "shop",
        "provider": "smtp",
        "sender": "Jan Novák <info@novak.cz>",
        "host": "smtp.novak.cz",
        "port": 587,
        "security": "starttls",
        "username": "info@novak.cz",
    }
    return franking.Account(**{**settings, **changes}).referred_to_as("shop")


def codes(secret: str | None = "heslo", **changes: Any) -> list[str]:
    return [hint.code for hint in hints(account(**changes), secret)]


def test_good_settings_have_no_hints() -> None:
    assert codes() == []
    assert codes(None) == []
    assert codes("heslo", port=465, security="tls") == []
    assert codes(None, port=25, security="none", username=None) == []
    assert codes(None, port=2525, security="none", username=None) == []


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("heslo ", ["secret.trailing-blank"]),
        ("heslo\t", ["secret.trailing-blank"]),
        (" heslo", ["secret.leading-blank"]),
        (" heslo ", ["secret.trailing-blank", "secret.leading-blank"]),
        ("he slo", ["secret.inner-blank"]),
        ("heslo\n", ["secret.newline"]),
        ("heslo\r\n", ["secret.newline"]),
        ("heslo \r\n", ["secret.newline", "secret.trailing-blank"]),
        ("he\nslo", ["secret.newline", "secret.inner-blank"]),
        ("heslo\u00a0", ["secret.invisible", "secret.trailing-blank"]),
        ("\u00a0heslo", ["secret.invisible", "secret.leading-blank"]),
        ("\u200bheslo", ["secret.invisible"]),
        ("heslo\ufeff", ["secret.invisible"]),
        ("he\u200bslo", ["secret.invisible"]),
        ("heslo\u202e", ["secret.invisible"]),
        ("heslo\u2060", ["secret.invisible"]),
        ('"heslo"', ["secret.quotes"]),
        ("'heslo'", ["secret.quotes"]),
        ("„heslo“", ["secret.quotes"]),
        ("“heslo”", ["secret.quotes"]),
        ('"heslo', []),
        ("he'slo'", []),
        ("abcd efgh ijkl mnop", ["secret.app-password-blanks"]),
        ("abcd\u00a0efgh\u00a0ijkl\u00a0mnop", ["secret.invisible", "secret.app-password-blanks"]),
        (" abcd efgh ijkl mnop\n", ["secret.newline", "secret.app-password-blanks", "secret.leading-blank"]),
        ("abcdefghijklmnop", []),
        ("abcd efgh ijkl", ["secret.inner-blank"]),
        ("", ["secret.empty"]),
        ("info@novak.cz", ["secret.equals-username"]),
        ("žluťoučký-kůň", []),
        ("   ", ["secret.trailing-blank"]),
    ],
)
def test_a_password_that_came_along_with_something(secret: str, expected: list[str]) -> None:
    assert codes(secret) == expected


def test_an_invisible_character_is_named() -> None:
    named = [hint.text for hint in hints(account(), "a\u200bb\u00a0c\u2063d")]
    assert "non-breaking blank" in named[0]
    assert "zero-width blank" in named[0]
    assert "U+2063" in named[0]


def test_without_a_login_a_password_is_not_looked_at() -> None:
    assert codes("heslo ", username=None) == ["username.missing"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "on port 587"),
        ({"port": 465, "security": "tls"}, "on port 465"),
        ({"host": "smtp.seznam.cz", "port": 25, "security": "none"}, "Seznam Email wants a login"),
        ({"host": "in-v3.mailjet.com"}, "Mailjet wants a login"),
        ({"port": 25, "security": "none"}, ""),
        ({"host": "localhost"}, ""),
    ],
)
def test_a_login_name_that_is_missing(changes: dict[str, Any], words: str) -> None:
    found = [hint for hint in hints(account(**{**changes, "username": None}), None) if "username" in hint.code]
    assert [hint.code for hint in found] == ["username.missing"] * bool(words)
    assert all(words in hint.text for hint in found)


@pytest.mark.parametrize(
    ("username", "expected", "offered"),
    [
        ("info", "username.not-an-address", "info@novak.cz"),
        ("novak", "username.not-an-address", "novak@novak.cz"),
        ("jana@novak.cz", "username.other-mailbox", "info@novak.cz"),
        ("info@jinde.cz", "username.other-mailbox", "info@novak.cz"),
        ("info@novak.cz ", "username.blank", "info@novak.cz"),
        ("\u200binfo@novak.cz", "username.blank", "info@novak.cz"),
        ("info@novak.cz\u00a0", "username.blank", "info@novak.cz"),
        ('"info@novak.cz"', "username.quotes", "info@novak.cz"),
    ],
)
def test_a_login_name_that_is_probably_another(username: str, expected: str, offered: str) -> None:
    found = list(hints(account(username=username), "heslo"))
    assert [hint.code for hint in found] == [expected]
    assert offered in found[0].text
    assert found[0].text.isprintable()


def test_a_login_name_in_other_letters_is_the_same() -> None:
    assert codes(username="INFO@Novak.CZ") == []


@pytest.mark.parametrize(
    ("host", "username"),
    [
        ("smtp.sendgrid.net", "apikey"),
        ("email-smtp.eu-west-1.amazonaws.com", "AKIA123"),
        ("smtp.web.de", "novak"),
        ("localhost", "novak"),
    ],
)
def test_some_servers_have_names_of_their_own(host: str, username: str) -> None:
    assert codes(host=host, username=username) == []
    assert codes(host=f"{host}.example.com", username=username) == ["username.not-an-address"]


@pytest.mark.parametrize(
    ("host", "expected", "offered"),
    [
        ("smtp://smtp.novak.cz", ["host.scheme"], ["smtp.novak.cz"]),
        ("https://smtp.novak.cz/", ["host.scheme"], ["smtp.novak.cz"]),
        ("ssl://smtp.novak.cz:465", ["host.scheme", "host.port"], ["smtp.novak.cz", "465"]),
        ("smtp.novak.cz:587", ["host.port"], ["smtp.novak.cz", "587"]),
        ("[2001:db8::1]:587", ["host.port", "host.ip-with-tls"], ["2001:db8::1", "587"]),
        (" smtp.novak.cz", ["host.blank"], ["smtp.novak.cz"]),
        ("smtp.novak.cz\u200b", ["host.blank"], ["smtp.novak.cz"]),
        ("info@novak.cz", ["host.address"], ["smtp.novak.cz"]),
        ("192.0.2.7", ["host.ip-with-tls"], ["192.0.2.7"]),
        ("2001:db8::1", ["host.ip-with-tls"], ["2001:db8::1"]),
    ],
)
def test_a_server_with_something_that_does_not_belong(host: str, expected: list[str], offered: list[str]) -> None:
    try:
        found = list(hints(account(host=host), "heslo"))
    except franking.SettingsError as refused:  # a later settle may refuse it: then the error must say it as well
        assert refused.field == "host"
        return
    assert [hint.code for hint in found] == expected
    text = " ".join(hint.text for hint in found)
    for part in offered:
        assert part in text
    assert text.isprintable()


@pytest.mark.parametrize(
    ("port", "security", "expected"),
    [
        (587, "tls", "port.security"),
        (465, "starttls", "port.security"),
        (465, "none", "port.security"),
        (587, "none", "port.security"),
        (25, "tls", "port.security"),
        (25, "starttls", None),
        (2525, "starttls", None),
        (1025, "none", None),
        (993, "tls", "port.incoming"),
        (110, "none", "port.incoming"),
        (443, "tls", "port.incoming"),
    ],
)
def test_port_and_security_that_contradict_each_other(port: int, security: str, expected: str | None) -> None:
    found = [code for code in codes(None, port=port, security=security, username=None) if code.startswith("port.")]
    assert found == ([expected] if expected else [])


def test_the_likely_right_value_is_named() -> None:
    def said(port: int, security: str) -> str:
        return next(iter(hints(account(port=port, security=security, username=None), None))).text

    assert "usually goes with starttls" in said(587, "tls")
    assert "usually goes with tls" in said(465, "starttls")
    assert "usually goes with starttls" in said(587, "none")
    assert "usually goes with starttls" in said(25, "tls")


def test_a_password_in_the_open() -> None:
    assert codes(port=25, security="none") == ["port.none-with-login"]
    assert codes(port=25, security="none", host="127.0.0.1") == []
    assert codes(port=25, security="none", host="localhost") == []


CANARY = "cAnArY-h3slo"


@pytest.mark.parametrize(
    "secret",
    [
        f"{CANARY} ",
        f" {CANARY}",
        f"{CANARY} {CANARY}",
        f"{CANARY}\n",
        f"\u200b{CANARY}",
        f"'{CANARY}'",
        "cana ryca nary cana",
    ],
)
def test_no_password_comes_out(secret: str) -> None:
    found = hints(account(), secret)
    assert found
    shown = repr(found) + json.dumps([hint.as_dict() for hint in found], ensure_ascii=False) + repr(found[0].values)
    for word in secret.split():
        assert word.strip("'\u200b") not in shown


def test_a_stray_blank_leads_a_refused_login() -> None:
    shop = account(username="info").referred_to_as("shop")
    found = hints(shop, "heslo ")
    error = LoginError("x", evidence=Evidence("sasl", code=535, enhanced="5.7.8", text="Error: authentication failed"))
    values = {"account": "shop", "username": "info", "sender": "info@novak.cz", "host": "smtp.novak.cz", "port": 587}
    remedies = diagnose(error, franking.registry.provider("smtp").rules, values).with_hints(found).remedies
    assert "ends with a blank" in remedies[0]
    assert "`franking login shop`" in remedies[0]
    assert "info@novak.cz" in remedies[1]


def test_a_host_with_a_port_leads_a_failed_look_up() -> None:
    error = ConnectError("x", step="resolve", evidence=Evidence("dns", reason="not-found"))
    found = (Hint("host.port", {"host": "a:25", "host_clean": "a", "port_inside": 25}), Hint("secret.trailing-blank"))
    remedies = diagnose(error, (), {}).with_hints(found).remedies
    assert "Write the name a as the server, and 25 as the port" in remedies[0]
    assert not any("password" in remedy for remedy in remedies)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
@pytest.mark.parametrize(
    ("provider", "key", "rest"),
    [
        ("smtp", "password_file", {"host": "smtp.novak.cz", "username": "u"}),
        ("gmail", "client_secrets", {}),
        ("gmail", "service_account", {}),
        ("outlook", "certificate", {"app_only": True, "tenant": "contoso.com", "client_id": "x"}),
    ],
)
def test_a_file_that_others_may_read_is_pointed_at_and_used_all_the_same(
    provider: str, key: str, rest: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "it's.json"
    file.write_text("secret")
    made = franking.Account(name="shop", provider=provider, sender="me@novak.cz", **rest, **{key: str(file)})
    for mode, seen in ((0o600, False), (0o400, False), (0o640, True), (0o644, True)):
        file.chmod(mode)
        told = [hint.text for hint in hints_for(made) if hint.code == "file.open-to-others"]
        assert bool(told) == seen, oct(mode)
        assert not told or (
            key in told[0] and f"{mode:04o}" in told[0] and f"`chmod go-rwx {shlex.quote(str(file))}`" in told[0]
        )
    file.unlink()
    assert not [hint for hint in hints_for(made) if hint.code == "file.open-to-others"]


WITH_LOGIN = [service for service in table().services if service.username != "none"]


@pytest.mark.parametrize("service", WITH_LOGIN, ids=lambda service: service.name)
def test_what_the_table_says_of_a_login_name_is_what_the_hints_say(service: Service) -> None:
    """One table for the recommendation, the hints and the remedies."""
    server = service.servers[0]
    shop = account(host=server.host.upper() + ".", username="jan", port=server.port, security=server.security)
    assert ("username.not-an-address" in [hint.code for hint in hints(shop, "heslo")]) == (
        service.username == "address"
    )
    error = LoginError(
        "x", step="login", evidence=Evidence("sasl", code=535, enhanced="5.7.8", text="authentication failed")
    )
    remedies = " ".join(explain(error, shop, franking.registry.provider("smtp")).remedies)
    if service.username != "address":
        assert "usually the whole address" not in remedies
