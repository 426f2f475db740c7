"""An smtp account whose server belongs to Google or Microsoft: the hint beside the settings, and the first remedy of a
refused login.
"""

from __future__ import annotations

import pytest

import franking
from franking.errors import Evidence, LoginError
from franking.registry import provider
from franking.sending.explain import explain
from franking.sending.testsend import hints_for


def account(host: str) -> franking.Account:
    return franking.Account(
        name="shop", provider="smtp", sender="Jan <jan@firma.cz>", host=host, username="jan@firma.cz"
    )


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("smtp.gmail.com", "gmail"),
        ("SMTP.GMAIL.COM.", "gmail"),
        ("smtp.office365.com", "outlook"),
        ("aspmx.l.google.com", "gmail"),
    ],
)
def test_a_better_way_is_pointed_at(host: str, name: str) -> None:
    hint = next(hint for hint in hints_for(account(host), "a password") if hint.code == "provider.better-way")
    command = f"franking setup jan@firma.cz --provider {name}"
    assert command in hint.text
    assert provider(name).title in hint.text
    error = LoginError("refused", evidence=Evidence("smtp", 535, "5.7.8", "Username and Password not accepted."))
    assert command in explain(error, account(host), provider("smtp")).remedies[0]


@pytest.mark.parametrize(
    "host",
    [
        "smtp.seznam.cz",
        "smtp.novak.cz",
        "smtp-gmail.com",
        "smtp.gmail.com.evil.example",
        "10.0.0.1",
        "smtp-relay.gmail.com",
    ],
)
def test_no_better_way_is_made_up(host: str) -> None:
    assert not [hint for hint in hints_for(account(host), "a password") if hint.code == "provider.better-way"]


def test_a_provider_that_signs_in_already_needs_no_hint() -> None:
    mine = franking.Account(name="shop", provider="gmail", sender="jan@firma.cz", route="smtp", host="smtp.gmail.com")
    assert not [hint for hint in hints_for(mine) if hint.code == "provider.better-way"]
