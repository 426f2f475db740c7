"""Arguments and flags that several commands have, and what they make of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from commandline import Stream
from franking.account import config, editing
from franking.errors import SettingsError
from franking_cli.console import Console
from franking_cli.options import (
    account_from,
    as_flags,
    changed,
    choose_account,
    name_to_report,
    parameters,
    password_for,
    password_from_stdin,
)

SERVER = {"sender": "info@novak.cz", "host": "smtp.novak.cz"}


@pytest.fixture
def shop() -> None:
    editing.save(config.load().build(name="shop", provider="smtp", **SERVER, username="info@novak.cz"))


def test_settings_are_written_as_the_flags_that_give_them() -> None:
    settings = {
        "sender": "a@b.cz",
        "ca_file": "x.pem",
        "no_auth": True,
        "rewrite_from": False,
        "scopes": ("a", "b"),
        "port": 25,
    }
    assert as_flags(settings, password_stdin=True) == (
        "--from", "a@b.cz", "--ca-file", "x.pem", "--no-auth", "--no-rewrite-from", "--scopes", "a,b", "--port", "25",
        "--password-stdin",
    )  # fmt: skip
    assert as_flags({}) == ()


def test_flags_beside_a_name_change_that_account_for_this_run_only(shop: None) -> None:
    account = choose_account("shop", {"port": "2525", "no_auth": True}, password_stdin=True)
    assert (account.port, account.get("username"), account.name) == (2525, None, "shop")
    assert account.words == ("shop", "--port", "2525", "--no-auth", "--password-stdin")
    assert choose_account(None, {}, password_stdin=False).words == ("shop",)
    assert config.resolve("shop").get("username") == "info@novak.cz"


@pytest.mark.parametrize("settings", [{"sender": "a@b.cz", "host": "x.example"}, {"provider": "smtp", **SERVER}])
def test_flags_alone_make_an_account_that_nobody_saved(shop: None, settings: dict[str, Any]) -> None:
    account = choose_account(None, settings, password_stdin=False)
    assert account.host == settings["host"]
    assert account.words == as_flags(settings)
    assert account.name != "shop"


def test_another_provider_is_another_account(shop: None) -> None:
    account = config.resolve("shop")
    with pytest.raises(SettingsError, match=r"'shop' is an account of smtp; write it anew\.") as raised:
        changed(account, {"provider": "gmail"}, otherwise="write it anew")
    assert raised.value.field == "provider"
    assert changed(account, {"provider": "smtp", "port": 26}, otherwise="").port == 26


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"sender": "a@b.cz"}, "provider"),
        ({"host": "x.example"}, "from"),
        ({**SERVER, "no_auth": True, "username": "x"}, "username"),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingsError) as raised:
        account_from(settings)
    assert raised.value.field == field


def test_a_host_alone_means_a_plain_server() -> None:
    assert account_from({**SERVER, "no_auth": True}, name="x").provider == "smtp"


@pytest.mark.parametrize(("name", "shown"), [(None, None), ("shop", "shop"), ("smtp://jan:canary@smtp.novak.cz", None)])
def test_an_account_url_is_in_no_report(name: str | None, shown: str | None) -> None:
    assert name_to_report(name) == shown


def test_every_field_is_a_flag_once_and_secrets_are_none() -> None:
    found = parameters(own={"ca_file"})
    assert {"provider", "sender", "no_auth", "host", "port", "client_id"} <= set(found)
    assert {"ca_file", "password"}.isdisjoint(found)
    assert all(parameter.default is None for parameter in found.values())


# --- passwords --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "password"),
    [("heslo\n", "heslo"), ("heslo\r\n", "heslo"), ("heslo", "heslo"), (" a b \nmore\n", " a b "), ("a\r\r\n", "a\r")],
)
def test_the_first_line_of_stdin_without_its_end(monkeypatch: pytest.MonkeyPatch, octets: str, password: str) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(octets.encode()))
    assert password_from_stdin() == password


@pytest.mark.parametrize("octets", [b"", b"\n", b"\r\n", b"\xff\xfe\n"])
def test_nothing_and_what_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(octets))
    with pytest.raises(SettingsError) as raised:
        password_from_stdin()
    assert raised.value.field == "password"
    assert "255" not in str(raised.value) and "xff" not in str(raised.value)


def test_who_types_a_password_for_stdin_sees_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(b"shown\n", terminal=True))
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: "hidden")
    assert password_from_stdin() == "hidden"


def test_a_password_is_asked_for_only_where_nothing_can_have_it(
    shop: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(terminal=True))
    monkeypatch.setattr(sys, "stderr", Stream(terminal=True))
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: prompt)
    console = Console()

    def asked(**settings: Any) -> str | None:
        return password_for(
            console, choose_account(None, {**SERVER, **settings}, password_stdin=False), from_stdin=False
        )

    assert asked(username="jan") == "Password of jan: "
    assert asked(no_auth=True) is None
    file = tmp_path / "pw"
    file.write_text("x\n")
    file.chmod(0o600)
    assert asked(username="jan", password_file=str(file)) is None
    saved = choose_account("shop", {}, password_stdin=False)
    assert password_for(console, saved, from_stdin=False) is None, "a saved account has a place for it"
    monkeypatch.setattr(sys, "stdin", Stream(b"piped\n"))
    assert password_for(Console(), saved, from_stdin=True) == "piped"
