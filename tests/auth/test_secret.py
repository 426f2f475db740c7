"""Passwords and grants as values: on paper, fresh or not, and never shown."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import franking
from franking.auth.secret import MARGIN, Grant, Password, loads

NOW = 1_800_000_000.0


def grant(token: str = "token-0", *, age: float = 0, left: float = 3600, **rest: Any) -> Grant:
    base = Grant(
        provider="gmail",
        route="gmail-api",
        who="jana@example.cz",
        scopes=("a", "b"),
        created_at=NOW - 86_400,
        refreshed_at=NOW - age,
        access_token=token,
        expires_at=NOW + left,
        data={"refresh_token": "canary-refresh"},
        details={"testing": True},
    )
    return replace(base, **rest)


def test_a_grant_survives_paper() -> None:
    for one in (grant(), grant("", who=None, scopes=(), data={}, details={}, expires_at=0.0)):
        text = one.dumps()
        assert "\n" not in text
        assert json.loads(text)["version"] == 1
        assert Grant.loads(text) == one
        assert Grant.loads(f"  {text}\n") == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "{}",
        "[]",
        "null",
        grant().dumps()[:-20],
        grant().dumps().replace('"kind": "grant"', '"kind": "x"'),
        grant().dumps().replace('"version": 1', '"version": 2'),
        grant().dumps().replace('"scopes": ["a", "b"]', '"scopes": 5'),
        grant().dumps().replace('"created_at"', '"created"'),
        Password("hunter2").dumps(),
    ],
)
def test_what_is_no_grant_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(franking.SettingsError) as caught:
        Grant.loads(text)
    assert "canary" not in str(caught.value) and "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_survives_paper_and_is_never_taken_from_a_grant() -> None:
    assert Password.loads(Password("hunter2\n ", saved_at=5.0).dumps()) == Password("hunter2\n ", "store", 5.0)
    with pytest.raises(franking.SettingsError) as caught:
        Password.loads(grant().dumps())  # a refresh token must not be sent to a mail server as a password
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("age", "left", "fresh"),
    [
        (0, 3600, True),
        (3200, MARGIN + 1, True),
        (3300, MARGIN - 1, False),  # an hour's token counts as over five minutes early
        (3700, -100, False),
        (0, 60, True),  # a minute's token cannot be over five minutes early
        (50, 10, False),
        (-MARGIN + 1, 3600, True),  # another machine's clock is a little ahead
        (-MARGIN - 1, 3600 + MARGIN, False),  # the clock was wrong when it was dated, or is wrong now
        (-86_400, 90_000, False),
    ],
)
def test_a_token_is_fresh_until_shortly_before_its_end_and_never_from_the_future(
    age: float, left: float, fresh: bool
) -> None:
    assert grant(age=age, left=left).fresh(NOW) is fresh


def test_an_applications_secret_lies_beside_its_token_and_no_further() -> None:
    kept = grant(application=Password("canary-client", "store", 5.0))
    text = kept.dumps()
    again = loads(text)
    assert again == kept
    assert isinstance(again, Grant) and again.application == Password("canary-client", "store", 5.0)
    # as it has always been written: another version reads it too
    assert json.loads(text)["data"] == {
        "refresh_token": "canary-refresh",
        "client_secret_kept": "canary-client",
        "client_secret_saved_at": 5.0,
    }
    assert again.data == {"refresh_token": "canary-refresh"}
    assert "canary" not in repr(kept)
    assert Grant.loads(grant().dumps()).application is None


def test_either_kind_is_read_and_nothing_else() -> None:
    assert loads(Password("x", saved_at=1.0).dumps()) == Password("x", "store", 1.0)
    for text in ("", "[]", '{"kind": "password"}', '{"kind": "password", "version": 2}'):
        with pytest.raises(franking.SettingsError):
            loads(text)


@pytest.mark.parametrize(
    ("life", "margin"), [(86_400, 300), (1_200, 300), (1_196, 299), (400, 100), (40, 10), (0, 0), (-9, 0)]
)
def test_a_token_ends_five_minutes_or_a_quarter_of_its_life_early(life: float, margin: float) -> None:
    for left, fresh in ((margin + 0.01, True), (margin, False), (margin - 0.01, False)):
        end = NOW + left
        assert grant(expires_at=end, refreshed_at=end - life).fresh(NOW) is fresh
    end = NOW + 1e6
    assert grant(expires_at=end, refreshed_at=NOW + MARGIN).fresh(NOW)
    assert not grant(expires_at=end, refreshed_at=NOW + MARGIN + 0.01).fresh(NOW)
    assert not grant("", expires_at=end).fresh(NOW)
