"""``franking register``: page by page at a terminal, and for programs."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest

from commandline import Franking, Person
from franking.account.config import load
from servers.google import Google
from servers.microsoft import CLIENT, TENANT, Microsoft

OTHER = "99999999-2222-3333-4444-555555555555"


@pytest.fixture
def microsoft(tmp_path: Path) -> Iterator[Microsoft]:
    with Microsoft(tmp_path) as made:
        yield made


def flags(microsoft: Microsoft) -> tuple[str, ...]:
    return ("--authority", microsoft.authority, "--ca-file", microsoft.ca.ca_file)


def test_page_by_page_to_an_app_that_is_right(microsoft: Microsoft, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)  # type: ignore[func-returns-value]
    person = Person("register", "outlook", "jan@contoso.com", *flags(microsoft))
    person.answer("Done, 1 of 4? (Enter; o opens the page)", "o")
    person.answer("Done, 1 of 4?", "")
    for number in (2, 3, 4):
        person.answer(f"Done, {number} of 4? (Enter)", "")
    person.answer("Application (client) ID", "11111111")
    person.answer("32 letters and digits", OTHER)
    person.answer("Look again", CLIENT)
    assert person.run() == 0, person.shown
    assert len(opened) == 1
    assert "Microsoft does not know the app" in person.shown
    assert "✓ public client flows: allowed" in person.shown
    assert f"  franking setup jan@contoso.com --provider outlook --authority {microsoft.authority}" in person.shown
    assert microsoft.tokens == {}


def test_what_is_mended_is_looked_at_again(microsoft: Microsoft) -> None:
    microsoft.public_client_flows = False
    person = Person("register", "outlook", "--client-id", CLIENT, *flags(microsoft))

    def mend(_: str) -> str:
        microsoft.public_client_flows = True
        return ""

    person.answer("Look again", mend)
    assert person.run() == 0, person.shown
    assert "Allow public client flows" in " ".join(person.shown.split())


def test_one_may_stop(microsoft: Microsoft) -> None:
    person = Person("register", "outlook", "--client-id", OTHER, *flags(microsoft))
    person.answer("Look again", "q")
    assert person.run() == 2
    person = Person("register", "outlook", "jan@contoso.com", *flags(microsoft))
    person.answer("Done, 1 of 4?", "")
    person.interrupt("Done, 2 of 4?")
    assert person.run() == 130
    assert "  franking register outlook jan@contoso.com --authority" in person.shown


def test_gmail_page_by_page(google: Google, tmp_path: Path) -> None:
    file = tmp_path / "client_secret.json"
    person = Person("register", "gmail", "me@gmail.com", "--ca-file", google.authority.ca_file)
    for number in range(1, 6):
        person.answer(f"Done, {number} of 5?", "")
    person.answer("Path of the downloaded JSON file", str(file))
    assert person.run() == 0, person.shown
    assert "https://console.cloud.google.com/auth/audience" in person.shown.split()
    assert "✓ client: Google knows it and its secret" in person.shown


def test_for_programs(franking: Franking, microsoft: Microsoft) -> None:
    steps = franking("register", "outlook", "--json").json["steps"]
    assert steps[0]["values"]["Name"] == "Franking"
    assert "Register an app" in franking("register", "outlook").err
    right = franking("register", "outlook", "--client-id", CLIENT, *flags(microsoft), "--json")
    assert (right.code, right.json["ok"]) == (0, True)
    assert right.json["next"].startswith("franking setup ADDRESS --provider outlook")
    wrong = franking("register", "outlook", "--client-id", OTHER, *flags(microsoft), "--json")
    assert (wrong.code, wrong.json["ok"]) == (2, False)
    assert wrong.json["looked"][0]["diagnosis"]["code"] == "microsoft.client-unknown"


def test_scripts(franking: Franking) -> None:
    assert franking("register", "outlook", "--script", "az").out.startswith("#!/usr/bin/env bash\n")
    daemon = ("reports@contoso.com", "--app-only", "--tenant", "contoso.com", "--app-name", "Reports")
    text = franking("register", "outlook", *daemon, "--script", "powershell").out
    assert "New-ManagementScope" in text
    assert "$name = 'Reports'" in text
    assert json.loads(franking("register", "outlook", "--script", "az", "--json").out)["script"].startswith("#!")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("smtp",), "choose one of gmail, outlook"),
        (("outlook", "--script", "perl"), "az and powershell"),
        (("gmail", "--script", "az"), "no script"),
        (("outlook", "--app-only", "--tenant", "contoso.com"), "which mailbox"),
        (("outlook", "--script", "az", "--app-name", "a'b"), "name"),
    ],
)
def test_what_cannot_be_done_is_said(franking: Franking, arguments: tuple[str, ...], words: str) -> None:
    ended = franking("register", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in " ".join(ended.err.split())


@pytest.mark.parametrize("typed", [("2027-03-01",), ("soon", "2027-03-01"), ("",)])
def test_when_the_secret_ends_is_asked_of_an_application_without_a_person(
    microsoft: Microsoft, typed: tuple[str, ...]
) -> None:
    daemon = ("--app-only", "--tenant", TENANT)
    person = Person("register", "outlook", "jan@contoso.com", "--client-id", CLIENT, *flags(microsoft), *daemon)
    for text in typed:
        person.answer("On which day does the client secret end", text)
    assert person.run() == 0, person.shown
    assert ("--client-secret-expires 2027-03-01" in person.shown) == (typed[-1] != "")
    assert ("is no date" in person.shown) == (len(typed) > 1)


@pytest.mark.parametrize("typed", ["2027-03-01", ""])
def test_a_login_with_a_client_secret_asks_when_it_ends(microsoft: Microsoft, typed: str, franking: Franking) -> None:
    made = (
        "--provider",
        "outlook",
        "--from",
        "jan@contoso.com",
        "--client-id",
        CLIENT,
        "--tenant",
        TENANT,
        "--app-only",
    )
    assert franking("accounts", "add", "office", *made, *flags(microsoft)).code == 0
    person = Person("login", "office")
    person.answer("Client secret", "Canary-secret-1")
    person.answer("On which day does the client secret end", typed)
    assert person.run() == 0, person.shown
    assert load().account("office").get("client_secret_expires") == (typed or None)
