"""The contract between a provider and everything else: its names, its steps, and the abilities that are optional."""

from __future__ import annotations

from typing import Any

import pytest

import franking
from franking import provider as contract
from franking.errors import ConnectError
from franking.file import FileProvider
from franking.provider import (
    Destination,
    Facts,
    Receipt,
    RouteFacts,
    Step,
    Steps,
    SupportsDestination,
    SupportsHints,
    SupportsLogin,
    SupportsPlan,
    destination_of,
    needs_secret,
    who_signed_in,
)
from franking.registry import provider


def test_every_name_of_the_contract_can_be_imported_with_a_star() -> None:
    names: dict[str, Any] = {}
    exec("from franking.provider import *", names)
    assert set(contract.__all__) <= set(names)
    assert names["Parts"].__module__ == "franking.message.parser"
    assert names["Secret"].__module__ == "franking.auth.secret"
    assert len(set(contract.__all__)) == len(contract.__all__)


def test_a_name_that_is_not_there_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match=r"module 'franking\.provider' has no attribute 'Provder'"):
        _ = contract.Provder  # type: ignore[attr-defined]


# -- steps -------------------------------------------------------------------------------------------------------------


def test_a_step_is_told_at_its_start_and_at_its_end() -> None:
    seen: list[Step] = []
    times = iter([10.0, 10.5, 11.0, 13.0])
    steps = Steps(seen.append, clock=lambda: next(times))
    with steps("connect"):
        steps.detail = "127.0.0.1:25"
    with pytest.raises(ConnectError), steps("greet"):
        raise ConnectError("no greeting")
    assert seen == [
        Step("connect", "running"),
        Step("connect", "ok", 500.0, "127.0.0.1:25"),
        Step("greet", "running"),
        Step("greet", "failed", 2000.0, "no greeting"),
    ]


def test_the_detail_of_one_step_is_not_the_next_one_s() -> None:
    seen: list[Step] = []
    steps = Steps(seen.append)
    for name in ("connect", "greet"):
        with steps(name):
            if name == "connect":
                steps.detail = "here"
    assert [step.detail for step in seen if step.status == "ok"] == ["here", ""]


def test_what_is_no_error_of_ours_is_no_failed_step() -> None:
    seen: list[Step] = []
    with pytest.raises(KeyboardInterrupt), Steps(seen.append)("connect"):
        raise KeyboardInterrupt
    assert [step.status for step in seen] == ["running"]


# -- facts and receipts ------------------------------------------------------------------------------------------------


def test_routes_are_found_by_their_full_name() -> None:
    facts = Facts(routes=(RouteFacts("gmail-api"), RouteFacts("gmail-smtp", per_day=5)))
    assert facts.route("gmail-smtp").per_day == 5
    with pytest.raises(StopIteration):
        facts.route("smtp")


def test_a_receipt_is_json_of_its_own() -> None:
    receipt = Receipt("<1>", "smtp", "250 ok", accepted=("a",), refused={"b": {"reply": "no"}}, bytes=3, ms=1.26)
    told = receipt.as_dict()
    assert (told["accepted"], told["refused"], told["ms"]) == (["a"], {"b": {"reply": "no"}}, 1.3)
    assert told["refused"]["b"] is not receipt.refused["b"]
    assert "warnings" not in told


@pytest.mark.parametrize(
    ("name", "settings", "needed"),
    [
        ("smtp", {"host": "h"}, False),
        ("smtp", {"host": "h", "username": "jan"}, True),
        ("gmail", {}, True),
        ("file", {"path": "/tmp/x"}, False),
    ],
)
def test_who_needs_a_secret(name: str, settings: dict[str, Any], needed: bool) -> None:
    account = franking.Account(name="x", provider=name, sender="a@b.cz", **settings)
    assert needs_secret(account, provider(name)) is needed


def test_the_key_of_a_login_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    account = franking.Account(name="x", provider="file", sender="a@b.cz", path="/tmp/x")
    monkeypatch.setattr(FileProvider, "facts", Facts(routes=(), login_key="path"))
    assert needs_secret(account, FileProvider())


# -- abilities ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "abilities"),
    [
        ("smtp", {SupportsDestination, SupportsHints}),
        ("gmail", {SupportsDestination, SupportsLogin}),
        ("outlook", {SupportsDestination, SupportsLogin, SupportsPlan}),
        ("file", {SupportsDestination}),
    ],
)
def test_what_each_provider_can_do(name: str, abilities: set[type]) -> None:
    every = (SupportsDestination, SupportsHints, SupportsLogin, SupportsPlan)
    assert {ability for ability in every if isinstance(provider(name), ability)} == abilities


def test_a_destination_is_one_line() -> None:
    assert str(Destination("h:25", "h", "none")) == "h:25 (none)"
    assert str(Destination("/tmp/mail")) == "/tmp/mail"


def test_a_provider_without_a_place_is_named_by_its_route() -> None:
    account = franking.Account(name="x", provider="file", sender="a@b.cz", path="/tmp/x")
    assert destination_of(account, FileProvider()) == Destination("/tmp/x")
    gmail = franking.Account(name="x", provider="gmail", sender="a@gmail.com")
    assert destination_of(gmail, provider("gmail")) == Destination("gmail-api")


def test_who_signed_in_where_the_secret_knows() -> None:
    class Known:
        who = "me@gmail.com"

    assert who_signed_in(Known()) == "me@gmail.com"
    assert who_signed_in(object()) is None
    assert who_signed_in(None) is None
