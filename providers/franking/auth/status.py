"""What can be told of an account's secret: its source, age, expiry and how to repair it. It never shows the secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from franking.account.account import Account
from franking.account.environment import secret_variable
from franking.account.repair import login_command, repair_command
from franking.auth.sources import Sources, keyed_by_settings, secret_for
from franking.auth.store import FileStore, OpenedStore, SecretStore
from franking.auth.token import TokenSecret
from franking.errors import SettingsError
from franking.provider import Provider, SupportsKeys, SupportsLogin, needs_secret

__all__ = ["SecretState", "state_of"]


@dataclass(frozen=True, slots=True)
class SecretState:
    """How an account's secret stands. Times are seconds since the epoch, 0 where unknown; nothing secret is in it.

    ``kind`` is ``password``, ``grant`` or ``none`` (no secret needed); ``source`` is ``environment``, ``settings`` (a
    key file), ``store``, or the setting that names a command or file; ``store`` how it is kept (``file``,
    ``encrypted``, ``keyring``, ``shared``), ``store_wanted`` how it should be where it still lies in a plain file.
    ``repair`` is the command that mends the ``problem``.
    """

    ok: bool
    kind: str
    source: str | None = None
    store: str | None = None
    store_wanted: str | None = None
    saved_at: float = 0.0
    expires_at: float = 0.0
    refreshed_at: float = 0.0
    who: str | None = None
    scopes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    repair: str | None = None


def state_of(account: Account, provider: Provider, store: SecretStore, environ: Mapping[str, str]) -> SecretState:
    """Look at an account's secret without using it: no command is run, nothing is renewed, nobody is asked."""
    if not needs_secret(account, provider):
        return SecretState(True, "none")
    look, kind = _password_state, "password"
    if isinstance(provider, SupportsLogin) and provider.needs_login(account):
        look, kind = _grant_state, "grant"
    try:
        kept = wanted = None
        if isinstance(store, OpenedStore):
            kept = store.kind(account.name)
        if isinstance(store, FileStore):
            wanted = store.wanted(kept)
        found = look(Sources(account, store, environ), provider)
        return replace(found, store=kept, store_wanted=wanted) if found.source == "store" else found
    except SettingsError as problem:
        return SecretState(False, kind, problem=str(problem), repair=problem.repair or login_command(account))


def _password_state(sources: Sources, provider: Provider) -> SecretState:
    account = sources.account
    if sources.environ.get(secret_variable(account.name)):
        return SecretState(True, "password", "environment")
    for setting in sources.settings():
        return SecretState(True, "password", setting.name)
    if found := sources.password():
        return SecretState(True, "password", "store", saved_at=found.saved_at)
    if not keyed_by_settings(account):
        return SecretState(False, "password", problem="no password is stored", repair=login_command(account))
    state = SecretState(True, "password", "settings")
    if not isinstance(provider, SupportsKeys):
        return state
    try:
        return replace(state, details=provider.key_details(account))
    except SettingsError as problem:
        repair = repair_command("accounts", "show", account.name)
        return replace(state, ok=False, problem=str(problem), repair=repair)


def _grant_state(sources: Sources, provider: Provider) -> SecretState:
    account = sources.account
    secret = secret_for(account, provider, sources.store, sources.environ)
    assert isinstance(secret, TokenSecret)
    grant = secret.grant
    if grant is None:
        return SecretState(False, "grant", problem="nobody has signed in yet", repair=login_command(account))
    return SecretState(
        True,
        "grant",
        "environment" if grant == sources.grant() else "store",
        saved_at=grant.created_at,
        expires_at=grant.expires_at,
        refreshed_at=grant.refreshed_at,
        who=grant.who,
        scopes=grant.scopes,
        details=grant.details,
    )
