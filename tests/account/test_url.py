"""Account URLs: read, written, and explained when wrong without being repeated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.account import config, editing
from franking.account.config import parse_url, resolve
from franking.account.url import read_url, write_url
from franking.errors import SettingsError
from franking.sending.explain import explain


@pytest.mark.parametrize(
    ("url", "name", "sender", "settings"),
    [
        (
            "smtp://user@host.cz:587?from=jan@novak.cz&security=starttls",
            "smtp-user-host.cz",
            "jan@novak.cz",
            {"host": "host.cz", "port": 587, "security": "starttls", "username": "user"},
        ),
        (
            "smtps://host.cz?from=jan@novak.cz",
            "smtp-jan@novak.cz-host.cz",
            "jan@novak.cz",
            {"host": "host.cz", "port": 465, "security": "tls", "username": None},
        ),
        (
            "smtps://host.cz:2465/?from=jan@novak.cz",
            "smtp-jan@novak.cz-host.cz",
            "jan@novak.cz",
            {"port": 2465, "security": "tls"},
        ),
        (
            "smtp://info@novak.cz@smtp.novak.cz",
            "smtp-info@novak.cz-smtp.novak.cz",
            "info@novak.cz",
            {"username": "info@novak.cz", "port": 587},
        ),
        (
            "smtp://info%40novak.cz@SMTP.novak.cz",
            "smtp-info@novak.cz-smtp.novak.cz",
            "info@novak.cz",
            {"username": "info@novak.cz"},
        ),
        ("smtp://a%3Ab%2Fc@h?from=x@y.cz", "smtp-a:b%2Fc-h", "x@y.cz", {"username": "a:b/c"}),
        (
            "smtp://[::1]:2525?from=x@y.cz&security=none",
            "smtp-x@y.cz-::1",
            "x@y.cz",
            {"host": "::1", "port": 2525, "security": "none"},
        ),
        ("smtp://h?from=jan+news@novak.cz", "smtp-jan+news@novak.cz-h", "jan+news@novak.cz", {}),
        (
            "smtp://h?from=Jan+Nov%C3%A1k+%3Cjan%2Bnews%40novak.cz%3E",
            "smtp-jan+news@novak.cz-h",
            "Jan Novák <jan+news@novak.cz>",
            {},
        ),
        (
            "smtp://h?from=Jan%20Nov%C3%A1k%20<jan+news@novak.cz>&ca-file=/x&without=size,chunking",
            "smtp-jan+news@novak.cz-h",
            "Jan Novák <jan+news@novak.cz>",
            {"ca_file": "/x", "without": ("size", "chunking")},
        ),
        ("smtp://h?from=x@y.cz&name=shop&enabled=false", "shop", "x@y.cz", {"enabled": False}),
        (
            "gmail://me@gmail.com?client_secrets=/x.json",
            "gmail-me@gmail.com",
            "me@gmail.com",
            {"client_secrets": "/x.json", "route": "gmail-api"},
        ),
        (
            "gmail://me+tag@gmail.com?route=smtp",
            "gmail-me+tag@gmail.com",
            "me+tag@gmail.com",
            {"route": "gmail-smtp", "port": 465},
        ),
        (
            "outlook://me@contoso.com?client_id=11&tenant=contoso.com",
            "outlook-me@contoso.com",
            "me@contoso.com",
            {"client_id": "11", "tenant": "contoso.com"},
        ),
        ("outlook://?from=Me%20<me@contoso.com>", "outlook-me@contoso.com", "Me <me@contoso.com>", {}),
        ("file:///var/mail%20box?from=x@y.cz", "file-%2Fvar%2Fmail box", "x@y.cz", {"path": "/var/mail box"}),
        ("file://localhost/var?from=x@y.cz", "file-%2Fvar", "x@y.cz", {"path": "/var"}),
    ],
)
def test_account_urls(url: str, name: str, sender: str, settings: dict[str, Any]) -> None:
    made = parse_url(url)
    assert (made.name, str(made.sender)) == (name, sender)
    assert {key: made.get(key) for key in settings} == settings
    assert made.reference == url
    again = parse_url(write_url(made))
    assert again == made
    assert write_url(again) == write_url(made)
    assert resolve(url) == made


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("smtp://user:canary-8@host?from=x@y.cz", "password does not belong"),
        ("smtp://user@x.cz:canary-8@host?from=x@y.cz", "password does not belong"),
        ("gmail://me:canary-8@gmail.com", "password does not belong"),
        ("smtp://user@host?from=x@y.cz&password=canary-8", "franking login"),
        ("gmail://me@gmail.com?password=canary-8", "password is not a setting"),
        ("smtp://host", "from=you@example.com"),
        ("smtp://user@host", "from=you@example.com"),
        ("smtp://?from=x@y.cz", "needs a server"),
        ("smtp://host:many?from=x@y.cz", "whole number"),
        ("smtp://host/path?from=x@y.cz", "path after the host"),
        ("smtp://us er@host?from=x@y.cz", "blank"),
        ("smtp://host?from=x@y.cz\n&security=none", "control"),
        ("smtp://host?from=x@y.cz#x", "write that as %23"),
        ("smtp://host?from=x@y.cz&hots=x", r"did you mean host\?"),
        ("smtp://host?from=x@y.cz&host=other", "twice"),
        ("smtp://host?from=x@y.cz&port=1&port=2", "twice"),
        ("smtp://host?from=x@y.cz&security", "security has no value"),
        ("smtps://host?from=x@y.cz&security=none", "already says security"),
        ("smtp://[::1?from=x@y.cz", "brackets"),
        ("smpt://host?from=x@y.cz", r"did you mean smtp\?"),
        ("file://tmp?from=x@y.cz", "three slashes"),
        ("://", "not known"),
    ],
)
def test_wrong_account_urls_are_explained_and_never_repeated(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        resolve(url)
    error: BaseException | None = caught.value
    while error:
        assert "canary" not in str(error) and "canary" not in repr(error.args)
        error = error.__cause__


def test_a_url_account_survives_being_saved() -> None:
    made = parse_url("smtp://info@novak.cz@smtp.novak.cz:2525?security=none")
    editing.save(made)
    assert resolve() == made
    assert franking.Account is not None


@pytest.mark.parametrize(
    "host",
    [
        "smtp.x.cz:465",
        "https://smtp.x.cz/",
        "::1",
        "[::1]",
        "fe80::1%eth0",
        "[::1",
        "smtp x.cz",
        "info@x.cz",
        "a/b",
        "ſmtp.x.cz",
    ],
)
def test_a_server_typed_in_any_form_survives_the_account_url(host: str) -> None:
    """What is wrong with it a hint says, and never the URL."""
    made = franking.Account(name="shop", provider="smtp", sender="info@x.cz", host=host, username="info@x.cz")
    assert parse_url(write_url(made)) == made


@pytest.mark.skipif(os.name != "posix", reason="file names are octets on POSIX")
@pytest.mark.parametrize(("provider", "key"), [("gmail", "client_secrets"), ("smtp", "ca_file"), ("file", "path")])
def test_a_path_that_is_no_utf8_survives_the_url_and_no_error_trips_over_it(provider: str, key: str) -> None:
    settings = {"host": "127.0.0.1", "username": "u"} if provider == "smtp" else {}
    account = franking.Account(name="x", provider=provider, sender="me@novak.cz", **settings, **{key: "/tmp/\udce9 1"})
    assert "%E9%201" in account.reference
    assert config.parse_url(account.reference) == account
    error = franking.SettingsError("x")
    assert explain(error, account).code == "settings.invalid"
    # made of the path, where nobody gave one
    assert config.parse_url(account.reference.replace("name=x", "timeout=5")).name
    with pytest.raises(franking.SettingsError, match="surrogate"):
        config.parse_url("smtp://u@h%E9?from=a@b.cz&ehlo_name=%E9")


@pytest.mark.parametrize("key", ["password_command", "password-command", "password_file", "token_command"])
@pytest.mark.parametrize("way", ["read", "resolve", "connect", "variable"])
def test_a_url_runs_nothing_and_reads_no_password_out(
    key: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "canary"
    url = f"smtp://u@h?from=a@b.cz&{key}=touch%20{ran}"
    monkeypatch.setenv("FRANKING_ACCOUNT", url)
    ways = {"read": read_url, "resolve": config.resolve, "connect": franking.connect}
    with pytest.raises(franking.SettingsError, match=r"accounts\.toml") as caught:
        ways[way](url) if way in ways else config.resolve()
    assert caught.value.field == key.replace("-", "_")
    assert "canary" not in str(caught.value)
    assert not ran.exists()


def test_an_accounts_url_leaves_out_what_no_url_may_say() -> None:
    account = franking.Account(name="x", provider="smtp", sender="a@b.cz", host="h", password_command="pass mail")
    assert write_url(account) == "smtp://h?from=a@b.cz&name=x"
