"""After a failure during ``franking setup``: every answer can be changed, by its number or its name, and what is not
changed stays.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commandline import Person
from servers.microsoft import CLIENT, Microsoft
from servers.smtp import SmtpServer
from servers.web import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority: Authority) -> Iterator[SmtpServer]:
    users = {"info@shop.example": "canary-pass", "jana@shop.example": "canary-pass"}
    with SmtpServer(users=users, context=authority.context("localhost"), plain_auth=False) as made:
        yield made


def at_the_menu(server: SmtpServer, *flags: str, password: str = "wrong", **settings: str) -> Person:
    """Come to the list of answers, by a test that failed."""
    given = {"host": "localhost", "port": str(server.port), "username": "info@shop.example", **settings}
    words = [word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", value)]
    person = Person("setup", "info@shop.example", "--offline", "--to", "info@shop.example", *words, *flags)
    person.answer("Password of info@shop.example", password)
    person.answer("What now [1]", "2")
    return person


def saved() -> tuple[str, dict[str, Any]]:
    ((name, account),) = tomllib.loads(Path(os.environ["FRANKING_CONFIG"]).read_text("utf-8"))["accounts"].items()
    return name, account


def test_every_answer_can_be_changed(server: SmtpServer, authority: Authority) -> None:
    person = at_the_menu(server, ca_file=authority.ca_file)
    person.answer("Which one to change [done]", "0")
    person.answer("Please type a number from 1 to", "1")
    person.answer("Your mail address [info@shop.example]", "Jana Malá <jana@shop.example>")
    person.answer("Which one to change", "password")
    person.answer("Password of jana@shop.example", "canary-pass")
    person.answer("Which one to change", "name")
    person.answer("Name of the account [shop]", "a/b")
    person.answer("Name of the account [shop]", "post")
    person.answer("Which one to change", "test to")
    person.answer("Send the test message to [jana@shop.example]", "me@shop.example")
    person.answer("Which one to change", "--timeout")
    person.answer("Seconds without progress in any step (- for none)", "soon")
    person.answer("Seconds without progress in any step (- for none)", "9")
    person.answer("Which one to change", "")
    assert person.run() == 0, person.shown
    name, account = saved()
    assert (name, account["from"], account["username"]) == (
        "post",
        "Jana Malá <jana@shop.example>",
        "jana@shop.example",
    )
    assert account["timeout"] == 9
    assert server.messages[0].recipients == ["me@shop.example"]


def test_a_ca_file_that_was_missing(server: SmtpServer, authority: Authority) -> None:
    person = at_the_menu(server, password="canary-pass")
    person.answer("Which one to change", "ca_file")
    person.answer(
        "Extra CA certificates (PEM) for every TLS connection of this account (- for none)", authority.ca_file
    )
    person.answer("Which one to change", "")
    assert person.run() == 0, person.shown
    assert saved()[1]["ca_file"] == authority.ca_file
    assert person.secrets == ["canary-pass"]


def test_what_may_be_left_out_can_be_taken_away(server: SmtpServer, tmp_path: Path, authority: Authority) -> None:
    person = at_the_menu(server, ca_file=authority.ca_file, timeout="9")
    person.answer("Which one to change", "timeout")
    person.answer("Seconds without progress in any step (- for none) [9.0]", "-")
    person.answer("Which one to change", "login name")
    person.answer("Login name (- if the server wants none) [info@shop.example]", "-")
    person.interrupt("Which one to change")
    assert person.run() == 130
    assert "--no-auth" in person.shown
    assert "--timeout" not in person.shown.rpartition("To go on")[2]


def test_the_security_takes_the_port_along(server: SmtpServer, authority: Authority) -> None:
    person = at_the_menu(server, "--security", "tls", ca_file=authority.ca_file)
    person.answer("Which one to change", "port")
    person.answer(f"Port [{server.port}]", "587")
    person.answer("Security (none, starttls, tls) [starttls]", "")
    person.answer("Which one to change", "security")
    person.answer("Security (none, starttls, tls) [starttls]", "tls")
    person.answer("Port [465]", "")
    person.answer("Which one to change", "server")
    person.answer("Server, a name or an IP address [localhost]", "127.0.0.1")
    person.interrupt("Which one to change")
    assert person.run() == 130
    assert "--host 127.0.0.1 --port 465" in person.shown


def test_another_kind_of_mailbox(server: SmtpServer, tmp_path: Path, authority: Authority) -> None:
    person = at_the_menu(server, ca_file=authority.ca_file)
    person.answer("Which one to change", "mailbox")
    person.answer("Which one", "file")
    person.answer("Directory", str(tmp_path / "mails"))
    person.answer("Which one to change", "")
    assert person.run() == 0, person.shown
    assert saved()[1]["provider"] == "file"
    assert len(list((tmp_path / "mails").rglob("*.eml"))) == 1


def test_a_sign_in_that_was_refused(tmp_path: Path) -> None:
    with Microsoft(tmp_path) as microsoft:
        microsoft.approves, microsoft.declines = True, True
        flags = (
            "--authority",
            microsoft.authority,
            "--graph-endpoint",
            microsoft.url,
            "--ca-file",
            microsoft.ca.ca_file,
        )
        person = Person(
            "setup", "jan@contoso.com", "--provider", "outlook", "--offline", "--no-browser", "--client-id",
            "99999999-2222-3333-4444-555555555555", "--to", "jan@contoso.com", *flags,
        )  # fmt: skip
        person.answer("Paste the address", "what?")
        person.answer("Paste the address", "that")
        person.answer("Paste the address", "nothing")
        person.answer("What now [1]", "change")
        person.answer("Which one to change", "client_id")
        person.answer("Application (client) ID [99999999-2222-3333-4444-555555555555]", CLIENT)
        person.answer("Which one to change", "tenant")
        person.answer("(- for none) [common]", "contoso.com")
        person.answer("Which one to change", "sign-in")
        person.answer("How to sign in (browser, paste, code) [paste]", "phone")
        person.answer("How to sign in (browser, paste, code) [paste]", "code")
        person.answer("Which one to change", "")
        assert person.run() == 0, person.shown
        account = saved()[1]
        assert (account["client_id"], account["tenant"]) == (CLIENT, "contoso.com")
        assert len(microsoft.graph.sent) == 1
