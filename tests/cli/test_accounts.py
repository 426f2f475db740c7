"""``franking accounts``: what is added, changed, shown and removed, and what comes next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from commandline import Franking
from franking.account import config
from franking.auth.secret import Password
from franking.auth.store import open_store
from servers.ports import closed_port

SHOP = ("shop", "--from", "Jan Novák <info@novak.cz>", "--host", "smtp.novak.cz", "--username", "info@novak.cz")
KEYS = ["name", "provider", "route", "ok", "source", "expires_at", "repair"]


def test_add_writes_the_account_and_says_what_comes_next(franking: Franking) -> None:
    ended = franking("accounts", "add", *SHOP)
    assert ended.code == 0
    assert ended.out == ""
    assert "shop is saved" in ended.err and "Next: franking login shop" in ended.err
    made = config.resolve()
    assert (made.name, str(made.sender), made.host, made.port, made.security) == (
        "shop",
        "Jan Novák <info@novak.cz>",
        "smtp.novak.cz",
        587,
        "starttls",
    )


def test_every_key_is_a_flag(franking: Franking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from franking.account.fields import COMMON_FIELDS
    from franking.registry import providers

    help_text = franking("accounts", "add", "--help").out
    for provider in providers():
        for field in (*COMMON_FIELDS, *provider.fields):
            assert field.secret or field.flag in help_text, field.flag
    monkeypatch.chdir(tmp_path)
    ended = franking(
        *(
            "accounts",
            "add",
            "g",
            "--provider",
            "gmail",
            "--from",
            "me@gmail.com",
            "--client-secrets",
            "secrets.json",
            "--route",
            "smtp",
        ),
        *(
            "--ca-file",
            "ca.pem",
            "--timeout",
            "12.5",
            "--rewrite-from",
            "--without",
            "chunking,size",
            "--api-endpoint",
            "https://localhost:1",
        ),
    )
    assert ended.code == 0, ended.err
    made = config.resolve("g")
    assert (made.client_secrets, made.ca_file) == (str(tmp_path / "secrets.json"), str(tmp_path / "ca.pem"))
    assert (made.route, made.timeout, made.rewrite_from, made.without) == (
        "gmail-smtp",
        12.5,
        True,
        ("chunking", "size"),
    )


def test_add_stores_a_password_that_comes_by_stdin(franking: Franking) -> None:
    ended = franking("accounts", "add", *SHOP, "--password-stdin", stdin="canary-1 \n")
    assert ended.code == 0
    assert "canary" not in ended.out + ended.err
    assert Password.loads(open_store().load("shop") or "").value == "canary-1 "
    assert "Next: franking send-test shop --to info@novak.cz" in ended.err


def test_a_taken_name_needs_replace_or_update(franking: Franking, shop: None) -> None:
    again = franking("accounts", "add", *SHOP[:-2], "--port", "2525")
    assert (again.code, "--replace" in again.err) == (2, True)
    assert config.resolve("shop").port == 587
    assert franking("accounts", "add", "shop", "--update", "--port", "2525", "--security", "none").code == 0
    changed = config.resolve("shop")
    assert (changed.port, changed.security, changed.username, str(changed.sender)) == (
        2525,
        "none",
        "info@novak.cz",
        "Jan Novák <info@novak.cz>",
    )
    assert franking("accounts", "add", "shop", "--update", "--no-auth", "--ehlo-name", "").code == 0
    assert config.resolve("shop").username is None
    assert franking("accounts", "add", *SHOP[:-2], "--replace").code == 0
    assert "port" not in config.resolve("shop").given


def test_contradictions_are_warnings(franking: Franking) -> None:
    ended = franking("accounts", "add", *SHOP, "--security", "tls", "--port", "587", "--json")
    assert ended.code == 0
    assert [hint["code"] for hint in ended.json["hints"]] == ["port.security"]
    assert "starttls" in franking("accounts", "show", "shop").err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("accounts", "add", "x"), "--provider"),
        (("accounts", "add", "x", "--host", "h"), "--from"),
        (
            ("accounts", "add", "x", "--from", "a@b.cz", "--host", "h", "--port", "many"),
            "port: 'many' is not a whole number",
        ),
        (("accounts", "add", "x", "--from", "a@b.cz", "--host", "h", "--security", "high"), "none, starttls, tls"),
        (("accounts", "add", "x", "--from", "nobody", "--host", "h"), "from"),
        (("accounts", "add", "a/b", "--from", "a@b.cz", "--host", "h"), "cannot name an account"),
        (("accounts", "add", "x", "--from", "a@b.cz", "--host", "h", "--password", "canary-2"), "--password"),
        (("accounts", "add", "x", "--update", "--port", "1"), "no account 'x'"),
        (("accounts", "show", "x"), "no account 'x'"),
        (("accounts", "remove", "x"), "no account 'x'"),
        (("accounts", "default", "x"), "no account 'x'"),
        (("accounts", "enable", "x"), "no account 'x'"),
        (("accounts", "disable", "x"), "no account 'x'"),
        (("accounts", "nonsense"), "nonsense"),
        (("login", "x"), "no account 'x'"),
        (("logout", "x"), "no account 'x'"),
        (("status", "x"), "no account 'x'"),
        (("login", "smtp://u:canary-3@h?from=a@b.cz"), "password does not belong"),
    ],
)
def test_mistakes_end_with_2_and_one_object(franking: Franking, arguments: tuple[str, ...], words: str) -> None:
    ended = franking(*arguments)
    assert ended.code == 2
    assert words in " ".join(ended.err.split())
    assert ended.out == ""
    told = franking(*arguments, "--json")
    assert told.code == 2
    assert told.json["ok"] is False and told.json["diagnosis"]["remedies"]
    for text in (ended.err, told.out, told.err):
        assert "canary-3" not in text


def test_list_show_default_disable_enable_remove(franking: Franking, shop: None) -> None:
    assert (
        franking("accounts", "add", "mail box", "--provider", "file", "--from", "a@b.cz", "--path", "/tmp/mail").code
        == 0
    )
    listed = franking("accounts", "list")
    assert [line.split() for line in listed.out.splitlines()] == [
        ["name", "route", "from", "state"],
        ["*", "shop", "smtp", "Jan", "Novák", "<info@novak.cz>", "franking", "login", "shop"],
        ["mail", "box", "file", "a@b.cz", "ready"],
    ]
    rows = franking("accounts", "list", "--json").json
    assert [list(row)[:7] for row in rows] == [KEYS, KEYS]
    assert [(row["name"], row["default"], row["ok"], row["repair"]) for row in rows] == [
        ("shop", True, False, "franking login shop"),
        ("mail box", False, True, None),
    ]
    assert franking("accounts", "default", "mail box").code == 0
    assert franking("accounts", "show", "--json").json["name"] == "mail box"
    assert franking("accounts", "disable", "mail box").code == 0
    assert "franking accounts enable 'mail box'" in franking("accounts", "show", "mail box").err
    assert franking("accounts", "list", "--json").json[1]["enabled"] is False
    assert franking("accounts", "enable", "mail box", "--json").json["enabled"] is True
    removed = franking("accounts", "remove", "mail box", "--yes", "--json")
    assert removed.json == {"ok": True, "account": "mail box", "forgotten": False, "default": "shop"}
    assert config.load().names == ("shop",)


def test_show_tells_settings_and_a_url_that_means_the_same(franking: Franking, shop: None) -> None:
    lines = franking("accounts", "show").out.splitlines()
    assert "host = smtp.novak.cz" in lines
    assert "port = 587    (default)" in lines
    told = franking("accounts", "show", "shop", "--json").json
    assert told["settings"]["port"] == 587 and told["given"] == ["host", "username"]
    assert config.parse_url(told["url"]) == config.resolve("shop")


def test_remove_forgets_the_secret_too(franking: Franking, shop: None) -> None:
    franking("login", "shop", "--password-stdin", stdin="x\n")
    assert franking("accounts", "remove", "shop", "--yes", "--keep-secret").code == 0
    assert open_store().load("shop")
    franking("accounts", "add", *SHOP)
    assert "with what it signed in with" in franking("accounts", "remove", "shop", "--yes").err
    assert open_store().load("shop") is None


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_remove_without_a_terminal_needs_yes(franking: Franking, shop: None, json: tuple[str, ...]) -> None:
    """A script that pipes something in has not said yes."""
    franking("login", "shop", "--password-stdin", stdin="x\n")
    ended = franking("accounts", "remove", "shop", *json, stdin="y\n")
    assert ended.code == 2
    assert "--yes" in ended.err + ended.out
    assert config.load().names == ("shop",)
    assert open_store().load("shop")


def test_a_broken_account_is_listed_and_can_be_removed(franking: Franking, shop: None) -> None:
    path = config.config_path()
    path.write_text(path.read_text() + "hots = 'x'\n[accounts.good]\nprovider='file'\nfrom='a@b.cz'\npath='/tmp'\n")
    rows = franking("accounts", "list", "--json").json
    assert [list(row)[:7] == KEYS or set(KEYS) <= set(row) for row in rows] == [True, True]
    assert rows[0]["ok"] is False and "did you mean host" in rows[0]["problem"]
    ended = franking("status")
    assert ended.code == 2
    assert "did you mean host" in ended.out and "good: file" in ended.out
    assert franking("accounts", "remove", "shop", "--yes").code == 0
    assert franking("status").code == 0


@pytest.mark.skipif(os.name != "posix", reason="the system's file is read on POSIX only")
@pytest.mark.parametrize(
    "command",
    [("accounts", "add", *SHOP), ("setup", "info@novak.cz", "--name", "shop", "--host", "127.0.0.1", "--save-anyway")],
)
def test_who_gets_a_file_of_ones_own_is_told_that_the_systems_is_hidden(
    franking: Franking, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.delenv("FRANKING_CONFIG")
    system = Path(config.SYSTEM)
    system.parent.mkdir()
    system.write_text('[accounts.office]\nprovider = "smtp"\nfrom = "a@b.cz"\nhost = "h"\n')
    assert f"From {system}:" in " ".join(franking("accounts", "list").err.split())
    if command[0] == "setup":
        command += ("--port", str(closed_port()), "--security", "none", "--no-auth", "--offline", "--to", "a@b.cz")
    ended = franking(*command)
    assert f"{system} (accounts: office) no longer is for you" in " ".join(ended.err.split()), ended.err
    assert config.load().names == ("shop",)
    update = franking("accounts", "add", "office", "--update", "--port", "25")
    assert update.code == 2
    assert "office" in update.err


@pytest.mark.skipif(os.name != "posix", reason="the system's file is read on POSIX only")
@pytest.mark.parametrize("command", [("disable",), ("default",), ("remove", "-y"), ("add", "--update", "--port", "25")])
def test_an_account_of_everybodys_is_changed_with_its_file_named(
    franking: Franking, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.delenv("FRANKING_CONFIG")
    system = Path(config.SYSTEM)
    system.parent.mkdir()
    system.write_text('[accounts.office]\nprovider = "smtp"\nfrom = "a@b.cz"\nhost = "h"\n')
    ended = franking("accounts", command[0], "office", *command[1:])
    assert ended.code == 2
    assert f"FRANKING_CONFIG={system}" in "".join(ended.err.split("\n")).replace("  ", ""), ended.err
    monkeypatch.setenv("FRANKING_CONFIG", str(system))
    assert franking("accounts", command[0], "office", *command[1:]).code == 0


def test_what_lies_in_a_plain_file_is_encrypted_once_that_is_asked_for(
    franking: Franking, shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert franking("login", "shop", "--password-stdin", stdin="canary-8\n").code == 0
    monkeypatch.setenv("FRANKING_STORE", "encrypted")
    monkeypatch.setenv("FRANKING_STORE_KEY", "canary-key-9876543210")
    (row,) = franking("status", "--json").json
    assert (row["ok"], row["store"], row["store_wanted"]) == (True, "file", "encrypted")
    told = " ".join(franking("status").out.split())
    assert "in a plain file, though FRANKING_STORE is encrypted; run: franking accounts show shop" in told
    assert "encrypted now" in " ".join(franking("accounts", "list").err.split())
    assert b"canary-8" not in open_store().path("shop").read_bytes()
    (row,) = franking("status", "--json").json
    assert (row["ok"], row["store"], row["store_wanted"]) == (True, "encrypted", None)
    assert "encrypted now" not in franking("accounts", "show", "shop").err
    monkeypatch.setenv("FRANKING_STORE", "file")
    assert franking("login", "shop", "--password-stdin", stdin="canary-8\n").code == 0
    monkeypatch.setenv("FRANKING_STORE", "encrypted")
    assert franking("login", "shop", "--password-stdin", stdin="canary-9\n").code == 0
    assert open_store().kind("shop") == "encrypted"


# --- what is known of a server ----------------------------------------------------------------------------------------


def test_what_is_known_of_a_server_is_filled_in(franking: Franking) -> None:
    def settings(*flags: str) -> dict[str, Any]:
        ended = franking("accounts", "add", "a", "--replace", "--from", "jan@seznam.cz", *flags, "--json")
        return {key: ended.json["settings"][key] for key in ("port", "security", "username")}

    known = {"port": 465, "security": "tls", "username": "jan@seznam.cz"}
    assert settings("--host", "smtp.seznam.cz") == known
    assert settings("--host", "smtp.seznam.cz", "--username", "jan") == {**known, "username": "jan"}
    assert settings("--host", "smtp.seznam.cz", "--port", "587") == {**known, "port": 587, "security": "starttls"}
    assert settings("--host", "smtp.seznam.cz", "--no-auth")["username"] is None
    assert settings("--host", "smtp.web.de")["username"] == "jan", "there it is what stands before the @"
    assert settings("--host", "smtp.novak.cz") == {"port": 587, "security": "starttls", "username": None}


@pytest.mark.parametrize(
    ("flags", "following"),
    [
        (["--from", "jan@seznam.cz", "--host", "smtp.seznam.cz"], "franking login a"),
        (
            ["--from", "jan@seznam.cz", "--host", "smtp.seznam.cz", "--no-auth"],
            "franking accounts add a --update --username jan@seznam.cz",
        ),
        (
            ["--from", "info@novak.cz", "--host", "smtp.novak.cz"],
            "franking accounts add a --update --username info@novak.cz",
        ),
        (
            ["--from", "info@novak.cz", "--host", "in-v3.mailjet.com"],
            "franking accounts add a --update --username NAME",
        ),
        (["--from", "info@novak.cz", "--host", "mail.novak.cz", "--security", "none"], "franking send-test a"),
        (["--from", "me@gmail.com", "--provider", "gmail"], "franking register gmail me@gmail.com"),
        (["--from", "me@outlook.com", "--provider", "outlook"], "franking register outlook me@outlook.com"),
    ],
)
def test_no_account_is_called_ready_that_cannot_work(franking: Franking, flags: list[str], following: str) -> None:
    ended = franking("accounts", "add", "a", *flags)
    assert ended.code == 0
    assert following in ended.err
    state = franking("accounts", "list").out.splitlines()[-1]
    assert state.endswith("ready") is following.startswith("franking send-test")
