"""What a secret belongs to: places in the one form that is compared."""

from __future__ import annotations

import pytest

import franking
from franking.account.binding import binding_of, difference


def host(text: str) -> str:
    account = franking.Account(
        name="x", provider="smtp", sender="a@example.cz", host=text, security="none", username="x"
    )
    return binding_of(account)["host"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("smtp.novak.cz", "SMTP.Novak.CZ"),
        ("smtp.novak.cz", "smtp.novak.cz."),
        ("háčky.cz", "xn--hky-ela4t.cz"),
        ("::1", "0:0:0:0:0:0:0:1"),
    ],
)
def test_what_is_no_difference(one: str, other: str) -> None:
    assert host(one) == host(other)


@pytest.mark.parametrize(("one", "other"), [("localhost", "127.0.0.1"), ("smtp.novak.cz", "novak.cz"), ("::1", "::2")])
def test_what_is_one(one: str, other: str) -> None:
    assert host(one) != host(other)


def test_the_first_setting_that_differs_is_named() -> None:
    assert difference({"provider": "smtp", "host": "a"}, {"provider": "smtp", "host": "b"}) == "host"
    assert difference({"provider": "smtp"}, {"provider": "smtp", "host": "b"}) is None


@pytest.mark.parametrize("odd", ["a:b:c", "ž" * 70 + ".cz"])
def test_what_is_no_name_is_compared_as_it_stands(odd: str) -> None:
    from franking.account.binding import _place

    assert _place(odd) == odd
    assert _place(f"https://{odd}/x/") == f"https://{odd}/x"


def test_an_account_without_a_place_belongs_to_its_provider() -> None:
    account = franking.Account(name="x", provider="file", sender="a@example.cz", path="/tmp/x")
    assert binding_of(account)["provider"] == "file"
