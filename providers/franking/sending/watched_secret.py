"""The secret that a mailer uses, watched: where it comes from, what it last gave, who signed in. Renewing is the
mailer's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from franking.redaction import Veiled, revealed, veiled

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.secret import Secret
    from franking.auth.store import SecretStore
    from franking.provider import Provider

__all__ = ["WatchedSecret"]


class WatchedSecret:
    """A secret that remembers what it last gave, so that a refused token can be named when a newer one is asked for."""

    def __init__(
        self, account: Account, provider: Provider, given: str | Secret | None, store: SecretStore | None
    ) -> None:
        """``given`` is a password or a secret; without it the usual sources are asked, ``store`` among them."""
        self._account, self._provider = account, provider
        self._given: Veiled[str] | Secret | None = veiled(given)
        self._store = store
        self.secret: Secret | None = None
        self._last: Veiled[str] | None = None

    def found(self) -> Secret:
        """Return the secret itself, which is found when it is first asked for."""
        if self.secret is None:
            self.secret = self._find()
        return self.secret

    def _find(self) -> Secret:
        if self._given is not None and not isinstance(self._given, Veiled):
            return self._given
        from franking.auth.sources import secret_for
        from franking.auth.store import open_store

        store = self._store or open_store(os.environ)
        return secret_for(self._account, self._provider, store, os.environ, self._given)

    @property
    def last(self) -> str | None:
        """Return the password or token that was last given."""
        return revealed(self._last)

    def given(self) -> tuple[str, ...]:
        """Return what has to be hidden: the same, where there was any."""
        return () if self._last is None else (self._last.reveal(),)

    @property
    def who(self) -> str | None:
        """Return who signed in, where the secret knows: the login name of the OAuth providers' smtp routes."""
        from franking.abilities import who_signed_in  # a server that wants no login needs it never

        return who_signed_in(self.secret)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return what the sign-in allows, where the secret knows."""
        from franking.abilities import KnowsScopes

        secret: object = self.secret
        return secret.scopes if isinstance(secret, KnowsScopes) else ()

    def get(self, *, renew_after: str | None = None) -> str:
        self._last = Veiled(self.found().get(renew_after=renew_after))
        return self._last.reveal()
