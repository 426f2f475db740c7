"""Which account sends what nobody named an account for."""

from __future__ import annotations

import asyncio
import os
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import franking
import franking.aio
from commandline import franking as run
from franking.account.config import load, resolve
from franking.account.routes import account_by_author
from franking.message.address import Address

TABLES = "".join(
    f'[accounts.{name}]\nprovider = "file"\nfrom = "{name}@example.cz"\npath = "{name}"\n'
    for name in ("shop", "office", "rest")
)
ROUTES = '[routes]\n"info@novak.cz" = "shop"\n"@novak.cz" = "office"\n"@háčky.cz" = "office"\n"*" = "rest"\n'


def save(routes: str = ROUTES, more: str = "") -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text(more + routes + TABLES, encoding="utf-8")


@pytest.mark.parametrize(
    ("author", "account"),
    [
        ("info@novak.cz", "shop"),
        ("info@NOVAK.cz", "shop"),
        ("Info@novak.cz", "office"),  # a local part is the receiving server's
        ("petr@novak.cz", "office"),
        ("petr@sub.novak.cz", "rest"),
        ("petr@xn--hky-ela4t.cz", "office"),
        ("petr@HÁČKY.cz", "office"),
        ("anybody@example.com", "rest"),
    ],
)
def test_the_most_exact_wins(author: str, account: str) -> None:
    save()
    assert account_by_author(load(), author) == account


def test_without_a_route_it_is_the_default() -> None:
    save('[routes]\n"@novak.cz" = "office"\n', 'default = "shop"\n')
    assert account_by_author(load(), "a@example.com") == "shop"
    assert resolve(None, author=Address("a@novak.cz")).name == "office"
    assert resolve(None).name == "shop"


def test_who_names_an_account_means_it(monkeypatch: pytest.MonkeyPatch) -> None:
    save()
    assert resolve("rest", author=Address("info@novak.cz")).name == "rest"
    monkeypatch.setenv("FRANKING_ACCOUNT", "office")
    assert resolve(None, author=Address("info@novak.cz")).name == "office"


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ('[routes]\n"novak.cz" = "shop"\n', "novak.cz"),
        ('[routes]\n"@" = "shop"\n', "@"),
        ('[routes]\n"*" = "shp"\n', "shop"),
        ('[routes]\n"*" = 3\n', "name of an account"),
        ("routes = 3\n", "table"),
    ],
)
def test_a_wrong_route_is_named(routes: str, said: str) -> None:
    save(routes)
    with pytest.raises(franking.SettingsError, match=said):
        resolve(None, author=Address("info@novak.cz"))


def email_message() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"] = "Jan <info@novak.cz>", "a@example.com"
    made.set_content("x")
    return made


@pytest.mark.parametrize(
    "message",
    [
        franking.Message(sender="Jan <info@novak.cz>", to="a@example.com", text="x"),
        email_message(),
        b"From: Jan\r\n <info@novak.cz>\r\nTo: a@example.com\r\n\r\nx\r\n",
    ],
    ids=["Message", "EmailMessage", "bytes"],
)
def test_send_finds_the_account_by_from(message: Any) -> None:
    save()
    assert franking.send(None, message).account == "shop"
    assert franking.send("rest", message).account == "rest"
    assert asyncio.run(franking.aio.send(None, message)).account == "shop"


def test_a_message_that_says_no_sender_goes_by_the_default() -> None:
    save(more='default = "rest"\n')
    assert franking.send(None, franking.Message(to="a@example.com", text="x")).account == "rest"


def test_the_command_line_finds_it_too() -> None:
    save()
    ended = run("send", "--from", "Jan <petr@novak.cz>", "--to", "a@example.com", "--text", "x", "--json")
    assert ended.code == 0
    assert ended.json["receipt"]["account"] == "office"
    assert ended.json["account"] == "office"
