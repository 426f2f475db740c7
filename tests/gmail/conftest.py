"""A stand-in of Google on loopback, and an account and a session that send by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import franking
from franking.account.account import Account
from franking.auth.secret import Password
from franking.gmail import send
from franking.provider import Session, silent
from servers.google import Google
from servers.web import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def google(authority: Authority) -> Iterator[Google]:
    with Google(authority) as made:
        yield made


@pytest.fixture
def account(google: Google) -> Account:
    return franking.Account(
        name="shop",
        provider="gmail",
        sender="Me <me@gmail.com>",
        api_endpoint=google.url,
        ca_file=google.authority.ca_file,
        timeout=10,
    )


@pytest.fixture
def token(google: Google) -> str:
    return google.give_access()


@pytest.fixture
def session(account: Account, token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    made = send.open_session(account, Password(token), silent)
    made._pause = lambda seconds: None
    try:
        yield made
    finally:
        made.close()
