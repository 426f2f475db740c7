"""The secret that a mailer uses, watched: what it last gave, who signed in. It finds and renews nothing by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from franking.auth.secret import Secret

__all__ = ["WatchedSecret"]


class WatchedSecret:
    """A secret that remembers what it last gave, so that a refused token can be named when a newer one is asked for."""

    def __init__(self, find: Callable[[], Secret]) -> None:
        self._find = find
        self.secret: Secret | None = None
        self.last: str | None = None

    def found(self) -> Secret:
        """Return the secret itself, which is found when it is first asked for."""
        if self.secret is None:
            self.secret = self._find()
        return self.secret

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
        self.last = self.found().get(renew_after=renew_after)
        return self.last
