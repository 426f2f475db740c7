"""The token secret of an account whose provider a test plays: what makes a new grant, and what goes with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from franking.account.account import Account
from franking.auth.secret import Grant
from franking.auth.sources import Sources
from franking.auth.store import SecretStore
from franking.auth.token import Refresh, TokenSecret

__all__ = ["token_secret"]


def token_secret(
    store: SecretStore,
    refresh: Refresh,
    *,
    exported: Grant | None = None,
    route: str = "gmail-api",
    person: bool = True,
    clock: Callable[[], float] = time.time,
    log: Callable[[str], object] = len,
) -> TokenSecret:
    """Make the secret of the account ``shop``; ``log`` is told what the provider does."""
    account = Account(name="shop", provider="gmail", sender="jana@example.cz").referred_to_as("shop")
    explicit = exported.dumps() if exported else None
    return TokenSecret(Sources(account, store, {}, explicit), Provider(refresh, person, log), route, clock=clock)


@dataclass
class Provider:
    """A provider that signs in and prepares its refresh."""

    _refresh: Refresh
    person: bool
    log: Callable[[str], object]

    def needs_login(self, account: Account) -> bool:
        return self.person

    def login(self, account: Account, ui: Any) -> Grant:
        raise NotImplementedError

    def refresh(self, account: Account, grant: Grant | None, secret: str | None) -> Grant:
        raise NotImplementedError

    def revoke(self, account: Account, grant: Grant) -> str:
        raise NotImplementedError

    def who(self, grant: Grant) -> str | None:
        return grant.who

    @contextmanager
    def prepared(self, account: Account, secret: str | None) -> Iterator[Refresh]:
        self.log("ready")

        def refresh(grant: Grant | None) -> Grant:
            self.log("refresh")
            return self._refresh(grant)

        yield refresh
