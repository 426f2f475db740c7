"""``franking status``: what it tells of each account's secret, and what repairs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commandline import Franking
from franking.auth.store import open_store
from franking_cli.commands.status import age
from franking_cli.console import Console
from servers.google import Google
from servers.smtp import SmtpServer


def test_status_verify_of_a_dead_sign_in_names_the_repair(google: Google, franking: Franking) -> None:
    franking("login", "g")
    google.refresh.clear()
    assert franking("status").code == 0  # without --verify nobody asks Google
    ended = franking("status", "--verify", "--json")
    assert ended.code == 4
    assert (ended.json[0]["ok"], ended.json[0]["repair"]) == (False, "franking login g")
    franking("accounts", "disable", "g")
    assert franking("status", "--verify").code == 0  # it does not send, so it need not work


def test_status_verify_really_logs_in(franking: Franking, tmp_path: Path) -> None:
    with SmtpServer(users={"u": "right"}) as server:
        franking(
            "accounts",
            "add",
            "s",
            "--from",
            "a@b.cz",
            "--host",
            "127.0.0.1",
            "--port",
            str(server.port),
            "--security",
            "none",
            "--username",
            "u",
        )
        franking("login", "s", "--password-stdin", stdin="right\n")
        assert franking("status", "--verify").code == 0
        franking("login", "s", "--password-stdin", stdin="canary-9\n")
        assert franking("status").code == 0
        ended = franking("status", "--verify", "--json")
        assert ended.code == 1
        assert ended.json[0]["ok"] is False and "canary" not in ended.out
    assert franking("status", "--verify").code in (1, 5)


def test_status_of_nothing_and_of_a_url(franking: Franking) -> None:
    assert franking("status", "--json").json == []
    assert "franking setup" in franking("status").err
    told = franking("status", "outlook://me@contoso.com?client_id=x", "--json")
    assert told.code == 4
    assert told.json[0]["repair"] == "franking login 'outlook://me@contoso.com?client_id=x'"


def test_status_is_2_before_4(franking: Franking, shop: None) -> None:
    franking("accounts", "add", "g", "--provider", "gmail", "--from", "me@gmail.com")
    assert franking("status").code == 2
    franking("login", "shop", "--password-stdin", stdin="x\n")
    assert franking("status").code == 4


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_status_names_the_chmod(franking: Franking, shop: None) -> None:
    franking("login", "shop", "--password-stdin", stdin="x\n")
    path = open_store().path("shop")
    path.chmod(0o644)
    told = franking("status", "--json").json[0]
    assert (told["ok"], told["repair"]) == (False, f"chmod 600 {path}")
    path.chmod(0o600)
    assert franking("status").code == 0


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("2026-01-10T00:00:00Z", "just now"),
        ("2026-01-09T23:58:00Z", "2 minutes ago"),
        ("2026-01-09T22:00:00Z", "2 hours ago"),
        ("2026-01-07T00:00:00Z", "3 days ago"),
        ("2026-01-11T01:00:00Z", "in 1 day"),
    ],
)
def test_ages_are_words(written: str, words: str) -> None:
    assert age(Console(language="en"), written, 1_768_003_200.0) == words


def test_status_says_why_a_sign_in_ends_so_soon(google: Google, franking: Franking) -> None:
    google.testing = True
    assert "in Testing" in franking("login", "g").err
    assert "days (the consent screen is in Testing)" in franking("status").out
    assert franking("status", "--json").json[0]["testing"] is True
