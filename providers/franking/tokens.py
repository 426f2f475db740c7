"""What a session is handed as its secret: a password, or an access token that is always fresh.

The recipe for tokens: lock → load → refresh once for all waiters → save → unlock. It knows grants, stores and clocks; how a grant
is refreshed, the provider tells it (``refresh``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from franking.stores import SecretStore

__all__ = ["Grant", "Password", "Secret", "TokenSecret"]


class Secret(Protocol):
    """Give the secret of the moment."""

    def get(self, *, renew_after: str | None = None) -> str:
        """Give the password or a fresh access token; with ``renew_after`` a newer one than this refused one.

        Raises ``SettingsError`` (no password), ``LoginRequired`` (no grant, or it is dead), ``SendError`` (the issuer cannot be reached).
        """
        ...


@dataclass(frozen=True, slots=True)
class Password:
    """Hold a password or client secret that does not change; ``source`` says where it came from, and neither is ever printed whole."""

    value: str = field(repr=False)
    source: str = "argument"

    def get(self, *, renew_after: str | None = None) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Grant:
    """Hold what an OAuth login yielded. Times are seconds since the epoch. ``data`` is the provider's own (refresh token, MSAL's cache).

    ``access_token`` may be empty (not fetched yet). ``expires_at`` is the access token's end. ``details`` are facts for ``status``
    (tenant, consent screen in testing, refresh-token expiry …): no secrets in it.
    """

    provider: str
    route: str
    who: str | None
    scopes: tuple[str, ...]
    created_at: float
    refreshed_at: float
    access_token: str = field(default="", repr=False)
    expires_at: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    details: Mapping[str, Any] = field(default_factory=dict)

    def dumps(self) -> str:
        """Serialise it for a store or for ``login --export``: one line of JSON with a ``version``."""
        raise NotImplementedError

    @classmethod
    def loads(cls, text: str) -> Grant:
        """Read what ``dumps`` wrote. Raises ``SettingsError`` that says what is wrong with it."""
        raise NotImplementedError


class TokenSecret:
    """Give a fresh access token of one account, renewed once for all threads and processes that need it."""

    def __init__(
        self,
        key: str,
        store: SecretStore,
        refresh: Callable[[Grant | None], Grant],
        *,
        provided: Grant | None = None,
        needs_login: bool = True,
        repair: str = "",
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``provided`` is a grant from an argument or the environment; a rotated one in the store wins while it is newer."""
        raise NotImplementedError

    def get(self, *, renew_after: str | None = None) -> str:
        raise NotImplementedError
