"""What can be told of an account's secret: its source, age, expiry and how to repair it. It never shows the secret."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from franking.account.account import Account, login_command, repair_command, secret_variable
from franking.auth.sources import find_password, keyed_by_settings, provided_grant, secret_for
from franking.auth.store import FileStore, SecretStore
from franking.auth.token import TokenSecret
from franking.errors import SettingsError
from franking.provider import Provider, SupportsKeys, SupportsLogin, needs_secret

__all__ = ["SecretState", "state_of"]


# --- how things stand -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SecretState:
    """Return how an account's secret stands. Times are seconds since the epoch, 0 where unknown; nothing secret is in it.

    ``kind`` is ``password``, ``grant`` or ``none`` (no secret needed); ``store`` how it is kept (``file``,
    ``encrypted``, ``keyring``).
    """

    ok: bool
    kind: str
    source: str | None = None
    store: str | None = None
    saved_at: float = 0.0
    expires_at: float = 0.0
    refreshed_at: float = 0.0
    who: str | None = None
    scopes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    repair: str | None = None


def state_of(
    account: Account,
    provider: Provider,
    store: SecretStore,
    environ: Mapping[str, str],
    *,
    clock: Callable[[], float] = time.time,
) -> SecretState:
    """Look at an account's secret without using it: no command is run, nothing is renewed, nobody is asked."""
    if not needs_secret(account, provider):
        return SecretState(True, "none")
    repair = login_command(account)
    kind = "grant" if isinstance(provider, SupportsLogin) and provider.needs_login(account) else "password"
    try:
        kept = store.kind(account.name) if isinstance(store, FileStore) else None
        if kind == "grant":
            return _grant_state(account, provider, store, environ, kept, clock)
        if environ.get(secret_variable(account.name)):
            return SecretState(True, kind, "environment")
        for key in ("token_command", "password_command", "password_file"):
            if account.get(key):
                return SecretState(True, kind, key)
        found = find_password(account, store, environ)
    except SettingsError as problem:
        return SecretState(False, kind, problem=str(problem), repair=_command_in(str(problem)) or repair)
    if found and found.source == "store":
        return SecretState(True, kind, "store", kept, saved_at=found.saved_at)
    if keyed_by_settings(account):
        try:
            return SecretState(
                True,
                kind,
                "settings",
                details=provider.key_details(account) if isinstance(provider, SupportsKeys) else {},
            )
        except SettingsError as problem:
            return SecretState(
                False, kind, "settings", problem=str(problem), repair=repair_command("accounts", "show", account.name)
            )
    return SecretState(False, kind, problem="no password is stored", repair=repair)


def _grant_state(
    account: Account,
    provider: Provider,
    store: SecretStore,
    environ: Mapping[str, str],
    kept: str | None,
    clock: Callable[[], float],
) -> SecretState:
    secret = secret_for(account, provider, store, environ, clock=clock)
    assert isinstance(secret, TokenSecret)
    grant = secret.grant
    if grant is None:
        return SecretState(False, "grant", problem="nobody has signed in yet", repair=login_command(account))
    given = provided_grant(account, environ, None)
    source = "environment" if given is not None and given == grant else "store"
    return SecretState(
        True,
        "grant",
        source,
        kept if source == "store" else None,
        saved_at=grant.created_at,
        expires_at=grant.expires_at,
        refreshed_at=grant.refreshed_at,
        who=grant.who,
        scopes=grant.scopes,
        details=grant.details,
    )


def _command_in(sentence: str) -> str | None:
    """Find the command at the end of a store's error: ``…; run: chmod 600 FILE.``"""
    return sentence.partition("run: ")[2].removesuffix(".") or None
