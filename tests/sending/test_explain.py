"""What the mailer's half of diagnosing knows: the account, its better provider, who signed in, and what may not come
out.
"""

from __future__ import annotations

from typing import Any

import pytest

import catalogue
import franking
from franking.errors import ConnectError, Evidence, LoginError, LoginRequired, OutcomeUnknown, Refused
from franking.registry import provider
from franking.sending.explain import better_for, explain, in_commands
from franking.sending.testsend import hints_for


def smtp(host: str = "smtp.novak.cz", **settings: Any) -> franking.Account:
    return franking.Account(name="shop", provider="smtp", sender="Jan <jan@novak.cz>", host=host, **settings)


def test_an_error_is_explained_once() -> None:
    error = Refused("no", evidence=Evidence("smtp", 550, "5.1.1", "unknown"))
    first = explain(error)
    assert error.diagnosis is first
    assert explain(error, smtp(), provider("smtp")) is first


def test_the_values_describe_the_account_and_who_signed_in() -> None:
    diagnosis = explain(
        ConnectError("reset", step="connect"), smtp(port=2525), provider("smtp"), signed_in={"who": "me@novak.cz"}
    )
    for key, value in {
        "provider": "smtp",
        "title": "SMTP server",
        "route": "smtp",
        "sender": "jan@novak.cz",
        "host": "smtp.novak.cz",
        "port": 2525,
        "who": "me@novak.cz",
        "name": "shop",
    }.items():
        assert diagnosis.values[key] == value
    assert "recommended" not in diagnosis.values


def test_a_secret_that_the_other_side_repeats_does_not_come_out() -> None:
    error = LoginError("no", step="login", evidence=Evidence("smtp", 535, None, "wrong: canary-77-secret"))
    diagnosis = explain(error, smtp(), provider("smtp"), secrets=["canary-77-secret"])
    assert "canary" not in f"{diagnosis.raw}{diagnosis.values}{diagnosis.cause}"


def test_a_misspelt_server_is_suggested() -> None:
    seen = Evidence("dns", reason="not-found")
    diagnosis = explain(
        ConnectError("no such host", step="resolve", evidence=seen), smtp("smtp.gmial.com"), provider("smtp")
    )
    assert diagnosis.values["suggestion"] == "smtp.gmail.com"
    alone = explain(ConnectError("no such host", step="resolve", evidence=seen))
    assert "suggestion" not in alone.values


@pytest.mark.parametrize("host", ["smtp.seznam.cz", "SMTP.gmail.com."])
def test_a_well_known_server_that_is_not_found_is_no_slip_but_a_lost_network(host: str) -> None:
    error = ConnectError(
        "no such host", step="resolve", evidence=Evidence("dns", reason="not-found", details={"host": host})
    )
    found = explain(error, smtp(host), provider("smtp"))
    assert (found.code, found.temporary) == ("dns.unavailable", True)
    assert "well-known server" in found.cause and host in found.cause
    assert "internet connection" in found.remedies[0]


@pytest.mark.parametrize(
    ("account", "better"),
    [
        (smtp("smtp.gmail.com"), "gmail"),
        (smtp("smtp.office365.com"), "outlook"),
        (smtp(), None),
        (franking.Account(name="g", provider="gmail", sender="a@gmail.com", route="smtp"), None),
        (franking.Account(name="f", provider="file", sender="a@gmail.com", path="/tmp/x"), None),
        (None, None),
    ],
)
def test_the_better_provider(account: franking.Account | None, better: str | None) -> None:
    found = better_for(account)
    assert (found and found.name) == better
    if account is not None and found is not None:
        diagnosis = explain(ConnectError("reset"), account, provider("smtp"))
        assert diagnosis.values["recommended"] == better
        assert diagnosis.values["recommended_title"] == found.title


def test_the_better_provider_s_rules_know_its_words() -> None:
    seen = Evidence("smtp", 535, "5.7.8", "Username and Password not accepted. https://support.google.com/mail/")
    unmarked = seen._replace(text="Username and Password not accepted.")
    for host, words, code in (
        ("smtp.gmail.com", seen, "google.password-refused"),
        ("smtp.gmail.com", unmarked, "google.password-refused"),
        ("smtp.novak.cz", seen, "google.password-refused"),
        ("smtp.novak.cz", unmarked, "login.refused"),
    ):
        assert explain(LoginError("no", step="login", evidence=words), smtp(host), provider("smtp")).code == code


def test_a_sign_in_that_is_needed_names_its_command() -> None:
    error = LoginRequired("nobody has signed in")
    explain(error, franking.Account(name="g", provider="gmail", sender="a@gmail.com").referred_to_as("g"), None)
    assert error.repair == "franking login g"
    nameless = LoginRequired("nobody has signed in")
    explain(nameless, franking.Account(name="g", provider="gmail", sender="a@gmail.com").referred_to_as("", ()), None)
    assert nameless.repair is None


def test_what_stands_for_an_account_in_a_command() -> None:
    saved = smtp().referred_to_as("shop")
    assert in_commands(saved) == {
        "name": "shop",
        "account": "shop",
        "again": ("shop",),
        "unsaved": False,
        "saved": True,
    }
    url = saved.referred_to_as("smtp://smtp.novak.cz")
    assert (in_commands(url)["unsaved"], in_commands(url)["saved"]) == (False, False)
    flags = saved.referred_to_as("", ("--host", "h"))
    assert in_commands(flags) == {
        "name": None,
        "account": "",
        "again": ("--host", "h"),
        "unsaved": True,
        "saved": False,
    }
    code = smtp()
    assert in_commands(code) == {"name": "shop", "account": code.reference, "again": (code.reference,)}
    assert in_commands(code.referred_to_as("", ()))["again"] is None


@pytest.mark.parametrize(
    ("host", "reply", "code", "better"),
    [
        (
            "smtp.gmail.com",
            "535 5.7.8 Username and Password not accepted. BadCredentials",
            "google.password-refused",
            "gmail",
        ),
        (
            "aspmx.l.google.com",
            "535 5.7.8 Username and Password not accepted. BadCredentials",
            "google.password-refused",
            "gmail",
        ),
        (
            "smtp.office365.com",
            "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
            "microsoft.basic-auth-off",
            "outlook",
        ),
        ("smtp.office365.com", "535 5.7.3 Authentication unsuccessful", "microsoft.password-refused", "outlook"),
        ("smtp.novak.cz", "535 5.7.8 Error: authentication failed", "login.refused", None),
        ("smtp.gmail.com.evil.example", "535 5.7.8 Error: authentication failed", "login.refused", None),
    ],
)
def test_a_server_of_an_oauth_provider_leads_to_its_sign_in(
    host: str, reply: str, code: str, better: str | None
) -> None:
    account = franking.Account(
        name="shop", provider="smtp", sender="info@novak.cz", host=host, username="info@novak.cz"
    )
    found = explain(LoginError("x", evidence=catalogue.smtp(reply, mechanism="PLAIN")), account, provider("smtp"))
    assert found.code == code
    hints = hints_for(account)
    if better is None:
        assert "franking setup" not in found.remedies[0]
        assert not hints
    else:
        assert f"`franking setup info@novak.cz --provider {better}`" in found.remedies[0]
        assert [hint.code for hint in hints] == ["provider.better-way"]
        assert f"`franking setup info@novak.cz --provider {better}`" in hints[0].text


def test_a_misspelt_server_is_named_as_it_was_probably_meant() -> None:
    account = franking.Account(
        name="shop", provider="smtp", sender="info@novak.cz", host="smtp.gmai.com", username="info@novak.cz"
    )
    found = explain(
        ConnectError("x", step="resolve", evidence=catalogue.seen("dns", "not-found", host="smtp.gmai.com")),
        account,
        provider("smtp"),
    )
    assert found.remedies[0] == "Did you mean smtp.gmail.com?"
    account = account.replace(host="smtp.novak.cz")
    found = explain(
        ConnectError("x", step="resolve", evidence=catalogue.seen("dns", "not-found")), account, provider("smtp")
    )
    assert not any("Did you mean" in remedy for remedy in found.remedies)


def test_the_mailer_says_who_signed_in_and_hides_what_was_used() -> None:
    account = franking.Account(name="shop", provider="gmail", sender="jan@gmail.com", route="smtp")
    known = {"who": "eva@gmail.com", "scopes": ("https://mail.google.com/",)}
    error = LoginError(
        "x",
        evidence=catalogue.smtp(
            "535 5.7.8 BadCredentials for CANARY-TOKEN", mechanism="XOAUTH2", username="jan@gmail.com"
        ),
    )
    found = explain(error, account, provider("gmail"), signed_in=known, secrets=["CANARY-TOKEN"])
    assert found.code == "login.other-mailbox"
    assert "eva@gmail.com signed in, but the account is for jan@gmail.com" in found.cause
    assert "CANARY" not in repr(found)


@pytest.mark.parametrize(
    ("account", "kept"),
    [
        (smtp(), False),
        (franking.Account(name="g", provider="gmail", sender="a@gmail.com"), True),
        (franking.Account(name="o", provider="outlook", client_id="x", sender="a@outlook.com"), True),
        (
            franking.Account(name="o", provider="outlook", client_id="x", sender="a@outlook.com", save_to_sent=False),
            False,
        ),
    ],
)
def test_a_sent_folder_is_promised_only_where_the_mailbox_keeps_what_was_sent(
    account: franking.Account, kept: bool
) -> None:
    found = explain(OutcomeUnknown("no answer"), account, provider(account.provider))
    assert ("Sent folder" in " ".join(found.remedies)) is kept
